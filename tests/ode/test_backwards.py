"""The continuous adjoint in the compiled loop: against the same in Python, and what the loop needs of its own."""

import threading
import time
from signal import SIGINT, raise_signal
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.interpolate import PPoly

import odead
from ode.problems import LOTKA_P, LOTKA_X0, ROBERTSON_P, ROBERTSON_X0, lotka_volterra, robertson, sum_of_squares
from odead import IntegrationError, sensitivity
from odead.ode.engines.engine import Controls
from odead.ode.engines.interpolant import Interpolant, join
from odead.ode.engines.native import NativeEngine
from odead.ode.engines.scipy import ScipyEngine
from odead.ode.gradients.backwards import curve_of, method_back, run_back
from odead.ode.methods import NATIVE
from odead.ode.problem.problem import make_problem
from odead.ode.rhs.rhs import CompiledRhs

METHODS = pytest.mark.parametrize("method", sorted(NATIVE))
STIFF = pytest.mark.parametrize("method", ["Rodas5P", "Kvaerno5", "BDF"])


def driven(dx, x, p, t):
    """J depends on x and on t, the derivative by p too."""
    dx[0] = -p[0] * x[0] * x[1] + np.sin(p[1] * t)
    dx[1] = p[0] * x[0] ** 2 - x[1] * np.cos(t) - p[2] * x[1]


def diffusion(dx, x, p, t):
    """Banded."""
    dx[1:-1] = p[0] * 400 * (x[2:] - 2 * x[1:-1] + x[:-2]) + p[1] * x[1:-1] * (1 - x[1:-1])
    dx[0] = dx[-1] = 0.0


def plane(dx, x, p, t):
    """Sparse: diffusion and reaction in a square, with a wind, so that J is not symmetric."""
    u = x.reshape(9, 9)
    d = dx.reshape(9, 9)
    d[:] = -p[1] * u**2
    d[1:-1, 1:-1] += p[0] * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1])
    d[1:, :] -= p[2] * (u[1:, :] - u[:-1, :])


MIXING = np.random.default_rng(5).standard_normal((6, 6)) - 4 * np.eye(6)


def mixed(dx, x, p, t):
    """Dense."""
    dx[:] = p[0] * (MIXING @ x) - p[1] * x**3


STRUCTURED = {
    "banded": (diffusion, np.sin(np.linspace(0, 3, 40)), [0.1, 0.5]),
    "sparse": (plane, np.random.default_rng(1).random(81), [3.0, 0.5, 1.0]),
    "dense": (mixed, np.linspace(-1, 1, 6), [1.0, 0.2]),
}


# ------------------------------------------------------------------------------------------------ between the steps


def random_solution(method, rng, t0, steps, sign=1.0):
    """An interpolant of numbers that solve nothing."""
    ts = t0 + sign * np.append(0.0, np.cumsum(rng.uniform(0.1, 1.0, steps)))
    rows = NATIVE[method].all_stages
    return Interpolant(NATIVE[method], ts, rng.standard_normal((steps + 1, 3)), rng.standard_normal((steps, rows, 3)))


@METHODS
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_curve_is_the_interpolant(method, sign):
    rng = np.random.default_rng(3)
    first = random_solution(method, rng, 0.3, 7, sign)
    sol = join([first, random_solution("Tsit5", rng, first.ts[-1], 5, sign)])
    curve = curve_of(sol)
    inside = rng.uniform(sol.t_min - 0.2, sol.t_max + 0.2, 60)
    for t in [*sol.ts, *np.sort(inside), *inside]:
        x, slope = curve.both_at(float(t))
        np.testing.assert_allclose(x, sol(float(t)), rtol=1e-12, atol=1e-12)
        if np.abs(sol.ts - t).min() > 1e-3:
            np.testing.assert_allclose(slope, (sol(t + 1e-6) - sol(t - 1e-6)) / 2e-6, rtol=1e-5, atol=1e-5)


def test_a_curve_of_no_steps_stays_where_it_is():
    curve = curve_of(Interpolant(NATIVE["Tsit5"], np.array([1.0]), np.array([[2.0, 3.0]]), np.zeros((0, 7, 2))))
    x, slope = curve.both_at(5.0)
    assert x.tolist() == [2.0, 3.0]
    assert slope.tolist() == [0.0, 0.0]


# ---------------------------------------------------------------------------------------------------- the gradient


def gradients(rhs, x0, p, tspan, t_eval, method, mode, rtol=1e-8, **options):
    options |= {"t_eval": t_eval, "loss": sum_of_squares, "method": method, "mode": mode, "rtol": rtol, "atol": 1e-3 * rtol}
    found = sensitivity(rhs, x0, np.array(p), tspan, wrt=("p", "x0"), **options)
    return np.concatenate([found.grad, found.grad_x0])


@METHODS
@pytest.mark.parametrize("tspan", [(0.0, 3.0), (2.0, 0.5)])
def test_it_agrees_with_forward_sensitivities(method, tspan):
    problem = (driven, [1.0, 0.5], [0.7, 2.0, 0.3], tspan, np.linspace(*tspan, 4))
    exact = gradients(*problem, "DOP853", "forward", 1e-11)
    np.testing.assert_allclose(gradients(*problem, method, "continuous", 1e-6), exact, rtol=5e-5)


@STIFF
@pytest.mark.parametrize("structure", sorted(STRUCTURED))
def test_every_structure_of_the_transpose(method, structure):
    rhs, x0, p = STRUCTURED[structure]
    problem = (rhs, x0, p, (0.0, 0.5), [0.1, 0.5])
    exact = gradients(*problem, "Rodas5P", "adjoint", 1e-9)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(gradients(*problem, method, "continuous", 1e-7), exact, rtol=1e-5, atol=1e-5 * scale)


@STIFF
def test_robertson(method):
    problem = (robertson, ROBERTSON_X0, ROBERTSON_P, (0.0, 4e3), [0.4, 4e1, 4e3])
    exact = gradients(*problem, "Rodas5P", "forward", 1e-10)
    found = gradients(*problem, method, "continuous", 1e-7)
    np.testing.assert_allclose(found[:3] * ROBERTSON_P, exact[:3] * ROBERTSON_P, rtol=5e-5, atol=1e-6)


def test_no_python_runs_in_the_backward_solve(monkeypatch):
    def refuse(*args):
        raise AssertionError("called from the backward solve")

    for name in ("cotangent_x", "cotangent_p", "jacobian"):
        monkeypatch.setattr(CompiledRhs, name, refuse)
    for method in sorted(NATIVE):
        gradients(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), [1.0, 2.0, 3.0], method, "continuous", 1e-6)


def test_the_method_back_of_auto():
    stiff, calm = SimpleNamespace(methods=("Tsit5", "Rodas5P", "Tsit5")), SimpleNamespace(methods=("Tsit5",))
    assert [method_back(*case) for case in (("auto", stiff), ("auto", calm), ("BDF", calm))] == ["Rodas5P", "Tsit5", "BDF"]


def constrained(dx, x, p, t):
    """Robertson's problem with the sum of all as a constraint."""
    dx[0] = -p[0] * x[0] + p[1] * x[1] * x[2]
    dx[1] = p[0] * x[0] - p[1] * x[1] * x[2] - p[2] * x[1] ** 2
    dx[2] = x[0] + x[1] + x[2] - 1.0


@pytest.mark.parametrize("method", ["Rodas5P", "BDF"])
def test_constraints_in_the_compiled_loop(method, monkeypatch):
    problem = (constrained, ROBERTSON_X0, ROBERTSON_P, (0.0, 4e3), [0.4, 4e1, 4e3])
    mass = {"mass_matrix": np.diag([1.0, 1.0, 0.0])}
    exact = gradients(*problem, "Rodas5P", "forward", 1e-10, **mass)
    monkeypatch.setattr(ScipyEngine, "integrate", None)
    found = gradients(*problem, method, "continuous", 1e-7, **mass)
    np.testing.assert_allclose(found[:3] * ROBERTSON_P, exact[:3] * ROBERTSON_P, rtol=5e-5, atol=1e-6)
    np.testing.assert_allclose(found[3:], exact[3:], rtol=1e-5, atol=1e-6)


def branching(dx, x, p, t):
    """J has other entries on the other side."""
    dx[0] = -p[0] * x[0]
    dx[1] = -p[0] * x[1] + (p[1] * x[0] if x[0] > 0.5 else p[1] * x[2])
    dx[2] = -x[2]


@METHODS
def test_branches_with_other_patterns(method):
    problem = (branching, [1.0, 2.0, 3.0], [0.5, 0.3], (0, 3), [1.0, 2.0, 3.0])
    exact = gradients(*problem, "DOP853", "forward", 1e-11)
    np.testing.assert_allclose(gradients(*problem, method, "continuous", 1e-7), exact, rtol=2e-5)


def test_the_tolerances_of_the_gradient_alone():
    """sens_rtol without the forward tolerance: the backward solve and the quadrature follow it."""
    exact = gradients(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 5), [2.5, 5.0], "DOP853", "forward", 1e-12)
    problem = (lotka_volterra, LOTKA_X0, LOTKA_P, (0, 5), [2.5, 5.0], "Tsit5", "continuous")
    coarse, fine = gradients(*problem, 1e-4), gradients(*problem, 1e-4, sens_rtol=1e-9)
    assert np.abs(fine - exact).max() < 0.01 * np.abs(coarse - exact).max()


# --------------------------------------------------------------------------------------------------------- failures


def foreign(pull):
    """The squares of a vector, opaque, with a pullback that cannot be traced."""

    @odead.primitive
    def square(x):
        return CURVE(x)

    @odead.rule(square)
    def _(x):
        def pullback(g):
            return (pull(x) * g,)

        return CURVE(x), pullback

    return square


CURVE = PPoly(np.array([[1.0], [0.0], [0.0]]), [0.0, 10.0])


@METHODS
def test_rules_that_cannot_be_differentiated_again(method):
    square = foreign(CURVE.derivative())

    def rhs(dx, x, p, t):
        dx[:] = np.cos(2 * t) - p[0] * square(x)

    def traced(dx, x, p, t):
        dx[:] = np.cos(2 * t) - p[0] * x**2

    options = {"tspan": (0, 1), "t_eval": [0.5, 1.0], "method": method, "mode": "continuous", "rtol": 1e-7}
    found = gradients(rhs, [1.0], [0.5], **options)
    np.testing.assert_allclose(found, gradients(traced, [1.0], [0.5], **options), rtol=1e-5)


class Trouble(Exception):
    pass


@METHODS
def test_an_exception_on_the_way_back_passes(method):
    """From a pullback, for states that only the way back has: between the steps."""
    seen = set()

    def pull(x):
        seen.add(float(x[0]))
        if len(seen) > 40:
            raise Trouble
        return 2 * np.array(x)

    square = foreign(pull)

    def rhs(dx, x, p, t):
        dx[:] = np.cos(20 * t) - p[0] * square(x)

    with pytest.raises(Trouble):
        gradients(rhs, [1.0], [0.5], (0, 3), [3.0], method, "continuous", 1e-7)


def fast(dx, x, p, t):
    """At rest at 0, with derivatives that oscillate."""
    dx[0] = 0.0 * x[0]
    dx[1] = p[0] * (x[0] - 1.0) * np.sin(5 * t) * 3


@METHODS
def test_a_backward_solve_that_does_not_arrive(method):
    with pytest.raises(IntegrationError, match="backward solve of the adjoint") as caught:
        sensitivity(
            fast, [1.0, 0.0], [1.0], (0, 50), t_eval=[50.0], loss=lambda y: y[1, 0], method=method, mode="continuous",
            max_steps=60, rtol=1e-3, atol=1e-3, sens_rtol=1e-10,
        )  # fmt: skip
    assert caught.value.result.y.shape == (2, 1)
    assert caught.value.result.get("grad") is None


@pytest.mark.parametrize("mode", ["continuous", "adjoint"])
def test_ctrl_c_inside_a_pullback(mode):
    """Python runs there, so that it raises the interrupt, and not the loop."""
    seen = [0]

    def pull(x):
        seen[0] += 1
        if seen[0] == 20:
            raise_signal(SIGINT)
        return 2 * np.array(x)

    square = foreign(pull)

    def rhs(dx, x, p, t):
        dx[:] = np.cos(20 * t) - p[0] * square(x)

    with pytest.raises(KeyboardInterrupt):
        gradients(rhs, [1.0], [0.5], (0, 3), [3.0], "Tsit5", mode, 1e-7)
    assert seen == [20]


def test_ctrl_c_in_the_compiled_loop():
    """Steps back that are as short as they can be, after a forward solve of one."""
    problem = make_problem(driven, [1.0, 0.5], np.array([0.7, 2.0, 0.3]), (0, 1), [1.0])
    forward = NativeEngine().integrate(problem.system(), Controls("Tsit5", 1e-6, np.array(1e-6)), problem.t_eval, True)
    controls = Controls("Tsit5", 1e-6, np.full(2, 1e-6), max_step=1e-9, max_steps=10**9)
    sent = []

    def send():
        sent.append(time.perf_counter())
        raise_signal(SIGINT)

    threading.Timer(0.2, send).start()
    with pytest.raises(KeyboardInterrupt):
        run_back(problem, forward.sol, problem.t_eval, np.ones((2, 1)), controls, None)
    assert time.perf_counter() - sent[0] < 0.2
