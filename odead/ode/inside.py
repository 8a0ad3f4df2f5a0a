"""`solve` inside a function that is being differentiated: one call with rules.

Forward, the tangent of the solution is its forward sensitivities times the tangents of x0, p and the times. In reverse, the
cotangent of the solution is the gradient of a linear loss, by whichever mode of `sensitivity` is asked for. What the right-hand
side closes over becomes part of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..containers import Structure, flatten
from ..derivatives.kernel import is_bound
from ..derivatives.nested import Nest
from ..errors import ArgumentTypeError, ArgumentValueError
from ..rules.closures import Closure
from ..rules.primitive import Primitive
from ..rules.registry import frule, rule
from ..tracing.recorder import is_traced
from .layout import Slot, lay_out
from .loss import Weighted
from .problem import make_problem
from .sensitivity import sensitivity
from .signature import ScipyRhs, is_in_place, name_of, required_parameters
from .solution import Solution

__all__ = ["solve_inside"]

SOLVING: Final = (
    "method", "engine", "rtol", "atol", "jac", "first_step", "max_step", "max_steps", "events", "mass_matrix", "tstops",
)  # fmt: skip
DIFFERENTIATING: Final = ("mode", "sens_rtol", "sens_atol", "checkpoints")

Solve = Callable[..., Solution]


class Options:
    """What does not vary from run to run: the functions and the options. A leaf."""

    def __init__(self, solve: Solve, rhs: Callable[..., Any], options: Mapping[str, Any], wrt: tuple[str, ...]) -> None:
        self.solve, self.rhs, self.wrt = solve, rhs, wrt
        self.solving = {name: options[name] for name in SOLVING}
        self.differentiating = {name: options[name] for name in DIFFERENTIATING}


def solve_inside(
    nest: Nest, solve: Solve, rhs: Callable[..., Any], x0: Any, p: Any, tspan: Any, t_eval: Any, options: Mapping[str, Any]
) -> Solution:
    """Record a solve as one call.

    Parameters
    ----------
    nest : Nest
        The recording.
    solve : callable
        What solves, on ordinary values.
    rhs, x0, p, tspan, t_eval
        As in `odead.solve`; all but rhs may be traced.
    options : mapping
        The other arguments of `odead.solve`.

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        t_eval is missing, or an argument does not fit.
    NotImplementedError
        For an option that has no derivative here.
    """
    if t_eval is None:
        raise ArgumentValueError(
            "t_eval: a solve inside a function that is being differentiated needs it, because the number of steps differs from "
            "call to call; t_eval=[t1] gives the end"
        )
    if options["dense_output"]:
        raise NotImplementedError("dense_output=True inside a function that is being differentiated: give the times in t_eval")
    if options["events"] is not None or callable(options["tstops"]):
        raise NotImplementedError(
            "events= and a callable tstops= of a solve inside a function that is being differentiated are not supported yet; "
            "put the rest of the function into loss= of odead.sensitivity, which takes both"
        )
    for name in ("rtol", "atol", "first_step", "max_step", "sens_rtol", "sens_atol", "tstops"):
        if any(map(is_traced, flatten(options[name])[0])):
            raise ArgumentTypeError(f"{name}: an option of a solve cannot be computed from what is differentiated")
    if callable(x0):
        x0 = x0(p)
    x0, times = _as_array(nest, x0), _as_array(nest, t_eval)
    if not isinstance(tspan, (tuple, list)) and np.shape(getattr(tspan, "value", tspan)) == (2,):
        tspan = (tspan[0], tspan[1])
    ends = tuple(tspan)
    wrt = ("p", "x0", *(["t0"] if len(ends) and is_traced(ends[0]) else []), *(["t_eval"] if is_traced(times) else []))
    function, parameters = _with_closed(nest, rhs, p)
    y = _solved(Options(solve, function, options, wrt), x0, parameters, ends, times)
    fields = {
        "t": times, "y": y if is_traced(y) else nest.new(y), "sol": None, "t_events": None, "y_events": None, "status": 0,
        "success": True, "message": "recorded", "method": options["method"], "engine": options["engine"], "mode": "solve",
        "name": name_of(rhs),
    }  # fmt: skip
    return Solution(**fields)


def _as_array(nest: Nest, x: Any) -> Any:
    """Numbers, or a list of them, as one array; other containers as they are."""
    leaves, structure = flatten(x)
    if not _is_plain(structure) or not any(map(is_traced, leaves)) or (is_traced(x) and isinstance(x, np.ndarray) and x.ndim):
        return np.atleast_1d(np.asarray(x, dtype=float)) if _is_plain(structure) and not is_traced(x) else x
    return nest.array(x, np.float64).reshape(-1)


def _is_plain(structure: Structure) -> bool:
    return structure.kind in (None, list, tuple) and all(map(_is_plain, structure.children))


# ---------------------------------------------------------------------------------------------------- what rhs closes over


@dataclass(frozen=True)
class _Closed:
    """A right-hand side whose closure is part of its parameters: of ``(p, what is closed over)``."""

    structure: Structure
    leaves: tuple[Any, ...]  # None where the parameters have it
    is_scipys: bool

    def function(self, closed: Sequence[Any]) -> Any:
        given = iter(closed)
        made = self.structure.unflatten([next(given) if leaf is _GIVEN else leaf for leaf in self.leaves])
        return ScipyRhs(made) if self.is_scipys else made

    def in_place(self, dx: Any, x: Any, p: Any, t: Any) -> Any:
        return self.function(p[1])(dx, x, p[0], t)

    def returning(self, x: Any, p: Any, t: Any) -> Any:
        return self.function(p[1])(x, p[0], t)


_GIVEN: Final = object()


def _with_closed(nest: Nest, rhs: Any, p: Any) -> tuple[Callable[..., Any], Any]:
    """The right-hand side in the user's world, and the parameters with what it closes over of the recording."""
    is_scipys = isinstance(rhs, ScipyRhs)
    outside = nest.outside(rhs.fun if is_scipys else rhs)
    leaves, structure = flatten(outside)
    leaves = [leaf if is_bound(leaf) else nest.twin(leaf) for leaf in leaves]
    closed = tuple(leaf for leaf in leaves if is_bound(leaf))
    if structure.kind is None or not closed:
        function = structure.unflatten(leaves)
        if isinstance(function, Closure):
            function = function.code.made(function.cells, function.defaults)
        return (ScipyRhs(function) if is_scipys else function), p
    static = tuple(_GIVEN if is_bound(leaf) else leaf for leaf in leaves)
    made = _Closed(structure, static, is_scipys)
    if not is_scipys and required_parameters(rhs, "rhs") not in (3, 4):
        return rhs, p  # refused with the others
    function = made.in_place if is_in_place(rhs) else made.returning
    return function, (p, closed)


# ---------------------------------------------------------------------------------------------------- the call and its rules


def _run(options: Options, x0: Any, p: Any, tspan: tuple[float, float], t_eval: np.ndarray) -> np.ndarray:
    if any(map(is_traced, flatten((x0, p, tspan, t_eval))[0])):
        raise NotImplementedError("second derivatives of a solve inside a differentiated function are not supported yet")
    return np.asarray(options.solve(options.rhs, x0, p, tspan, t_eval=t_eval, **options.solving).y)


_run.__name__ = "solve"
_solved = Primitive(_run)


@rule(_solved)
def _solved_backwards(options: Options, x0: Any, p: Any, tspan: tuple[float, float], t_eval: np.ndarray) -> Any:
    y = _run(options, x0, p, tspan, t_eval)

    def pullback(bar: np.ndarray) -> tuple[Any, ...]:
        result = _sensitivity(options, x0, p, tspan, t_eval, loss=Weighted(np.array(bar)), **options.differentiating)
        ends = (result.grad_t0, None)  # data do not move with t1
        return None, result.grad_x0, result.grad, ends, result.grad_t_eval

    return y, pullback


@frule(_solved)
def _solved_forwards(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    options, x0, p, tspan, t_eval = primals
    _, d_x0, d_p, d_tspan, d_times = tangents
    y = _values(options, x0, p, tspan, t_eval)
    by_p, by_x0, slopes, slope0 = _columns(options, x0, p, tspan, t_eval)
    start = _vector(x0, d_x0)
    if d_tspan is not None and d_tspan[0] is not None:
        start = start - slope0 * float(d_tspan[0])
        moved = np.where(t_eval == tspan[0], float(d_tspan[0]), 0.0)  # a datum at t0 is x0, wherever t0 is
    else:
        moved = np.zeros(t_eval.size)
    change = (by_p @ _vector(p, d_p)).T + (by_x0 @ start).T + slopes * moved
    if d_times is not None:
        change = change + slopes * d_times
    return y, change


def _vector(values: Any, tangents: Any) -> np.ndarray:
    """The tangents of the floats of a container, raveled in its order; each array that occurs twice once."""
    layout, vector = lay_out(values, "p")
    made = np.zeros(vector.size)
    if tangents is not None:
        for slot, tangent in zip(layout.leaves, flatten(tangents)[0], strict=True):
            if isinstance(slot, Slot) and tangent is not None:
                made[slot.start : slot.stop] = np.ravel(tangent)
    return made


def _run_columns(options: Options, x0: Any, p: Any, tspan: tuple[float, float], t_eval: np.ndarray) -> tuple[np.ndarray, ...]:
    """Derivatives of the solution by p and x0, shapes (m, n, n_p) and (m, n, n), and its slopes at the times and t0."""
    tolerances = {name: options.differentiating[name] for name in ("sens_rtol", "sens_atol")}
    result = _sensitivity(options, x0, p, tspan, t_eval, wrt=("p", "x0"), mode="forward", **tolerances)
    n, m = result.y.shape
    slopes, slope0 = np.zeros((n, m)), np.zeros(n)
    if "t0" in options.wrt or "t_eval" in options.wrt:
        problem = make_problem(options.rhs, x0, p, tspan, t_eval)
        slope0 = problem.slope(problem.x0, problem.t0)
        slopes = np.stack([problem.slope(x, t) for x, t in zip(result.y.T.copy(), result.t.tolist(), strict=True)], axis=1)
    return result.sens, result.sens_x0, slopes, slope0


_values, _columns = Primitive(_run), Primitive(_run_columns)  # so that they run once for all lanes


def _sensitivity(options: Options, x0: Any, p: Any, tspan: Any, t_eval: Any, wrt: Any = None, **more: Any) -> Any:
    given = wrt or options.wrt
    return sensitivity(options.rhs, x0, p, tspan, t_eval=t_eval, wrt=given, **options.solving, **more)
