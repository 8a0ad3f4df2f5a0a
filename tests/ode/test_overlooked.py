"""Flips before the first one that a solve saw: where those after it are closer than its steps, it looks for them."""

import numpy as np
import pytest

import odead

METHODS = pytest.mark.parametrize("method", ["auto", "DOP853", "Tsit5", "Rodas5P", "LSODA"])
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
P, X0, END = np.array([0.7, 0.4]), np.array([0.1]), 10.0


def late_pulses(dx, x, p, t):
    dx[0] = -p[0] * x[0]
    if t > 5.0 and t % 0.2 < 0.1:
        dx[0] += p[1]


def late_selected_pulses(dx, x, p, t):
    dx[0] = -p[0] * x[0] + np.where((t > 5.0) & (t % 0.2 < 0.1), p[1], 0.0)


def late_pulses_backwards(dx, x, p, t):
    dx[0] = p[0] * x[0]
    if t < -5.0 and -t % 0.2 < 0.1:
        dx[0] -= p[1]


def expected():
    """The state at the end, and its derivatives by p and x0: each pulse from a to b adds p1 / p0 (exp(-p0 (T - b)) - ...)."""
    a = np.arange(25, 50) * 0.2
    p0, p1 = P
    since_b, since_a = END - a - 0.1, END - a
    on = (np.exp(-p0 * since_b) - np.exp(-p0 * since_a)).sum()
    by_p0 = (-since_b * np.exp(-p0 * since_b) + since_a * np.exp(-p0 * since_a)).sum()
    decayed = np.exp(-p0 * END)
    x = X0[0] * decayed + p1 / p0 * on
    return x, [-END * X0[0] * decayed - p1 / p0**2 * on + p1 / p0 * by_p0, on / p0], [decayed]


@METHODS
@MODES
@pytest.mark.parametrize("rhs", [late_pulses, late_selected_pulses, late_pulses_backwards])
def test_pulses(rhs, mode, method):
    if method == "LSODA" and mode == "adjoint":
        mode = "forward"
    end = -END if rhs is late_pulses_backwards else END
    options = {"mode": mode, "method": method, "rtol": 1e-6, "atol": 1e-8, "wrt": ("p", "x0")}
    found = odead.sensitivity(rhs, X0, P, (0.0, end), t_eval=[end], loss=lambda y, p: y[0, 0], **options)
    x, by_p, by_x0 = expected()
    np.testing.assert_allclose(found.loss, x, rtol=2e-5)
    np.testing.assert_allclose(found.grad, by_p, rtol=2e-5)
    np.testing.assert_allclose(found.grad_x0, by_x0, rtol=1e-4, atol=1e-7)


@MODES
def test_pulses_from_the_start(mode):
    """The first of its long steps passed the flips at 0.5 and 1.0, and the continuous adjoint was off by 4e-2."""

    def pulses(dx, x, p, t):
        dx[0] = -0.01 * p[0] * x[0]
        if t % 1.0 < 0.5:
            dx[0] += p[1]

    options = {"t_eval": [40.0], "loss": lambda y, p: y[0, 0], "mode": mode, "method": "DOP853"}
    found = odead.sensitivity(pulses, np.array([0.6]), P, (0.0, 40.0), rtol=1e-6, atol=1e-8, **options)
    a, rate = np.arange(40.0), 0.01 * P[0]
    on = (np.exp(-rate * (39.5 - a)) - np.exp(-rate * (40.0 - a))).sum() / rate
    np.testing.assert_allclose(found.loss, 0.6 * np.exp(-rate * 40.0) + P[1] * on, rtol=1e-7)
    np.testing.assert_allclose(found.grad[1], on, rtol=1e-6)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-12])
@METHODS
def test_solve(method, rtol):
    found = odead.solve(late_pulses, X0, P, (0.0, END), method=method, rtol=rtol, atol=1e-2 * rtol)
    np.testing.assert_allclose(found.y[0, -1], expected()[0], rtol=max(50 * rtol, 1e-10))


def test_steps_grow_again():
    """Where the flips are not closer than the steps nothing is done anew, and a solve with others costs no more steps."""

    def apart(dx, x, p, t):
        dx[0] = -p[0] * x[0]
        if t % 4.0 < 2.0:
            dx[0] += p[1]

    assert odead.solve(apart, X0, P, (0.0, END), method="DOP853").nsteps < 60
