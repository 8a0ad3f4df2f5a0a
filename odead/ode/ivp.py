"""`solve_ivp`: SciPy's call with a compiled right-hand side, and with derivatives on request."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.integrate

from ..errors import ArgumentTypeError, ArgumentValueError, IntegrationError, OdeadError, warn
from .problem import Problem, make_problem
from .sensitivity import sensitivity
from .signature import call_scipys, from_scipy, name_of

__all__ = ["solve_ivp"]

IMPLICIT: Final = ("Radau", "BDF", "LSODA")
DIFFERENTIABLE: Final = ("rtol", "atol", "first_step", "max_step", "max_steps", "sens_rtol", "sens_atol", "tstops")
RTOL, ATOL = 1e-3, 1e-6  # SciPy's


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
        SciPy's own, with its status and message: nothing is raised when the solve stops early. With ``sens=True`` a
        `Sensitivity`.

    Raises
    ------
    IntegrationError
        With ``sens=True``: the solve stopped before its end.
    """
    given = _arguments(args)
    if sens:
        return _with_sensitivities(
            fun, t_span, y0, given, options, t_eval=t_eval, events=events, dense_output=dense_output, method=method,
            engine=engine, mode=mode,
        )  # fmt: skip
    if (engine, mode) != ("auto", "auto"):
        raise ArgumentValueError("engine and mode are for sens=True; without it SciPy's own steppers run")
    problem = None if np.ndim(y0) != 1 else _compiled(fun, t_span, y0, given)
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


def _with_sensitivities(
    fun: Any, t_span: Any, y0: Any, args: tuple[Any, ...] | None, options: dict[str, Any], **named: Any
) -> Any:
    if options.get("jac") is None:
        options.pop("jac", None)
    unknown = [name for name in options if name not in DIFFERENTIABLE]
    if unknown:
        raise ArgumentTypeError(
            f"{unknown[0]}= has no meaning with sens=True; the options are {', '.join(DIFFERENTIABLE)}, and the Jacobian is "
            f"exact without one"
        )
    if np.ndim(y0) > 1:
        raise ArgumentValueError("y0 must be one-dimensional")
    named["events"] = _events(named["events"])
    return sensitivity(from_scipy(fun), y0, args, t_span, **{"rtol": RTOL, "atol": ATOL, **options}, **named)


def _events(events: Any) -> Any:
    """SciPy's ``event(t, y, *args)`` as ``event(x, p, t)``."""
    if events is None:
        return None
    if isinstance(events, Sequence):
        return [_events(event) for event in events]
    made: Any = partial(call_scipys, events)
    for name in ("terminal", "direction"):
        if hasattr(events, name):
            setattr(made, name, getattr(events, name))
    return made
