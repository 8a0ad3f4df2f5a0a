"""What is scattered into an argument is added up over many runs first, and comes to the same sums."""

import numpy as np
import pytest

import odead
from odead.derivatives.kernel import Kernel
from odead.execute.compiled import Executable
from odead.ode.rhs.switches import without_guards
from odead.ode.rhs.values import without_values
from odead.tape import verify
from odead.transform.passes import optimise
from odead.transform.reverse import reverse
from odead.transform.totals import Totals

CELLS = 18
SIZE = CELLS * CELLS
REGION = (np.arange(CELLS) // 6)[:, None] * 3 + (np.arange(CELLS) // 6)[None, :]


def scaled(dx, x, p, t):
    u = x.reshape(CELLS, CELLS)
    around = -2 * u
    around[1:] += u[:-1]
    around[:-1] += u[1:]
    dx[:] = (361.0 * p[:9][REGION] * around - p[9] * u).ravel()


def nonlinear(dx, x, p, t):
    k = p[REGION.ravel()]
    dx[:] = np.sin(k * x) * t + p[9]


def twice(dx, x, p, t):
    dx[:] = p[REGION.ravel()] * np.cos(x) + 3.0 * (p[1:][REGION.ravel()] * x)


def swept(f):
    """The optimised reverse program without dx, and without the guards of captured arrays, which do not change in a solve."""
    program = Kernel(f, (np.zeros(SIZE), np.ones(SIZE), np.ones(10), 1.0)).primal
    return optimise(without_values(reverse(program if f is moving else without_guards(program), (0, 1, 2))))


@pytest.mark.parametrize("f", [scaled, nonlinear, twice])
def test_sums_are_those_of_all_runs(f):
    program = swept(f)
    totals = Totals.of(program, 5)
    assert totals is not None
    assert "put_add" in program.op
    assert "put_add" not in totals.program.op
    verify(totals.program)
    verify(totals.sums)
    whole, part, sums = Executable(program), Executable(optimise(totals.program)), Executable(totals.sums)
    rng = np.random.default_rng(0)
    p = rng.normal(size=10)
    expected, found, added = np.zeros(10), np.zeros(10), np.zeros(totals.size)
    for _ in range(5):
        x, seed = rng.normal(size=SIZE), rng.normal(size=SIZE)
        d_x = np.zeros((2, SIZE))
        assert whole.run([x, p, 0.7, seed.copy(), d_x[0], expected]) == -1
        assert part.run([x, p, 0.7, seed.copy(), d_x[1], found, added]) == -1
        np.testing.assert_array_equal(d_x[1], d_x[0])
    assert sums.run([found, added]) == -1
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


def few(dx, x, p, t):
    dx[:] = 0.0
    dx[:6] = p[np.arange(6) // 3] * x[:6]


def moving(dx, x, p, t):
    dx[:] = p[np.minimum(np.abs(x).astype(int), 9)] * x


def read(dx, x, p, t):
    dx[:] = p[:10].sum() * x


@pytest.mark.parametrize("f", [few, moving, read])
def test_nothing_is_added_up(f):
    """Few numbers, places that change from run to run, and sums that wait for nothing."""
    assert Totals.of(swept(f), 5) is None


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "Kvaerno5"])
@pytest.mark.parametrize("f", [scaled, twice])
def test_gradients_over_solves(f, method):
    x0 = np.exp(-((np.linspace(-1, 1, SIZE) - 0.2) ** 2))
    p = np.linspace(0.5, 1.0, 10) * (1e-3 if f is scaled else 1.0)
    options = {"loss": lambda y: np.sum(y[:, -1] ** 2 * np.arange(SIZE)), "method": method, "rtol": 1e-8, "atol": 1e-10}
    for _ in range(2):  # prepared, the second time
        adjoint = odead.sensitivity(f, x0, p, (0.0, 0.3), mode="adjoint", t_eval=[0.1, 0.3], **options)
    forward = odead.sensitivity(f, x0, p, (0.0, 0.3), mode="forward", t_eval=[0.1, 0.3], **options)
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-6)
