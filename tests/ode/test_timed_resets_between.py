"""Resets inside the compiled loop, where the solution between the data is wanted: dense output, every step, the way back."""

import numpy as np
import pytest

import odead
from ode.test_timed_resets import METHODS, TIGHT, TIMES, P, both, dose_at, elimination, events
from odead.ode.gradients import continuous
from odead.ode.pieces import piecewise

SPANS = pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])


@METHODS
@SPANS
@pytest.mark.parametrize("t_eval", [None, TIMES])
def test_dense_output(method, span, t_eval, monkeypatch):
    """An instant belongs to what is before it, in time as it runs."""
    if t_eval is not None and span[0] > span[1]:
        t_eval = t_eval[::-1]

    def call():
        return odead.solve(
            elimination, [1.0, 0.5], P, span, t_eval=t_eval, events=events(), method=method, dense_output=True, **TIGHT
        )

    inside, found = both(call, monkeypatch)
    at = np.concatenate([np.linspace(0, 3, 41), [1.0, 2.0], np.nextafter([1.0, 2.0], 0), np.nextafter([1.0, 2.0], 3)])
    sign = 1.0 if span[1] > span[0] else -1.0
    located = at + sign * 1e-13  # those of the other are next to the instants
    away = np.abs(at[:, None] - [1.0, 2.0]).min(axis=1) > 1e-9
    np.testing.assert_allclose(inside.sol(at[away]), found.sol(located[away]), rtol=2e-7, atol=1e-9)
    for t in (1.0, 2.0):
        before, after = inside.sol(np.array([t, np.nextafter(t, span[1])])).T
        np.testing.assert_allclose(before, inside.sol(t - sign * 1e-10), rtol=1e-7)
        np.testing.assert_allclose(after, inside.sol(t + sign * 1e-10), rtol=1e-7)
        assert np.abs(after - before).max() > 0.1
        if t_eval is None:
            np.testing.assert_allclose(inside.y[:, inside.t == t].T, [before], rtol=1e-12)
    if t_eval is None:
        assert (np.diff(sign * inside.t) > 0).all()
        np.testing.assert_allclose(inside.y, inside.sol(inside.t), rtol=1e-10)
    else:
        np.testing.assert_allclose(inside.y, found.y, rtol=2e-7, atol=1e-9)


@METHODS
def test_sensitivities_at_every_step(method, monkeypatch):
    def call():
        return odead.sensitivity(
            elimination, [1.0, 0.5], P, (0, 3), events=events(), wrt=("p", "x0"), mode="forward", method=method,
            loss=lambda y: np.sum(y**2), dense_output=True, **TIGHT,
        )  # fmt: skip

    inside, found = both(call, monkeypatch)
    np.testing.assert_allclose(inside.grad, found.grad, rtol=2e-7)
    for t in (1.0, 2.0):
        at, other = np.flatnonzero(inside.t == t)[0], np.argmin(np.abs(found.t - t))
        np.testing.assert_allclose(inside.y[:, at], found.y[:, other], rtol=2e-7)
        np.testing.assert_allclose(inside.sens[at], found.sens[other], rtol=2e-6, atol=1e-8)
        np.testing.assert_allclose(inside.sens_x0[at], found.sens_x0[other], rtol=2e-6, atol=1e-8)


@METHODS
@SPANS
@pytest.mark.parametrize("mode", ["continuous", "adjoint"])
@pytest.mark.parametrize("data", ["every", "some", "end"])
def test_adjoints(method, span, mode, data, monkeypatch):
    """Data at the instants are of the states before the resets; with and without the solution between them."""
    rtol, step = 1e-7, 1 if span[1] > span[0] else -1
    t_eval = {"every": np.sort(np.append(TIMES, span[0]))[::step], "some": np.array([0.7, 1.4])[::step], "end": None}[data]

    def call():
        return odead.sensitivity(
            elimination, [1.0, 0.5], P, span, t_eval=t_eval, events=events(), wrt=("p", "x0", "t0", "t1"), mode=mode,
            method=method, loss=lambda y: np.sum(y**2), running=lambda x, p, t: p[0] * x[0] ** 2, rtol=rtol, atol=1e-3 * rtol,
            dense_output=data == "some",
        )  # fmt: skip

    inside, found = both(call, monkeypatch)
    for name in ("grad", "grad_x0", "grad_t0", "grad_t1", "loss"):
        np.testing.assert_allclose(getattr(inside, name), getattr(found, name), rtol=200 * rtol, atol=20 * rtol, err_msg=name)


def test_a_hundred_doses_are_one_curve(monkeypatch):
    """The continuous adjoint of a hundred doses took 39 ms when each was a solve, now a fourth of that."""
    monkeypatch.setattr(piecewise, "_Walk", None)
    calls = []
    once = continuous.run_back
    monkeypatch.setattr(continuous, "run_back", lambda *a: calls.append(a) or once(*a))
    options = {"events": [dose_at(1.0 + k) for k in range(100)], "loss": lambda y: np.sum(y**2), "t_eval": [50.0, 101.0]}
    got, one = (
        odead.sensitivity(
            elimination, [1.0, 0.5], P, (0, 101), mode=mode, method="Tsit5", rtol=rtol, atol=1e-3 * rtol, **options
        ).grad
        for mode, rtol in (("continuous", 1e-7), ("forward", 1e-10))
    )
    assert len(calls) == 1
    np.testing.assert_allclose(got, one, rtol=0, atol=5e-6 * np.abs(one).max())


# --------------------------------------------------------------------------------------------------------------- stops


def forced(dx, x, p, t):
    """Smooth, with a pulse a hundredth wide."""
    dx[0] = np.exp(-(((t - p[1]) / 0.01) ** 2)) - p[0] * x[0]


@METHODS
@SPANS
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_stops_of_a_smooth_right_hand_side(method, span, mode, monkeypatch):
    """They are ends of steps, as if each was the end of a solve; with doses between them, and at one of them."""
    p, rtol = np.array([0.6, 1.3, 2.5]), 1e-7

    def dose(x, p, t):
        x[0] += p[2]

    def event(x, p, t):
        return t - 2.0

    event.reset = dose

    def call():
        return odead.sensitivity(
            forced, [1.0], p, span, tstops=lambda p: [2.0, p[1], p[1] + 0.01], events=event, t_eval=[1.0, 1.0, span[1]],
            loss=lambda y: np.sum(y**2), wrt=("p", "x0"), mode=mode, method=method, rtol=rtol, atol=1e-3 * rtol,
        )  # fmt: skip

    def grad(result):
        return np.append(result.grad, result.grad_x0)

    inside, found = both(call, monkeypatch)
    np.testing.assert_allclose(grad(inside), grad(found), rtol=100 * rtol, atol=100 * rtol * np.abs(grad(found)).max())
    monkeypatch.setattr(piecewise, "_Walk", None)
    np.testing.assert_array_equal(grad(call()), grad(inside))


@METHODS
def test_stops_are_ends_of_steps(method):
    stops = [0.3, 1.3, 1.29, 1.31, 2.0, 2.0]
    found = odead.solve(forced, [1.0], P, (0, 3), tstops=stops, method=method, **TIGHT)
    assert set(stops) <= set(found.t.tolist())
    assert (np.diff(found.t) > 0).all()
    exact = odead.solve(forced, [1.0], P, (0, 3), t_eval=found.t, tstops=stops, method="DOP853", rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found.y, exact.y, rtol=2e-7)


@pytest.mark.parametrize("written", ["where", "if"])
def test_stops_where_the_right_hand_side_jumps(written):
    """There the derivative jumps too, as the instant moves."""

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * x[0]
        if written == "where":
            dx[0] += np.where(t > p[1], 1.0, 0.0)
        elif t > p[1]:
            dx[0] += 1.0

    found = odead.sensitivity(
        rhs, [1.0], P[:2], (0, 3), tstops=lambda p: [p[1]], t_eval=[3.0], loss=lambda y: y[0, 0], mode="adjoint", **TIGHT
    )
    np.testing.assert_allclose(found.grad[1], -np.exp(-P[0] * (3 - P[1])), rtol=1e-6)
