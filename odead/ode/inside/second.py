"""Second derivatives of a loss: the Hessian of a function that solves, forward over reverse.

The loss is written as a function of one vector of all that is differentiated; `inside` has the derivatives of the solve in it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ...derivatives.interchangeable import representative
from ...derivatives.second_order import hessian_of_first
from ..problem.problem import Problem
from ..rhs.kept import Kept
from ..rhs.mass import check_mass
from .total_loss import NAMES, TotalLoss

__all__ = ["hessian_of_loss"]

Function = Callable[..., Any]


def hessian_of_loss(
    problem: Problem,
    rhs: Function,
    x0: Any,
    loss: Any,
    running: Function | None,
    events: Any,
    tstops: Any,
    wrt: tuple[str, ...],
    options: Mapping[str, Any],
    mass_matrix: Any = None,
) -> np.ndarray:
    """The Hessian over the concatenated raveled `wrt`, shape (N, N).

    Parameters
    ----------
    problem : Problem
    rhs, x0, loss, running, events, tstops, wrt, mass_matrix
        As in `odead.sensitivity`.
    options : mapping
        Of `odead.solve`.
    """
    mass = check_mass(mass_matrix, problem.n, problem.x_layout)
    functions = () if events is None else (events,) if callable(events) else tuple(events)
    attributes = tuple(
        [(getattr(e, "terminal", None), getattr(e, "direction", None), getattr(e, "reset", None)) for e in functions]
    )
    start = x0 if callable(x0) else None
    stops = tstops if callable(tstops) else tuple(np.asarray(tstops, dtype=float).tolist())
    parts = tuple([None if f is None else representative(f) for f in (rhs, loss, running)])
    key: tuple[Any, ...] = (*parts, problem.x_layout, problem.p_layout, start, functions, attributes, stops, wrt)
    key = (*key, problem.t_eval is None, tuple((name, _hashable(value)) for name, value in options.items()), mass)
    layouts, timed = (problem.x_layout, problem.p_layout), problem.t_eval is not None
    whole = _KEPT.get(key, lambda: TotalLoss(layouts, rhs, loss, running, start, functions, stops, wrt, options, mass, timed))
    n = problem.n
    known = {
        "p": problem.p, "x0": np.zeros(n) if start is not None else problem.x0[:n], "t0": np.array([problem.t0]),
        "t1": np.array([problem.t1]), "t_eval": np.zeros(0) if problem.t_eval is None else problem.t_eval,
    }  # fmt: skip
    given = np.concatenate([known[name] for name in wrt])
    hessian = hessian_of_first(whole.function, given, *[known[name].copy() for name in NAMES])
    symmetric: np.ndarray = 0.5 * (hessian + hessian.T)  # each entry is computed twice, on different steps
    return symmetric


def _hashable(value: Any) -> Any:
    return value if not isinstance(value, (np.ndarray, list)) else (np.shape(value), tuple(np.ravel(value).tolist()))


_KEPT: Final = Kept[TotalLoss](64)
