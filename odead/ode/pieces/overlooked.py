"""Flips that a solve has stepped over: those before the first one that it saw.

Between two times that are looked at, a switch may flip and flip back. How close its flips are, the first one that is located
does not tell, only those after it, up to which steps are limited. Where these are closer than the times that were looked at
before, the solve is done anew, with steps up to there that pass none of them: of `t > 5 and t % 0.2 < 0.1` DOP853 at 1e-6 saw
the first pulses only by chance, and was off by 1e5 tolerances.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from .instants import Happening

__all__ = ["Caution", "Sightings"]

RECENT: Final = 3  # flips before, that one is compared with: further ones may be far apart because others are
WIDE: Final = 1.5  # times between two flips: what lies between times further apart may be passed unseen
SHARE: Final = 0.25  # of the time between two flips: a step that passes none of them
SHORTEST: Final = 1e-3  # of the time up to the last of those to be looked for
FURTHER: Final = 2.0  # than that time: so the times of all solves that are done anew add up to no more than twice the last one


class Caution(NamedTuple):
    """Up to which time to take which steps at most."""

    until: float
    longest: float


class _Seen(NamedTuple):
    t: float
    width: float
    happening: Happening


@dataclass
class Sightings:
    """The switches located in a solve.

    Attributes
    ----------
    t0 : float
        Where it starts.
    caution : Caution or None
        What it takes care of, or once it is to be done anew, what that is to take care of.
    """

    t0: float
    caution: Caution | None = None
    _recent: list[_Seen] = field(default_factory=list)

    def longest(self, t: float) -> float:
        """The longest step of a piece that starts at a time."""
        caution = self.caution
        return np.inf if caution is None or abs(t - self.t0) >= abs(caution.until - self.t0) else caution.longest

    def overlooked(self, t: float, width: float, length: float, happening: Happening) -> bool:
        """Whether flips before this one may have been stepped over, which tells how close they are.

        Parameters
        ----------
        t : float
            Where it is.
        width : float
            Between the two times that were looked at around it.
        length : float
            Of the piece that it ends.
        happening : Happening
        """
        seen = next((s for s in self._recent if WIDE * length < s.width and _same(happening, s.happening)), None)
        self._recent = [*self._recent[1 - RECENT :], _Seen(t, width, happening)]
        if seen is None:
            return False
        last = max(self._recent[:-1], key=lambda s: abs(s.t - self.t0)).t
        until = self.t0 + FURTHER * (last - self.t0)
        longest = max(SHARE * length, SHORTEST * abs(until - self.t0))
        if longest >= seen.width:
            return False  # nothing would be otherwise
        self.caution = Caution(until, longest if self.caution is None else min(longest, self.caution.longest))
        return True


def _same(a: Happening, b: Happening) -> bool:
    """Whether the same lines flip."""
    lines = a.lines()
    return bool(lines) and lines == b.lines()
