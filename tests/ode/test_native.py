"""The compiled loop against `scipy.integrate.solve_ivp`, step by step, and what stops it."""

import signal
import threading
import time

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from odead.errors import ArgumentValueError, OdeadWarning
from odead.ode.engines.engine import Controls, System
from odead.ode.engines.native import NativeEngine
from odead.ode.methods import EXPLICIT

IN_SCIPY = pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853"])
METHODS = pytest.mark.parametrize("method", list(EXPLICIT))


def lotka_volterra(t, x):
    return np.array([1.5 * x[0] - x[0] * x[1] + 0.1 * np.sin(3 * t), -3 * x[1] + x[0] * x[1]])


def oscillators(t, x):
    """Twenty of them: more than the loops over few states take."""
    q, v = x[:20], x[20:]
    return np.concatenate([v, -q * np.arange(1, 21) ** 2 + np.cos(t)])


PROBLEMS = {
    "lotka_volterra": (lotka_volterra, np.array([1.0, 1.0]), 10.0),
    "oscillators": (oscillators, np.linspace(0, 1, 40), 3.0),
}


def integrate(fun, span, x0, method, times=None, dense=False, rtol=1e-6, atol=1e-9, **options):
    system = System(fun, None, *span, np.asarray(x0, dtype=float))
    return NativeEngine().integrate(system, Controls(method, rtol, np.asarray(atol), **options), times, dense)


# ------------------------------------------------------------------------------------------ agreement with SciPy


@IN_SCIPY
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("backwards", [False, True])
def test_every_step_is_scipys(method, problem, backwards):
    fun, x0, end = PROBLEMS[problem]
    span = (end, 0.0) if backwards else (0.0, end)
    ours = integrate(fun, span, x0, method)
    theirs = solve_ivp(fun, span, x0, method, rtol=1e-6, atol=1e-9)
    assert (ours.nsteps, ours.nfev) == (theirs.t.size - 1, theirs.nfev)
    # An error estimate is a difference that cancels: its round-off, and so that of the step, is relative to the tolerance.
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-5, atol=1e-6)


@IN_SCIPY
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_output_is_scipys(method, problem, backwards, dense):
    fun, x0, end = PROBLEMS[problem]
    span = (end, 0.0) if backwards else (0.0, end)
    times = np.linspace(*span, 57)
    ours = integrate(fun, span, x0, method, times, dense)
    theirs = solve_ivp(fun, span, x0, method, times, dense, rtol=1e-6, atol=1e-9)
    # At a time that is the end of a step SciPy evaluates the interpolant all the same.
    assert ours.nfev in (theirs.nfev, theirs.nfev - EXPLICIT[method].extra_c.size)
    np.testing.assert_array_equal(ours.t, theirs.t)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-10, atol=1e-11)
    if dense:
        between = np.linspace(0, end, 200)
        np.testing.assert_allclose(ours.sol(between), theirs.sol(between), rtol=1e-9, atol=1e-10)
        beyond = np.array([-0.01, end + 0.01])
        np.testing.assert_allclose(ours.sol(beyond), theirs.sol(beyond), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.sol(times[3]), theirs.y[:, 3], rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(ours.sol(ours.sol.ts), theirs.sol(ours.sol.ts), rtol=1e-9, atol=1e-10)
        assert (ours.sol.t_min, ours.sol.t_max) == (0, end)


@IN_SCIPY
def test_options_are_scipys(method):
    options = {"first_step": 0.05, "max_step": 0.2}
    atol = np.array([1e-3, 1e-8])
    ours = integrate(lotka_volterra, (0, 10), [1, 1], method, rtol=1e-4, atol=atol, **options)
    theirs = solve_ivp(lotka_volterra, (0, 10), [1, 1], method, rtol=1e-4, atol=atol, **options)
    assert (ours.nsteps, ours.nfev) == (theirs.t.size - 1, theirs.nfev)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-8)


@IN_SCIPY
@pytest.mark.parametrize("rate", [0.0, -1.0, -1e6])
def test_first_step_is_scipys(method, rate):
    x0 = np.array([0.0, 1.0, 1e-8])
    ours = integrate(lambda t, x: rate * x, (0, 1e-3), x0, method)
    theirs = solve_ivp(lambda t, x: rate * x, (0, 1e-3), x0, method, rtol=1e-6, atol=1e-9)
    assert (ours.nsteps, ours.nfev) == (theirs.t.size - 1, theirs.nfev)
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-6)


@METHODS
def test_converges_to_the_solution(method):
    def fun(t, x):
        return np.array([x[1], -x[0]])

    for rtol in (1e-5, 1e-9):
        found = integrate(fun, (0, 5), [0, 1], method, np.linspace(0, 5, 40), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(found.y, [np.sin(found.t), np.cos(found.t)], rtol=0, atol=30 * rtol)


# ---------------------------------------------------------------------------------------------------- corners


@METHODS
def test_no_time_passes(method):
    times = np.array([2.0])
    found = integrate(lotka_volterra, (2, 2), [1, 3], method, times, dense=True)
    assert found.failure is None
    assert found.nsteps == 0
    np.testing.assert_array_equal(found.y, [[1], [3]])
    np.testing.assert_array_equal(found.sol([1, 2, 3]), [[1, 1, 1], [3, 3, 3]])


def test_rejects_an_absurd_rtol_loudly():
    with pytest.warns(OdeadWarning, match="below round-off"):
        integrate(lotka_volterra, (0, 0.1), [1, 1], "DOP853", rtol=1e-16)


def test_methods_are_chosen_by_name():
    engine = NativeEngine()
    assert engine.choose_method("auto") == "auto"
    assert engine.choose_method("RK45") == "RK45"
    with pytest.raises(ValueError, match='engine="scipy"'):
        engine.choose_method("Radau")
    with pytest.raises(ArgumentValueError, match="RK46"):
        engine.choose_method("RK46")


# --------------------------------------------------------------------------------------------------- failures


@METHODS
def test_blow_up_is_a_collapse_of_the_step(method):
    found = integrate(lambda t, x: x**2, (0, 2), [1.0], method, np.array([0.5, 2.0]))
    assert "below the spacing" in found.failure.reason
    assert found.failure.t == pytest.approx(1, abs=1e-4)
    assert found.failure.x[0] > 1e4
    np.testing.assert_allclose(found.y, [[2]], rtol=1e-4)  # what came before the end is there


@METHODS
def test_too_many_steps(method):
    found = integrate(lotka_volterra, (0, 10), [1, 1], method, max_steps=7)
    assert "max_steps=7" in found.failure.reason
    assert found.nsteps == 7
    assert found.failure.t == found.t[-1]
    np.testing.assert_array_equal(found.failure.x, found.y[:, -1])


@METHODS
def test_leaving_the_domain(method):
    def fun(t, x):
        with np.errstate(invalid="ignore"):
            return -np.sqrt(x - 0.5)

    found = integrate(fun, (0, 10), [1.0], method)
    assert found.failure is None or "below the spacing" in found.failure.reason
    assert np.isfinite(found.y).all()


def test_start_that_is_not_finite():
    found = integrate(lambda t, x: x * np.nan, (0, 1), [1.0], "RK45")
    assert "no longer finite" in found.failure.reason
    assert found.nsteps == 0


def test_overflow_is_noticed():
    found = integrate(lambda t, x: np.array([1e307]), (0, 10), [1.7e308], "RK45")
    assert "no longer finite" in found.failure.reason
    assert np.isfinite(found.y).all()


def test_exceptions_of_the_function_pass():
    def fun(t, x):
        if t > 1:
            raise KeyError("late")
        return -x

    with pytest.raises(KeyError, match="late"):
        integrate(fun, (0, 2), [1.0], "RK45")


def test_wrong_shape_from_the_function():
    with pytest.raises(ValueError, match="reshape"):
        integrate(lambda t, x: np.zeros(3), (0, 2), [1.0], "RK45")


def interrupt_soon(delay):
    threading.Timer(delay, signal.raise_signal, [signal.SIGINT]).start()


def test_ctrl_c_in_python_code_passes():
    interrupt_soon(0.2)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        integrate(lambda t, x: -x, (0, 1e9), [1.0], "RK23", max_step=1e-3, max_steps=10**9)
    assert time.perf_counter() - start < 1
