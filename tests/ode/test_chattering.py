"""Switches to which both sides lead back, and those that only look like them."""

import warnings

import numpy as np
import pytest

import odead
from odead import IntegrationError
from odead.ode.pieces import piecewise

MODES = pytest.mark.parametrize("mode", ["solve", "forward", "adjoint", "continuous"])
METHODS = pytest.mark.parametrize(
    ("method", "engine"),
    [
        ("auto", "native"), ("RK23", "native"), ("RK45", "native"), ("DOP853", "native"), ("Kvaerno5", "native"),
        ("Rodas5P", "native"), ("BDF", "native"), ("LSODA", "scipy"), ("Radau", "scipy"),
    ],
)  # fmt: skip


def run(rhs, x0, p, end, mode, **options):
    """The result, with every warning an error."""
    options["t_eval"] = np.linspace(0.0, end, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if mode == "solve":
            return odead.solve(rhs, x0, p, (0.0, end), **options)
        return odead.sensitivity(rhs, x0, p, (0.0, end), loss=lambda y: np.mean(y[0] ** 2), mode=mode, **options)


def differences(rhs, x0, p, end, h=1e-5):
    def loss(p):
        return np.mean(run(rhs, x0, p, end, "solve", method="DOP853", rtol=1e-11, atol=1e-12).y[0] ** 2)

    return np.array([(loss(p + h * e) - loss(p - h * e)) / (2 * h) for e in np.eye(p.size)])


def by_where(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.where(x[0] < p[3], 1.0, 0.0)


def by_if(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1])
    if x[0] < p[3]:
        dx[0] += p[2]


def by_sign(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * (0.5 - 0.5 * np.sign(x[0] - p[3]))


def by_step(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.heaviside(p[3] - x[0], 0.5)


def by_mask(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1] - np.sin(t)) + (x[0] < p[3]) * p[2]


def rooms(dx, x, p, t):
    dx[:] = -p[0] * (x - p[1] - np.sin(t)) + p[2] * np.where(x < p[3], 1.0, 0.0)
    dx[1:] += 0.3 * (x[:-1] - x[1:])
    dx[:-1] += 0.3 * (x[1:] - x[:-1])


HEATER = np.array([0.2, 10.0, 5.0, 20.0])


@pytest.mark.parametrize("rhs", [by_where, by_if, by_sign, by_step, by_mask])
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@METHODS
@MODES
def test_a_thermostat_without_hysteresis(rhs, rtol, method, engine, mode):
    """It says when, at which line, and what to do."""
    with pytest.raises(IntegrationError, match="chattering") as caught:
        run(rhs, [15.0], HEATER, 10.0, mode, method=method, engine=engine, rtol=rtol, atol=rtol)
    said = str(caught.value)
    line = rhs.__code__.co_firstlineno + (2 if rhs is by_if else 1)
    assert f"{__file__.rpartition('/')[2]}:{line} in {rhs.__name__}" in said
    assert "hysteresis" in said
    assert "np.tanh" in said
    assert "stopped at t = 1." in said


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853", "BDF"])
@MODES
def test_explicit_steps_of_scipy_too(method, mode):
    """Without the 10^5 steps that would show it in the end; each takes SciPy 0.1 ms."""
    with pytest.raises(IntegrationError, match="chattering"):
        run(by_where, [15.0], HEATER, 10.0, mode, method=method, engine="scipy", max_steps=3000)


@METHODS
@MODES
def test_several_rooms(method, engine, mode):
    with pytest.raises(IntegrationError, match=r"in rooms.*chattering"):
        run(rooms, [15.0, 12.0, 10.0, 14.0], np.array([0.2, 10.0, 6.0, 20.0]), 10.0, mode, method=method, engine=engine)


@MODES
def test_a_solution_that_begins_on_the_switch(mode):
    for rhs in (by_where, by_if, by_mask):
        with pytest.raises(IntegrationError, match="chattering") as caught:
            run(rhs, [20.0], HEATER, 5.0, mode)
        assert caught.value.result.t[-1] < 1e-6


def latch(dx, x, p, t):
    """The state that says which side is on falls below 1 as soon as the room is too warm, and then the room is not."""
    dx[0] = -p[0] * (x[0] - 10.0) + p[1] * np.where(x[1] > 0.5, 1.0, 0.0)
    dx[1] = 50.0 * (np.where(x[0] < 20.0 - p[2] * (2 * x[1] - 1), 1.0, 0.0) - x[1])


@pytest.mark.parametrize("end", [1.14, 10.0])
@METHODS
@MODES
def test_steps_that_end_before_the_switch(end, method, engine, mode):
    """Each step ends on the same side, so that nothing flips; with 1.14 the end was reached, with a wrong gradient."""
    with pytest.raises(IntegrationError, match=r"in latch lead back.*chattering"):
        run(latch, [15.0, 0.0], np.array([0.2, 5.0, 1.0]), end, mode, method=method, engine=engine)


def delayed(dx, x, p, t):
    """A heater that warms up: it swings about the set point, each time faster than before."""
    dx[0] = -p[0] * (x[0] - p[1]) + x[1]
    dx[1] = 5.0 * (p[2] * np.where(x[0] < p[3], 1.0, 0.0) - x[1])


@pytest.mark.parametrize("method", ["auto", "RK45", "BDF"])
@MODES
def test_ever_faster(method, mode):
    """More than 10^9 times until the end."""
    with pytest.raises(IntegrationError, match=r"switches ever faster at .* in delayed.*max_steps=100000.*chattering"):
        run(delayed, [15.0, 0.0], HEATER, 40.0, mode, method=method)


CASES = {}


def legitimate(x0, p, end):
    """Register a right-hand side of which nothing is to be said."""

    def register(rhs):
        CASES[rhs.__name__] = rhs, np.array(x0), np.array(p), end
        return rhs

    return register


legitimate([15.0, 0.0], HEATER, 3.5)(delayed)  # 26 times until then


@legitimate([19.0], [0.5, 16.0, 1.5, 20.0], 12.0)
def weak(dx, x, p, t):
    """A heater that the weather outdoes: the solution passes the set point in both directions."""
    dx[0] = -p[0] * (x[0] - p[1] - 8 * np.sin(t)) + p[2] * (x[0] < p[3])


@legitimate([1.0], [1.0, 1.0], 8.0)
def dense(dx, x, p, t):
    dx[0] = -p[0] * x[0] + p[1] * np.sign(np.sin(40 * t))


@legitimate([1.0], [1.0, 1.0], 8.0)
def dense_by_if(dx, x, p, t):
    dx[0] = -p[0] * x[0] + (p[1] if np.sin(40 * t) > 0 else -p[1])


@legitimate([0.0], [0.5, 0.99], 3.0)
def grazing(dx, x, p, t):
    dx[0] = np.cos(t) + p[0] * np.where(x[0] > p[1], 1.0, 0.0)


@legitimate([0.0], [0.5, 1.001], 6.0)
def almost(dx, x, p, t):
    dx[0] = np.cos(t) + p[0] * np.where(x[0] > p[1], 1.0, 0.0)


@legitimate([2.0, 0.3], [1.0, 0.5], 40.0)
def resting(dx, x, p, t):
    """An equilibrium on the switch, where both sides vanish."""
    dx[0] = np.where(x[0] > 1, -p[0] * (x[0] - 1), -2 * p[0] * (x[0] - 1))
    dx[1] = -p[1] * x[1] + x[0]


@legitimate([2.0, 0.3], [1.0, 0.5], 40.0)
def resting_by_if(dx, x, p, t):
    if x[0] > 1:
        dx[0] = -p[0] * (x[0] - 1)
    else:
        dx[0] = -2 * p[0] * (x[0] - 1)
    dx[1] = -p[1] * x[1] + x[0]


@legitimate([1.0, 0.0], [1.0, 0.1], 100.0)
def spring(dx, x, p, t):
    """Of two stiffnesses: a kink, 38 times, and ever smaller."""
    dx[0] = x[1]
    dx[1] = -np.where(x[0] > 0, p[0], 2 * p[0]) * x[0] - p[1] * x[1]


@legitimate([1.0, 0.0], [0.3, 4.0], 30.0)
def relay(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[1] * x[0] + p[0] * np.sign(x[0])


@legitimate([15.0], [0.2, 10.0, 5.0, 20.0], 10.0)
def pulses(dx, x, p, t):
    """Of a period in which DOP853 at 1e-6 needs one step: with the first of them unseen, gradients were wrong by 132 %."""
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.where(np.sin(3 * t) > 0, 1.0, 0.0) * (x[0] / p[3])


@pytest.fixture(scope="module")
def reference():
    known = {}

    def of(name):
        if name not in known:
            known[name] = differences(*CASES[name])
        return known[name]

    return of


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "BDF"])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("name", CASES)
def test_legitimate(name, method, mode, reference):
    rhs, x0, p, end = CASES[name]
    expected = reference(name)
    found = run(rhs, x0, p, end, mode, method=method, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.grad, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("mode", ["adjoint", "continuous"])
def test_what_was_seen_once_is_not_passed_unseen(mode, monkeypatch, reference):
    """Where fewer pulses are located than the first solve saw, it is done anew with shorter steps."""
    monkeypatch.setattr(piecewise, "REACH", 0.0)
    monkeypatch.setattr(piecewise, "SHORTEST", (np.inf, 1e-3))
    x0, p, end = CASES["pulses"][1:]

    def seen(dx, x, p, t, mode=mode):
        dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.where(np.sin(3 * t) > 0, 1.0, 0.0) * (x[0] / p[3])

    found = run(seen, x0, p, end, mode, method="DOP853")
    np.testing.assert_allclose(found.grad, reference("pulses"), rtol=1e-4)
