"""Tolerances of the continuous adjoint by what a change of lambda does to a gradient."""

import numpy as np
import pytest

from odead import sensitivity
from odead.ode.engines.engine import Controls
from odead.ode.engines.native import NativeEngine
from odead.ode.gradients.influence import scale_of_adjoint
from odead.ode.problem.problem import make_problem

STIFF = pytest.mark.parametrize("method", ["Rodas5P", "Kvaerno5", "BDF"])


def chain(dx, x, p, t):
    """x[1] follows x[0] within a millionth of the time in which that changes."""
    dx[0] = -p[0] * x[0]
    dx[1] = p[1] * x[0] - 1e6 * x[1]


def trace(dx, x, p, t):
    """x[1] is there by p[1] alone, which is 0 or next to it."""
    dx[0] = -p[0] * x[0]
    dx[1] = p[1] * x[0] - x[1]
    dx[2] = x[1] - 300.0 * x[2]


def of_all(y):
    return (y**2).sum() + 10.0 * y[-1].sum()


def scales(rhs, x0, p, with_x0, t1=2.0, method="Rodas5P"):
    problem = make_problem(rhs, np.array(x0), np.array(p), (0.0, t1), np.array([t1]), differentiated=("p",))
    controls = Controls(method, 1e-6, np.full(len(x0), 1e-9), None, np.inf, 10_000)
    cotangents = np.ones((len(x0), 1))
    return scale_of_adjoint(
        problem, NativeEngine(), controls, np.array([t1]), cotangents, np.linspace(0.0, t1, 9), with_x0=with_x0
    )


def test_what_only_follows_may_be_coarse():
    slow, fast = scales(chain, [1.0, 1e-6], [0.5, 1.0], with_x0=False)
    assert 1e4 * slow < fast < 1.001e5 * slow
    assert slow == pytest.approx(1.0, rel=0.2)  # its sensitivity at the datum is the largest one


def test_where_the_start_is_wanted_nothing_may():
    slow, fast = scales(chain, [1.0, 1e-6], [0.5, 1.0], with_x0=True)
    assert fast == pytest.approx(slow, rel=10)
    assert max(slow, fast) < 10


def test_not_known_where_nothing_moves_or_the_solve_stops():
    def still(dx, x, p, t):
        dx[:] = -x

    def explodes(dx, x, p, t):
        dx[:] = p[0] * x**2

    assert scales(still, [1.0, 2.0], [0.5], with_x0=False) is None
    assert scales(explodes, [1.0, 1.0], [1.0], with_x0=False) is None


@STIFF
@pytest.mark.parametrize("wrt", ["p", ("p", "x0")])
@pytest.mark.parametrize("small", [0.0, 1e-9, 1.0])
def test_parts_of_the_gradient_of_every_size(method, wrt, small):
    def gradient(method, mode, rtol):
        options = {"t_eval": np.linspace(0, 2, 5), "loss": of_all, "wrt": wrt, "rtol": rtol, "atol": 1e-3 * rtol}
        found = sensitivity(trace, [1.0, 0.0, 0.0], np.array([0.7, small]), (0.0, 2.0), method=method, mode=mode, **options)
        return np.concatenate([found.grad, found.grad_x0 if "x0" in wrt else []]), found

    exact = gradient("Rodas5P", "forward", 1e-11)[0]
    found, result = gradient(method, "continuous", 1e-7)
    np.testing.assert_allclose(found, exact, rtol=5e-6)
    assert np.linalg.norm(found - exact) <= 50 * max(result.sens_error, 1e-7) * np.linalg.norm(exact)


@STIFF
def test_transients_after_data_are_not_followed(method):
    """Ten data of a state that follows within a millionth of the time."""

    def solve(mode, method, rtol, **options):
        return sensitivity(
            chain, [1.0, 1e-6], np.array([0.5, 1.0]), (0.0, 2.0), t_eval=np.linspace(0.2, 2, 10), mode=mode, method=method,
            loss=lambda y: 1e6 * y[1].sum(), rtol=rtol, atol=1e-6 * rtol, **options,
        )  # fmt: skip

    found = solve("continuous", method, 1e-7)
    np.testing.assert_allclose(found.grad, solve("forward", "Rodas5P", 1e-11).grad, rtol=5e-6)
    assert found.nsteps < solve("continuous", method, 1e-7, wrt=("p", "x0")).nsteps


@STIFF
@pytest.mark.parametrize("doses", [0, 2])
def test_a_loss_that_looks_at_nothing(method, doses):
    def event(x, p, t):
        return (t - 0.5) * (t - 1.2)

    def reset(x, p, t):
        x[0] += p[0]

    event.reset = reset
    found = sensitivity(
        chain, [1.0, 1e-6], np.array([0.5, 1.0]), (0.0, 2.0), t_eval=[0.3, 2.0], mode="continuous", method=method,
        loss=lambda y: 0.0 * y.sum() + 1.0, events=[event][:doses],
    )  # fmt: skip
    np.testing.assert_array_equal(found.grad, [0.0, 0.0])
