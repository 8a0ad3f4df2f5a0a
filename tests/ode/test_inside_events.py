"""Events of `odead.solve` inside differentiated functions: times, states, resets, ends, against closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import gradient, hessian, jacobian

TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def ball(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0]


def hit(x, p, t):
    return x[0]


def bounce(x, p, t):
    x[1] = -p[1] * x[1]


hit.direction = -1
hit.reset = bounce


def ending(x, p, t):
    return x[0]


ending.terminal = True
ending.direction = -1
V = np.array([9.81, 0.8, 1.0])
WEIGHTS = np.array([1.0, 2, -1, 0.5, 1, 0.3, 0.2])


def bouncing(v, **options):
    options = {**TIGHT, **options}
    result = odead.solve(ball, np.array([v[2], 0.0]), v[:2], (0, 1.2), t_eval=[0.3, 0.7, 1.2], events=hit, **options)
    (t,), (y,) = result.t_events, result.y_events
    return np.array([result.y[0, 0], result.y[0, 1], result.y[0, 2], t[0], t[1], y[0, 1], y[1, 1]])


def bounced(v):
    g, e, h = v[0], v[1], v[2]
    t1 = np.sqrt(2 * h / g)
    u1 = e * g * t1
    t2, u2 = t1 + 2 * u1 / g, e * u1
    first, second = 0.7 - t1, 1.2 - t2
    return np.array([h - g * 0.045, u1 * first - g * first**2 / 2, u2 * second - g * second**2 / 2, t1, t2, -g * t1, -u1])


@pytest.mark.parametrize("method", ["auto", "Rodas5P", "Radau"])
def test_a_bouncing_ball(method):
    assert_allclose(bouncing(V, method=method), bounced(V), atol=1e-8)
    reference = jacobian(bounced, V)
    assert_allclose(jacobian(lambda v: bouncing(v, method=method), V), reference, rtol=1e-7, atol=1e-8)
    for mode in (odead.Forward, odead.Reverse):
        found = gradient(lambda v: (bouncing(v, method=method) * WEIGHTS).sum(), V, mode=mode)
        assert_allclose(found, WEIGHTS @ reference, rtol=1e-7)
    found = hessian(lambda v: (bouncing(v, method=method) ** 2 * WEIGHTS).sum(), V)
    assert_allclose(found, hessian(lambda v: (bounced(v) ** 2 * WEIGHTS).sum(), V), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_the_adjoints_of_sensitivity(mode):
    found = gradient(lambda v: (bouncing(v, mode=mode) * WEIGHTS).sum(), V)
    assert_allclose(found, WEIGHTS @ jacobian(bounced, V), rtol=1e-7)


def test_an_end_at_an_event():
    """Thrown upwards from h with u at t0: the top, the ground, and a datum on the way."""

    def top(x, p, t):
        return x[1]

    def f(v):
        result = odead.solve(ball, v[1:3], v[:1], (v[3], 5.0), t_eval=[0.3, 0.35, 4.0], events=[ending, top], **TIGHT)
        assert result.y.shape == (2, 2)
        assert result.t.shape == (2,)
        assert result.status == 1
        return result.t_events[0][0] ** 2 + result.y_events[0][0, 1] + result.t_events[1][0] * result.y[0, 1]

    def exact(v):
        g, h, u, t0 = v
        fall, since = np.sqrt(u * u + 2 * g * h), 0.35 - t0
        return (t0 + (u + fall) / g) ** 2 - fall + (t0 + u / g) * (h + u * since - g * since**2 / 2)

    v = np.array([9.81, 1.0, 0.7, 0.1])
    assert_allclose(f(v), exact(v), rtol=1e-8)
    for mode in (odead.Forward, odead.Reverse):
        assert_allclose(gradient(f, v, mode=mode), gradient(exact, v), rtol=1e-7)
    assert_allclose(hessian(f, v), hessian(exact, v), rtol=1e-6, atol=1e-8)


def test_the_solution_as_a_function_of_time():
    def f(v):
        options = {"t_eval": [1.2], "events": hit, "dense_output": True, **TIGHT}
        sol = odead.solve(ball, np.array([v[2], 0.0]), v[:2], (0, 1.2), **options).sol
        return sol(v[0] / 15)[0] + (sol(np.array([0.9, 0.2]))[0] * np.array([1.0, 2.0])).sum()

    def exact(v):
        t1 = np.sqrt(2 * v[2] / v[0])
        first, second = v[0] / 15 - t1, 0.9 - t1
        u = v[1] * v[0] * t1
        return u * first - v[0] * first**2 / 2 + u * second - v[0] * second**2 / 2 + 2 * (v[2] - 0.02 * v[0])

    assert_allclose(f(V), exact(V), rtol=1e-8)
    assert_allclose(gradient(f, V), gradient(exact, V), rtol=1e-7)


def test_what_the_functions_close_over():
    """Doses where the state falls below a threshold."""

    def f(v):
        def rhs(x, p, t):
            return [-v[0] * x[0]]

        def low(x, p, t):
            return x[0] - v[1]

        def dose(x, p, t):
            x[0] += v[2]

        low.reset = dose
        low.direction = -1
        return odead.solve(rhs, [1.0], None, (0, 1.4), t_eval=[1.4], events=[low], **TIGHT).y[0, 0]

    def exact(v):
        return (v[1] + v[2]) * np.exp(-v[0] * (1.4 + np.log(v[1]) / v[0]))

    v = np.array([0.6, 0.5, 0.3])
    assert_allclose(f(v), exact(v), rtol=1e-8)
    for mode in (odead.Forward, odead.Reverse):
        assert_allclose(gradient(f, v, mode=mode), gradient(exact, v), rtol=1e-7)
    assert_allclose(hessian(f, v), hessian(exact, v), rtol=1e-6, atol=1e-8)


def test_stops_computed_from_parameters():
    def switched(x, p, t):
        return [-(p[0] if t < p[1] else 2 * p[0]) * x[0]]

    def f(p):
        return odead.solve(switched, [1.0], p, (0, 2), t_eval=[2.0], tstops=lambda p: [p[1]], **TIGHT).y[0, 0]

    p = np.array([0.6, 0.9])
    for mode in (odead.Forward, odead.Reverse):
        found = gradient(f, p, mode=mode)
        assert_allclose(found, gradient(lambda p: np.exp(-p[0] * (4 - p[1])), p), rtol=1e-7)


def test_another_number_of_events_is_recorded_anew():
    def last(v):
        result = odead.solve(ball, np.array([v[2], 0.0]), v[:2], (0, 1.2), t_eval=[1.2], events=hit, **TIGHT)
        return result.t_events[0][-1]

    g, e = V[:2]
    for h, count in ((1.0, 2), (0.6, 2), (1.4, 1), (1.0, 2)):
        first = np.sqrt(2 * h / g) / (2 * h)
        expected = first if count == 1 else (1 + 2 * e) * first
        assert_allclose(gradient(last, np.array([g, e, h]))[2], expected, rtol=1e-7)
