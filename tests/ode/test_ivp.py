"""`odead.solve_ivp` against SciPy's, with identical arguments."""

import math

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose, assert_array_equal

import odead


def vdp(t, y, mu, scale=1.0):
    return [y[1], (mu * (1 - y[0] ** 2) * y[1] - y[0]) * scale]


def linear(t, y):
    return -np.arange(1.0, 4.0) * y + t


def with_vector(t, y, p):
    return np.array([p[0] * y[0] - p[1] * y[0] * y[1], -y[1] + p[1] * y[0] * y[1]])


def crossing(t, y, mu):
    return y[0] - mu + math.sin(t) * 0


def upwards(t, y, mu):
    return y[1]


upwards.direction = 1


def last(t, y, mu):
    return y[0] + 1.5


last.terminal = 2


CALLS = {
    "defaults": (linear, (0, 2), [1.0, 2.0, 3.0], {}),
    "list of ints": (linear, [0, 2], [1, 2, 3], {}),
    "t_eval": (linear, (0, 2), [1.0, 2.0, 3.0], {"t_eval": [0, 0.3, 2.0]}),
    "backwards": (linear, (2, 0), np.ones(3), {"method": "DOP853", "dense_output": True}),
    "args": (vdp, (0, 6), [2.0, 0.0], {"args": (1.5,), "rtol": 1e-6, "atol": [1e-8, 1e-9]}),
    "two args": (vdp, (0, 3), [2.0, 0.0], {"args": [1.5, 2.0], "method": "RK23", "max_step": 0.1}),
    "array": (with_vector, (0, 3), [2.0, 1.0], {"args": (np.array([1.5, 1.0]),), "first_step": 1e-3}),
    "events": (vdp, (0, 20), [2.0, 0.0], {"args": (1.5,), "events": [crossing, upwards, last], "rtol": 1e-6}),
    "vectorized": (lambda t, y: -y, (0, 1), [1.0, 2.0], {"vectorized": True, "method": "Radau"}),
    "Radau": (vdp, (0, 6), [2.0, 0.0], {"args": (5.0,), "method": "Radau", "rtol": 1e-6, "atol": 1e-9}),
    "BDF": (vdp, (0, 6), [2.0, 0.0], {"args": (5.0,), "method": "BDF", "rtol": 1e-6, "atol": 1e-9}),
    "LSODA": (vdp, (0, 6), [2.0, 0.0], {"args": (5.0,), "method": "LSODA", "rtol": 1e-6, "min_step": 1e-9}),
    "class": (linear, (0, 2), np.ones(3), {"method": scipy.integrate.RK45}),
    "jac": (linear, (0, 2), np.ones(3), {"method": "BDF", "jac": np.diag([-1.0, -2.0, -3.0])}),
    "bands": (linear, (0, 2), np.ones(3), {"method": "LSODA", "lband": 0, "uband": 0}),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_scipy(name):
    fun, t_span, y0, options = CALLS[name]
    found = odead.solve_ivp(fun, t_span, y0, **options)
    expected = scipy.integrate.solve_ivp(fun, t_span, y0, **options)
    assert set(found) == set(expected)
    assert (found.status, found.success, found.message) == (expected.status, expected.success, expected.message)
    rounding = 1e-6 if options.get("method") in ("Radau", "BDF", "LSODA") else 1e-9  # the exact Jacobian for differences
    if options.get("method") not in ("Radau", "BDF", "LSODA"):
        assert (found.nfev, found.t.size) == (expected.nfev, expected.t.size)
        assert_allclose(found.t, expected.t, rtol=rounding)
        assert_allclose(found.y, expected.y, rtol=rounding, atol=1e-12)
    assert_allclose(found.y[:, -1], expected.y[:, -1], rtol=20 * options.get("rtol", 1e-3))
    for some in ("t_events", "y_events"):
        assert (found[some] is None) == (expected[some] is None)
        for a, b in zip(found[some] or [], expected[some] or [], strict=True):
            assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    if found.sol is not None:
        assert_allclose(found.sol(0.7), expected.sol(0.7), rtol=1e-9)


def test_a_solve_that_fails_returns_as_in_scipy():
    found = odead.solve_ivp(lambda t, y: y**2, (0, 2), [1.0])
    expected = scipy.integrate.solve_ivp(lambda t, y: y**2, (0, 2), [1.0])
    assert (found.status, found.success, found.message) == (expected.status, False, expected.message)


def test_what_cannot_be_compiled_runs_as_it_is():
    with pytest.warns(odead.OdeadWarning, match="uncompiled"):
        found = odead.solve_ivp(lambda t, y: 1j * y, (0, 1), [1.0 + 0j], rtol=1e-8)
    assert_allclose(found.y[0, -1], np.exp(1j), rtol=1e-6)


def test_bad_input_raises_as_in_scipy():
    for fun, t_span, y0, options, kind in (
        (linear, (0, 1), np.ones((3, 1)), {}, ValueError),
        (vdp, (0, 1), [2.0, 0.0], {"args": 1.5}, TypeError),
        (linear, (0, 1), np.ones(3), {"method": "Euler"}, ValueError),
        (linear, (0, 1), np.ones(3), {"t_eval": [0.5, 2.0]}, ValueError),
    ):
        with pytest.raises(kind):
            scipy.integrate.solve_ivp(fun, t_span, y0, **options)
        with pytest.raises(kind):
            odead.solve_ivp(fun, t_span, y0, **options)


@pytest.mark.parametrize("method", ["RK45", "BDF", "LSODA"])
def test_sensitivities_by_args(method):
    def fun(t, y, rate, p):
        return np.array([-rate * y[0], p[0] * y[0] - p[1] * y[1]])

    found = odead.solve_ivp(
        fun, (0, 2), [1.0, 0.5], method, t_eval=[1.0, 2.0], args=(0.7, np.array([0.3, 0.9])), sens=True, rtol=1e-9, atol=1e-11
    )
    assert found.sens.shape == (2, 2, 3)
    assert_allclose(found.sens[:, 0, 0], -np.array([1.0, 2.0]) * np.exp(-0.7 * np.array([1.0, 2.0])), rtol=1e-6)
    reference = odead.sensitivity(
        odead.from_scipy(fun), [1.0, 0.5], (0.7, np.array([0.3, 0.9])), (0, 2), t_eval=[1.0, 2.0], rtol=1e-10, atol=1e-12
    )
    assert_allclose(found.sens, reference.sens, rtol=1e-6, atol=1e-8)


def test_sensitivities_up_to_an_event():
    def event(t, y, rate):
        return y[0] - 0.5

    event.terminal = True
    found = odead.solve_ivp(lambda t, y, rate: -rate * y, (0, 9), [1.0], args=(0.7,), events=event, sens=True, rtol=1e-9)
    assert_allclose(found.t_events[0], np.log(2) / 0.7, rtol=1e-7)
    assert found.status == 1


def test_sensitivities_raise_where_scipy_returns():
    with pytest.raises(odead.IntegrationError):
        odead.solve_ivp(lambda t, y, a: a * y**2, (0, 2), [1.0], args=(1.0,), sens=True)
    with pytest.raises(TypeError, match="lband"):
        odead.solve_ivp(lambda t, y, a: a * y, (0, 2), [1.0], args=(1.0,), sens=True, lband=0)
    assert_array_equal(odead.solve_ivp(linear, (0, 1), np.ones(3), sens=True).sens.shape[1:], (3, 0))


def test_what_the_compiled_loop_cannot_do_as_scipy_is_left_to_scipy():
    """A root at the start, an event that ends the solve the second time, and a branch, onto which the loop would step."""

    def branching(t, y):
        return [1.0 if y[0] < 1 else -y[0]]

    def at_start(t, y):
        return y[0] - 1.0

    def second(t, y):
        return np.cos(3 * t)

    second.terminal = 2
    for fun, y0, options in (
        (linear, [1.0, 2.0, 3.0], {"events": at_start}),
        (linear, [1.0, 2.0, 3.0], {"events": [second]}),
        (branching, [0.0], {}),
    ):
        expected = scipy.integrate.solve_ivp(fun, (0, 2), y0, **options)
        found = odead.solve_ivp(fun, (0, 2), y0, **options)
        assert found.status == expected.status
        assert_allclose(found.t, expected.t, rtol=1e-9)
        if options:
            assert_allclose(found.t_events[0], expected.t_events[0], rtol=1e-9)


@pytest.mark.parametrize("method", ["RK45", "BDF"])
def test_inside_a_differentiated_function(method):
    """y' = a - b y from y0."""

    def f(q, sens):
        result = odead.solve_ivp(
            lambda t, y, a, b: [a - b * y[0]], (0, 1), [q[2]], method, t_eval=[1.0], args=(q[0], q[1]), sens=sens, rtol=1e-8,
            atol=1e-10,
        )  # fmt: skip
        return result.sens[0, 0, 0] if sens else result.y[0, 0]

    def closed(q):
        return q[0] / q[1] + (q[2] - q[0] / q[1]) * np.exp(-q[1])

    q = np.array([0.7, 1.3, 2.0])
    assert_allclose(odead.gradient(lambda q: f(q, False), q), odead.gradient(closed, q), rtol=1e-6)
    by_a = odead.gradient(lambda q: odead.gradient(closed, q)[0], q)
    assert_allclose(odead.gradient(lambda q: f(q, True), q), by_a, rtol=1e-5, atol=1e-8)
    with pytest.raises(TypeError, match="vectorised_jac= has no meaning"):
        odead.gradient(lambda q: odead.solve_ivp(linear, (0, 1), q, t_eval=[1.0], vectorised_jac=1).y.sum(), q)
