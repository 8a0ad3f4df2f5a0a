"""Events whose root is exactly at t0: as in SciPy they happen there, where they leave it in a direction that counts."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys

import odead

P = np.array([1.0, 1.3])
HOW = {"rtol": 1e-8, "atol": 1e-8}


def ball(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0]


def height(direction=0, terminal=None, reset=None):
    def event(x, p, t):
        return x[0]

    event.direction, event.terminal, event.reset = direction, terminal, reset
    return event


def kick(x, p, t):
    x[1] = p[1]


@pytest.mark.parametrize("direction", [-1, 0, 1])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("velocity", [1.0, -1.0])
def test_as_scipy(direction, terminal, velocity):
    def event(t, y):
        return y[0]

    event.direction, event.terminal = direction, terminal

    def fun(t, y):
        return [y[1], -1.0]

    theirs = scipys(fun, (0, 3), [0.0, velocity], events=event, **HOW)
    found = odead.solve(ball, [0.0, velocity], P, (0, 3), events=height(direction, terminal), **HOW)
    drop_in = odead.solve_ivp(fun, (0, 3), [0.0, velocity], events=event, **HOW)
    for ours in (found, drop_in):
        np.testing.assert_allclose(ours.t_events[0], theirs.t_events[0], atol=1e-7)
        assert ours.status == theirs.status


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "RK45", "Rodas5P", "Kvaerno5", "BDF", "LSODA"])
def test_a_reset_at_the_start(mode, method):
    """y at t0 is that before; the instant moves with x0, as that of any other event."""

    def value(p, x0):
        """It flies from 0 with velocity p[1], from where x0 + v0 t = p[0] t**2 / 2 near 0."""
        start = -2 * x0[0] / (x0[1] + np.sqrt(x0[1] ** 2 + 2 * p[0] * x0[0]))
        s = np.array([0.5, 2.0]) - start
        return x0[0] ** 2 + x0[1] ** 2 + np.sum((p[1] * s - p[0] * s**2 / 2) ** 2 + (p[1] - p[0] * s) ** 2)

    x0 = np.array([0.0, 0.5])
    found = odead.sensitivity(
        ball, x0, P, (0, 2), t_eval=[0.0, 0.5, 2.0], loss=lambda y: np.sum(y**2), events=height(reset=kick), mode=mode,
        method=method, wrt=("p", "x0"), **HOW,
    )  # fmt: skip
    assert found.t_events[0].tolist() == [0.0]
    np.testing.assert_allclose(found.y[:, 0], x0)
    assert found.loss == pytest.approx(value(P, x0), rel=5e-7)
    z, h = np.concatenate([P, x0]).astype(complex), 1e-30
    expected = [value((z + 1j * h * e)[:2], (z + 1j * h * e)[2:]).imag / h for e in np.eye(4)]
    np.testing.assert_allclose(np.append(found.grad, found.grad_x0), expected, rtol=5e-7, atol=5e-7)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_the_end_at_the_start(mode):
    found = odead.sensitivity(
        ball,
        [0.0, 0.5],
        P,
        (0, 2),
        loss=lambda y: np.sum(y**2),
        events=height(terminal=True),
        mode=mode,
        wrt=("p", "x0"),
        **HOW,
    )
    assert found.status == 1
    assert found.t.tolist() == [0.0]
    np.testing.assert_allclose(np.append(found.grad, found.grad_x0), [0, 0, 2, 1], atol=1e-12)  # v dv = -p x0, at x = 0


def test_a_dose_at_the_start():
    """Known in advance, and at t0."""

    def dose(x, p, t):
        return t - 0.0

    def add(x, p, t):
        x[0] += p[1]

    dose.reset = add

    def decay(dx, x, p, t):
        dx[0] = -p[0] * x[0]

    found = odead.sensitivity(decay, [1.0], P, (0, 1), t_eval=[0.0, 1.0], loss=lambda y: y[0, 1], events=dose, **HOW)
    np.testing.assert_allclose(found.y[0], [1.0, 2.3 * np.exp(-1)], rtol=1e-7)
    np.testing.assert_allclose(found.grad, [-2.3 * np.exp(-1), np.exp(-1)], rtol=1e-6)
