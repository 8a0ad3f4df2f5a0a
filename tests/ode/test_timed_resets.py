"""Resets at instants known before the solve happen inside the compiled loop: as those that are located, and as closed forms."""

import numpy as np
import pytest

import odead
from odead.ode.gradients import discrete
from odead.ode.pieces import piecewise
from odead.ode.pieces.timed import solve_through as piecewise_solve_through
from odead.ode.prepared import prepared
from odead.ode.problem.events import instants_of

METHODS = pytest.mark.parametrize("method", ["RK45", "Tsit5", "DOP853", "Rodas5P", "BDF", "auto"])
P = np.array([0.6, 1.3, 2.5])
TIMES = np.array([0.5, 1.0, 1.75, 2.0, 3.0])
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


def elimination(dx, x, p, t):
    dx[0] = -p[0] * x[0]
    dx[1] = p[0] * x[0] - p[1] * x[1] * x[1]


def dose_at(time, located=False, direction=0, turned=False):
    """An event at a time; `located`: written so that it depends on the state, for all that is known."""

    def event(x, p, t):
        value = time - t if turned else t - time
        return value + 0.0 * x[0] if located else value

    def reset(x, p, t):
        x[0] += p[2] * x[1] + t
        if p[2] > 1.0:
            x[1] *= 0.5

    event.reset, event.direction = reset, direction
    return event


def events(**options):
    return [dose_at(2.0, **options), dose_at(1.0, turned=True, **options)]


def both(call, monkeypatch):
    inside = call()
    with monkeypatch.context() as patch:
        patch.setattr(piecewise, "known_resets", lambda problem, times: None)
        return inside, call()


@METHODS
@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
def test_as_if_located(method, span, monkeypatch):
    times = TIMES if span[0] < span[1] else TIMES[::-1]

    def call():
        return odead.sensitivity(
            elimination, [1.0, 0.5], P, span, t_eval=times, events=events(), wrt=("p", "x0", "t0", "t1"), mode="forward",
            method=method, loss=lambda y: np.sum(y**2), running=lambda x, p, t: p[0] * x[0] ** 2, **TIGHT,
        )  # fmt: skip

    inside, found = both(call, monkeypatch)
    assert inside.nsteps > 10
    for name in ("y", "sens", "sens_x0", "grad", "grad_x0", "grad_t0", "grad_t1", "loss", *("t_events", "y_events")):
        for one, other in zip(np.atleast_1d(getattr(inside, name)), np.atleast_1d(getattr(found, name)), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-7, atol=1e-9, err_msg=name)
    for one, other in zip(inside.sens_t_events, found.sens_t_events, strict=True):
        np.testing.assert_array_equal(one, np.zeros_like(other))


@pytest.mark.parametrize("method", ["RK23", "RK45", "Tsit5", "DOP853", "Rodas5P", "Kvaerno5", "BDF", "auto"])
@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
def test_adjoint_as_if_located(method, span, monkeypatch):
    """In one loop, and back from reset to reset; data at the instants are of the states before the resets."""
    rtol = 1e-6 if method == "RK23" else 1e-9

    def call():
        return odead.sensitivity(
            elimination, [1.0, 0.5], P, span, t_eval=np.sort(np.append(TIMES, span[0]))[:: 1 if span[0] < span[1] else -1],
            events=events(), wrt=("p", "x0", "t0", "t1"), mode="adjoint", method=method, loss=lambda y: np.sum(y**2),
            running=lambda x, p, t: p[0] * x[0] ** 2, rtol=rtol, atol=1e-3 * rtol,
        )  # fmt: skip

    inside, found = both(call, monkeypatch)
    for name in ("y", "grad", "grad_x0", "grad_t0", "grad_t1", "loss", "t_events", "y_events"):
        for one, other in zip(np.atleast_1d(getattr(inside, name)), np.atleast_1d(getattr(found, name)), strict=True):
            np.testing.assert_allclose(one, other, rtol=100 * rtol, atol=10 * rtol, err_msg=name)


@pytest.mark.parametrize("method", ["auto", "Rodas5P", "Kvaerno5"])
def test_adjoint_where_auto_changes_the_method(method):
    """Stiff with a dose before and after the change; and data at events count at their instants."""

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * (x[0] - np.cos(t))
        dx[1] = x[0] - p[1] * x[1]

    def grad(mode, method, rtol):
        return odead.sensitivity(
            rhs, [0.0, 1.0], np.array([2000.0, 0.7, 1.5]), (0, 3), t_eval=[1.0, 3.0], events=events(), mode=mode, method=method,
            loss=lambda y: np.sum(y**2), rtol=rtol, atol=1e-3 * rtol,
        ).grad  # fmt: skip

    exact = grad("forward", "Rodas5P", 1e-10)
    np.testing.assert_allclose(grad("adjoint", method, 1e-7), exact, rtol=0, atol=50e-7 * np.abs(exact).max())


def test_adjoint_of_a_hundred_doses_is_one_loop(monkeypatch):
    """Root functions of many doses are one instruction; 33 ms when each dose was a stop, now 4."""
    found = []
    monkeypatch.setattr(piecewise, "solve_through", lambda *a, **k: found.append(a[0]) or piecewise_solve_through(*a, **k))
    doses = [dose_at(1.0 + k) for k in range(100)]
    got = odead.sensitivity(
        elimination, [1.0, 0.5], P, (0, 101), t_eval=[50.0, 101.0], events=doses, mode="adjoint", method="Tsit5",
        loss=lambda y: np.sum(y**2), rtol=1e-8, atol=1e-11,
    )  # fmt: skip
    assert [len(resets) for resets in found] == [100]
    one = odead.sensitivity(
        elimination, [1.0, 0.5], P, (0, 101), t_eval=[50.0, 101.0], events=[dose_at(1.0 + k, located=True) for k in range(100)],
        mode="adjoint", method="DOP853", loss=lambda y: np.sum(y**2), rtol=1e-10, atol=1e-13,
    )  # fmt: skip
    np.testing.assert_allclose(got.grad, one.grad, rtol=0, atol=5e-7 * np.abs(one.grad).max())


@pytest.mark.parametrize("method", ["RK45", "Tsit5", "DOP853", "Rodas5P", "Kvaerno5", "BDF"])
@pytest.mark.parametrize("n", [3, 80])
def test_data_in_the_last_step_before_a_reset(method, n):
    """The record has the state after the reset there; with many states, arguments of stages are taken from it."""

    def rhs(dx, x, p, t):
        dx[:] = -p[0] * x * x + 0.1 * np.roll(x, 1)

    def event(x, p, t):
        return t - 1.03

    def reset(x, p, t):
        x[:] = 3 * x + p[0]

    def gradient(mode, method, rtol):
        found = odead.sensitivity(
            rhs, np.linspace(0.5, 1.0, n), np.array([0.7]), (0, 2), t_eval=[1.01, 1.02, 1.028, 2.0], events=event, mode=mode,
            loss=lambda y: np.sum(y**2) + 30 * np.sum(y[:, 0]), wrt=("p", "x0"), method=method, rtol=rtol, atol=1e-3 * rtol,
        )  # fmt: skip
        return np.append(found.grad, found.grad_x0)

    event.reset = reset
    np.testing.assert_allclose(gradient("adjoint", method, 1e-7), gradient("forward", "DOP853", 1e-11), rtol=5e-6)


def test_adjoint_by_bdf_of_a_hundred_doses_is_one_loop(monkeypatch):
    """It begins at order 1 after each; 40 ms when each dose was a stop, now 5."""
    found = []
    monkeypatch.setattr(piecewise, "solve_through", lambda *a, **k: found.append(a[0]) or piecewise_solve_through(*a, **k))
    got, one = (
        odead.sensitivity(
            elimination, [1.0, 0.5], P, (0, 101), t_eval=[50.0, 101.0], events=[dose_at(1.0 + k) for k in range(100)],
            mode=mode, method=method, loss=lambda y: np.sum(y**2), rtol=rtol, atol=1e-3 * rtol,
        ).grad
        for mode, method, rtol in (("adjoint", "BDF", 1e-7), ("forward", "DOP853", 1e-10))
    )  # fmt: skip
    assert [len(resets) for resets in found] == [100, 100]
    np.testing.assert_allclose(got, one, rtol=0, atol=5e-6 * np.abs(one).max())


@pytest.mark.parametrize("budget", [None, 3000.0])
def test_adjoint_within_a_budget(budget):
    """Where not all states are kept, the resets are stops."""
    options = {} if budget is None else {"checkpoints": budget}
    got = odead.sensitivity(
        elimination, [1.0, 0.5], P, (0, 3), t_eval=TIMES, events=events(), mode="adjoint", method="RK45",
        loss=lambda y: np.sum(y**2), **TIGHT, **options,
    )  # fmt: skip
    forward = odead.sensitivity(
        elimination, [1.0, 0.5], P, (0, 3), t_eval=TIMES, events=events(), mode="forward", loss=lambda y: np.sum(y**2), **TIGHT
    )
    np.testing.assert_allclose(got.grad, forward.grad, rtol=1e-7)


@METHODS
def test_solve_and_values_at_the_instant(method):
    """y at the instant itself is that before the reset."""

    def add(x, p, t):
        x[0] += 1.0

    def event(x, p, t):
        return t - 1.0

    event.reset = add
    found = odead.solve(lambda x, p, t: [-x[0]], [1.0], None, (0, 2), t_eval=[1.0, 2.0], events=event, method=method, **TIGHT)
    np.testing.assert_allclose(found.y[0], [np.exp(-1), (np.exp(-1) + 1) * np.exp(-1)], rtol=1e-8)
    np.testing.assert_allclose(found.y_events[0], [[np.exp(-1)]], rtol=1e-8)
    assert found.t_events[0].tolist() == [1.0]
    assert found.success


def test_gradient_against_differences():
    def loss(p):
        found = odead.solve(elimination, [1.0, 0.5], p, (0, 3), t_eval=TIMES, events=events(), method="Tsit5", **TIGHT)
        return np.sum(found.y**2)

    found = odead.sensitivity(
        elimination, [1.0, 0.5], P, (0, 3), t_eval=TIMES, events=events(), loss=lambda y: np.sum(y**2), mode="forward", **TIGHT
    )
    steps = 1e-5 * np.eye(3)
    expected = [(loss(P + step) - loss(P - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(found.grad, expected, rtol=1e-6)
    np.testing.assert_allclose(odead.gradient(loss, P), expected, rtol=1e-6)


def test_one_parameter():
    def event(x, p, t):
        return t - 1.0

    def reset(x, p, t):
        x[0] += p[0]

    event.reset = reset
    found = odead.sensitivity(
        lambda x, p, t: [-x[0]], [1.0], [3.0], (0, 2), t_eval=[2.0], events=event, method="Tsit5", **TIGHT
    )
    np.testing.assert_allclose(found.sens.ravel(), [np.exp(-1)], rtol=1e-8)


def test_which_are_known():
    """Directions, events outside the span or at its start, and those that move."""

    def count(event, span=(0.0, 3.0)):
        found = odead.solve(elimination, [1.0, 0.5], P, span, t_eval=[span[1]], events=event, method="Tsit5")
        return found.t_events[0].size

    assert count(dose_at(1.0, direction=1)) == 1
    assert count(dose_at(1.0, direction=-1)) == 0
    assert count(dose_at(1.0, direction=-1, turned=True)) == 1
    assert count(dose_at(1.0, direction=-1), (3.0, 0.0)) == 1
    assert count(dose_at(0.0)) == 1
    assert count(dose_at(5.0)) == 0
    assert count(dose_at(3.0)) == 1
    assert count(dose_at(1.0, located=True)) == 1

    def known(event):
        compiled = odead.compile(lambda out, x, p, t: out.__setitem__(0, event(x, p, t)), np.zeros(1), np.ones(2), P, 0.5)
        return instants_of(compiled._variant.primal if hasattr(compiled, "_variant") else compiled.tape)

    assert known(dose_at(1.0)) == [(1.0, 1.0)]
    assert known(dose_at(1.0, turned=True)) == [(1.0, -1.0)]
    assert known(lambda x, p, t: t - p[0]) is None
    assert known(lambda x, p, t: t * t - 1.0) is None


def test_instants_follow_what_an_event_reads():
    """A number read from outside is the one of the call."""
    at = {"time": 1.0}

    def event(x, p, t):
        return t - at["time"]

    def reset(x, p, t):
        x[0] += 1.0

    event.reset = reset
    for time in (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0):
        at["time"] = time
        found = odead.solve(elimination, [1.0, 0.5], P, (0, 3), t_eval=[3.0], events=event, method="Tsit5")
        assert found.t_events[0].tolist() == [time]
        found = odead.sensitivity(elimination, [1.0, 0.5], P, (0, 3), t_eval=[3.0], events=event, method="Tsit5")
        assert found.t_events[0].tolist() == [time]


def test_amounts_follow_what_a_reset_reads():
    """A captured number and a captured array, at each call."""
    amount, amounts = {"is": 1.0}, np.ones(1)

    def event(x, p, t):
        return t - 1.0

    def reset(x, p, t):
        x[0] += amount["is"] * amounts[0] * p[0]

    event.reset = reset
    for k in range(12):
        amount["is"], amounts[0] = 1.0 + k // 4, 1.0 + k // 2
        p = np.array([1.0 + k])
        exact = np.exp(-2) + amount["is"] * amounts[0] * p[0] * np.exp(-1)
        found = odead.solve(lambda x, p, t: [-x[0]], [1.0], p, (0, 2), t_eval=[2.0], events=event, method="Tsit5", **TIGHT)
        np.testing.assert_allclose(found.y[0, 0], exact, rtol=1e-8)
        found = odead.sensitivity(decay, [1.0], p, (0, 2), t_eval=[2.0], events=event, method="Tsit5", **TIGHT)
        np.testing.assert_allclose(found.y[0, 0], exact, rtol=1e-8)
        np.testing.assert_allclose(found.sens[0, 0, 0], amount["is"] * amounts[0] * np.exp(-1), rtol=1e-8)


def decay(x, p, t):
    return [-x[0]]


@METHODS
@pytest.mark.parametrize("mode", ["solve", "forward", "adjoint"])
def test_later_calls_give_what_the_first_gives(method, mode, monkeypatch):
    """Other parameters, starts, spans and times, after they were prepared."""
    found = events()

    def call(k):
        x0, p, times = np.array([1.0 + k, 0.5]), P * (1 + 0.1 * k), TIMES - 0.05 * (k % 3)
        options = {"t_eval": times, "events": found, "method": method}
        if mode == "solve":
            return odead.solve(elimination, x0, p, (0, 3 - 0.2 * (k == 4)), **options | {"t_eval": times[: 5 - (k == 4)]})
        return odead.sensitivity(
            elimination, x0, p, (0, 3), wrt=("p", "x0"), mode=mode, loss=lambda y, p: np.sum(y**2) * p[0], **options
        )

    later = [call(k) for k in range(6)]
    with monkeypatch.context() as patch:
        patch.setattr(piecewise, "known_resets", lambda problem, times: None)
        patch.setattr(prepared, "find", lambda asked, those: None)
        alone = [call(k) for k in range(6)]
    for one, other in zip(later, alone, strict=True):
        np.testing.assert_allclose(one.y, other.y, rtol=1e-5, atol=1e-8)
        for name in ("t_events", "y_events"):
            for a, b in zip(one[name], other[name], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
        if mode != "solve":
            np.testing.assert_allclose(one.grad, other.grad, rtol=1e-4)
            np.testing.assert_allclose(one.grad_x0, other.grad_x0, rtol=1e-4)
            assert [np.shape(each) for each in one.sens_t_events or ()] == [
                np.shape(each) for each in other.sens_t_events or ()
            ]


def test_ensemble():
    given = [P * (1 + 0.1 * k) for k in range(4)]
    options = {"t_eval": TIMES, "events": events(), "method": "Tsit5"}
    together = odead.ensemble(elimination, [[1.0, 0.5]], given, (0, 3), **options)
    for p, found in zip(given, together, strict=True):
        np.testing.assert_array_equal(found.y, odead.solve(elimination, [1.0, 0.5], p, (0, 3), **options).y)
        assert [each.tolist() for each in found.t_events] == [[2.0], [1.0]]


def test_exceptions_and_failures():
    def event(x, p, t):
        return t - 1.0

    def reset(x, p, t):
        x[0] = np.sqrt(x[0] - 10.0)

    event.reset = reset
    with np.errstate(invalid="ignore"), pytest.raises(odead.IntegrationError) as caught:
        odead.solve(elimination, [1.0, 0.5], P, (0, 3), t_eval=TIMES, events=event, method="Tsit5")
    assert caught.value.result.t_events[0].tolist() == [1.0]
    assert caught.value.result.t.tolist() == [0.5, 1.0]


def test_adjoint_of_more_steps_than_are_kept(monkeypatch):
    """Without a budget asked for, a solve that outgrows the usual one is done again with stops."""

    def call():
        return odead.sensitivity(
            elimination, [1.0, 0.5], P, (0, 3), t_eval=TIMES, events=events(), mode="adjoint", method="RK23",
            loss=lambda y: np.sum(y**2), rtol=1e-8, atol=1e-11,
        ).grad  # fmt: skip

    exact = call()
    record_of = discrete.record_of
    monkeypatch.setattr(
        discrete, "record_of", lambda *a, dense, budget, system: record_of(*a, dense=dense, budget=1e4, system=system)
    )
    np.testing.assert_allclose(call(), exact, rtol=1e-6)
