"""Instants that are known before the solve, as doses: resets happen, and stops are stepped onto, inside the compiled loop.

An event whose value is t - c, of a constant c, happens at c whatever the solution is. Its instant does not move, so that the
sensitivities are pushed through the reset and have no other jump. A stop where the right-hand side does not jump is the end of
a step and nothing else; if it moves with p, that changes nothing.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..engines.engine import AbstractEngine, Controls, System, Trajectory
from ..problem.events import Events, Reset
from ..problem.problem import Problem
from ..rhs.jumps import Move, PassedReset
from ..rhs.rhs import CompiledRhs
from .instants import TOGETHER, Occurrence

__all__ = ["TimedReset", "known_resets", "solve_through"]


class TimedReset(NamedTuple):
    """The reset of an event, and when it happens; a stop has no event, -1, and no reset."""

    number: int
    t: float
    reset: Reset | None


def known_resets(problem: Problem, times: np.ndarray | None) -> list[TimedReset] | None:
    """The resets and stops in the order in which they come, where all events are resets at known instants inside the span.

    None where one is something else, or where what has to be told apart is closer than rounding.
    """
    events, stops = problem.events, problem.stops
    if (events is None and stops is None) or problem.halves is not None or problem.rhs.branches or problem.rhs.mass is not None:
        return None
    if stops is not None and _may_jump(problem.rhs):
        return None
    sign = -1.0 if problem.t1 < problem.t0 else 1.0
    found = [] if events is None else _resets_of(problem, events, sign)
    if found is None:
        return None
    if stops is not None:
        due = {timed.t for timed in found}
        found += [TimedReset(-1, t, None) for t in np.unique(stops.times).tolist() if t not in due]
    found.sort(key=lambda timed: sign * timed.t)
    at = [timed.t for timed in found]
    if problem.t1 in at or any(_touch(t, other) for t, other in pairwise(at)):
        return None
    if times is None:
        return found
    data = sign * times
    for t, k in zip(at, np.searchsorted(data, [sign * t for t in at]).tolist(), strict=True):
        if any(other != t and _touch(t, other) for other in times[max(k - 1, 0) : k + 2].tolist()):
            return None
    return found


def _resets_of(problem: Problem, events: Events, sign: float) -> list[TimedReset] | None:
    """Those inside the span, if all events are resets at known instants."""
    if any(events.terminal) or None in events.resets:
        return None
    instants = events.instants(problem.x0, problem.p, problem.t0)
    if instants is None or any(t == problem.t0 for t, _ in instants):
        return None
    return [
        TimedReset(number, t, reset)
        for number, (reset, (t, slope)) in enumerate(zip(events.resets, instants, strict=True))
        if sign * (t - problem.t0) > 0 >= sign * (t - problem.t1) and events.directions[number] * sign * slope >= 0
    ]


def _may_jump(rhs: CompiledRhs) -> bool:
    """Whether it has branches or switches, or calls functions of which nothing is known."""
    return bool(rhs.branches or rhs.has_selects or "call" in rhs.value_kernel.program.op)


def _touch(t: float, other: float) -> bool:
    return bool(abs(other - t) <= TOGETHER * np.spacing(max(abs(t), abs(other))))


def solve_through(
    resets: list[TimedReset],
    engine: AbstractEngine,
    problem: Problem,
    make: Callable[[Problem], System],
    controls: Controls,
    times: np.ndarray | None,
    directions: np.ndarray | None,
    *,
    dense: bool = False,
    differentiated: bool = False,
) -> tuple[Problem, Trajectory, list[tuple[Occurrence, np.ndarray | None, np.ndarray | None]], list[PassedReset]]:
    """Solve in one loop; other arguments as for `piecewise.integrate`.

    Returns
    -------
    smooth : Problem
        Without its events.
    trajectory : Trajectory
        Its steps, and the solution between them, begin where the resets leave the state; the instants belong to what is before.
    happened : list of tuple
        Each reset, the tangents before it and how its instant moves.
    passed : list of PassedReset
        The resets where derivatives are wanted.
    """
    n, p = problem.x0.size, problem.p
    smooth = problem._replace(events=None, stops=None)
    seeds = np.empty((0, p.size)) if directions is None else directions
    compiled = tuple(None if timed.reset is None else timed.reset.compiled(problem.x0, p, timed.t, seeds) for timed in resets)
    system = make(smooth)._replace(resets=(np.array([timed.t for timed in resets]), compiled))
    trajectory, passed = engine.integrate(system, controls, times, dense), []
    there = [(timed, timed.reset, z) for timed, z in zip(resets, trajectory.before, strict=False)]  # if it failed, not all
    if differentiated:
        passed = [PassedReset(timed.t, reset.at(z[:n], p, timed.t), z[:n]) for timed, reset, z in there if reset is not None]
    if trajectory.steps is not None:
        trajectory = trajectory._replace(steps=trajectory.steps._replace(passed=passed))
    still = Move(np.zeros(n), np.zeros(p.size))
    happened = []
    for timed, reset, z in there:
        if reset is None:
            continue
        tangents, dt = (None, None) if directions is None else (z[n:].reshape(-1, n), np.zeros(len(seeds)))
        happened.append((Occurrence(timed.number, timed.t, z[:n], still), tangents, dt))
    return smooth, trajectory, happened, passed
