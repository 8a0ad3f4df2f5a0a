"""Gradients within 50 times the tolerance of closed forms and of high-precision references, in every mode.

Bouncing balls, doses and branches, whose answers are known too, are in test_events, test_tstops and test_switches.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.special import ellipj, ellipk

import odead
from comparison import problems
from ode.problems import LINEAR_P, LINEAR_X0, central, linear, linear_exact, logistic, logistic_exact

METHODS = [
    ("native", "auto"),
    ("native", "RK45"),
    ("native", "DOP853"),
    ("native", "Tsit5"),
    ("native", "Rodas5P"),
    ("native", "BDF"),
    ("scipy", "DOP853"),
    ("scipy", "Radau"),
    ("scipy", "LSODA"),
]
EVERY = pytest.mark.parametrize(("engine", "method"), METHODS)
STIFF = pytest.mark.parametrize(
    ("engine", "method"), [("native", "auto"), ("native", "Rodas5P"), ("native", "BDF"), ("scipy", "Radau"), ("scipy", "LSODA")]
)
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])


class Case(NamedTuple):
    """A problem whose loss is known as a function of p."""

    rhs: Callable[..., None]
    x0: Any
    p: np.ndarray
    t_eval: np.ndarray
    exact: Callable[[np.ndarray], float]
    running: Callable[..., Any] | None = None


def loss(y):
    return np.sum(y**2)


# ------------------------------------------------------------------------------------------------- closed forms


def oscillator(dx, x, p, t):
    """Damping, frequency of its own, force and frequency of the force."""
    damping, own, force, driven = p
    dx[0] = x[1]
    dx[1] = -2 * damping * own * x[1] - own**2 * x[0] + force * np.cos(driven * t)


def oscillator_exact(p, t):
    """Displacement and velocity, from rest; the particular solution is a cos + b sin of the driven frequency."""
    damping, own, force, driven = p
    stiffness, drag = own**2 - driven**2, 2 * damping * own * driven
    a, b = force * np.array([stiffness, drag]) / (stiffness**2 + drag**2)
    rate, ringing = damping * own, own * np.sqrt(1 - damping**2)
    c, s = -a, -(rate * a + driven * b) / ringing
    e, cos, sin = np.exp(-rate * t), np.cos(ringing * t), np.sin(ringing * t)
    x = e * (c * cos + s * sin) + a * np.cos(driven * t) + b * np.sin(driven * t)
    v = e * ((ringing * s - rate * c) * cos - (ringing * c + rate * s) * sin)
    return np.array([x, v + driven * (b * np.cos(driven * t) - a * np.sin(driven * t))])


def pendulum(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -(p[0] ** 2) * np.sin(x[0])


def pendulum_exact(p, t):
    """Angle and angular velocity, let go at the angle p[1]: sin(angle / 2) = k sn(K - p[0] t | k**2), k = sin(p[1] / 2)."""
    k = np.sin(p[1] / 2)
    sn, cn, dn, _ = ellipj(ellipk(k**2) - p[0] * t, k**2)
    return np.array([2 * np.arcsin(k * sn), -2 * p[0] * k * cn * dn / np.sqrt(1 - (k * sn) ** 2)])


def decay(dx, x, p, t):
    dx[0] = -p[0] * x[0]


def cost_exact(p):
    """Integral of (p[1] x)**2 + t x over (0, 3), x = p[2] exp(-p[0] t), and x(3)**2."""
    rate, weight, start = p
    e = np.exp(-3 * rate)
    return weight**2 * start**2 * (1 - e**2) / (2 * rate) + start * (1 - e * (1 + 3 * rate)) / rate**2 + (start * e) ** 2


SWING, LOGISTIC = np.linspace(0, 6, 13), np.linspace(0.5, 6, 12)
CASES = {
    "linear": Case(
        linear, LINEAR_X0, LINEAR_P, np.array([1.0, 4.0]),
        lambda p: sum(loss(linear_exact(p, LINEAR_X0, t)[0]) for t in (1.0, 4.0)),
    ),
    "logistic": Case(logistic, [0.5], np.array([1.3, 2.0]), LOGISTIC, lambda p: loss(logistic_exact(p, 0.5, LOGISTIC)[0])),
    "oscillator": Case(
        oscillator, [0.0, 0.0], np.array([0.1, 2.0, 1.5, 1.3]), SWING, lambda p: loss(oscillator_exact(p, SWING))
    ),
    "pendulum": Case(
        pendulum, lambda p: np.array([p[1], 0 * p[1]]), np.array([1.7, 2.0]), SWING, lambda p: loss(pendulum_exact(p, SWING))
    ),
    "cost": Case(
        decay, lambda p: p[2:], np.array([0.8, 1.2, 2.0]), np.array([3.0]), cost_exact,
        lambda x, p, t: (p[1] * x[0]) ** 2 + t * x[0],
    ),
}  # fmt: skip


def error(found, exact, p):
    """Largest error of a gradient, in units in which each parameter is 1, relative to the largest entry."""
    return np.abs((found - exact) * p).max() / np.abs(exact * p).max()


@cache
def exact_gradient(name):
    return central(CASES[name].exact, CASES[name].p)


@pytest.mark.parametrize("name", CASES)
@EVERY
@MODES
@TOLERANCES
def test_closed_forms(name, engine, method, mode, rtol):
    case = CASES[name]
    how = {"engine": engine, "method": method, "mode": mode, "rtol": rtol, "atol": rtol}
    span = (0.0, case.t_eval[-1])
    found = odead.sensitivity(case.rhs, case.x0, case.p, span, t_eval=case.t_eval, loss=loss, running=case.running, **how)
    assert found.loss == pytest.approx(case.exact(case.p), rel=50 * rtol)
    exact = exact_gradient(name)
    assert error(found.grad, exact, case.p) < 50 * rtol
    assert np.linalg.norm((found.grad - exact) * case.p) < 3 * found.sens_error * np.linalg.norm(exact * case.p)


# --------------------------------------------------------------------------------------- high-precision references


def check_reference(name, how, rtol, atol):
    problem = problems.load(name)
    found = odead.sensitivity(
        problem.rhs_in_place, problem.x0, problem.p, problem.t_span, t_eval=problem.t_eval, loss=problem.loss.value,
        rtol=rtol, atol=atol, **how,
    )  # fmt: skip
    assert problem.loss_error(found.loss) < 50 * rtol
    assert problem.gradient_error(found.grad) < 50 * rtol


@EVERY
@MODES
@TOLERANCES
def test_lotka_volterra(engine, method, mode, rtol):
    check_reference("lotka_volterra", {"engine": engine, "method": method, "mode": mode}, rtol, rtol)


@STIFF
@MODES
@TOLERANCES
@pytest.mark.parametrize(("name", "relative_atol"), [("robertson", 1e-4), ("pollution", 1e-3)])
def test_stiff_kinetics(name, relative_atol, engine, method, mode, rtol):
    check_reference(name, {"engine": engine, "method": method, "mode": mode}, rtol, relative_atol * rtol)


# ------------------------------------------------------------------------------------------- oscillations of small systems


def predators(dx, x, p, t):
    dx[0] = p[0] * x[0] - p[1] * x[0] * x[1]
    dx[1] = -p[2] * x[1] + p[3] * x[0] * x[1]


# They keep what each step is off by, and the last state alone shows it.
OSCILLATIONS: dict[str, tuple[Callable[..., None], list[float], list[float]]] = {
    "Lotka-Volterra": (predators, [1.0, 1.0], [1.5, 1.0, 1.0, 3.0]),
    "pendulum": (pendulum, [2.0, 0.0], [1.7]),
}
AT_THE_END: dict[str, Callable[[np.ndarray], Any]] = {"squares": loss, "first": lambda y: y[0, -1], "last": lambda y: y[1, -1]}


def gradient_at_10(name, of, **how):
    rhs, x0, p = OSCILLATIONS[name]
    return odead.sensitivity(rhs, x0, np.array(p), (0.0, 10.0), loss=AT_THE_END[of], **how).grad


@cache
def gradient_by_fine_steps(name, of):
    return gradient_at_10(name, of, method="DOP853", mode="forward", rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OSCILLATIONS)
@pytest.mark.parametrize("of", AT_THE_END)
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "Kvaerno5", "BDF"])
@TOLERANCES
def test_ends_of_oscillations(name, of, method, rtol):
    found = gradient_at_10(name, of, method=method, mode="adjoint", rtol=rtol, atol=1e-3 * rtol)
    assert error(found, gradient_by_fine_steps(name, of), np.array(OSCILLATIONS[name][2])) < 50 * rtol


@pytest.mark.parametrize("name", OSCILLATIONS)
@MODES
@pytest.mark.parametrize("rtol", [1e-10, 1e-11, 1e-12])
def test_fine_tolerances_leave_a_multistep_method_room_above_rounding(name, mode, rtol):
    found = gradient_at_10(name, "squares", method="BDF", mode=mode, rtol=rtol, atol=1e-3 * rtol)
    assert error(found, gradient_by_fine_steps(name, "squares"), np.array(OSCILLATIONS[name][2])) < 2e-8


def test_where_rounding_stops_a_multistep_method_another_one_is_named():
    def rhs(dx, x, p, t):
        dx[0], dx[1] = p[0] * x[1], -p[0] * x[0]

    how: dict[str, Any] = {"method": "BDF", "mode": "forward", "rtol": 1e-13, "atol": 1e-16, "max_steps": 10**6}
    with pytest.raises(odead.IntegrationError, match=r'rounding .* method="Rodas5P" or "DOP853"'):
        odead.sensitivity(rhs, [1.0, 0.0], [100.0], (0.0, 10.0), loss=lambda y: y[0, -1], **how)
