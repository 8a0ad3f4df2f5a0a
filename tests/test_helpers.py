"""The derivatives that the other suites trust, against each other and against SciPy's plain values."""

import numpy as np
import pytest
from hypothesis import given, settings

import helpers
from odead.execute import reference
from odead.ops import Op
from odead.tape import Program


@pytest.mark.parametrize("op", helpers.ALL_OPS, ids=lambda op: op.name)
def test_complex_values_have_the_real_ones_as_real_part(op: Op) -> None:
    if not op.differentiable:
        return
    xs = helpers.operands(op, 50)
    values = helpers.complex_value(op.name, *(x + 0j if x.dtype.kind == "f" else x for x in xs))
    np.testing.assert_allclose(values.real, reference.value(op.name, *xs), rtol=1e-13, atol=1e-14)


@given(helpers.programs(guards="met"))
@settings(max_examples=50, deadline=None)
def test_drawn_programs_meet_their_guards_and_write_all_results(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    helpers.exits(program, arrays)


@given(helpers.smooth_programs(ops=("copy", "neg", "add", "sub", "mul", "muladd", "sin", "cos", "tanh")))
@settings(max_examples=40, deadline=None)
def test_complex_step_and_finite_differences_agree(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    rng = np.random.default_rng(0)
    seeds = {k: rng.standard_normal(program.buffers[b].shape) for k, b in enumerate(program.arguments)}
    values, tangents = helpers.tangent(program, arrays, seeds)
    for real, value in zip(helpers.exits(program, arrays), values, strict=True):
        np.testing.assert_allclose(value, real, rtol=1e-12, atol=1e-13)
    for exact, approximate in zip(tangents, helpers.finite_difference(program, arrays, seeds), strict=True):
        np.testing.assert_allclose(approximate, exact, rtol=1e-5, atol=1e-6 * (1 + np.abs(exact).max(initial=0)))
