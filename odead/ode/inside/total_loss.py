"""The loss of a solve as a function of one vector of all that is differentiated, with the solve inside of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from ...derivatives.nested import Nest, nest_of
from ..arguments.layout import Layout
from ..arguments.signature import Event, flat_event, flat_of_p, flat_rhs, flat_stops, name_of
from ..problem.doubled import named
from ..problem.loss import check_loss, evaluate
from ..rhs.mass import Mass, without_regular
from .solve import Inside
from .variations import Posed

__all__ = ["NAMES", "Solved", "TotalLoss"]

Function = Callable[..., Any]

NAMES: Final = ("p", "x0", "t0", "t1", "t_eval")


class Solved(NamedTuple):
    """A solve in a recording.

    Attributes
    ----------
    y : array, shape (n, m)
        The states that the loss looks at.
    cost
        The running cost; None if there is none.
    t_events, y_events : list of array, or None
    is_ended : bool
        By an event.
    """

    y: Any
    cost: Any
    t_events: Any
    y_events: Any
    is_ended: bool


class TotalLoss:
    """The loss as a function of what is differentiated, and then of all that is not fixed.

    Where x0 is a function of p, the entry of x0 is what is added to it.

    Attributes
    ----------
    function, states, instants : callable
        The loss, the states that a result shows, and the times of all events, of the vector of what is differentiated and of
        the others, in their order.
    others : tuple of str
        All but the fixed.
    """

    def __init__(
        self, layouts: tuple[Layout, Layout], rhs: Function, loss: Any, running: Function | None, start: Function | None,
        events: Sequence[Any], tstops: Any, wrt: tuple[str, ...], options: Mapping[str, Any], mass: Mass | None,
        has_data: bool, fixed: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.fixed = fixed or {}
        self.others = tuple(name for name in NAMES if name not in self.fixed)
        flat, mass = without_regular(
            flat_rhs(rhs, running, *layouts), mass if mass is None or running is None else mass.extended
        )
        if isinstance(flat, partial):
            flat = named(flat, name_of(rhs))
        placed = [flat_event(e if isinstance(e, Event) else Event.of(e), *layouts) for e in events]
        self.posed = Posed(flat, name_of(rhs), options, placed, flat_stops(tstops, layouts[1]), mass)
        self.start = None if start is None else flat_of_p(start, "x0", *layouts)
        self.loss = None if loss is None else partial(evaluate, loss, check_loss(loss) == 2, *layouts)
        self.runs, self.has_data, self.n, self.wrt = running is not None, has_data, layouts[0].size, wrt
        self.has_parameters = bool(layouts[1].size)
        self.function = named(partial(_loss, self), "loss")
        self.states = named(partial(_states, self), "solution")
        self.instants = named(partial(_instants, self), "t_events")

    def values(self, given: Any, known: Sequence[Any]) -> dict[str, Any]:
        """All that the loss depends on, from what is differentiated and what everything is."""
        values, position = {**self.fixed, **dict(zip(self.others, known, strict=True))}, 0
        for name in self.wrt:
            size = values[name].size
            values[name] = given[position : position + size]
            position += size
        return values

    def problem(self, nest: Nest, values: Mapping[str, Any]) -> Inside:
        """What is solved, on vectors."""
        p, x = values["p"], values["x0"]
        if self.start is not None:
            made = nest.array(np.zeros(self.n), np.float64)
            nest.rec.calls.inside(self.start)(made, p if self.has_parameters else None)
            x = made + x
        if self.runs:
            x = np.concatenate([x, np.zeros(1)])
        return Inside(nest, self.posed, x, p, (values["t0"][0], values["t1"][0]))

    def path(self, nest: Nest, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """The times and states that a result shows: at the data, or at all steps."""
        problem = self.problem(nest, values)
        t, y, _, _ = problem.at(values["t_eval"]) if self.has_data else problem.path()
        return t, y[: self.n]

    def solved(self, nest: Nest, values: Mapping[str, Any]) -> Solved:
        """The solution for the loss to look at."""
        problem = self.problem(nest, values)
        times = values["t_eval"] if self.has_data else values["t1"]
        if self.has_data and self.runs:  # the cost is wanted at the end
            times = np.concatenate([times, values["t1"]])
        y, t_events, y_events = problem.solution(times)
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
        found = None if y_events is None else [each[:, : self.n] for each in y_events]
        return Solved(y[: self.n], cost, t_events, found, problem.is_ended)

    def total(self, nest: Nest, values: Mapping[str, Any], solution: Solved) -> Any:
        """The loss of a solution and the running cost."""
        if self.loss is None:
            return solution.cost
        own = nest.rec.calls.inside(self.loss)(solution.y, values["p"] if self.has_parameters else None)
        return own if solution.cost is None else own + solution.cost


def _states(whole: TotalLoss, given: Any, *known: Any) -> Any:
    nest = nest_of(None, given)
    assert nest is not None
    return whole.path(nest, whole.values(given, known))[1]


def _instants(whole: TotalLoss, given: Any, *known: Any) -> Any:
    nest = nest_of(None, given)
    assert nest is not None
    return np.concatenate(whole.solved(nest, whole.values(given, known)).t_events)


def _loss(whole: TotalLoss, given: Any, *known: Any) -> Any:
    nest = nest_of(None, given)
    assert nest is not None
    values = whole.values(given, known)
    return whole.total(nest, values, whole.solved(nest, values))
