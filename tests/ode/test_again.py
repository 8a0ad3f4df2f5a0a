"""Calls that are recognised as the same as one before: each thing that differs must be seen."""

import copy
import pickle

import numpy as np
import pytest

import odead
from odead.errors import ArgumentValueError
from odead.ode.prepared import prepared
from tests.ode.problems import LOTKA_P, LOTKA_X0, lotka_volterra

TIMES = np.linspace(0.0, 2.0, 9)
USUAL = {"t_eval": TIMES, "method": "Tsit5", "rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(prepared, "_KEPT", prepared.Preparations(32))


def repeated(**options):
    """The result of a call that is recognised."""
    for _ in range(3):
        found = odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 2.0), **{**USUAL, **options})
    assert prepared._KEPT.calls
    return found


def of_new(run, *args, **options):
    """The same where nothing is known."""
    known, prepared._KEPT = prepared._KEPT, prepared.Preparations(32)
    found = run(*args, **options)
    prepared._KEPT = known
    return found


MOVED = TIMES + 1e-3 * TIMES**2 * (2 - TIMES)
CHANGES = [
    {"rtol": 1e-3}, {"atol": 1e-4}, {"method": "RK45"}, {"max_step": 0.05},
    {"t_eval": TIMES[1:]}, {"t_eval": MOVED}, {"t_eval": None}, {"t_eval": list(TIMES)},
    {"engine": "scipy", "method": "RK45"}, {"dense_output": True}, {"events": [lambda x, p, t: t - 1.0]},
]  # fmt: skip


@pytest.mark.parametrize("changed", CHANGES)
def test_other_options(changed):
    repeated()
    given = (lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 2.0))
    found = odead.solve(*given, **{**USUAL, **changed})
    expected = of_new(odead.solve, *given, **{**USUAL, **changed})
    np.testing.assert_array_equal(found.t, expected.t)
    np.testing.assert_array_equal(found.y, expected.y)
    assert (found.method, found.engine, found.nsteps) == (expected.method, expected.engine, expected.nsteps)
    assert (found.sol is None) == (expected.sol is None)


@pytest.mark.parametrize("tspan", [(0, 2), (0.0, 3.0), [0.0, 2.0], (np.float64(0.0), 2.0), (-0.5, 2.0)])
def test_other_spans(tspan):
    repeated()
    found = odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, tspan, **USUAL)
    expected = of_new(odead.solve, lotka_volterra, LOTKA_X0, LOTKA_P, tspan, **USUAL)
    np.testing.assert_array_equal(found.y, expected.y)


@pytest.mark.parametrize(
    "x0",
    [[1.0, 1.0], np.array([1, 1]), np.array([1.0, 1.0, 7.0])[:2], np.array([1.0, 0.0, 1.0])[::2], np.array([[1.0], [1.0]])],
)
def test_other_forms_of_numbers(x0):
    expected = repeated()
    found = odead.solve(lotka_volterra, x0, LOTKA_P, (0.0, 2.0), **USUAL)
    np.testing.assert_allclose(np.reshape(found.y, expected.y.shape), expected.y, rtol=1e-12)


def test_what_is_not_finite_is_refused():
    repeated()
    with pytest.raises(ArgumentValueError, match="x0"):
        odead.solve(lotka_volterra, np.array([1.0, np.nan]), LOTKA_P, (0.0, 2.0), **USUAL)


def test_times_changed_in_place():
    times = TIMES.copy()
    repeated(t_eval=times)
    times[3] += 0.01
    found = odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 2.0), **{**USUAL, "t_eval": times})
    np.testing.assert_array_equal(found.t, times)
    assert found.t is not times


def test_a_closure_that_changes():
    factor = 1.0

    def rhs(dx, x, p, t):
        dx[0] = -factor * p[0] * x[0]

    def end():
        return odead.solve(rhs, np.ones(1), np.ones(1), (0.0, 2.0), **USUAL).y[0, -1]

    assert [end(), end(), end()] == pytest.approx([np.exp(-2)] * 3, rel=1e-5)
    factor = 2.0
    assert end() == pytest.approx(np.exp(-4), rel=1e-4)


class Misfit:
    def __init__(self, target):
        self.target = target

    def value(self, y):
        return np.sum((y - self.target) ** 2)


def test_methods_of_other_objects():
    def gradient(loss):
        return odead.sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 2.0), loss=loss, **USUAL).grad

    one, other = Misfit(0.0), Misfit(1.0)
    first = [gradient(one.value) for _ in range(3)]
    np.testing.assert_array_equal(first[2], first[0])
    second = gradient(other.value)
    assert not np.allclose(second, first[0])
    np.testing.assert_array_equal(second, gradient(other.value))
    one.target = 1.0
    np.testing.assert_array_equal(gradient(one.value), second)


def test_other_variables():
    options = {**USUAL, "loss": lambda y: np.sum(y), "mode": "adjoint"}
    given = (lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 2.0))
    for wrt in ("p", "x0", ("p", "x0"), ("p",), "p"):
        found = [odead.sensitivity(*given, wrt=wrt, **options) for _ in range(3)][-1]
        expected = of_new(odead.sensitivity, *given, wrt=wrt, **options)
        for name in ("grad", "grad_x0"):
            np.testing.assert_array_equal(found[name], expected[name])


def dose(amount, at=1.0):
    def event(x, p, t):
        return t - at

    def reset(x, p, t):
        x[0] += amount

    event.reset = reset
    return event


def test_events_that_change():
    first, second = dose(1.0), dose(1.0, at=1.5)
    events = [first]
    plain = repeated().y
    dosed = repeated(events=events).y
    assert not np.allclose(dosed, plain)
    np.testing.assert_array_equal(repeated().y, plain)
    np.testing.assert_array_equal(repeated(events=first).y, dosed)
    np.testing.assert_array_equal(repeated(events=(first,)).y, dosed)
    events.append(second)
    assert len(repeated(events=events).t_events) == 2
    first.reset = dose(3.0).reset
    more = repeated(events=[first])
    assert more.y[0, -1] != dosed[0, -1]
    first.terminal = True
    assert repeated(events=[first]).status == 1
    first.terminal = False
    np.testing.assert_array_equal(repeated(events=[first]).y, more.y)


def test_inside_a_function_that_is_differentiated():
    def end(p):
        return odead.solve(lotka_volterra, LOTKA_X0, p, (0.0, 2.0), **{**USUAL, "rtol": 1e-11, "atol": 1e-12}).y[0, -1]

    [end(LOTKA_P) for _ in range(3)]
    odead.check_derivatives(end, LOTKA_P)
    [end(LOTKA_P) for _ in range(3)]


def test_attributes_are_items():
    result = repeated()
    assert result.y is result["y"]
    result.y = result.y + 1.0
    assert result["y"] is result.y
    assert set(dir(result)) == set(result)
    for twin in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert type(twin) is type(result)
        np.testing.assert_array_equal(twin.y, result.y)
    del result.y
    assert not hasattr(result, "y")
    with pytest.raises(AttributeError, match="y"):
        result.y  # noqa: B018
    assert not hasattr(result, "sens")
    result.own = 3
    assert result["own"] == result.own == 3
