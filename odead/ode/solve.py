"""`solve`: an initial value problem without derivatives, by a compiled right-hand side and its exact Jacobian."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..derivatives.nested import nest_of
from ..errors import ArgumentValueError
from .engines.engine import AbstractEngine, Controls
from .engines.failures import raise_failure
from .engines.native import NativeEngine
from .engines.scipy import COMPILED_ONLY, METHODS, ScipyEngine
from .methods import DIAGONAL, EXPLICIT, NATIVE
from .options import check_controls
from .pieces.locating import solve_with_switches
from .pieces.piecewise import Course, integrate
from .prepared.arguments import given
from .prepared.prepared import Way, again, prepare, quick, usual
from .problem.given_jacobian import check_jacobian
from .problem.problem import Problem, every, make_problem
from .results.progress import shown
from .results.solution import Solution

__all__ = ["choose_engine", "ended", "keeps_mass", "method_for_mass", "solution_fields", "solve"]

NATIVE_ENGINE: Final = NativeEngine()
SCIPY_ENGINE: Final = ScipyEngine()


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
    mode: str = "auto",
    sens_rtol: float | None = None,
    sens_atol: Any = None,
    checkpoints: Any = "auto",
    progress: bool = False,
) -> Solution:
    """Solve an ordinary differential equation.

    Inside a function that is being differentiated, t, y, t_events, y_events and sol(t) have derivatives, also second ones, with
    respect to x0, p, tspan, t_eval and what the functions close over; without t_eval, t and y are those at the steps. There
    each call of sol is one more solve, and so is each count of the work (nfev, ...) that is asked for.

    Parameters
    ----------
    rhs, x0, p, tspan, t_eval, method, engine, rtol, atol, events, tstops, jac, mass_matrix, dense_output, first_step,
    max_step, max_steps
        As in `sensitivity`.
    mode, sens_rtol, sens_atol, checkpoints
        As in `sensitivity`, for a solve that is differentiated.
    progress : bool
        Show a progress bar, by tqdm; none inside a function that is being differentiated.

    Returns
    -------
    Solution
        Where a number of x0 is complex, so is y; the tolerances hold for real and imaginary parts.

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        An argument does not fit; the message names it.
    IntegrationError
        The solve stopped before t1; ``exc.result`` has what was computed.
    """
    arguments = (
        rhs, method, engine, rtol, atol, jac, mass_matrix, tstops, dense_output, first_step, max_step, max_steps, checkpoints,
        progress,
    )  # fmt: skip
    found = again(arguments, events, x0, p, tspan, t_eval)
    if found is not None:
        return found
    nest = nest_of(rhs, x0, p, tspan, t_eval)
    if nest is not None:
        from .inside.solve import solve_inside  # it takes the sensitivities, which are built on this module

        options = {
            "method": method, "engine": engine, "rtol": rtol, "atol": atol, "events": events, "jac": jac,
            "mass_matrix": mass_matrix, "tstops": tstops, "dense_output": dense_output, "first_step": first_step,
            "max_step": max_step, "max_steps": max_steps, "mode": mode, "sens_rtol": sens_rtol, "sens_atol": sens_atol,
            "checkpoints": checkpoints,
        }  # fmt: skip
        return solve_inside(nest, solve, rhs, x0, p, tspan, t_eval, options)
    asked = usual(
        rhs, method=method, engine=engine, rtol=rtol, atol=atol, events=events, jac=jac, mass_matrix=mass_matrix,
        tstops=tstops, dense_output=dense_output, first_step=first_step, max_step=max_step, max_steps=max_steps,
        checkpoints=checkpoints, progress=progress,
    )  # fmt: skip
    those = None if asked is None else given(x0, p, tspan, t_eval)
    if asked is not None and those is not None:
        found = quick(asked, those, arguments)
        if found is not None:
            return found
    stepper = choose_engine(engine, method)
    problem = make_problem(
        rhs, x0, p, tspan, t_eval, events=events, tstops=tstops, complex_states=True, mass_matrix=mass_matrix,
        keeps_mass=keeps_mass(stepper, method), runs_uncompiled=True,
    )  # fmt: skip
    check_jacobian(problem, jac)
    controls = check_controls(
        stepper, method_for_mass(problem, stepper, method), rtol, problem.x_layout.tolerances(atol, "atol"),
        first_step, max_step, max_steps, problem.n, abs(problem.t1 - problem.t0),
    )  # fmt: skip
    result = _integrate(problem, stepper, controls, dense_output, progress)
    if asked is not None and those is not None:
        prepare(asked, those, Way("solve", problem, controls))
    return result


def _integrate(problem: Problem, stepper: AbstractEngine, controls: Controls, dense_output: bool, progress: bool) -> Solution:
    times, positions = problem.output_times()
    with shown(progress, problem.t0, problem.t1, problem.name) as bar:
        controls = controls if bar is None else controls._replace(progress=bar)

        def run(problem: Problem) -> tuple[Course, None]:
            return integrate(stepper, problem, Problem.system, controls, times, dense_output, path=True), None

        course, _ = solve_with_switches(problem, run, differentiated=False)
    trajectory = course.trajectory
    t, y = trajectory.t, trajectory.y
    if times is not None and trajectory.failure is None:
        if course.terminated is not None:
            positions = ended(problem, course).output_times()[1]
        if positions is not every(t.size):
            t, y = t[positions], y[:, positions]
    result = Solution(**solution_fields(problem, stepper, controls, course, t, problem.x_layout.states(y), "solve"))
    result.sol = problem.interpolant(trajectory.sol)
    if trajectory.failure is not None:
        raise_failure(trajectory.failure, problem.system(), result.method, trajectory.nsteps, problem.state_names, result)
    return result


def choose_engine(engine: Any, method: Any) -> AbstractEngine:
    """The engine for what the user wrote; "auto" is the compiled loop for the methods it has, else SciPy."""
    if engine == "native" or (engine == "auto" and (method == "auto" or method in NATIVE)):
        return NATIVE_ENGINE
    known = dict.fromkeys((*NATIVE, *METHODS, *COMPILED_ONLY))
    if engine == "auto" and method not in known:
        raise ArgumentValueError(f'method={method!r} is unknown; use "auto" or one of {", ".join(known)}')
    if engine in ("auto", "scipy"):
        return SCIPY_ENGINE
    raise ArgumentValueError(f'engine={engine!r} is unknown; use "auto", "native" or "scipy"')


def keeps_mass(engine: AbstractEngine, method: Any) -> bool:
    """Whether the method can do with a mass matrix."""
    return engine.name == "native" and (method == "auto" or not (method in EXPLICIT or method in DIAGONAL))


def method_for_mass(problem: Problem, engine: AbstractEngine, method: Any) -> Any:
    """The method, which where there is a mass matrix must be one that takes it; "auto" becomes one."""
    if problem.rhs.mass is None:
        return method
    if engine.name != "native":
        raise ArgumentValueError(
            'engine="scipy" cannot solve a problem with a singular mass_matrix; engine="native" can, with method="Rodas5P" or '
            '"BDF"'
        )
    if method in EXPLICIT or method in DIAGONAL:
        raise ArgumentValueError(
            f'method="{method}" {"is explicit" if method in EXPLICIT else "begins with an explicit stage"} and cannot solve a '
            f'problem with a singular mass_matrix; use "Rodas5P", "BDF" or "auto"'
        )
    return "Rodas5P" if method == "auto" else method


def ended(problem: Problem, course: Course) -> Problem:
    """The problem that ends where an event ended its solve."""
    if course.terminated is None:
        return problem
    times, sign = problem.t_eval, 1.0 if problem.t1 >= problem.t0 else -1.0
    if times is not None:
        times = times[sign * (times - course.terminated.t) <= 0]
    return problem._replace(t1=course.terminated.t, t_eval=times, ended=True)


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
        states = [np.array([o.x[: problem.n] for o in those]).reshape(len(those), problem.n) for those in found]
        y_events = [problem.x_layout.states(each.T).T for each in states]
    if events is not None and course.terminated is not None:
        status, message = 1, f"the event {events.names[course.terminated.number]} ended the solve"
    return {
        "t": t, "y": y, "sol": None, "t_events": t_events, "y_events": y_events, "status": status,
        "nfev": trajectory.nfev, "njev": trajectory.njev, "nlu": trajectory.nlu, "nsteps": trajectory.nsteps,
        "nrejected": trajectory.nrejected,
        "message": message, "success": failure is None,
        "method": trajectory.name_method(controls.method), "engine": engine.name, "mode": mode, "name": problem.name,
    }  # fmt: skip
