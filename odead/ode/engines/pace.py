"""How long the steps of a backward solve may be, from those of the forward solve.

J along x(t) may have a spike, as where dry friction, smoothed over a thousandth of the velocity, changes its sign, or where a
saturated controller is for a moment inside its bounds. Lambda before and after it is smooth, so that the error test of a step
over the spike sees nothing: gradients were wrong by up to 80 % at rtol = 1e-6. The forward solve has seen it, as x' changes
there, and its steps tell where and how narrow it is. Smooth problems (Lotka-Volterra, Robertson, heat) cost the same as before.
"""

from typing import Final, NamedTuple

import numpy as np

__all__ = ["Pace"]

RATIO: Final = 2.0  # how many times longer than each forward step within it a backward step may be


class Pace(NamedTuple):
    """The longest step from each time, which grows while the forward solve is followed backwards.

    A step is at most `RATIO` times as long as each forward step that it reaches into.

    Attributes
    ----------
    ends : array, shape (k + 1,)
        Of the forward steps, sorted; time 0 is after the first, if not at it.
    longest : array, shape (k,)
        The longest step that begins within each of them, for its own length.
    beyond : array, shape (k,)
        The same, for the lengths of all that come later, if it began at its end; inf for the last one.
    """

    ends: np.ndarray
    longest: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, steps: np.ndarray) -> "Pace":
        """From the ends of the forward steps in the order in which a backward solve comes to them, as times that grow.

        The first one was cut off by the end of the forward solve and not by an error test: it counts with its neighbour.
        """
        ends = np.unique(steps)
        if ends.size > 2:
            ends = np.delete(ends, 1)
        longest = RATIO * np.diff(ends)
        beyond = np.append(longest[1:], np.inf)
        ahead, open_ = 1, np.arange(longest.size - 1)  # steps that begin at the end of these may reach further than so many
        while open_.size:
            later = open_ + 1 + ahead
            inside = later < longest.size
            open_, later = open_[inside], later[inside]
            distance = ends[later] - ends[open_ + 1]
            reached = distance < beyond[open_]
            open_, later, distance = open_[reached], later[reached], distance[reached]
            beyond[open_] = np.minimum(beyond[open_], np.maximum(distance, longest[later]))
            ahead += 1
        return cls(ends, longest, beyond)

    def since(self, time: float) -> "Pace":
        """The same for a solve whose time 0 is this one."""
        return self._replace(ends=self.ends - time)

    def limit(self, t: float) -> float:
        """The longest step from a time."""
        k = min(max(int(self.ends.searchsorted(t, "right")) - 1, 0), self.longest.size - 1)
        return float(min(self.longest[k], max(self.beyond[k], self.ends[k + 1] - t)))
