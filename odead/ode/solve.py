"""`solve` and `solve_ivp`: initial value problems without derivatives, by a compiled right-hand side and its exact Jacobian."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.integrate

from ..errors import ArgumentTypeError, ArgumentValueError
from .engine import AbstractEngine, Controls
from .engines.native import NativeEngine
from .engines.scipy import ScipyEngine
from .failures import raise_failure
from .methods import NATIVE
from .piecewise import Course, integrate
from .problem import Problem, check_controls, check_not_yet, make_problem
from .signature import from_scipy
from .solution import Solution

__all__ = ["choose_engine", "ended", "solution_fields", "solve", "solve_ivp"]


def solve(
    rhs: Callable[..., Any],
    x0: Any,
    p: Any,
    tspan: Any,
    *,
    t_eval: Any = None,
    method: str = "auto",
    engine: str = "auto",
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    events: Any = None,
    jac: Any = "auto",
    mass_matrix: Any = None,
    tstops: Any = (),
    dense_output: bool = False,
    first_step: float | None = None,
    max_step: float = np.inf,
    max_steps: int = 100_000,
    progress: bool = False,
) -> Solution:
    """Solve an ordinary differential equation.

    Parameters
    ----------
    rhs, x0, p, tspan, t_eval, method, engine, rtol, atol, events, tstops, dense_output, first_step, max_step, max_steps
        As in `sensitivity`.
    jac, mass_matrix, progress
        Not supported yet beyond their defaults.

    Returns
    -------
    Solution

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        An argument does not fit; the message names it.
    IntegrationError
        The solve stopped before t1; ``exc.result`` has what was computed.
    """
    check_not_yet(jac=jac, mass_matrix=mass_matrix, progress=progress)
    stepper = choose_engine(engine, method)
    problem = make_problem(rhs, x0, p, tspan, t_eval, events=events, tstops=tstops)
    controls = check_controls(
        stepper, method, rtol, atol, first_step, max_step, max_steps, problem.n, abs(problem.t1 - problem.t0)
    )
    system = problem.system()
    times, positions = problem.output_times()
    course = integrate(stepper, problem, Problem.system, controls, times, dense_output)
    trajectory = course.trajectory
    t, y = trajectory.t, trajectory.y
    if times is not None and trajectory.failure is None:
        if course.terminated is not None:
            positions = ended(problem, course).output_times()[1]
        t, y = t[positions], y[:, positions]
    result = Solution(**solution_fields(problem, stepper, controls, course, t, y, "solve"))
    result.sol = trajectory.sol
    if trajectory.failure is not None:
        raise_failure(trajectory.failure, system, result.method, trajectory.nsteps, problem.state_names, result)
    return result


def choose_engine(engine: Any, method: Any) -> AbstractEngine:
    """The engine for what the user wrote; "auto" is the compiled loop for the methods it has, else SciPy."""
    if engine == "native" or (engine == "auto" and (method == "auto" or method in NATIVE)):
        return NativeEngine()
    if engine in ("auto", "scipy"):
        return ScipyEngine()
    raise ArgumentValueError(f'engine={engine!r} is unknown; use "auto", "native" or "scipy"')


def ended(problem: Problem, course: Course) -> Problem:
    """The problem that ends where an event ended its solve."""
    if course.terminated is None:
        return problem
    times, sign = problem.t_eval, 1.0 if problem.t1 >= problem.t0 else -1.0
    if times is not None:
        times = times[sign * (times - course.terminated.t) <= 0]
    return replace(problem, t1=course.terminated.t, t_eval=times, ended=True)


def solution_fields(
    problem: Problem,
    engine: AbstractEngine,
    controls: Controls,
    course: Course,
    t: np.ndarray,
    y: np.ndarray,
    mode: str,
) -> dict[str, Any]:
    """The fields that every result has."""
    trajectory, events = course.trajectory, problem.events
    failure = trajectory.failure
    message, status = trajectory.message if failure is None else failure.reason, 0 if failure is None else -1
    t_events = y_events = None
    if events is not None:
        found = [[h.occurrence for h in course.events if h.occurrence.number == k] for k in range(len(events))]
        t_events = [np.array([o.t for o in those]) for those in found]
        y_events = [np.array([o.x[: problem.n] for o in those]).reshape(len(those), problem.n) for those in found]
    if events is not None and course.terminated is not None:
        status, message = 1, f"the event {events.names[course.terminated.number]} ended the solve"
    return {
        "t": t, "y": y, "sol": None, "t_events": t_events, "y_events": y_events, "status": status,
        "nfev": trajectory.nfev, "njev": trajectory.njev, "nlu": trajectory.nlu, "nsteps": trajectory.nsteps,
        "nrejected": trajectory.nrejected,
        "message": message, "success": failure is None,
        "method": trajectory.name_method(controls.method), "engine": engine.name, "mode": mode, "name": problem.name,
    }  # fmt: skip


def solve_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    *,
    sens: bool = False,
    **options: Any,
) -> Any:
    """`scipy.integrate.solve_ivp` with a compiled right-hand side and, for implicit methods, its exact Jacobian.

    Parameters
    ----------
    fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        As in SciPy.
    sens : bool
        Not supported yet.

    Returns
    -------
    OdeResult
        SciPy's own, with its status and message: nothing is raised when the solve stops early.
    """
    if sens:
        raise NotImplementedError("sens=True is not supported yet; use sensitivity(from_scipy(fun), y0, args, t_span)")
    if args is not None and not isinstance(args, (tuple, list)):
        raise ArgumentTypeError(f"args must be a tuple, for instance args=({args!r},)")
    if np.ndim(y0) > 1:
        raise ArgumentValueError("y0 must be one-dimensional")
    problem = make_problem(from_scipy(fun), y0, tuple(args) if args else None, t_span, None)
    system = problem.system()
    implicit = method in ("Radau", "BDF", "LSODA")
    if implicit and options.get("jac") is None and "lband" not in options and "uband" not in options:
        options["jac"] = lambda t, y, *_: system.jacobian(t, y).dense()
    options |= {"t_eval": t_eval, "dense_output": dense_output, "events": events, "args": args}
    return scipy.integrate.solve_ivp(lambda t, y, *_: system.fun(t, y), t_span, y0, method, **options)
