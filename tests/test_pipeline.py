"""The stages together on random programs: optimise, derive, optimise, compile; against the raw derivative under the oracle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from helpers import smooth_programs
from odead.execute import reference
from odead.execute.compiled import Executable
from odead.tape import verify
from odead.transform.forward import forward
from odead.transform.passes import optimise
from odead.transform.reverse import reverse


@given(smooth_programs(), st.sampled_from([forward, reverse]), st.sampled_from([None, 2]), st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_pipeline_gives_the_values_of_the_raw_derivative(drawn, derive, width, seed):
    program, arrays = drawn
    rng = np.random.default_rng(seed)
    active = [k for k, b in enumerate(program.arguments) if program.buffers[b].dtype == "float64"]
    raw = derive(program, active, width)
    fast = optimise(derive(optimise(program), active, width))
    verify(fast)
    n = len(program.arguments)
    shadows = [rng.uniform(-1, 1, raw.buffers[b].shape or ()) for b in raw.arguments[n:]]
    results = [np.zeros(raw.buffers[b].shape or (), raw.buffers[b].dtype) for b in raw.results]
    expected = [np.array(a) for a in (*arrays[:n], *shadows, *results)]
    found = [np.array(a) for a in expected]
    assert reference.run(raw, expected) == -1
    assert Executable(fast).run(found) == -1
    for a, b in zip(found, expected, strict=True):
        if a.size:
            assert_allclose(a, b, rtol=1e-11, atol=1e-11 * (1 + np.abs(b.astype(float)).max()))
