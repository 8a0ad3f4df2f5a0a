"""`solve` inside a function that is being differentiated.

States and parameters, with what the right-hand side, the events and the stops close over, become two vectors, on which the
solve is a primitive (`variations`). Times that move are steps of length 0 before and after it (`moving`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ...containers import Structure, flatten, map_leaves
from ...derivatives.nested import Nest
from ...errors import ArgumentTypeError, ArgumentValueError
from ...rules.easy import stop_gradient
from ...tape import Role
from ...tracing.recorder import is_traced
from ..arguments.layout import Layout, Slot, lay_out
from ..arguments.signature import flat_event, flat_rhs, flat_stops, name_of
from ..problem.doubled import named
from ..problem.underlying import consistent, underlying
from ..results.solution import Solution
from ..rhs.mass import check_mass, without_regular
from ..solve import choose_engine
from .closing import Closing
from .moving import event_time, moved, shift
from .recorded import COUNTS, ENDED, REACHED, RecordedSolution
from .variations import Posed, solved, stepped, steps_of, worked

__all__ = [
    "OPTIONS",
    "Inside",
    "as_array",
    "check_options",
    "ending",
    "packed",
    "pair_of_times",
    "solve_inside",
    "states_at",
    "twins",
]

OPTIONS: Final = (
    "method", "engine", "rtol", "atol", "first_step", "max_step", "max_steps", "mode", "sens_rtol", "sens_atol", "checkpoints",
)  # fmt: skip

Solve = Callable[..., Solution]


def solve_inside(
    nest: Nest, solve: Solve, rhs: Callable[..., Any], x0: Any, p: Any, tspan: Any, t_eval: Any, options: Mapping[str, Any]
) -> Solution:
    """Record a solve.

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
        An argument does not fit.
    """
    options = check_options(nest, options)
    if callable(x0):
        x0 = x0(p)
    tspan = pair_of_times(tspan)
    problem, layout = _posed(nest, solve, rhs, as_array(nest, x0), p, tspan, options)
    times = None if t_eval is None else as_array(nest, t_eval)
    t, y, t_events, y_events = problem.path() if t_eval is None else problem.at(times)
    sol = partial(states_at, layout, problem.interpolant) if options["dense_output"] else None
    fields = {
        "t": t, "y": layout.states(y), "sol": sol, "t_events": t_events,
        "y_events": None if y_events is None else [layout.states(each.T).T for each in y_events],
        "success": True, "method": options["method"], "mode": "solve", "name": name_of(rhs), **ending(problem, options),
    }  # fmt: skip
    result = RecordedSolution(**fields)
    result.derive_later({name: partial(problem.work, t, k) for k, name in enumerate(COUNTS)})
    return result


def ending(problem: Inside, options: Mapping[str, Any]) -> dict[str, Any]:
    """How the solve ended, and the engine."""
    engine = choose_engine(options["engine"], options["method"]).name
    return {"status": int(problem.is_ended), "message": ENDED if problem.is_ended else REACHED, "engine": engine}


def check_options(nest: Nest, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a solve, the mass matrix as the user's own array; refused where they depend on what is differentiated."""
    options = {**options, "mass_matrix": nest.untraced(options["mass_matrix"])}
    for name in ("mass_matrix", "rtol", "atol", "first_step", "max_step", "sens_rtol", "sens_atol"):
        if any(map(is_traced, flatten(options[name])[0])):
            raise ArgumentTypeError(f"{name}: an option of a solve cannot be computed from what is differentiated")
    if not callable(options["tstops"]) and any(map(is_traced, flatten(options["tstops"])[0])):
        raise ArgumentTypeError("tstops: times that are computed from what is differentiated must be a function tstops(p)")
    return options


def pair_of_times(tspan: Any) -> tuple[Any, ...]:
    """t0 and t1, perhaps of an array."""
    if not isinstance(tspan, (tuple, list)) and np.shape(getattr(tspan, "value", tspan)) == (2,):
        return tspan[0], tspan[1]
    return tuple(tspan)


def _posed(
    nest: Nest, solve: Solve, rhs: Callable[..., Any], x0: Any, p: Any, ends: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[Inside, Layout]:
    """The problem on vectors, and how the states are packed."""
    events, stops = options["events"], options["tstops"]
    closing = Closing(nest, p, rhs, () if events is None else (events,) if callable(events) else tuple(events), stops)
    trees = ((x0, "x0"), (closing.p, "p"))
    (x_layout, x), (p_layout, p_values) = [lay_out(twins(nest, tree), name, complex_allowed=True) for tree, name in trees]
    flat = flat_rhs(closing.rhs, None, x_layout, p_layout)
    flat, mass = without_regular(flat, check_mass(options["mass_matrix"], x.size, x_layout))
    if isinstance(flat, partial):
        flat = named(flat, name_of(rhs))
    own = {name: options[name] for name in OPTIONS} | {"atol": x_layout.tolerances(options["atol"], "atol")}
    posed = Posed(
        flat, name_of(rhs), own,
        [flat_event(event, x_layout, p_layout) for event in closing.events], flat_stops(closing.tstops, p_layout), mass,
    )  # fmt: skip
    jac = closing.jac(options["jac"])
    if not isinstance(jac, str):  # compared with the exact one
        span = [nest.twin(end) for end in ends]
        given = {"jac": jac, "mass_matrix": options["mass_matrix"], "max_steps": options["max_steps"]}
        solve(closing.rhs, twins(nest, x0), twins(nest, closing.p), span, **given)
    vectors = (packed(nest, x_layout, x0, x), packed(nest, p_layout, closing.p, p_values))
    return Inside(nest, posed, *vectors, ends), x_layout


def states_at(layout: Layout, sol: Callable[..., Any], t: Any) -> Any:
    return layout.states(sol(t))


class Inside:
    """A problem on vectors, in a recording.

    Parameters
    ----------
    nest : Nest
        The recording.
    posed : Posed
        Its functions are in the user's world.
    x, p : array
        Perhaps traced.
    ends : tuple
        t0 and t1, perhaps traced.
    """

    def __init__(self, nest: Nest, posed: Posed, x: Any, p: Any, ends: Sequence[Any]) -> None:
        self.nest, self.posed, self.x, self.p, self.ends = nest, posed, x, p, ends
        self.flat, self.constraints = self._here(posed.rhs), posed.constraints
        self.moving = self.flat if self.constraints is None else underlying(self.flat, self.constraints)
        self.has_parameters = bool(np.size(nest.twin(p)))
        self.is_ended = False

    def _here(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """One of the user's functions in the recording."""
        return self.nest.rec.calls.inside(function)

    @property
    def _parameters(self) -> Any:
        """As functions on vectors take them."""
        return self.p if self.has_parameters else None

    def solution(self, times: Any) -> tuple[Any, Any, Any]:
        """The solution at times, and times and states of each event."""
        y, found, instants, counts = self._at(times)
        events = self.posed.events
        if not events:
            return y, None, None
        moving, states = [], []
        for k, number in enumerate(number for number, count in enumerate(counts) for _ in range(count)):
            x, t = found[:, k].copy(), instants[k]
            late = event_time(self._here(events[number]), self.moving, x, self._parameters, t)
            moving.append(t + late)
            states.append(moved(self.moving, x, self._parameters, t, late))
        stops = np.cumsum(counts).tolist()
        ranges = [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]
        empty = np.zeros((0, found.shape[0]))
        lasts = [int(event.terminal or 0) for event in events]
        self.is_ended = any(0 < last <= count for last, count in zip(lasts, counts, strict=True))
        return (
            y,
            [self.nest.array(moving[each], np.float64) if moving[each] else np.zeros(0) for each in ranges],
            [np.stack(states[each]) if states[each] else empty for each in ranges],
        )

    def at(self, times: Any) -> tuple[Any, Any, Any, Any]:
        """Those of the times that the solve reaches, the solution there, and times and states of each event."""
        y, t_events, y_events = self.solution(times)
        return times[: y.shape[1]], y, t_events, y_events

    def path(self) -> tuple[Any, Any, Any, Any]:
        """The same at the instants between which the solve steps, and at an event that ends it."""
        t, y, t_events, y_events = self.at(self._steps())
        if self.is_ended:
            t, y = self._with_end(t, y, t_events, y_events)
        return t, y, t_events, y_events

    def work(self, times: Any, number: int) -> Any:
        """One of `COUNTS`; None where the engine does not tell."""
        counts = worked(self.posed, self.x, self.p, *[stop_gradient(each) for each in (self._span(self.ends), times)])
        return None if self.nest.twin(counts)[number] < 0 else counts[number]

    def _steps(self) -> Any:
        """The instants between which the solve steps: t0 and t1 move with tspan, those between stay.

        A later run with another number of steps is recorded anew. An event that ends the solve is left to `_with_end`.
        """
        nest, posed = self.nest, self.posed
        ends = [stop_gradient(end) if is_traced(end) else end for end in self.ends]
        at = (self.x, self.p, self._span(ends))
        times = stepped(posed, len(steps_of(posed, *[np.array(nest.twin(each)) for each in at])), *at)
        if not any(map(is_traced, self.ends)):
            return times
        reaches_end = nest.twin(times)[-1] == nest.twin(self.ends[1])
        last = [self.ends[1]] if reaches_end and is_traced(self.ends[1]) else times[-1:]
        return np.concatenate([times[:-1], last])

    def _with_end(self, times: Any, y: Any, t_events: Any, y_events: Any) -> tuple[Any, Any]:
        """The times and states, with those at the event that ended the solve."""
        ended = [
            k for k, event in enumerate(self.posed.events) if 0 < int(event.terminal or 0) <= self.nest.twin(t_events[k]).size
        ]
        last = max(ended, key=lambda k: abs(self.nest.twin(t_events[k])[-1] - self.nest.twin(self.ends[0])))
        return np.concatenate([times, t_events[last][-1:]]), np.concatenate([y, y_events[last][-1:].T], axis=1)

    def interpolant(self, t: Any) -> Any:
        """The solution as a function of time: one more solve."""
        times = as_array(self.nest, t)
        values = self.nest.twin(times)
        order = np.argsort(values, kind="stable")
        if self.nest.twin(self.ends[1]) < self.nest.twin(self.ends[0]):
            order = order[::-1]
        y = self._at(times[order])[0]
        if y.shape[1] < values.size:
            raise ArgumentValueError(f"sol: t = {values[order][y.shape[1]]:.6g} is after the event that ended the solve")
        return y[:, np.argsort(order)] if np.ndim(self.nest.twin(t)) else y[:, 0]

    def _at(self, times: Any) -> tuple[Any, Any, Any, tuple[int, ...]]:
        """The solution at times; at the events, at fixed instants; these, and how often each event happened."""
        nest, posed, x = self.nest, self.posed, self.x
        ends = [stop_gradient(end) if is_traced(end) else end for end in self.ends]
        if is_traced(self.ends[0]):
            x = nest.array(x, np.float64)
            if self.constraints is not None:
                x = consistent(self.flat, self.constraints, x, self._parameters, self.ends[0])
            x = moved(self.moving, x, self._parameters, self.ends[0], -shift(self.ends[0]))
        fixed = stop_gradient(times) if is_traced(times) else times
        at = (x, self.p, self._span(ends), fixed)
        if posed.events:
            posed = posed.expecting(*[np.array(nest.twin(each)) for each in at])
        both, instants = solved(posed, *at)
        reached, *counts = posed.expected or (np.size(nest.twin(times)),)
        y, found = both[:, :reached], both[:, reached:]
        if reached and (self._moves(times) or is_traced(self.ends[0])):
            late = [self._late(times, fixed, ends[0], k) for k in range(reached)]
            y = np.stack(
                [moved(self.moving, y[:, k].copy(), self._parameters, fixed[k], late[k]) for k in range(reached)], axis=1
            )
        return y, found, instants, tuple(counts)

    def _span(self, ends: Sequence[Any]) -> Any:
        return self.nest.array(ends, np.float64) if any(map(is_traced, ends)) else np.array(ends, dtype=float)

    def _moves(self, times: Any) -> bool:
        """Whether times may have derivatives: not as an array that the function has captured."""
        if not is_traced(times):
            return False
        rec, buffer = self.nest.rec, times.place.buffer
        captured = rec.program.buffers[buffer].role is Role.CAPTURED and buffer not in rec.scratch
        return not captured and buffer not in rec.static

    def _late(self, times: Any, fixed: Any, start: Any, k: int) -> Any:
        """How the time of a datum moves; a datum at t0 is x0, wherever t0 is."""
        own = shift(times[k]) if is_traced(times) else 0.0
        if not is_traced(self.ends[0]):
            return own
        return np.where(fixed[k] == start, shift(self.ends[0]), own)


def twins(nest: Nest, tree: Any) -> Any:
    """A container with the values that it has in the recording."""
    return map_leaves(nest.twin, tree)


def packed(nest: Nest, layout: Layout, tree: Any, values: np.ndarray) -> Any:
    """The vector of a container: traced if anything in it is."""
    leaves = flatten(tree)[0]
    if not any(map(is_traced, leaves)):
        return values
    parts: dict[Slot, Any] = {}
    for slot, leaf in zip(layout.leaves, leaves, strict=True):
        if isinstance(slot, Slot) and slot not in parts:
            parts[slot] = _floats(nest, [leaf] if slot.shape is None else leaf, slot.dtype == "complex128")
    return np.concatenate(list(parts.values()))


def _floats(nest: Nest, x: Any, is_complex: bool) -> Any:
    if not is_complex:
        return nest.array(x, np.float64).reshape(-1)
    z = nest.array(x, np.complex128).reshape(-1)
    return np.stack([z.real, z.imag], axis=1).reshape(-1)


def as_array(nest: Nest, x: Any) -> Any:
    """Numbers, or a list of them, as one array; other containers as they are."""
    leaves, structure = flatten(x)
    if not _is_plain(structure) or (is_traced(x) and isinstance(x, np.ndarray) and x.ndim):
        return x
    dtype = np.complex128 if any(np.iscomplexobj(nest.twin(leaf)) for leaf in leaves) else np.float64
    if any(map(is_traced, leaves)):
        return nest.array(x, dtype).reshape(-1)
    return np.atleast_1d(np.asarray(x, dtype=dtype))


def _is_plain(structure: Structure) -> bool:
    return structure.kind in (None, list, tuple) and all(map(_is_plain, structure.children))
