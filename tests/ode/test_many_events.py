"""Many events: the errors of a hundred pieces add up to no more than 50 tolerances; bounces without end raise."""

from functools import cache, partial

import numpy as np
import pytest

import odead
from odead.errors import IntegrationError

P = np.array([0.4, 1.3, 0.9])


def leaky(dx, x, p, t):
    """A charge, with a feedback that rises and falls."""
    dx[0] = p[1] - p[0] * x[0] + 0.3 * x[1]
    dx[1] = -x[0] * np.sin(3 * t) - 0.2 * x[1]


def spike():
    """Whenever it is full, part of the charge is lost: the next instants depend on this one."""

    def full(x, p, t):
        return x[0] - p[2]

    def lose(x, p, t):
        x[0] = x[0] - 0.1 - 0.02 * x[1]

    full.reset, full.direction = lose, 1
    return full


def found(method, mode, rtol):
    return odead.sensitivity(
        leaky, [0.5, 1.0], P, (0, 8), t_eval=[4.0, 8.0], loss=lambda y: np.sum(y**2), events=spike(), method=method, mode=mode,
        rtol=rtol, atol=1e-3 * rtol, wrt=("p", "x0"),
    )  # fmt: skip


@cache
def reference():
    return found("DOP853", "forward", 1e-12)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "Kvaerno5", "BDF"])
def test_a_hundred_resets(method, mode):
    exact, got = reference(), found(method, mode, 1e-6)
    assert len(got.t_events[0]) == len(exact.t_events[0]) > 70
    error = np.concatenate([(got.grad - exact.grad), got.grad_x0 - exact.grad_x0])
    assert np.abs(error).max() < 50e-6 * max(np.abs(exact.grad).max(), np.abs(exact.grad_x0).max())


def test_forty_resets_of_the_lowest_order():
    """Within the steps that are allowed, although the errors of thousands of them add up."""
    got, exact = (
        odead.sensitivity(
            leaky, [0.5, 1.0], P, (0, 4), t_eval=[4.0], loss=lambda y: np.sum(y**2), events=spike(), method=method,
            mode="adjoint", rtol=rtol, atol=1e-3 * rtol,
        )
        for method, rtol in (("RK23", 1e-6), ("DOP853", 1e-12))
    )  # fmt: skip
    np.testing.assert_allclose(got.grad, exact.grad, rtol=0, atol=50e-6 * np.abs(exact.grad).max())


# --------------------------------------------------------------------------------------------------------- bounces


def ball(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0]


@pytest.mark.parametrize("mode", [None, "forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "BDF"])
@pytest.mark.parametrize("restitution", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("floor", [0.0, 1.0, -1000.0])
def test_a_ball_falls_through_no_floor(floor, restitution, method, mode):
    """Its bounces end: once they are no higher than the errors of the steps, the solve stops."""

    def hit(x, p, t):
        return x[0] - floor

    def bounce(x, p, t):
        x[1] = -p[1] * x[1]

    hit.reset, hit.direction = bounce, -1
    solve = odead.solve
    if mode is not None:
        solve = partial(odead.sensitivity, mode=mode, loss=lambda y: np.sum(y**2), t_eval=[30.0])
    with pytest.raises(IntegrationError, match="chattering") as caught:
        solve(ball, [floor + 1.0, 0.0], np.array([9.81, restitution]), (0, 30), events=hit, method=method)
    assert caught.value.result.t_events[0].size > 1
    if floor == 0:
        end = np.sqrt(2 / 9.81) * (1 + 2 * restitution / (1 - restitution))
        assert caught.value.result.t_events[0][-1] == pytest.approx(end, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------- pulses


def pulsed(dx, x, p, t):
    """Switched on for 42 % of each of 38 periods: a step may be longer than several of them."""
    dx[0] = -x[0] + p[0] * np.sign(np.sin(40 * t) - p[1])


def pulsed_by_branches(dx, x, p, t):
    if np.sin(40 * t) > p[1]:
        dx[0] = p[0] - x[0]
    else:
        dx[0] = -p[0] - x[0]


def pulsed_exactly(p):
    edges = [(np.pi * k + (-1) ** k * np.arcsin(p[1])) / 40 for k in range(78)]
    x, at = 0.0, 0.0
    for edge in [*[edge for edge in edges if 0 < edge < 6], 6.0]:
        level = p[0] if np.sin(20 * (at + edge)) > p[1] else -p[0]
        x, at = level + (x - level) * np.exp(at - edge), edge
    return x


@pytest.mark.parametrize("rhs", [pulsed, pulsed_by_branches])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Tsit5", "Rodas5P", "Kvaerno5", "BDF"])
def test_no_pulse_is_passed_unseen(rhs, method, mode):
    p = np.array([1.0, 0.2])
    found = odead.sensitivity(rhs, [0.0], p, (0, 6), t_eval=[6.0], loss=lambda y: y[0, 0], method=method, mode=mode)
    by = [(pulsed_exactly(p + e) - pulsed_exactly(p - e)) / 2e-5 for e in 1e-5 * np.eye(2)]
    assert found.loss == pytest.approx(pulsed_exactly(p), abs=5e-5)
    np.testing.assert_allclose(found.grad, by, rtol=0, atol=5e-5)
