"""Chattering: a switch, or an event, that happens for ever, at one instant or ever faster towards one.

Where both sides of a switch lead back to it, the solution would slide along it (A. F. Filippov, Differential Equations with
Discontinuous Righthand Sides (1988)), which is a solution of neither side: one instant shows that (`instants`). A relay that
acts through an inertia comes to such a place by switching ever faster, ever more slowly: of that a forecast tells.
"""

from typing import Final

import numpy as np

from ..problem.problem import Problem

__all__ = ["REPEATING", "SLIDING", "Held", "Rhythm"]

SLIDING: Final = (
    (
        "a sliding mode: the right-hand side of one side leads to the other one, and that of the other one back, "
        "as of a thermostat without hysteresis or of dry friction that holds"
    ),
    (
        "hysteresis (an event whose reset sets a state that says which side is on), or a switch that is smooth "
        "over a short distance, as 0.5 + 0.5 * np.tanh((a - b) / width) in place of a > b"
    ),
)
REPEATING: Final = (
    "events or switches that follow each other ever faster, as the bounces of a ball that comes to rest",
    "a terminal event, or a reset that ends them when they have become small",
)
MOST_HELD: Final = 200  # short steps over switches that jump, until it is better to locate these
FEWEST: Final = 64  # switches that are forecast from
EVERY: Final = 16  # switches
SHRINKS: Final = 0.9  # from the third quarter to the last one: what shrinks less may shrink no further
AHEAD: Final = 16.0  # how much denser than now the switches may become in a forecast: they may settle in a cycle


class Rhythm:
    """How the switches that depend on the state follow each other, and whether the end can be reached at this rate.

    Of a system that oscillates faster and faster, or is switched so by a signal, the switching function does not change ever
    more slowly; and where the switches are far enough apart to be taken one by one until the end, nothing is said.
    """

    def __init__(self) -> None:
        self._lengths: list[float] = []
        self._rates: list[float] = []

    def beat(self, length: float, rate: float) -> None:
        """A switch, so long after the one before it, whose switching function changes at this rate."""
        self._lengths.append(length)
        self._rates.append(abs(rate))

    def cannot_end(self, left: float, steps: int) -> bool:
        """Whether so many steps, at least one from switch to switch, will not be enough for the time that is left."""
        count = len(self._lengths)
        if count < FEWEST or count % EVERY:
            return False
        quarter = count // 4
        before, lately = (np.mean(self._lengths[-k * quarter :][:quarter]) for k in (2, 1))
        slower = np.mean(self._rates[-quarter:]) <= SHRINKS * np.mean(self._rates[-2 * quarter :][:quarter])
        if not slower or lately > SHRINKS * before:
            return False
        growth = np.log(before / lately) / (quarter * (before + lately) / 2)  # of how many there are in a unit of time
        denser = np.exp(min(growth * left, np.log(AHEAD)))
        return bool(left / lately * denser > steps)


class Held:
    """`System.slides`, for a problem whose right-hand side has switches recorded as values, and no branches."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._held = 0

    def __call__(self, t: float, x: np.ndarray, step: float) -> bool:
        problem = self._problem
        selects = problem.rhs.selects(problem.x0, problem.p, problem.t0, by_p=False)
        found = selects.see_in(t, x[: problem.x0.size].copy(), step)
        self._held += any(flips.jumps for flips in found)
        return self._held > MOST_HELD or any(flips.slides for flips in found)
