"""Products that are only added to an argument are put off, and come to the same sums."""

import numpy as np
import pytest

from odead.derivatives.kernel import Kernel
from odead.execute.compiled import Executable
from odead.ode.rhs.values import without_values
from odead.tape import verify
from odead.transform.deferral import RUNS, Deferral
from odead.transform.passes import optimise
from odead.transform.reverse import reverse

SIZE = 26
WEIGHTS = SIZE * SIZE


def network(dx, x, p, t):
    dx[:] = np.tanh(p[:WEIGHTS].reshape(SIZE, SIZE) @ np.sin(x) + p[WEIGHTS : WEIGHTS + SIZE]) * t


def turned(dx, x, p, t):
    dx[:] = np.sin(x) @ p[:WEIGHTS].reshape(SIZE, SIZE) * p[WEIGHTS]


def twice(dx, x, p, t):
    weights = p[:WEIGHTS].reshape(SIZE, SIZE)
    dx[:] = weights @ np.tanh(weights @ np.cos(x))


def of_another_layout(dx, x, p, t):
    weights = p[1 : 1 + WEIGHTS].reshape(SIZE, SIZE).T
    hidden = np.empty(SIZE)
    np.dot(weights, x, out=hidden)
    dx[:] = hidden * hidden


def of_columns(dx, x, p, t):
    both = np.stack([np.sin(x), np.cos(x)], axis=1)
    dx[:] = np.sum(p[:WEIGHTS].reshape(SIZE, SIZE) @ both, axis=1)


ALL = [network, turned, twice, of_another_layout, of_columns]


def swept(f):
    """The optimised reverse program without dx."""
    arguments = (np.zeros(SIZE), np.ones(SIZE), np.ones(WEIGHTS + SIZE), 1.0)
    return optimise(without_values(reverse(Kernel(f, arguments).primal, (0, 1, 2))))


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("runs", [1, 5, RUNS])
def test_sums_are_those_of_all_runs(f, runs):
    program = swept(f)
    deferral = Deferral.of(program, 5)
    assert deferral is not None
    verify(deferral.program)
    verify(deferral.sums)
    whole, part, sums = Executable(program), Executable(deferral.program), Executable(deferral.sums)
    rng = np.random.default_rng(0)
    p = rng.normal(size=WEIGHTS + SIZE)
    expected, found = np.zeros(p.size), np.zeros(p.size)
    factors = np.zeros((RUNS, deferral.size))
    for k in range(runs):
        x, seed = rng.normal(size=SIZE), rng.normal(size=SIZE)
        d_x = np.zeros((2, SIZE))
        assert whole.run([x, p, 0.7, seed.copy(), d_x[0], expected]) == -1
        assert part.run([x, p, 0.7, seed.copy(), d_x[1], found, factors[k]]) == -1
        np.testing.assert_array_equal(d_x[1], d_x[0])
    assert sums.run([found, factors.ravel()]) == -1
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_products_are_gone():
    assert swept(network).op.count("matmul") == 3
    deferral = Deferral.of(swept(network), 5)
    assert deferral is not None
    assert deferral.program.op.count("matmul") == 2  # with the weights, and their transpose
    assert deferral.size == 2 * 32


def small(dx, x, p, t):
    dx[:3] = p[:9].reshape(3, 3) @ x[:3]
    dx[3:] = 0.0


def elementwise(dx, x, p, t):
    dx[:] = p[:SIZE] * x


@pytest.mark.parametrize("f", [small, elementwise])
def test_nothing_is_put_off_that_costs_little(f):
    assert Deferral.of(swept(f), 5) is None


def test_nothing_is_put_off_where_the_sum_is_read():
    program = swept(network)
    total = program.whole(program.arguments[5])
    program.emit("mul", total, (total, total))
    assert Deferral.of(program, 5) is None
