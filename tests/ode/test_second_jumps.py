"""Hessians where something jumps: switches, stops, events; and with respect to times. Against closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import gradient, hessian, sensitivity

TIGHT = {"rtol": 1e-9, "atol": 1e-12}


def switched(x, p, t):
    return [p[0] * (1 + p[0] * t)] if x[0] < p[1] else [p[0] * p[2] * x[0]]


def exact_switched(v):
    """x reaches p1 at a time that all of them move."""
    p0, p1, p2, x0 = v
    at = (-p0 + np.sqrt(p0**2 + 2 * p0**2 * (p1 - x0))) / p0**2
    last, first = p1 * np.exp(p0 * p2 * (2 - at)), x0 + p0 * 0.3 + p0**2 * 0.045
    return last**2 + first * last


V = np.array([0.9, 1.3, 0.7, 0.4])


def loss_of_both(y):
    return y[0, 1] ** 2 + y[0, 0] * y[0, 1]


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P"])
def test_a_switch(mode, method, rtol):
    options = {"t_eval": [0.3, 2.0], "mode": mode, "method": method, "rtol": rtol, "atol": 1e-3 * rtol}
    found = sensitivity(switched, V[3:], V[:3], (0, 2), loss=loss_of_both, wrt=("p", "x0"), order=2, **options)
    reference = hessian(exact_switched, V)
    assert_allclose(found.hess, reference, rtol=0, atol=50 * rtol * np.abs(reference).max())


@pytest.mark.parametrize("method", ["BDF", "Radau"])
def test_a_switch_by_other_engines(method):
    def f(v):
        y = odead.solve(switched, v[3:], v[:3], (0, 2), t_eval=[0.3, 2.0], method=method, rtol=1e-8, atol=1e-11).y
        return loss_of_both(y)

    assert_allclose(hessian(f, V), hessian(exact_switched, V), rtol=1e-6, atol=1e-6)


def test_a_kink():
    """Slopes agree at the switch, their derivatives do not."""

    def rhs(x, p, t):
        return [p[0] + (p[2] * (x[0] - p[1]) if x[0] > p[1] else 0.0)]

    def exact(v):
        return v[1] + v[0] / v[2] * (np.exp(v[2] * (2 - (v[1] - v[3]) / v[0])) - 1)

    found = sensitivity(rhs, V[3:], V[:3], (0, 2), loss=lambda y: y[0, -1], wrt=("p", "x0"), order=2, **TIGHT)
    assert_allclose(found.hess, hessian(exact, V), rtol=1e-7, atol=1e-8)


def if_before(x, p, t):
    return [-(p[0] if t < p[1] ** 2 * p[0] else 2 * p[0] * p[1]) * x[0]]


def where_before(x, p, t):
    return [-np.where(t < p[1] ** 2 * p[0], p[0], 2 * p[0] * p[1]) * x[0]]


@pytest.mark.parametrize("rhs", [if_before, where_before])
def test_stops_computed_from_parameters(rhs):
    def exact(p):
        return np.exp(-(p[0] ** 2) * p[1] ** 2 - 2 * p[0] * p[1] * (2 - p[1] ** 2 * p[0]))

    p = np.array([0.6, 1.2])
    found = sensitivity(
        rhs, [1.0], p, (0, 2), loss=lambda y: y[0, -1], tstops=lambda p: [1.9, p[1] ** 2 * p[0]], order=2, **TIGHT
    )
    assert_allclose(found.hess, hessian(exact, p), rtol=1e-7)


def falling(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0]


def ground(x, p, t):
    return x[0] - p[2]


def bounce(x, p, t):
    x[1] = -p[1] * x[1] ** 2


ground.direction = -1
ground.reset = bounce


def test_a_reset():
    """A bounce off a floor at p2, with a nonlinear rebound."""

    def loss(y, p):
        return y[0, 1] * y[1, 1] + 0.5 * y[0, 0]

    def exact_loss(v):
        g, e, floor, h = v
        at = np.sqrt(2 * (h - floor) / g)
        rest, u = 1.0 - at, -e * (g * at) ** 2
        return (floor + u * rest - g * rest**2 / 2) * (u - g * rest) + 0.5 * (h - g * 0.02)

    v = np.array([9.81, 0.02, 0.1, 1.0])
    options = {"t_eval": [0.2, 1.0], "events": ground, **TIGHT}
    found = sensitivity(falling, lambda p: np.array([p[3], 0.0]), v, (0, 1), loss=loss, order=2, **options)
    assert_allclose(found.hess, hessian(exact_loss, v), rtol=1e-6, atol=1e-6)
    assert_allclose(found.grad, gradient(exact_loss, v), rtol=1e-7)


def test_an_end_at_an_event_with_a_running_cost():
    """The distance fallen, integrated over the fall, and the square of the speed at the end."""

    def end(x, p, t):
        return x[0]

    end.terminal = True

    def exact(v):
        g, h, u = v
        fall = (u + np.sqrt(u * u + 2 * g * h)) / g
        return h * fall + u * fall**2 / 2 - g * fall**3 / 6 + (u - g * fall) ** 2

    v = np.array([9.81, 1.0, 0.7])
    found = sensitivity(
        falling, v[1:], v[:1], (0, 5), loss=lambda y: y[1, -1] ** 2, running=lambda x, p, t: x[0], events=end,
        wrt=("p", "x0", "t1"), order=2, **TIGHT,
    )  # fmt: skip
    expected = np.zeros((4, 4))
    expected[:3, :3] = hessian(exact, v)
    assert_allclose(found.loss, exact(v), rtol=1e-8)
    assert_allclose(found.hess, expected, rtol=1e-6, atol=1e-8)


def test_times():
    def exact(v):
        """x' = p cos(t) x from t0; data at two times that move, and the integral of x cos up to t1."""
        p, x0, t0, t1, a, b = v
        y = [x0 * np.exp(p * (np.sin(t) - np.sin(t0))) for t in (a, b, t1)]
        return y[0] * y[1] + (y[2] - x0) / p

    v = np.array([0.8, 0.5, 0.1, 1.9, 0.6, 1.2])
    found = sensitivity(
        lambda x, p, t: p * np.cos(t) * x, v[1:2], v[:1], v[2:4], t_eval=v[4:], loss=lambda y: y[0, 0] * y[0, 1],
        running=lambda x, p, t: x[0] * np.cos(t), wrt=("p", "x0", "t0", "t1", "t_eval"), order=2, **TIGHT,
    )  # fmt: skip
    assert_allclose(found.hess, hessian(exact, v), rtol=1e-6, atol=1e-7)


def test_what_is_not_supported_says_so():
    def third(v):
        return odead.solve(switched, V[3:], v, (0, 2), t_eval=[2.0]).y[0, 0]

    with pytest.raises(odead.OdeadError, match="third derivatives"):
        odead.jvp(lambda v: odead.hvp(third, v, np.ones(3)), (V[:3],), (np.ones(3),))
