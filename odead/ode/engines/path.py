"""The states at the steps of a solve, some at a time: they may be more than fit beside the solve."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..._record import Record

__all__ = ["Path", "Rows", "at_point", "of_record", "of_solution"]

NUMBERS: Final = 1 << 18  # of states at a time

Rows = tuple[np.ndarray, Callable[[int, int], np.ndarray]]  # the times, shape (k,), and from a range to the states in it


@dataclass(frozen=True)
class Path:
    """Parts, one after the other, each read when it is needed.

    Attributes
    ----------
    n : int
        Numbers of a state.
    parts : sequence of callable
    """

    n: int
    parts: Sequence[Callable[[], Rows]]

    def then(self, part: Callable[[], Rows]) -> "Path":
        """With a part at its end."""
        return Path(self.n, [*self.parts, part])

    def chunks(self, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Times (k,) and states (k, n), each chunk from the last one of the chunk before it.

        Parameters
        ----------
        most : int, optional
            How many states are enough for each part, spread evenly.
        """
        room = max(NUMBERS // self.n, 2)
        t, y = np.zeros(0), np.zeros((0, self.n))
        for part in self.parts:
            times, rows = part()
            step = 1 if most is None else max(-(-times.size // most), 1)
            for start in range(0, times.size, room * step):
                stop = min(start + room * step, times.size)
                t = np.append(t[-1:], times[start:stop:step])
                y = np.vstack([y[-1:], rows(start, stop)[::step]])
                yield t, y


def of_record(record: Record, n: int) -> Callable[[], Rows]:
    """The first n numbers of the states in a record, as it is now; those that will follow do not belong to it."""
    count = record.count

    def rows() -> Rows:
        times = record.times[: count + 1 : record.stride][: record.kept]  # none of a solve that could not begin
        return times, lambda start, stop: record.states_between(start, stop)[:, :n]

    return rows


def of_solution(sol: Any, n: int) -> Callable[[], Rows]:
    """The first n numbers of a solution at its steps."""
    return lambda: (sol.ts, lambda start, stop: np.ascontiguousarray(sol(sol.ts[start:stop])[:n].T))


def at_point(t: float, x: np.ndarray) -> Callable[[], Rows]:
    """One state."""
    return lambda: (np.array([t]), lambda start, stop: x[None])
