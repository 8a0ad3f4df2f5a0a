"""A reverse program in two halves: what the first one saves, and that the second one begins there."""

import numpy as np
import pytest

from odead.derivatives.kernel import Kernel
from odead.execute.compiled import Executable
from odead.ode.rhs.values import without_values
from odead.tape import verify
from odead.transform.passes import optimise
from odead.transform.reverse import reverse
from odead.transform.saving import Saving


def network(dx, x, p, t):
    hidden = np.tanh(p[:12].reshape(6, 2) @ x + p[12:18])
    dx[:] = p[18:30].reshape(2, 6) @ np.tanh(hidden * t)


def scaled(dx, x, p, t):
    weights = np.exp(p[:12]).reshape(6, 2)  # of p alone
    dx[:] = p[18:30].reshape(2, 6) @ np.tanh(weights @ x + p[12:18])


def cheap(dx, x, p, t):
    dx[:] = p[:2] * x * x - t


def guarded(dx, x, p, t):
    dx[:] = np.tanh(p[:2] * x) if x[0] > 0 else x


def swept(f):
    """The optimised reverse program without dx, that of f, and what to save."""
    arguments = (np.zeros(2), np.ones(2), np.ones(30), 1.0)
    primal = Kernel(f, arguments).primal
    program = optimise(without_values(reverse(primal, (0, 1, 2))))
    return program, primal, Saving.of(program, (1,))


def run(program, arrays):
    verify(program)
    assert Executable(program).run(arrays) == -1


@pytest.mark.parametrize("f", [network, scaled])
def test_halves_are_the_whole(f):
    program, primal, saving = swept(f)
    rng = np.random.default_rng(0)
    x, p, seed = rng.normal(size=2), rng.normal(size=30), rng.normal(size=2)
    found = []
    for halves in (False, True):
        dx, d_dx, d_x, d_p = np.zeros(2), seed.copy(), np.zeros(2), np.zeros(30)
        if halves:
            saved = np.full(saving.size, np.nan)
            run(optimise(saving.forward(primal, [(k, k + 1) for k in range(3)])), [dx, x, p, 0.7, saved])
            run(optimise(saving.reverse()), [x, p, 0.7, d_dx, d_x, d_p, saved])
        else:
            run(program, [x, p, 0.7, d_dx, d_x, d_p])
            f(dx, x, p, 0.7)
        found.append((dx, d_x, d_p))
    for whole, half in zip(*found, strict=True):
        np.testing.assert_allclose(half, whole, rtol=1e-14)


def test_what_is_saved_is_what_was_dear():
    saving = swept(scaled)[2]
    assert saving.size == 6  # not the weights, which depend on p alone
    primal = swept(scaled)[1]
    program = optimise(saving.forward(primal, [(k, k + 1) for k in range(3)]))
    assert (program.op.count("exp"), program.op.count("tanh")) == (1, 1)  # nothing twice
    assert "tanh" not in optimise(saving.reverse()).op


@pytest.mark.parametrize("f", [cheap, guarded])
def test_nothing_to_save(f):
    assert swept(f)[2] is None
