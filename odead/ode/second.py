"""Second derivatives of a loss: the Hessian of a function that solves, forward over reverse.

The loss is written as a function of one vector of all that is differentiated; `inside` has the derivatives of the solve in it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ..derivatives.interchangeable import representative
from ..derivatives.nested import Nest, nest_of
from ..derivatives.second_order import hessian_of_first
from .doubled import named
from .inside import Inside
from .kept import Kept
from .loss import check_loss, evaluate
from .mass import Mass, check_mass, without_regular
from .problem import Problem
from .signature import Event, flat_event, flat_of_p, flat_rhs, flat_stops, name_of
from .variations import Posed

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
    if mass is not None and mass.is_singular and (events is not None or not {"p", "x0"}.issuperset(wrt)):
        raise NotImplementedError(
            "order=2 with a singular mass_matrix and events, or with respect to times, is not supported yet"
        )
    functions = () if events is None else (events,) if callable(events) else tuple(events)
    attributes = tuple(
        [(getattr(e, "terminal", None), getattr(e, "direction", None), getattr(e, "reset", None)) for e in functions]
    )
    start = x0 if callable(x0) else None
    stops = tstops if callable(tstops) else tuple(np.asarray(tstops, dtype=float).tolist())
    parts = tuple([None if f is None else representative(f) for f in (rhs, loss, running)])
    key: tuple[Any, ...] = (*parts, problem.x_layout, problem.p_layout, start, functions, attributes, stops, wrt)
    key = (*key, problem.t_eval is None, tuple((name, _hashable(value)) for name, value in options.items()), mass)
    whole = _KEPT.get(key, lambda: _Loss(problem, rhs, loss, running, start, functions, stops, wrt, options, mass))
    n = problem.n
    known = {
        "p": problem.p, "x0": np.zeros(n) if start is not None else problem.x0[:n], "t0": np.array([problem.t0]),
        "t1": np.array([problem.t1]), "t_eval": np.zeros(0) if problem.t_eval is None else problem.t_eval,
    }  # fmt: skip
    given = np.concatenate([known[name] for name in wrt])
    hessian = hessian_of_first(whole.function, given, *[known[name].copy() for name in _NAMES])
    symmetric: np.ndarray = 0.5 * (hessian + hessian.T)  # each entry is computed twice, on different steps
    return symmetric


_NAMES: Final = ("p", "x0", "t0", "t1", "t_eval")


def _hashable(value: Any) -> Any:
    return value if not isinstance(value, (np.ndarray, list)) else (np.shape(value), tuple(np.ravel(value).tolist()))


class _Loss:
    """The loss as a function of what is differentiated, and then of everything.

    Where x0 is a function of p, the entry of x0 is what is added to it.
    """

    def __init__(
        self, problem: Problem, rhs: Function, loss: Any, running: Function | None, start: Function | None,
        events: Sequence[Function], tstops: Any, wrt: tuple[str, ...], options: Mapping[str, Any], mass: Mass | None,
    ) -> None:  # fmt: skip
        layouts = (problem.x_layout, problem.p_layout)
        flat, mass = without_regular(
            flat_rhs(rhs, running, *layouts), mass if mass is None or running is None else mass.extended
        )
        if isinstance(flat, partial):
            flat = named(flat, name_of(rhs))
        placed = [flat_event(Event.of(event), *layouts) for event in events]
        self.posed = Posed(flat, name_of(rhs), options, placed, flat_stops(tstops, problem.p_layout), mass)
        self.start = None if start is None else flat_of_p(start, "x0", *layouts)
        self.loss = None if loss is None else partial(evaluate, loss, check_loss(loss) == 2, *layouts)
        self.runs, self.has_data, self.n, self.wrt = running is not None, problem.t_eval is not None, problem.n, wrt
        self.has_parameters = bool(problem.p.size)
        self.function = named(partial(_loss, self), "loss")

    def values(self, given: Any, known: Sequence[Any]) -> dict[str, Any]:
        """All that the loss depends on, from what is differentiated and what everything is."""
        values, position = dict(zip(_NAMES, known, strict=True)), 0
        for name in self.wrt:
            size = values[name].size
            values[name] = given[position : position + size]
            position += size
        return values

    def solved(self, nest: Nest, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """The states that the loss looks at, and the running cost, if there is one."""
        p, x = values["p"], values["x0"]
        if self.start is not None:
            made = nest.array(np.zeros(self.n), np.float64)
            nest.rec.calls.inside(self.start)(made, p if self.has_parameters else None)
            x = made + x
        if self.runs:
            x = np.concatenate([x, np.zeros(1)])
        problem = Inside(nest, self.posed, x, p, (values["t0"][0], values["t1"][0]))
        times = values["t_eval"] if self.has_data else values["t1"]
        if self.has_data and self.runs:  # the cost is wanted at the end
            times = np.concatenate([times, values["t1"]])
        y, _, y_events = problem.solution(times)
        end = None
        for event, found in zip(self.posed.events, y_events or (), strict=False):
            last = int(event.terminal or 0)
            if end is None and last and len(found) >= last:
                end = found[last - 1]
        cost = None if not self.runs else y[self.n, -1] if end is None else end[self.n]
        if not self.has_data:
            y = y if end is None else end.reshape(-1, 1)
        elif self.runs and end is None:
            y = y[:, :-1]
        return y[: self.n], cost


def _loss(whole: _Loss, given: Any, *known: Any) -> Any:
    nest = nest_of(None, given)
    assert nest is not None
    values = whole.values(given, known)
    y, cost = whole.solved(nest, values)
    if whole.loss is None:
        return cost
    own = nest.rec.calls.inside(whole.loss)(y, values["p"] if whole.has_parameters else None)
    return own if cost is None else own + cost


_KEPT: Final = Kept[_Loss](64)
