"""Kinks: gradients and solves within 50 tolerances, as the steps meet them and do not pass them.

The references are piecewise: the same right-hand sides with branches, at a tolerance near rounding.
"""

from functools import cache

import numpy as np
import pytest

from ode.problems import central
from odead import gradient, sensitivity, solve, solve_ivp
from odead.ode.rhs import selects


def saturated(dx, x, p, t):
    """A controller of high gain, at its bounds at first."""
    dx[0] = x[1]
    dx[1] = np.clip(-20 * x[0] - p[0] * x[1], -1, 1)


def saturated_by_branches(dx, x, p, t):
    dx[0], force = x[1], -20 * x[0] - p[0] * x[1]
    if force > 1:
        dx[1] = 1.0
    elif force < -1:
        dx[1] = -1.0
    else:
        dx[1] = force


def lopsided(dx, x, p, t):
    """A spring that is stiffer on one side, with friction in one direction."""
    dx[0] = x[1]
    dx[1] = -p[0] * x[0] - p[1] * abs(x[0]) + p[2] * np.maximum(x[1], 0) - 0.1 * x[1]


def lopsided_by_branches(dx, x, p, t):
    dx[0], dx[1] = x[1], -p[0] * x[0] - 0.1 * x[1]
    if x[0] > 0:
        dx[1] -= p[1] * x[0]
    else:
        dx[1] += p[1] * x[0]
    if x[1] > 0:
        dx[1] += p[2] * x[1]


def limited(dx, x, p, t):
    """Elements that grow at a limited rate, and leave the limit one after the other."""
    dx[:] = -p[0] * x + p[1] * np.minimum(x, 1.0)


def limited_by_branches(dx, x, p, t):
    for i in range(len(x)):
        dx[i] = -p[0] * x[i]
        if x[i] < 1:
            dx[i] += p[1] * x[i]
        else:
            dx[i] += p[1]


def bent(dx, x, p, t):
    """The same by `np.where`, whose sides agree where it switches."""
    dx[:] = -p[0] * x + p[1] * np.where(x < 1, x, 1.0)


CASES = {
    "clip": (saturated, saturated_by_branches, [1.0, 0.0], np.array([8.0]), np.array([1.0, 2.0])),
    "abs and maximum": (lopsided, lopsided_by_branches, [1.0, 0.3], np.array([4.0, 1.0, 0.1]), np.array([3.0, 6.0])),
    "minimum": (limited, limited_by_branches, np.linspace(1.1, 2.0, 10), np.array([1.0, 0.6]), np.array([1.0, 2.0])),
    "where": (bent, limited_by_branches, np.linspace(1.1, 2.0, 10), np.array([1.0, 0.6]), np.array([1.0, 2.0])),
}
EVERY = pytest.mark.parametrize("name", CASES)
METHODS = pytest.mark.parametrize(
    ("engine", "method"),
    [
        ("native", "auto"), ("native", "RK23"), ("native", "RK45"), ("native", "DOP853"), ("native", "Tsit5"),
        ("native", "Rodas5P"), ("native", "Kvaerno5"), ("native", "BDF"),
        ("scipy", "RK45"), ("scipy", "Radau"), ("scipy", "LSODA"),
    ],
)  # fmt: skip
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])


def loss(y):
    return np.sum(y**2)


@cache
def reference(name):
    _, rhs, x0, p, t = CASES[name]
    return sensitivity(rhs, x0, p, (0, t[-1]), t_eval=t, loss=loss, method="DOP853", mode="forward", rtol=1e-13, atol=1e-14)


@EVERY
@METHODS
@MODES
@TOLERANCES
def test_gradients(name, engine, method, mode, rtol):
    if (method, rtol) == ("RK23", 1e-9):
        pytest.skip("30 000 steps")
    rhs, _, x0, p, t = CASES[name]
    exact = reference(name)
    found = sensitivity(
        rhs, x0, p, (0, t[-1]), t_eval=t, loss=loss, engine=engine, method=method, mode=mode, rtol=rtol, atol=rtol
    )
    assert found.loss == pytest.approx(exact.loss, rel=50 * rtol)
    assert np.abs((found.grad - exact.grad) * p).max() < 50 * rtol * np.abs(exact.grad * p).max()


@EVERY
@TOLERANCES
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Tsit5", "Rodas5P"])
def test_solves(name, method, rtol):
    rhs, _, x0, p, t = CASES[name]
    found = solve(rhs, x0, p, (0, t[-1]), t_eval=t, method=method, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.y, reference(name).y, rtol=50 * rtol, atol=50 * rtol)


def test_the_reference_is_right():
    """The gradient of the branches is that of their loss."""
    for name, (_, rhs, x0, p, t) in CASES.items():

        def value(p, rhs=rhs, x0=x0, t=t):
            return loss(solve(rhs, x0, p, (0, t[-1]), t_eval=t, method="DOP853", rtol=1e-12, atol=1e-13).y)

        np.testing.assert_allclose(reference(name).grad, central(value, p), rtol=1e-6)


@EVERY
def test_inside_a_function(name):
    rhs, _, x0, p, t = CASES[name]

    def value(p):
        return loss(solve(rhs, x0, p, (0, t[-1]), t_eval=t, rtol=1e-9, atol=1e-9).y)

    exact = reference(name).grad
    np.testing.assert_allclose(gradient(value, p), exact, rtol=0, atol=5e-8 * np.abs(exact).max())


@EVERY
def test_second_derivatives(name):
    """The first derivatives have kinks in time where the solution has them, and the second ones jump."""
    rhs, branches, x0, p, t = CASES[name]
    how = {"t_eval": t, "loss": loss, "rtol": 1e-10, "atol": 1e-10}
    found = sensitivity(rhs, x0, p, (0, t[-1]), order=2, **how)
    h = 1e-5
    expected = [
        (sensitivity(branches, x0, p + e, (0, t[-1]), **how).grad - sensitivity(branches, x0, p - e, (0, t[-1]), **how).grad)
        / (2 * h)
        for e in h * np.eye(p.size)
    ]
    np.testing.assert_allclose(found.hess, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_limiter_in_each_step_stays_what_it_is():
    """Where many kinks are passed, no step is made shorter for them."""

    def rhs(x, p, t):
        return -p[0] * x + np.abs(np.sin(200 * t))

    found = solve(rhs, [1.0], np.ones(1), (0, 3), rtol=1e-4, atol=1e-4)
    assert found.success
    assert found.nsteps < 2000


def test_solve_ivp_takes_scipys_steps():
    """Without sensitivities it has SciPy's results, over kinks too."""
    from scipy.integrate import solve_ivp as scipys

    def fun(t, y, p):
        return [y[1], np.clip(-20 * y[0] - p * y[1], -1, 1)]

    ours, theirs = (each(fun, (0, 2), [1.0, 0.0], args=(8.0,), rtol=1e-6) for each in (solve_ivp, scipys))
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-12)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-12, atol=1e-14)


def clamped(dx, x, p, t):
    """Its kink is met, or not, depending on p."""
    dx[0] = -p[0] * np.maximum(x[0], p[1])


@MODES
def test_again_without_meeting_it_and_with(mode):
    """What was prepared for solves that stay on one side serves no other one."""
    x0 = np.array([2.0])

    def exact(p, t):
        """Exponential down to the kink, then linear."""
        turn = np.log(x0[0] / p[1]) / p[0]
        return x0[0] * np.exp(-p[0] * t) if t < turn else p[1] * (1 - p[0] * (t - turn))

    for bound in (0.1, 0.2, 0.3, 0.8, 0.9, 0.2, 0.7):
        p = np.array([0.8, bound])
        found = sensitivity(clamped, x0, p, (0, 2), t_eval=[2.0], loss=loss, mode=mode, rtol=1e-8, atol=1e-8)
        expected = central(lambda p: exact(p, 2.0) ** 2, p)
        assert found.loss == pytest.approx(exact(p, 2.0) ** 2, rel=5e-7)
        np.testing.assert_allclose(found.grad, expected, rtol=0, atol=5e-7 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["auto", "RK45", "Rodas5P", "Kvaerno5", "BDF"])
def test_prepared_solves_notice_a_kink(method):
    """The third call is prepared; the fifth one meets the kink."""

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * np.maximum(x[0], p[1])

    for bound in (0.1, 0.2, 0.3, 0.2, 0.9, 0.1):
        found = solve(rhs, [2.0], np.array([0.8, bound]), (0, 2), t_eval=[2.0], method=method, rtol=1e-8, atol=1e-8)
        turn = np.log(2 / bound) / 0.8
        expected = 2 * np.exp(-1.6) if turn > 2 else bound * (1 - 0.8 * (2 - turn))
        assert found.y[0, 0] == pytest.approx(expected, rel=2e-6)


def lopsided_and_driven(dx, x, p, t):
    lopsided(dx, x, p, t)
    dx[1] += 0.3 * np.sin(0.37 * t)


def lopsided_and_driven_by_branches(dx, x, p, t):
    lopsided_by_branches(dx, x, p, t)
    dx[1] += 0.3 * np.sin(0.37 * t)


DRIVEN = np.array([1.0, 0.3, 0.1])


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Tsit5", "Rodas5P"])
@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
def test_solves_over_many_kinks(method, rtol):
    """Steps heed them; 292 tolerances when they did not."""
    problem = {"x0": [1.0, 0.0], "p": DRIVEN, "tspan": (0, 120), "t_eval": [60.0, 120.0], "rtol": rtol, "atol": rtol}
    exact = solve(lopsided_and_driven_by_branches, **problem | {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}).y
    found = solve(lopsided_and_driven, **problem, method=method)
    assert found.nsteps < 2500
    np.testing.assert_allclose(found.y, exact, rtol=0, atol=50 * rtol)


@MODES
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "Kvaerno5", "BDF"])
@pytest.mark.parametrize("t1", [12.0, 50.0])
def test_gradients_over_kinks_that_are_not_located(method, mode, t1, monkeypatch):
    """Where they are too many. The matrices of implicit methods change at them, although their derivative is 0."""
    monkeypatch.setattr(selects, "MOST", 0)
    monkeypatch.setattr(selects, "MOST_KINKS", 0)
    monkeypatch.setattr(selects, "FEW_STEPS", 10**6)

    def fresh(dx, x, p, t):
        lopsided_and_driven(dx, x, p, t)

    problem = {"x0": [1.0, 0.0], "p": DRIVEN, "tspan": (0, t1), "t_eval": [t1 / 2, t1], "loss": loss}
    how = {"method": "DOP853", "mode": "forward", "rtol": 1e-12, "atol": 1e-13}
    exact = sensitivity(lopsided_and_driven_by_branches, **problem, **how).grad
    found = sensitivity(fresh, **problem, method=method, mode=mode, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.grad, exact, rtol=0, atol=50e-6 * np.abs(exact).max())


@pytest.mark.parametrize("method", ["Rodas5P", "Kvaerno5", "BDF"])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_matrix_that_jumps_is_not_constant(method, mode):
    """In a right-hand side that is linear in x on each side of its switches."""

    def rhs(x, p, t):
        return -p[0] * (1 + np.floor(t)) * x

    found = sensitivity(
        rhs, [1.0], np.ones(1), (0, 3), t_eval=[3.0], loss=loss, method=method, mode=mode, rtol=1e-7, atol=1e-10
    )
    assert found.grad[0] == pytest.approx(-12 * np.exp(-12), rel=5e-5)


def faint(dx, x, p, t):
    """A kink whose factor is small: the solution hardly sees it, the derivative by the factor does."""
    dx[0], dx[1] = x[1], -4 * x[0] - 0.1 * x[1]
    dx += p[0] * np.abs(x[1]) + p[1]


def faint_by_branches(dx, x, p, t):
    dx[0], dx[1] = x[1], -4 * x[0] - 0.1 * x[1]
    if x[1] < 0:
        dx -= p[0] * x[1] - p[1]
    else:
        dx += p[0] * x[1] + p[1]


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "BDF"])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("rtol", [1e-6, 1e-7])
def test_a_kink_that_only_a_derivative_sees(method, mode, rtol):
    def gradients(rhs, **options):
        return sensitivity(rhs, [1.0, 0.5], np.array([-1e-3, 0.5]), (0, 4), t_eval=[2.0, 4.0], loss=loss, **options).grad

    exact = gradients(faint_by_branches, method="DOP853", mode="forward", rtol=1e-12, atol=1e-14)
    found = gradients(faint, method=method, mode=mode, rtol=rtol, atol=1e-3 * rtol)
    np.testing.assert_allclose(found, exact, rtol=0, atol=50 * rtol * np.abs(exact).max())


def valve(dx, x, p, t):
    """A kink in a slow state, in the equation of one that decays so fast that the kink is faint along the solution."""
    dx[0], dx[1] = -p[0] * x[0], -40 * x[1] + np.clip(10 * x[0], -0.5, 0.5)


def valve_by_branches(dx, x, p, t):
    dx[0], dx[1] = -p[0] * x[0], -40 * x[1]
    if x[0] < -0.05:
        dx[1] -= 0.5
    else:
        dx[1] += 10 * x[0]


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "Kvaerno5", "BDF"])
@MODES
def test_a_kink_beside_a_fast_state(method, mode):
    """100 tolerances with RK45, whose error estimate hardly sees kinks between two of its stages, where it was not located."""

    def gradients(rhs, **options):
        problem = {"x0": [-0.062, 2.5], "p": np.array([60.0]), "tspan": (0, 0.1), "t_eval": [0.004, 0.1], "wrt": ("p", "x0")}
        found = sensitivity(rhs, **problem, loss=loss, **options)
        return np.append(found.grad, found.grad_x0)

    exact = gradients(valve_by_branches, method="DOP853", mode="forward", rtol=1e-12, atol=1e-14)
    found = gradients(valve, method=method, mode=mode, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found, exact, rtol=0, atol=50e-6 * np.abs(exact).max())


def swinging(dx, x, p, t):
    """Two coupled oscillators, hardly damped; a spring acts on one side of one of them."""
    drive = p[1] * np.sin(0.7 * t)
    dx[0], dx[1] = x[2], x[3]
    dx[2] = -2.1 * x[0] - p[2] * x[2] + 0.3 * (x[1] - x[0]) + drive - 2 * p[0] * np.maximum(x[0] - 0.1, 0)
    dx[3] = -1.2 * x[1] - p[2] * x[3] + 0.3 * (x[0] - x[1]) + drive


def swinging_by_branches(dx, x, p, t):
    drive = p[1] * np.sin(0.7 * t)
    dx[0], dx[1] = x[2], x[3]
    dx[2] = -2.1 * x[0] - p[2] * x[2] + 0.3 * (x[1] - x[0]) + drive
    dx[3] = -1.2 * x[1] - p[2] * x[3] + 0.3 * (x[0] - x[1]) + drive
    if x[0] > 0.1:
        dx[2] -= 2 * p[0] * (x[0] - 0.1)


@MODES
@TOLERANCES
@pytest.mark.parametrize("method", ["auto", "Rodas5P", "Kvaerno5", "BDF"])
def test_long_oscillations(method, mode, rtol):
    """Local errors add up: with BDF at rtol 1e-9 to more tolerances than at 1e-6, unless its own ones are in proportion."""
    problem = {"x0": [1.0, -0.5, 0.3, 0.8], "p": np.array([0.4, 0.2, 0.02]), "tspan": (0, 57), "t_eval": [28.0, 57.0]}

    def gradients(rhs, **options):
        found = sensitivity(rhs, **problem, loss=loss, wrt=("p", "x0"), **options)
        return np.append(found.grad, found.grad_x0)

    exact = gradients(swinging_by_branches, method="DOP853", mode="forward", rtol=1e-12, atol=1e-14)
    found = gradients(swinging, method=method, mode=mode, rtol=rtol, atol=1e-2 * rtol)
    np.testing.assert_allclose(found, exact, rtol=0, atol=50 * rtol * np.abs(exact).max())


def growing(dx, x, p, t):
    """A kink at the start of a growth by 1e9, against which its change of the slope is nothing."""
    dx[0], dx[1] = p[0] * x[0], np.abs(x[1] - 1) + p[1] * x[1]


def growing_by_branches(dx, x, p, t):
    dx[0] = p[0] * x[0]
    if x[1] > 1:
        dx[1] = x[1] - 1 + p[1] * x[1]
    else:
        dx[1] = 1 - x[1] + p[1] * x[1]


@MODES
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P"])
def test_a_kink_before_a_growth(method, mode):
    problem = {"x0": [1.0, 0.5], "p": np.array([7.0, 0.1]), "tspan": (0, 3), "t_eval": [1.0, 3.0], "wrt": ("p", "x0")}

    def gradients(rhs, **options):
        found = sensitivity(rhs, **problem, loss=lambda y: np.sum(y[1] ** 2), **options)
        return np.append(found.grad, found.grad_x0)

    exact = gradients(growing_by_branches, method="DOP853", mode="forward", rtol=1e-12, atol=1e-14)
    found = gradients(growing, method=method, mode=mode, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found, exact, rtol=0, atol=50e-9 * np.abs(exact).max())
