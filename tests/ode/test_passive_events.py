"""Events that change nothing: as in SciPy they leave the steps alone; their instants and states have derivatives."""

import sys

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose

import odead
from odead import gradient, hessian
from odead.ode.engines.engine import Controls
from odead.ode.gradients import discrete
from odead.ode.gradients.continuous import AdjointOptions
from odead.ode.gradients.discrete import solve_for_adjoint
from odead.ode.problem.problem import make_problem


def oscillator(t, y, k):
    return [y[1], -k * y[0] + 0.1 * np.sin(2 * t)]


def zero(t, y, k):
    return y[0]


def rising(t, y, k):
    return y[1] - 0.2


rising.direction = 1


@pytest.mark.parametrize("t_span", [(0.0, 9.0), (9.0, 1.0)])
@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853"])
def test_steps_roots_and_states_are_scipys(method, t_span):
    options = {"args": (2.0,), "rtol": 1e-6, "atol": 1e-8, "method": method, "events": [zero, rising], "max_step": 0.5}
    expected = scipy.integrate.solve_ivp(oscillator, t_span, [1.0, 0.3], **options)
    functions = [odead_event(event) for event in (zero, rising)]
    found = odead.solve(
        odead.from_scipy(oscillator), [1.0, 0.3], (2.0,), t_span, method=method, rtol=1e-6, atol=1e-8, events=functions,
        max_step=0.5,
    )  # fmt: skip
    assert_allclose(found.t, expected.t, rtol=1e-11)
    assert found.nfev <= expected.nfev + 3 * found.nsteps  # DOP853 evaluates more often where it is wanted between steps
    for mine, scipys in zip(found.t_events, expected.t_events, strict=True):
        assert mine.size > 0
        assert_allclose(mine, scipys, rtol=1e-11)
    for mine, scipys in zip(found.y_events, expected.y_events, strict=True):
        assert_allclose(mine, scipys, rtol=1e-9, atol=1e-12)
    assert found.sol is None


def odead_event(event):
    def made(x, p, t):
        return event(t, x, *p)

    made.direction = getattr(event, "direction", 0)
    return made


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF", "auto", "Radau"])
def test_steps_are_those_without_events(method):
    def rhs(x, p, t):
        return [x[1], -p * x[0]]

    # Rodas5P tests the error of its interpolant where that is looked at.
    alone = odead.solve(rhs, [1.0, 0.0], 2.0, (0, 9), method=method, dense_output=True)
    with_events = odead.solve(rhs, [1.0, 0.0], 2.0, (0, 9), method=method, events=lambda x, p, t: x[0])
    assert_allclose(with_events.t, alone.t, rtol=1e-14)
    assert with_events.t_events[0].size == 4


def rotating(x, p, t):
    return [x[1], -(p[0] ** 2) * x[0]]


def level(x, p, t):
    return x[0] - p[1]


def exact(p):
    """Of cos(p0 t): where it is p1, falling and rising, the slopes there, and a value in between."""
    phase = np.arccos(p[1])
    first, second = phase / p[0], (2 * np.pi - phase) / p[0]
    return np.array([first, second, -p[0] * np.sin(phase), p[0] * np.sin(phase), np.cos(2 * p[0])])


def observed(p, **options):
    options = {"rtol": 1e-9, "atol": 1e-11, **options}
    result = odead.solve(rotating, [1.0, 0.0], p, (0, 5), t_eval=[2.0], events=level, **options)
    (t,), (y,) = result.t_events, result.y_events
    return np.array([t[0], t[1], y[0, 1], y[1, 1], result.y[0, 0]])


P, WEIGHTS = np.array([1.2, 0.3]), np.array([1.0, 0.5, -0.3, 0.7, 2.0])


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF"])
def test_derivatives(mode, method):
    def f(p):
        return (observed(p, mode=mode, method=method) ** 2 * WEIGHTS).sum()

    def closed(p):
        return (exact(p) ** 2 * WEIGHTS).sum()

    assert_allclose(observed(P, method=method), exact(P), atol=2e-7)
    assert_allclose(gradient(f, P), gradient(closed, P), rtol=1e-6)
    assert_allclose(gradient(f, P, mode=odead.Forward), gradient(closed, P), rtol=1e-6)


def test_second_derivatives():
    found = hessian(lambda p: (observed(p) ** 2 * WEIGHTS).sum(), P)
    assert_allclose(found, hessian(lambda p: (exact(p) ** 2 * WEIGHTS).sum(), P), rtol=1e-6)


def test_derivatives_of_instants_in_forward_mode():
    result = odead.sensitivity(rotating, [1.0, 0.0], P, (0, 5), events=level, rtol=1e-9, atol=1e-11)
    assert_allclose(result.sens_t_events[0], odead.jacobian(exact, P)[:2], rtol=1e-7)


def test_beside_a_reset():
    """A bouncing ball whose height is observed on the way down and up, and at the bounce itself."""

    def falling(x, p, t):
        return [x[1], -p[0]]

    def ground(x, p, t):
        return x[0]

    def bounce(x, p, t):
        x[1] = -p[1] * x[1]

    ground.direction = -1
    ground.reset = bounce

    def height(x, p, t):
        return x[0] - 0.2

    def touch(x, p, t):
        return x[0]

    p = np.array([9.81, 0.8])
    result = odead.solve(falling, [1.0, 0.0], p, (0, 0.9), events=[ground, height, touch], rtol=1e-9, atol=1e-11)
    first = np.sqrt(2 / p[0])
    up = p[1] * p[0] * first
    down = np.sqrt(1.6 / p[0])
    again = [first + (up + s * np.sqrt(up**2 - 0.4 * p[0])) / p[0] for s in (-1, 1)]
    assert_allclose(result.t_events[0], [first], rtol=1e-8)
    assert_allclose(result.t_events[1], [t for t in (down, *again) if t < 0.9], rtol=1e-8)
    assert_allclose(result.t_events[2], [first], rtol=1e-8)


@pytest.mark.parametrize("method", ["Tsit5", "RK45", "Rodas5P", "Kvaerno5"])
def test_a_budget_for_the_steps(method):
    """It holds beside events that only look: what is kept stays within it, and the derivatives are the same."""
    n, times = 40, np.linspace(0, 30, 11)

    def rhs(dx, x, p, t):
        dx[:] = p[0] * np.roll(x, 1) - p[0] * np.roll(x, -1)

    def event(x, p, t):
        return x[0] - x[1]

    x0, p = np.sin(np.arange(n) * 2 * np.pi / n) + 0.1 * np.cos(np.arange(n)), np.array([1.0])
    how = {"t_eval": times, "loss": lambda y: np.sum(y[0] ** 2), "events": event, "mode": "adjoint", "method": method}
    plain = odead.sensitivity(rhs, x0, p, (0, 30), rtol=1e-8, atol=1e-8, **how)
    budget = 4e4
    with_steps = 8 * n * plain.nsteps * 7
    assert with_steps > 4 * budget
    frugal = odead.sensitivity(rhs, x0, p, (0, 30), rtol=1e-8, atol=1e-8, checkpoints=budget, **how)
    np.testing.assert_allclose(frugal.grad, plain.grad, rtol=1e-6)
    np.testing.assert_allclose(frugal.t_events[0], plain.t_events[0], rtol=1e-6)

    problem = make_problem(rhs, x0, p, (0, 30), times, events=event)
    controls = Controls(method, 1e-8, np.array(1e-8))
    course, _ = solve_for_adjoint(problem, controls, AdjointOptions(1e-8, None), times, ("p",), budget=budget)
    records = [leg.record for piece in course.pieces for leg in piece.steps.legs]
    assert 8 * sum(r.n * (r.kept + r.rows * r.count) for r in records) <= budget


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "Kvaerno5"])
def test_derivatives_within_a_budget(method):
    def f(p):
        return (observed(p, mode="adjoint", method=method, checkpoints=2e4) ** 2 * WEIGHTS).sum()

    assert_allclose(gradient(f, P), gradient(lambda p: (exact(p) ** 2 * WEIGHTS).sum(), P), rtol=1e-6)


@pytest.mark.parametrize("method", ["RK45", "Tsit5", "Rodas5P", "auto"])
@pytest.mark.parametrize("usual", [False, True])
def test_a_budget_where_other_events_stop(method, usual, monkeypatch):
    """Events that change nothing beside a reset: neither keeps more steps than the budget, the usual one or one asked for."""
    n = 40

    def rhs(dx, x, p, t):
        dx[:-1] = -p[0] * (x[:-1] - np.sin(3 * t))
        dx[-1] = 1 + 0.1 * x[0]

    def seen(x, p, t):
        return x[0] - 0.2

    def full(x, p, t):
        return x[-1] - 2.0

    def empty(x, p, t):
        x[-1] = 0.5 * p[1]

    full.reset = empty
    how = {
        "t_eval": np.array([15.0, 30.0]), "loss": lambda y: np.sum(y**2), "events": [seen, full], "method": method,
        "mode": "adjoint", "rtol": 1e-7, "atol": 1e-7,
    }  # fmt: skip
    problem = (rhs, np.linspace(0, 1, n), np.array([1.0, 0.3]), (0, 30))
    exact = odead.sensitivity(*problem, **how | {"mode": "forward", "method": "DOP853", "rtol": 1e-10, "atol": 1e-10})
    budget, kept = 8e5, []
    record_of = discrete.record_of

    def keep(*arguments, **rest):
        kept.append(record_of(*arguments, **rest))
        return kept[-1]

    monkeypatch.setattr(discrete, "record_of", keep)
    options = {"checkpoints": budget}
    if usual:
        monkeypatch.setattr(discrete, "BUDGET", budget)
        monkeypatch.setattr(sys.modules["odead.ode.sensitivity"], "BUDGET", budget)
        options = {}
    found = odead.sensitivity(*problem, **how, **options)
    assert len(found.t_events[0]) == len(exact.t_events[0]) > 20
    np.testing.assert_allclose(found.grad, exact.grad, rtol=0, atol=50e-7 * np.abs(exact.grad).max())
    used = [8 * (record.n * (record.kept + record.rows * record.count)) for record in kept if record.count]
    assert len(used) > 20
    assert usual or sum(used) <= budget  # the usual one is found to be too small on the way
