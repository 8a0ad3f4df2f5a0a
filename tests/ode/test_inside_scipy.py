"""SciPy's ODE solvers inside differentiated functions."""

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose
from scipy.integrate import odeint, solve_ivp

import odead

TIMES = np.linspace(0.0, 1.0, 5)
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def chain(y, t, k, c):
    a, b = y
    return [-k * a, k * a - c * b]


def closed(q):
    k, c, start = q
    return start * k / (c - k) * (np.exp(-k * TIMES) - np.exp(-c * TIMES))


def misfit(b):
    return ((b - 0.2) ** 2).sum()


def by_odeint(q):
    return misfit(odeint(chain, [q[2], 0.0], TIMES, args=(q[0], q[1]), **TIGHT)[:, 1])


def by_solve_ivp(q):
    found = solve_ivp(lambda t, y: chain(y, t, q[0], q[1]), (0, 1), [q[2], 0.0], "DOP853", TIMES, **TIGHT)
    return misfit(found.y[1])


Q = np.array([1.0, 0.5, 2.0])


@pytest.mark.parametrize("f", [by_odeint, by_solve_ivp])
def test_gradient_and_hessian_against_a_closed_form(f):
    assert_allclose(odead.gradient(f, Q), odead.gradient(lambda q: misfit(closed(q)), Q), rtol=2e-7)
    assert_allclose(odead.gradient(f, Q, mode=odead.Forward), odead.gradient(f, Q), rtol=1e-7)
    assert_allclose(odead.hessian(f, Q), odead.hessian(lambda q: misfit(closed(q)), Q), rtol=1e-5, atol=1e-7)


def test_the_value_is_scipys():
    assert odead.value_and_gradient(by_solve_ivp, Q)[0] == pytest.approx(by_solve_ivp(Q), rel=1e-9)
    assert odead.value_and_gradient(by_odeint, Q)[0] == pytest.approx(by_odeint(Q), rel=1e-7)


def test_what_only_the_right_hand_side_closes_over():
    decay = odead.gradient(lambda k: scipy.integrate.odeint(lambda y, t: -k * y, 1.0, [0.0, 2.0])[-1, 0], 0.5)
    assert decay == pytest.approx(-2 * np.exp(-1.0), rel=1e-6)
    first = odead.gradient(lambda k: odeint(lambda t, y: -k * y, k, [0.0, 2.0], tfirst=True)[-1, 0], 0.5)
    assert first == pytest.approx(0.0, abs=1e-6)


def test_the_end_and_a_terminal_event():
    def half(t, y):
        return y[0] - 0.5

    half.terminal = True

    def last(k, events):
        return solve_ivp(lambda t, y: -k * y, (0, 5), [1.0], events=events, **TIGHT)

    assert odead.gradient(lambda k: last(k, None).y[0, -1], 0.7) == pytest.approx(-5 * np.exp(-3.5), rel=1e-6)
    for instant in (lambda k: last(k, half).t[-1], lambda k: last(k, half).t_events[0][0]):
        assert odead.gradient(instant, 0.7) == pytest.approx(-np.log(2) / 0.49, rel=1e-7)


@pytest.mark.parametrize(("option", "value"), [("full_output", True), ("hmin", 1e-3), ("mxordn", 4)])
def test_options_without_a_meaning(option, value):
    with pytest.raises(TypeError, match=f"{option}= of scipy.integrate.odeint has no meaning"):
        odead.gradient(lambda k: odeint(lambda y, t: -k * y, 1.0, TIMES, **{option: value})[-1, 0], 0.5)


def test_options_that_have_one():
    def end(k):
        return odeint(lambda y, t: -k * y, 1.0, TIMES, rtol=1e-8, atol=1e-10, h0=1e-3, hmax=0.1, mxstep=5000, tcrit=[0.5])[
            -1, 0
        ]

    assert odead.gradient(end, 0.5) == pytest.approx(-np.exp(-0.5), rel=1e-6)
