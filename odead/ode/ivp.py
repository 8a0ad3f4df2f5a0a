"""`solve_ivp`: SciPy's call with a compiled right-hand side, and with derivatives on request."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
import scipy.integrate
from scipy.integrate._ivp.ivp import MESSAGES, OdeResult  # SciPy does not export them

from ..containers import map_leaves
from ..derivatives.nested import Nest, nest_of
from ..errors import ArgumentTypeError, ArgumentValueError, IntegrationError, OdeadError, warn
from .arguments.signature import call_scipys, from_scipy, name_of
from .problem.problem import Problem, make_problem
from .sensitivity import sensitivity
from .solve import solve

__all__ = ["solve_ivp"]

IMPLICIT: Final = ("Radau", "BDF", "LSODA")
DIFFERENTIABLE: Final = ("rtol", "atol", "first_step", "max_step", "max_steps", "sens_rtol", "sens_atol", "tstops")
RTOL, ATOL = 1e-3, 1e-6  # SciPy's
FINEST: Final = 100 * float(np.finfo(float).eps)  # of rtol, as in SciPy
EXPLICITS: Final = ("RK23", "RK45", "DOP853")
NATIVE_OPTIONS: Final = frozenset({"rtol", "atol", "first_step", "max_step"})
UNLIMITED: Final = 10**15
FIELDS: Final = ("t", "y", "sol", "t_events", "y_events", "nfev", "njev", "nlu", "status", "message", "success")


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
    engine: str = "auto",
    mode: str = "auto",
    **options: Any,
) -> Any:
    """`scipy.integrate.solve_ivp` with a compiled right-hand side and, for implicit methods, its exact Jacobian.

    Parameters
    ----------
    fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        As in SciPy. What cannot be compiled runs as it is, with a warning.
    sens : bool
        Differentiate the solution with respect to args: ``result.sens`` has shape (m, n, n_p), its columns are args
        raveled in their order.
    engine, mode : str
        With ``sens=True``: as in `sensitivity`.

    Returns
    -------
    OdeResult
        SciPy's own, with its status and message: nothing is raised when the solve stops early. RK23, RK45 and DOP853 run in
        the compiled loop where that takes the same steps. Inside a function that is being differentiated, what `solve`
        returns, which needs t_eval and raises. With ``sens=True`` a `Sensitivity`.

    Raises
    ------
    IntegrationError
        With ``sens=True``: the solve stopped before its end.
    """
    given = _arguments(args)
    if sens or nest_of(fun, t_span, y0, args, t_eval) is not None:
        return _differentiable(
            sensitivity if sens else solve, fun, t_span, y0, given, options, t_eval=t_eval, events=events,
            dense_output=dense_output, method=method, engine=engine, mode=mode,
        )  # fmt: skip
    if (engine, mode) != ("auto", "auto"):
        raise ArgumentValueError("engine and mode are for sens=True; without it SciPy's own steppers run")
    problem = None if np.ndim(y0) != 1 else _compiled(fun, t_span, y0, given)
    if problem is not None and _is_native(problem, method, options):
        found = _native(fun, t_span, y0, given, method, t_eval, dense_output, events, options)
        if found is not None:
            return found
    options |= {"t_eval": t_eval, "dense_output": dense_output, "events": events, "args": args}
    scipys: Any = scipy.integrate.solve_ivp  # its stubs have an overload for each kind of call
    if problem is None:
        return scipys(fun, t_span, y0, method, vectorized=vectorized, **options)
    system = problem.system()
    if method in IMPLICIT and options.get("jac") is None and options.get("lband") is None and options.get("uband") is None:
        options["jac"] = lambda t, y, *_: system.jacobian(t, y).dense()
    return scipys(lambda t, y, *_: system.fun(t, y), t_span, y0, method, **options)


def _arguments(args: Any) -> tuple[Any, ...] | None:
    if args is None:
        return None
    try:
        return tuple(args) or None
    except TypeError:
        raise ArgumentTypeError(f"args must be a tuple, for instance args=({args!r},)") from None


def _compiled(fun: Any, t_span: Any, y0: Any, args: tuple[Any, ...] | None) -> Problem | None:
    """The problem with its compiled right-hand side; None where SciPy is to run the function as it is, or to refuse it."""
    try:
        return make_problem(from_scipy(fun), y0, args, t_span, None)
    except IntegrationError:
        return None  # not finite at the start: SciPy says so in its own way
    except (OdeadError, NotImplementedError) as error:
        warn(f"{name_of(fun)} runs uncompiled, by plain SciPy: {error}")
        return None


def _is_native(problem: Problem, method: Any, options: dict[str, Any]) -> bool:
    """Whether the compiled loop takes SciPy's very steps: the same formulas, and no branch that it would step onto."""
    plain = set(options) <= NATIVE_OPTIONS and np.ndim(options.get("rtol", RTOL)) == 0 and options.get("rtol", RTOL) >= FINEST
    steps_onto_nothing = not problem.rhs.branches and not problem.rhs.has_selects
    return plain and isinstance(method, str) and method in EXPLICITS and steps_onto_nothing and problem.t0 != problem.t1


def _native(
    fun: Any, t_span: Any, y0: Any, args: tuple[Any, ...] | None, method: str, t_eval: Any, dense_output: bool, events: Any,
    options: dict[str, Any],
) -> Any:  # fmt: skip
    """SciPy's result from the compiled loop; None where SciPy is to say what it does with the call."""
    roots = [events] if callable(events) else list(events or ())
    if any(getattr(root, "terminal", None) not in (None, False, True, 0, 1) for root in roots):
        return None  # the loop would stop at each of them
    limits = {"max_steps": UNLIMITED, "rtol": RTOL, "atol": ATOL, **options}
    try:
        found = solve(
            from_scipy(fun), y0, args, t_span, method=method, engine="native", t_eval=t_eval, dense_output=dense_output,
            events=_events(events), **limits,
        )  # fmt: skip
    except (OdeadError, NotImplementedError):
        return None
    result: Any = OdeResult(**{name: found[name] for name in FIELDS})
    if result.y_events is not None:
        result.y_events = [each if each.size else np.array([]) for each in result.y_events]
    result.message = MESSAGES[result.status]
    return result


def _differentiable(
    call: Any, fun: Any, t_span: Any, y0: Any, args: tuple[Any, ...] | None, options: dict[str, Any], **named: Any
) -> Any:
    if options.get("jac") is None:
        options.pop("jac", None)
    unknown = [name for name in options if name not in DIFFERENTIABLE]
    if unknown:
        raise ArgumentTypeError(
            f"{unknown[0]}= has no meaning where the solution is differentiated; the options are {', '.join(DIFFERENTIABLE)}, "
            f"and the Jacobian is exact without one"
        )
    if np.ndim(map_leaves(Nest.twin, y0)) > 1:
        raise ArgumentValueError("y0 must be one-dimensional")
    named["events"] = _events(named["events"])
    return call(from_scipy(fun), y0, args, t_span, **{"rtol": RTOL, "atol": ATOL, **options}, **named)


def _events(events: Any) -> Any:
    """SciPy's ``event(t, y, *args)`` as ``event(x, p, t)``."""
    if events is None:
        return None
    if isinstance(events, Sequence):
        return [_events(event) for event in events]
    return _event(events, getattr(events, "terminal", None), getattr(events, "direction", None))


@lru_cache(maxsize=64)  # what is recorded for an event is kept with it
def _event(event: Callable[..., Any], terminal: Any, direction: Any) -> Any:
    made: Any = partial(call_scipys, event)
    made.__name__, made.terminal, made.direction = name_of(event), terminal, direction
    return made
