"""The engine runs `solve_ivp` itself: the same numbers, bit for bit, when the callbacks are the same."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array

from odead.errors import ArgumentValueError
from odead.ode.engines.engine import Controls, System
from odead.ode.engines.scipy import METHODS, ScipyEngine
from odead.ode.rhs.jacobian import Jacobian, Pattern

FULL = Pattern.of(csr_array(np.ones((2, 2))))


def van_der_pol(t, x):
    return np.array([x[1], 5 * (1 - x[0] ** 2) * x[1] - x[0]])


def matrix(t, x):
    return np.array([[0.0, 1.0], [-10 * x[0] * x[1] - 1, 5 * (1 - x[0] ** 2)]])


def system(t0=0.0, t1=4.0, fun=van_der_pol):
    return System(fun, lambda t, x: Jacobian(FULL, matrix(t, x).T.ravel()), t0, t1, np.array([2.0, 0.0]))


def controls(method, **options):
    return Controls(method, 1e-6, np.array(1e-9), **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("times", [None, np.array([0.0, 0.5, 3.25, 4.0])])
@pytest.mark.parametrize("span", [(0.0, 4.0), (4.0, 0.0)])
def test_same_numbers_as_scipy(method, times, span):
    times = times if times is None or span[0] < span[1] else times[::-1]
    options = {} if METHODS[method].stages else {"jac": matrix}
    expected = solve_ivp(van_der_pol, span, [2.0, 0.0], method, times, True, rtol=1e-6, atol=1e-9, **options)
    found = ScipyEngine().integrate(system(*span), controls(method), times, dense=True)
    assert found.failure is None
    np.testing.assert_array_equal(found.t, expected.t)
    np.testing.assert_array_equal(found.y, expected.y)
    at = np.linspace(*span, 23)
    np.testing.assert_array_equal(found.sol(at), expected.sol(at))
    np.testing.assert_array_equal(found.sol(expected.sol.ts), expected.sol(expected.sol.ts))
    assert (found.nfev, found.njev, found.nlu, found.nsteps) == (
        expected.nfev,
        expected.njev,
        expected.nlu,
        expected.sol.ts.size - 1,
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_time_to_integrate(method):
    found = ScipyEngine().integrate(system(1.0, 1.0), controls(method), np.array([1.0]), dense=True)
    assert found.failure is None
    np.testing.assert_array_equal(found.y, [[2.0], [0.0]])
    np.testing.assert_array_equal(found.sol(1.0), [2.0, 0.0])


@pytest.mark.parametrize("method", METHODS)
def test_the_number_of_steps_is_limited(method):
    found = ScipyEngine().integrate(system(), controls(method, max_steps=5), None, dense=False)
    assert found.nsteps == 5
    assert "max_steps=5" in found.failure.reason
    assert 0 < found.failure.t < 4


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853"])
def test_rejected_steps_are_counted(method):
    at = []

    def recorded(t, x):
        at.append(t)
        return van_der_pol(t, x)

    found = ScipyEngine().integrate(system(fun=recorded), controls(method, first_step=1.0), None, dense=False)
    attempts = (len(at) - 1) // METHODS[method].stages
    assert found.nrejected == attempts - found.nsteps > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:lsoda")
@pytest.mark.filterwarnings("ignore:LSODA")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_stops_the_solve(method):
    def breaks(t, x):
        return van_der_pol(t, x) + (np.nan if t > 1 else 0.0)

    found = ScipyEngine().integrate(system(fun=breaks), controls(method), None, dense=False)
    assert found.failure is not None
    assert found.failure.t <= 1.5


def test_methods_are_chosen_by_name():
    assert ScipyEngine().choose_method("auto") == "LSODA"
    with pytest.raises(ValueError, match="Tsit5"):
        ScipyEngine().choose_method("Tsit5")
    with pytest.raises(ArgumentValueError, match="euler"):
        ScipyEngine().choose_method("euler")
