"""The discrete adjoint and the systems of the compiled loop: exact for the steps taken, and those are fine enough."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from odead._adjoint import Adjoint
from odead._record import Record
from odead.derivatives import kernel
from odead.errors import ArgumentValueError, IntegrationError
from odead.ode import sensitivity
from odead.ode.engines.engine import Controls, System
from odead.ode.engines.native import Leg, NativeEngine, compiled_method, run_loop
from odead.ode.gradients.continuous import AdjointOptions
from odead.ode.gradients.discrete import Steps, discrete_adjoint, solve_for_adjoint
from odead.ode.methods import EXPLICIT
from odead.ode.problem.problem import make_problem
from odead.ode.rhs.systems import cotangents, recorded, tangents
from odead.tracing.trace import trace

METHODS = pytest.mark.parametrize("method", list(EXPLICIT))


def predator_prey(dx, x, p, t):
    a, b, c, d = p
    dx[0] = a * x[0] - b * x[0] * x[1] + 0.1 * np.sin(3 * t)
    dx[1] = -c * x[1] + d * x[0] * x[1]


P = np.array([1.5, 1.0, 3.0, 1.0])
X0 = np.array([1.0, 1.0])


def brusselator(size):
    """On a torus, with a field of each coefficient: p = (A, B, diffusion of u, of v)."""
    cells = size**2

    def laplacian(c):
        c = c.reshape(size, size)
        around = np.roll(c, 1, 0) + np.roll(c, -1, 0) + np.roll(c, 1, 1) + np.roll(c, -1, 1)
        return ((around - 4 * c) * (size - 1) ** 2).ravel()

    def rhs(dx, x, p, t):
        u, v = x[:cells], x[cells:]
        a, b, diffusion_u, diffusion_v = (p[k * cells : (k + 1) * cells] for k in range(4))
        uuv = u * u * v
        dx[:cells] = diffusion_u * laplacian(u) + b + uuv - (a + 1) * u
        dx[cells:] = diffusion_v * laplacian(v) + a * u - uuv

    y = np.linspace(0, 1, size)
    x0 = np.concatenate([np.repeat(22 * (y * (1 - y)) ** 1.5, size), np.tile(27 * (y * (1 - y)) ** 1.5, size)])
    return rhs, x0, np.repeat([3.4, 1.0, 10.0, 10.0], cells)


def problem_of(rhs, x0, p, span, times):
    return make_problem(rhs, np.asarray(x0, dtype=float), None if p is None else np.asarray(p, dtype=float), span, times)


def compiled_system(problem):
    make = lambda: recorded(problem.rhs, problem.x0, problem.p, problem.t0)  # noqa: E731
    return System(problem.system().fun, None, problem.t0, problem.t1, problem.x0, compiled=make)


def controls_for(method, rtol=1e-6, atol=1e-9, **options):
    return Controls(method, rtol, np.asarray(atol), **options)


def gradient(rhs, x0, p, span, times, y_bar, method="RK45", rtol=1e-6, atol=1e-9, wrt=("p", "x0"), **options):
    """States, and the gradient of the loss with the cotangents y_bar(y)."""
    problem = problem_of(rhs, x0, p, span, times)
    tolerances = AdjointOptions(rtol, None)
    course, _ = solve_for_adjoint(problem, controls_for(method, rtol, atol), tolerances, problem.t_eval, wrt, **options)
    assert course.trajectory.failure is None
    return course.trajectory, discrete_adjoint(problem, course.pieces[0].steps, y_bar(course.trajectory.y))


# ------------------------------------------------------------------------------------------ compiled systems


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853"])
def test_recorded_steps_are_scipys(method):
    times = np.linspace(0, 10, 31)
    problem = problem_of(predator_prey, X0, P, (0, 10), times)
    ours = NativeEngine().integrate(compiled_system(problem), controls_for(method), times, False)
    theirs = solve_ivp(problem.system().fun, (0, 10), X0, method, times, rtol=1e-6, atol=1e-9)
    assert ours.nfev in (theirs.nfev, theirs.nfev - EXPLICIT[method].extra_c.size)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-10)


@METHODS
def test_tangents_are_derivatives_of_the_solution(method):
    problem = problem_of(predator_prey, X0, P, (0, 3), [1.5, 3])
    start = np.concatenate([X0, np.zeros(8)])
    make = lambda: tangents(problem.rhs, X0, P, 0.0, np.eye(4))  # noqa: E731
    system = System(None, None, 0.0, 3.0, start, compiled=make)
    found = NativeEngine().integrate(system, controls_for(method, 1e-10, 1e-12), problem.t_eval, False)

    def state(p):
        fun = lambda t, x: problem.rhs(dx, x, p, t) or dx.copy()  # noqa: E731
        dx = np.empty(2)
        return solve_ivp(fun, (0, 3), X0, "DOP853", [1.5, 3], rtol=1e-12, atol=1e-13).y

    for k in range(4):
        step = np.eye(4)[k] * 1e-5
        expected = (state(P + step) - state(P - step)) / 2e-5
        np.testing.assert_allclose(found.y[2 + 2 * k : 4 + 2 * k], expected, rtol=1e-6)


def test_branches_are_followed():
    def rhs(dx, x, p, t):
        if x[0] > 1:
            dx[0] = -p[0] * x[0]
        else:
            dx[0] = -p[1] * x[0]

    problem = problem_of(rhs, [2.0], [1.0, 0.1], (0, 4), [0.5, 4])
    found = NativeEngine().integrate(compiled_system(problem), controls_for("RK45"), problem.t_eval, False)
    python = NativeEngine().integrate(problem.system(), controls_for("RK45"), problem.t_eval, False)
    np.testing.assert_array_equal(found.y, python.y)
    assert found.nfev == python.nfev
    assert found.flips > 0


def test_errors_of_a_branch_recorded_late_pass():
    def rhs(dx, x, p, t):
        if x[0] > 1:
            dx[0] = -x[0]
        else:
            raise KeyError("too small")

    problem = problem_of(rhs, [2.0], None, (0, 4), [4])
    with pytest.raises(KeyError, match="too small"):
        NativeEngine().integrate(compiled_system(problem), controls_for("RK45"), problem.t_eval, False)


def test_captured_arrays_are_read_at_every_solve():
    table = np.array([[1.0, 9.0], [2.0, 9.0]])[:, 0]  # not contiguous

    def rhs(dx, x, p, t):
        dx[:] = -table * x

    problem = problem_of(rhs, [1.0, 1.0], None, (0, 1), [1])
    for rates in ([1.0, 2.0], [3.0, 0.5]):
        table[:] = rates
        found = NativeEngine().integrate(compiled_system(problem), controls_for("Tsit5"), problem.t_eval, False)
        np.testing.assert_allclose(found.y[:, 0], np.exp(-np.array(rates)), rtol=1e-5)


def test_threads_do_not_disturb_each_other():
    times = np.linspace(0, 30, 40)
    problem = problem_of(predator_prey, X0, P, (0, 30), times)

    def one(k):
        system = System(None, None, 0.0, 30.0, X0 * (1 + 0.01 * k), compiled=compiled_system(problem).compiled)
        return NativeEngine().integrate(system, controls_for("Tsit5"), times, False).y

    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(one, range(12)))
    for k, y in enumerate(parallel):
        np.testing.assert_array_equal(y, one(k))


def test_ctrl_c_in_compiled_code_is_heard_within_a_fifth_of_a_second():
    problem = problem_of(predator_prey, X0, P, (0, 1e9), [1e9])
    sent = []

    def send():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    threading.Timer(0.3, send).start()
    with pytest.raises(KeyboardInterrupt):
        NativeEngine().integrate(compiled_system(problem), controls_for("RK45", max_steps=10**9), problem.t_eval, False)
    assert time.perf_counter() - sent[0] < 0.2


# ------------------------------------------------------------------------------------ exact for the steps taken


@METHODS
@pytest.mark.parametrize("span", [(0.0, 4.0), (4.0, 0.0)])
def test_gradient_is_that_of_the_computed_solution(method, span):
    """Tangents whose error does not count take the steps of the states, and are the derivatives of what these compute."""
    times = np.array([span[0], 1.0, 1.3, 1.3 + 1e-9, 2.0, span[1]])
    times = np.sort(times) if span[0] < span[1] else -np.sort(-times)
    problem = problem_of(predator_prey, X0, P, span, times)
    columns = np.vstack([np.eye(4), np.zeros((2, 4))])
    start = np.concatenate([X0, np.zeros(8), np.eye(2).ravel()])
    record = Record(2, compiled_method(method).stages)
    system = System(None, None, *span, start, compiled=lambda: tangents(problem.rhs, X0, P, span[0], columns))
    blind = np.append(1e-6, np.full(6, 1e300))
    trajectory = run_loop(system, controls_for(method), times, lambda _: record, blind)[0]
    weights = np.random.default_rng(1).normal(size=(2, times.size))
    adjoint = discrete_adjoint(problem, Steps([Leg(method, record, times, 1e-6, np.array(1e-9))], times), weights)
    derivatives = trajectory.y[2:].reshape(6, 2, times.size)
    expected = np.einsum("kim,im->k", derivatives, weights)
    np.testing.assert_allclose(adjoint.grad_p, expected[:4], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(adjoint.grad_x0, expected[4:], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(adjoint.grad_x0 - adjoint.arriving, weights[:, 0], atol=1e-15)


@METHODS
@pytest.mark.parametrize("budget", [np.inf, 8e3, 2e3])
def test_budget_changes_nothing(method, budget):
    times = np.linspace(0, 10, 57)
    problem = problem_of(predator_prey, X0, P, (0, 10), times)
    results = []
    for limit in (np.inf, budget):
        record = Record(2, compiled_method(method).stages, limit)
        run_loop(compiled_system(problem), controls_for(method), times, lambda _, record=record: record)
        assert record.kept * 2 * 8 <= limit / 2
        results.append(
            discrete_adjoint(problem, Steps([Leg(method, record, times, 1e-6, np.array(1e-9))], times), np.ones((2, 57)))
        )
    np.testing.assert_array_equal(results[0].grad_p, results[1].grad_p)
    np.testing.assert_array_equal(results[0].grad_x0, results[1].grad_x0)


@METHODS
def test_many_states(method):
    """The same in vectors, with steps in the memory of earlier solves, and without stages, and without most states."""
    n, times = 200, np.array([0.0, 0.3, 0.31, 1.0, 1.5])

    def rhs(dx, x, p, t):
        dx[:] = p[0] * np.cos(x + t)
        dx[1:] += p[1] * x[:-1]

    x0, p = np.sin(np.arange(n)), np.array([1.3, -0.7])
    problem = problem_of(rhs, x0, p, (0.0, 1.5), times)
    weights = np.random.default_rng(1).normal(size=(n, times.size))
    for budget in (np.inf, np.inf, 200e3, 80e3):
        record = Record(n, compiled_method(method).stages, budget)
        start = np.concatenate([x0, np.zeros(2 * n)])
        system = System(None, None, 0.0, 1.5, start, compiled=lambda: tangents(problem.rhs, x0, p, 0.0, np.eye(2)))
        blind = np.append(1e-6, np.full(2, 1e300))
        trajectory = run_loop(system, controls_for(method), times, lambda _, record=record: record, blind)[0]
        leg = Leg(method, record, times, 1e-6, np.array(1e-9))
        adjoint = discrete_adjoint(problem, Steps([leg], times), weights)
        expected = np.einsum("kim,im->k", trajectory.y[n:].reshape(2, n, times.size), weights)
        np.testing.assert_allclose(adjoint.grad_p, expected, rtol=1e-12)


@pytest.mark.parametrize("n", [2000, 20_000, 80_000])
@pytest.mark.parametrize("times", [[1.0], [0.3, 0.35, 1.0]])
def test_many_states_again_and_again(n, times):
    """With their stages, without them, in memory of the solve before; x_k' = -p_k x_k^2 has x_k = 1 / (1/x0_k + p_k t)."""

    def decays(dx, x, p, t):
        dx[: n // 2] = -p[0] * x[: n // 2] ** 2
        dx[n // 2 :] = -p[1] * x[n // 2 :] ** 2

    x0, p, times = np.linspace(0.5, 2, n), np.array([0.8, 1.3]), np.array(times)
    rate = np.repeat(p, n // 2)[:, None]
    by_rate = (-times / (1 / x0[:, None] + rate * times) ** 2).reshape(2, -1).sum(axis=1)
    options = {"method": "Tsit5", "t_eval": times, "rtol": 1e-8, "atol": 1e-10, "mode": "adjoint", "loss": np.sum}
    first, *others = (sensitivity(decays, x0, p, (0.0, 1.0), **options) for _ in range(3))
    np.testing.assert_allclose(first.grad, by_rate, rtol=1e-7)
    for other in others:
        np.testing.assert_array_equal(other.grad, first.grad)
    thinned = sensitivity(decays, x0, p, (0.0, 1.0), **options, checkpoints=int(8 * n * 12))
    np.testing.assert_allclose(thinned.grad, first.grad, rtol=1e-13)


def test_budget_thins_the_states():
    problem = problem_of(predator_prey, X0, P, (0, 10), [10])
    record = Record(2, 4, 1500)
    trajectory = run_loop(compiled_system(problem), controls_for("RK23"), problem.t_eval, lambda _: record)[0]
    assert (record.rows, record.count) == (0, trajectory.nsteps)
    assert record.stride > 8
    assert record.kept == (record.count // record.stride) + 1


def test_budget_that_cannot_do():
    problem = problem_of(predator_prey, X0, P, (0, 10), [10])
    with pytest.raises(MemoryError):
        run_loop(compiled_system(problem), controls_for("RK23"), problem.t_eval, lambda _: Record(2, 4, 200))
    with pytest.raises(ArgumentValueError, match="checkpoints: 200 bytes are too few"):
        solve_for_adjoint(problem, controls_for("RK23"), AdjointOptions(1e-6, None), problem.t_eval, ("p",), budget=200)


@METHODS
@pytest.mark.parametrize("times", [None, [0.0, 1.0, 1.0, 3.0]])
def test_public_gradient_of_everything(method, times):
    wrt = ("p", "x0", "t0", "t1") if times is None else ("p", "x0", "t0", "t1", "t_eval")
    options = {"t_eval": times, "loss": lambda y, p: np.sum(y**2) * p[0], "running": lambda x, p, t: x[0] * p[1] * t}
    options |= {"wrt": wrt, "method": method, "rtol": 1e-9, "atol": 1e-11, "dense_output": True}
    if times is None:  # at t1
        options["loss"] = lambda y, p: np.sum(y[:, -1] ** 2) * p[0]
    adjoint = sensitivity(predator_prey, X0, P, (0, 3), mode="adjoint", **options)
    forward = sensitivity(predator_prey, X0, P, (0, 3), mode="forward", **options)
    assert (adjoint.mode, forward.mode, adjoint.engine, forward.engine) == ("adjoint", "forward", "native", "native")
    for name in ("loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval"):
        if name != "grad_t_eval" or times:
            np.testing.assert_allclose(adjoint[name], forward[name], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(adjoint.sol(1.7), forward.sol(1.7), rtol=1e-7)
    np.testing.assert_allclose(adjoint.y, adjoint.sol(adjoint.t), rtol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_public_failures_keep_what_was_computed(mode):
    def rhs(dx, x, p, t):
        dx[:] = p * x**2

    with pytest.raises(IntegrationError, match="below the spacing") as caught:
        sensitivity(rhs, [1.0], [1.0], (0, 2), t_eval=[0.5, 2], loss=lambda y: y[0, 1], mode=mode, method="Tsit5")
    result = caught.value.result
    np.testing.assert_allclose(result.y, [[2.0]], rtol=1e-4)
    assert (result.success, result.grad) == (False, None)


def test_public_checkpoints():
    options = {"t_eval": np.linspace(0, 10, 20), "loss": lambda y: np.sum(y**2), "mode": "adjoint", "method": "RK23"}
    plain = sensitivity(predator_prey, X0, P, (0, 10), **options)
    frugal = sensitivity(predator_prey, X0, P, (0, 10), checkpoints=3e3, **options)
    np.testing.assert_array_equal(plain.grad, frugal.grad)
    assert frugal.nfev > plain.nfev
    with pytest.raises(ArgumentValueError, match="checkpoints"):
        sensitivity(predator_prey, X0, P, (0, 10), checkpoints=-1, **options)


def test_no_steps():
    _, adjoint = gradient(predator_prey, X0, P, (1, 1), [1, 1], lambda y: np.ones((2, 2)))
    np.testing.assert_array_equal(adjoint.grad_p, 0)
    np.testing.assert_array_equal(adjoint.grad_x0, 2)


def test_no_parameters():
    _, adjoint = gradient(lambda dx, x, p, t: dx.__setitem__(slice(None), -x), [1.0, 2.0], None, (0, 1), [1], np.ones_like)
    assert adjoint.grad_p.shape == (0,)
    np.testing.assert_allclose(adjoint.grad_x0, np.exp(-1), rtol=1e-5)


def test_gradient_that_is_not_finite_is_refused():
    def rhs(dx, x, p, t):
        dx[0] = np.sqrt(p[0])

    problem = problem_of(rhs, [1.0], [0.0], (0, 1), [1])
    record = Record(1, 7)
    run_loop(compiled_system(problem), controls_for("RK45"), problem.t_eval, lambda _: record)
    with pytest.raises(IntegrationError, match="not finite"):
        discrete_adjoint(
            problem, Steps([Leg("RK45", record, problem.t_eval, 1e-6, np.array(1e-9))], problem.t_eval), np.ones((1, 1))
        )


def test_mismatched_parts_are_refused():
    problem = problem_of(predator_prey, X0, P, (0, 1), [1])
    parts = recorded(problem.rhs, X0, P, 0.0), cotangents(problem.rhs, X0, P, 0.0)
    with pytest.raises(ValueError, match="do not fit together"):
        Adjoint(compiled_method("RK45"), Record(3, 7), *parts)
    with pytest.raises(ValueError, match="y_bar has shape"):
        Adjoint(compiled_method("RK45"), Record(2, 7), *parts).run([1.0], np.zeros((2, 2)))


# -------------------------------------------------------------------------------- and those are fine enough


@METHODS
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_error_of_the_gradient(method, rtol):
    times = np.linspace(0, 8, 30)
    sizes = []
    for tolerance in (rtol, 1e-12):
        tight = "DOP853" if tolerance < rtol else method
        _, adjoint = gradient(predator_prey, X0, P, (0, 8), times, lambda y: 2 * y, tight, tolerance, 1e-3 * tolerance)
        sizes.append(np.concatenate([adjoint.grad_p, adjoint.grad_x0]))
    assert np.abs(sizes[0] - sizes[1]).max() / np.abs(sizes[1]).max() < 50 * rtol


@METHODS
def test_start_at_an_equilibrium(method):
    """Nothing moves, so the states ask for no accuracy at all."""

    def rhs(dx, x, p, t):
        dx[0] = p[0] - p[1] * x[0]

    _, adjoint = gradient(rhs, [0.5], [1.0, 2.0], (0, 3), [3], np.ones_like, method)
    by_first = (1 - np.exp(-6)) / 2
    np.testing.assert_allclose(adjoint.grad_p, [by_first, -by_first / 2], rtol=50e-6)
    np.testing.assert_allclose(adjoint.grad_x0, np.exp(-6), rtol=1e-2, atol=50e-6)


@METHODS
def test_states_without_an_error(method):
    """A cubic is solved exactly by every method; its derivatives are not."""

    def rhs(dx, x, p, t):
        dx[0] = 1.0
        dx[1] = (p[0] - 2.0) * np.exp(x[0]) * np.sin(5 * x[0])

    times = [4.0]
    _, adjoint = gradient(rhs, [0.0, 0.0], [2.0], (0, 4), times, lambda y: np.array([[0.0], [1.0]]), method)
    exact = (np.exp(4) * (np.sin(20) - 5 * np.cos(20)) + 5) / 26
    np.testing.assert_allclose(adjoint.grad_p, exact, rtol=50e-6)


@pytest.mark.parametrize("method", ["RK45", "Tsit5"])
def test_explicit_method_at_its_stability_limit(method):
    """The loss is right without control of the sensitivities, the gradient wrong by orders of magnitude."""
    rhs, x0, p = brusselator(10)
    times = np.linspace(0, 1, 11)
    options = {"rtol": 1e-7, "atol": 1e-5, "wrt": ("p",)}
    trajectory, adjoint = gradient(rhs, x0, p, (0, 1), times, lambda y: y - 1, method, **options)
    problem = problem_of(rhs, x0, p, (0, 1), times)
    record = Record(x0.size, compiled_method(method).stages)
    careless = run_loop(compiled_system(problem), controls_for(method, 1e-7, 1e-5), times, lambda _: record)[0]
    np.testing.assert_allclose(careless.y, trajectory.y, rtol=1e-4)
    wild = discrete_adjoint(problem, Steps([Leg(method, record, times, 1e-6, np.array(1e-9))], times), careless.y - 1).grad_p
    assert np.abs(wild).max() > 100 * np.abs(adjoint.grad_p).max()
    directions = np.random.default_rng(5).normal(size=(2, p.size))
    start = np.concatenate([x0, np.zeros(2 * x0.size)])
    system = System(None, None, 0.0, 1.0, start, compiled=lambda: tangents(problem.rhs, x0, p, 0.0, directions))
    forward = NativeEngine().integrate(system, controls_for(method, 1e-7, 1e-5), times, False)
    expected = np.einsum("kim,im->k", forward.y[x0.size :].reshape(2, x0.size, 11), forward.y[: x0.size] - 1)
    np.testing.assert_allclose(directions @ adjoint.grad_p, expected, rtol=1e-5)


def test_rhs_is_recorded_once_for_all_its_derivatives(monkeypatch):
    recordings = []
    monkeypatch.setattr(kernel, "trace", lambda f, *rest: recordings.append(f) or trace(f, *rest))

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * x[0]
        dx[1] = p[0] * x[0] - p[1] * x[1]

    p = np.array([1.0, 2.0])
    sensitivity(rhs, np.ones(2), p, (0, 1), loss=lambda y: (y**2).sum(), mode="adjoint", method="BDF", t_eval=[0.5, 1.0])
    assert len(recordings) == 2  # the right-hand side, with its Jacobian and its cotangents, and the loss


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_kinks_that_one_probe_does_not_see(rtol):
    """When a saturated controller leaves its bounds hardly depends on the direction of p that the first probe moves along."""

    def controlled(dx, x, p, t):
        dx[0] = x[1]
        dx[1] = np.clip(p[0] * (1 - x[0]) - p[1] * x[1], -0.5, 0.5)

    options = {"t_eval": np.linspace(0, 10, 11), "loss": lambda y: ((y[0] - 1) ** 2).sum()}
    p = np.array([3.0, 1.5])
    exact = sensitivity(controlled, [0.0, 0.0], p, (0, 10), mode="forward", rtol=1e-11, atol=1e-13, **options)
    found = sensitivity(controlled, [0.0, 0.0], p, (0, 10), mode="adjoint", rtol=rtol, atol=1e-3 * rtol, **options)
    np.testing.assert_allclose(found.grad, exact.grad, rtol=50 * rtol, atol=50 * rtol * np.abs(exact.grad).max())
