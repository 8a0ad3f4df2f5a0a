"""Events that change nothing: their roots are looked for on the solution, whose steps know nothing of them, as in SciPy."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq

from ..problem.problem import Problem
from .instants import Occurrence

__all__ = ["passed"]

LOOKS: Final = 4  # in each step, as the compiled loop does for the events that it stops at
XTOL: Final = 4 * float(np.finfo(float).eps)


def passed(problem: Problem, sol: Any, until: float, signs: np.ndarray) -> tuple[list[Occurrence], np.ndarray]:
    """The passive events on a piece, one after the other, and the signs of the root functions after them.

    Parameters
    ----------
    problem : Problem
        From the start of the piece, with the right-hand side that it has there.
    sol : callable
        The states on it, perhaps followed by more rows.
    until : float
        Where it ends.
    signs : array
        Of the root functions at its start; 0: none.
    """
    events, p, n = problem.events, problem.p, problem.x0.size
    assert events is not None
    direction = -1.0 if until < problem.t0 else 1.0
    times = _looks(sol.ts, problem.t0, until, direction)
    values = events.along(times, np.ascontiguousarray(sol(times)[:n].T), p)
    found, signs = [], signs.copy()
    for number in np.flatnonzero(events.passive & (signs != 0)).tolist():

        def root(t: float, number: int = number) -> float:
            return float(events.values(np.array(sol(t)[:n]), p, t)[number])

        for k, sign in _changes(values[:, number], signs[number]):
            if events.directions[number] * -sign >= 0:
                found.append(_occurrence(problem, sol, number, _locate(root, times[max(k - 1, 0)], times[k]), direction * sign))
            signs[number] = -sign
    return sorted(found, key=lambda occurrence: direction * occurrence.t), signs


def _looks(steps: np.ndarray, start: float, until: float, direction: float) -> np.ndarray:
    """Times at which the signs are compared, the start first and the end last."""
    inside = steps[(direction * (steps - start) > 0) & (direction * (until - steps) > 0)]
    ends = np.concatenate([[start], inside, [until]])
    parts = np.arange(1, LOOKS + 1) / LOOKS
    looks = (ends[:-1, None] + parts * np.diff(ends)[:, None]).ravel()
    looks[LOOKS - 1 :: LOOKS] = ends[1:]
    return np.append(start, looks)


def _changes(values: np.ndarray, sign: float) -> Iterator[tuple[int, float]]:
    """Where the sign is no longer what it was, and what it was. What is not a number has none."""
    for k in range(1, values.size):
        if sign * values[k] <= 0:
            yield k, sign
            sign = -sign


def _locate(root: Any, before: float, after: float) -> float:
    values = root(before), root(after)
    if values[0] * values[1] >= 0:  # at the end, or within rounding
        return before if abs(values[0]) < abs(values[1]) else after
    return float(brentq(root, before, after, xtol=XTOL, rtol=XTOL))


def _occurrence(problem: Problem, sol: Any, number: int, t: float, sign: float) -> Occurrence:
    events, p, x = problem.events, problem.p, np.array(sol(t)[: problem.x0.size])
    assert events is not None
    slope = np.empty(x.size)
    problem.rhs(slope, x, p, t)
    gradient = events.gradient(number, x, p, t)
    rate = gradient.rate(slope)
    return Occurrence(number, t, x, gradient.move(rate) if rate * sign < 0 else None)
