"""Branches that flip at the same instant for different reasons, as those of equal elements of an array do.

In general the derivative depends on which of them is first. It does not where they leave each other alone: the jumps of the
slope add up, and none changes the rate of another one's switching function. Then each jump moves with its own switch.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ..problem.problem import Problem
from ..rhs.jumps import Gradient, Jump
from ..rhs.sides import Branch

__all__ = ["jumps_apart"]

MOST: Final = 32  # each needs a recording in which it alone has flipped
ASIDE: Final = 1e-8  # how far to go, relative to the state, until one alone has flipped
NEGLIGIBLE: Final = 1e-6  # of the jumps or rates

At = tuple[np.ndarray, float]


def jumps_apart(
    problem: Problem,
    branch: Branch,
    at: At,
    gradients: Sequence[Gradient],
    direction: float,
    slopes: tuple[np.ndarray, np.ndarray],
    slope_of: Callable[[Branch], np.ndarray],
) -> list[Jump]:
    """The jump of each switch.

    Parameters
    ----------
    problem : Problem
    branch : Branch
        Before the instant.
    at : tuple of array and float
        State and time just before it.
    gradients : sequence of Gradient
        Of the switching functions that flip.
    direction : float
        1.0 or -1.0, of time.
    slopes : tuple of array
        Before and after it.
    slope_of : callable
        The slope of another branch there.

    Returns
    -------
    list of Jump
        Empty where it depends on the order, or cannot be told.
    """
    before, after = slopes
    rows = np.array([[*g.x, g.t] for g in gradients])
    rates = np.array([g.rate(before) for g in gradients])
    groups = _groups(np.column_stack([rows, [g.p for g in gradients]]) / rates[:, None])
    if len(groups) > MOST:
        return []
    firsts = [group[0] for group in groups]
    rows, rates = rows[firsts], rates[firsts]
    onwards = rows * np.sign(direction * rates)[:, None]
    nowhere, gaps = _aside(onwards, None, at), []
    for number, group in enumerate(groups):
        alone = _aside(onwards, number, at)
        other = problem.rhs.branch(alone[0].copy(), problem.p, alone[1])
        flipped = branch.switches.changed(nowhere, alone, problem.p)
        if len(flipped) != len(group) or len(_groups(np.array([[*g.x, g.t, *g.p] for g, _ in flipped]))) != 1:
            return []
        gaps.append(slope_of(other) - before)
    jumps = np.array(gaps)
    if np.abs(jumps.sum(axis=0) - (after - before)).max() > NEGLIGIBLE * np.abs(jumps).max():
        return []
    crossed = rows[:, :-1] @ jumps.T  # how each jump changes the rate of each switch
    np.fill_diagonal(crossed, 0.0)
    if (np.abs(crossed) > NEGLIGIBLE * np.abs(rates)[:, None]).any():
        return []
    return [Jump(gradients[k].move(rate), -gap) for k, rate, gap in zip(firsts, rates, jumps, strict=True)]


def _groups(rows: np.ndarray) -> list[list[int]]:
    """The numbers of the rows that are the same but for their length."""
    groups: list[list[int]] = []
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for number, row in enumerate(rows):
        for group in groups:
            if abs(abs(row @ rows[group[0]]) - 1) <= NEGLIGIBLE**2:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _aside(rows: np.ndarray, number: int | None, at: At) -> At:
    """A state and a time close by where this switching function is beyond its root, and no other one."""
    wanted = np.where(np.arange(len(rows)) == number, 1.0, -1.0) * np.linalg.norm(rows, axis=1)
    aside = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    x, t = at
    size = (np.abs(aside) / np.append(1 + np.abs(x), 1 + abs(t))).max()
    aside *= ASIDE / size
    return x + aside[:-1], t + float(aside[-1])
