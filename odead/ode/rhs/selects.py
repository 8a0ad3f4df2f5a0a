"""Which switches recorded as values jump or bend during a solve: their sides, or the slopes of these, differ where they flip.

`np.where`, steps, kinks, comparisons used as numbers, and an `if` per element, which the recording turns into `where`: some
flip in each step, as limiters do, or without an effect, and stay what they are. Those that jump, or bend now and then, are to
be located: over a kink a step has not the order of its method, and the derivatives of the solution lose one order more. With
RK45 the gradient of a saturated controller was off by 430 tolerances.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..._system import Roots

__all__ = ["Flips", "Selects"]

Point = tuple[float, np.ndarray]  # time and state

BISECTIONS: Final = 50  # down to neighbouring floats of the time
AGREE: Final = 1e-9  # a change of the slope at the switch, relative to the terms in it, that is rounding or less: no jump
NUDGE: Final = 1e-7  # of the states, to see how large these terms are
LOOKS: Final = 32  # flips of a line that are looked at, of one chunk of states; where there are more it is a limiter
# A change of the derivative along the step, relative to that of the whole step: less is no kink. A state that passes one may be
# slow among fast ones, which its derivatives do not know: a kink of 7e-3 cost them 3800 tolerances at rtol 1e-6.
BENDS: Final = 1e-4
ASIDE: Final = 1e-3  # of the step: how far from the switch to look for it
ROUNDING: Final = 1e-10  # of the size: a change of the derivative so found that may be nothing else
MOST_OF_ONE: Final = 60
MOST: Final = 200  # each takes half a millisecond to locate
MOST_JUMPS: Final = 5000  # for derivatives, which are wrong without
MOST_KINKS: Final = 40  # for a solution without derivatives: steps that heed them do
FEW_STEPS: Final = 8  # a flip in no more than every so manyth step is no chattering
SHORTEST: Final = 8  # steps, the shortest ones, that are looked at for what holds a solve up
HELD_UP: Final = 64  # steps, of which that is worth it
FURTHER: Final = 2.0  # steps, to look beyond the end of one: where a switch holds a solve up, steps may end before it
LADDER: Final = 10.0 ** np.arange(8)  # times the last step of a solve that failed, to look for what is before it


@dataclass
class Flips:
    """How the switches of a line flip during a solve.

    Attributes
    ----------
    counts : array of int
        Of each of its switches.
    jumps : bool
        Whether the two sides differ.
    bends : bool
        Whether their slopes do.
    slides : bool
        Whether both sides lead back to the switch.
    apart : float
        The shortest time seen between two flips.
    steps : int
        In which they flip.
    """

    counts: np.ndarray
    jumps: bool = False
    bends: bool = False
    slides: bool = False
    apart: float = np.inf
    steps: int = 0

    def add(self, counts: np.ndarray) -> None:
        """Count more flips; a way through the branches may have passed the line more often than those before."""
        longer, shorter = (self.counts, counts) if self.counts.size >= counts.size else (counts, self.counts)
        self.counts = longer + np.pad(shorter, (0, longer.size - shorter.size))

    def are_few(self, nsteps: int, *, differentiated: bool) -> bool:
        """Whether they are to be located one by one, in a solve of so many steps."""
        most, total = self.counts.max(initial=0), self.counts.sum()
        if self.jumps and (self.slides or (differentiated and total <= MOST_JUMPS)):
            return True
        seen = most <= MOST_OF_ONE or most * FEW_STEPS <= nsteps  # of one that flips more often, flips may have been missed
        return bool(seen and (total <= (MOST if self.jumps or differentiated else MOST_KINKS) or total * FEW_STEPS <= nsteps))


class Selects:
    """The switches recorded as values of a right-hand side without branches.

    Parameters
    ----------
    lines : sequence of str
        The source line of each key; see `frozen`.
    keys : Roots
        Their values.
    slope : callable
        (x, t) -> f
    by_p : callable, optional
        (x, t) -> the derivatives by p of a sum that mixes the elements of f. What these alone have, as a kink times a
        parameter that is small now, an adjoint must see; columns of derivatives see it in their error test.
    """

    def __init__(
        self, lines: Sequence[str], keys: Roots, slope: Callable[[np.ndarray, float], np.ndarray],
        by_p: Callable[[np.ndarray, float], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self._keys, self._slope, self._by_p = keys, slope, by_p
        names = np.array(lines)
        self._columns = {line: np.flatnonzero(names == line) for line in dict.fromkeys(lines)}

    def see(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]], found: dict[str, Flips]) -> None:
        """Add to `found` how the lines flip along states (k, n) at times (k,), taken on the straight line between."""
        for t, y in chunks:
            keys = self._keys.along(t, y)
            if keys is None:
                raise ArithmeticError("the switches of the right-hand side cannot be evaluated at a state of its solution")
            changed = keys[1:] != keys[:-1]
            if t.size > HELD_UP:
                self._see_shortest(t, y, found)
            if not changed.any():
                continue
            for line, columns in self._columns.items():
                steps = np.flatnonzero(changed[:, columns].any(axis=1))
                if not steps.size:
                    continue
                flips = found.setdefault(line, Flips(np.zeros(columns.size, dtype=int)))
                flips.add(np.count_nonzero(changed[:, columns], axis=0))
                flips.steps += steps.size
                flips.apart = min(flips.apart, float(np.abs(np.diff(t[steps + 1])).min(initial=np.inf)))
                looked_at = steps[np.linspace(0, steps.size - 1, min(LOOKS, steps.size)).astype(int)]
                for k in looked_at.tolist():
                    for which in dict.fromkeys(columns[changed[k, columns]][[0, -1]].tolist()):
                        if not flips.jumps:
                            self._look((t[k], y[k]), (t[k + 1], y[k + 1]), which, flips)

    def see_ahead(self, t: float, x: np.ndarray, step: float, found: dict[str, Flips]) -> None:
        """Add to `found` what a solve was about to reach that failed here with steps of this size."""
        for h in (step * LADDER).tolist():
            if self._see_before((t, x), h, found):
                break

    def see_in(self, t: float, x: np.ndarray, step: float) -> list[Flips]:
        """Those that flip in a step of this length, or a little beyond it."""
        found: dict[str, Flips] = {}
        self._see_before((t, x), FURTHER * step, found)
        return list(found.values())

    def _see_shortest(self, t: np.ndarray, y: np.ndarray, found: dict[str, Flips]) -> None:
        """See whether a switch holds the solve up: in the shortest steps, and a little beyond them."""
        dt = np.diff(t)
        for k in np.argsort(np.where(dt == 0, np.inf, np.abs(dt)), kind="stable")[:SHORTEST].tolist():
            self._see_before((t[k], y[k]), FURTHER * dt[k], found)

    def _see_before(self, start: Point, dt: float, found: dict[str, Flips]) -> bool:
        """Whether a switch that jumps flips on the straight line along the slope."""
        time, x = start
        end = time + dt, x + dt * self._slope(x, time)
        if not np.isfinite(end[1]).all():
            return False
        keys = self._keys.along(np.array([time, end[0]]), np.array([x, end[1]]))
        flipped, jumped = [] if keys is None else np.flatnonzero(keys[0] != keys[1]).tolist(), False
        for which in flipped[:: max(len(flipped) - 1, 1)]:
            line = next(line for line, columns in self._columns.items() if which in columns)
            flips = found.setdefault(line, Flips(np.zeros(self._columns[line].size, dtype=int)))
            if self._jumps(start, end, which):
                flips.jumps = jumped = True
                flips.slides = flips.slides or self._slides(start, end, which)
        return jumped

    def _look(self, start: Point, end: Point, which: int, flips: Flips) -> None:
        """See whether the right-hand side jumps or bends where a key flips in a step, compared with its terms there."""
        ends, (before, after) = self._at_flip(start, end, which)
        size = np.fmax(self._terms(*ends[0]), np.maximum(np.abs(before), np.abs(after)))
        flips.jumps = bool(np.abs(after - before).max(initial=0.0) > AGREE * size.max(initial=0.0))
        if flips.jumps or flips.bends:
            return
        flips.bends = _bends(self._slope, start, end, ends[0], size)
        if not flips.bends and self._by_p is not None:
            at = np.abs(self._by_p(ends[0][1], ends[0][0]))
            flips.bends = _bends(self._by_p, start, end, ends[0], at)

    def _terms(self, time: float, x: np.ndarray) -> np.ndarray:
        """The sizes of the terms that add up to each slope, which its rounding is relative to: how it changes with the states.

        The size of slopes elsewhere says nothing: where a solution grew, or decayed, by 1e9, kinks were taken for rounding.
        """
        nudge = NUDGE * np.cos(np.arange(1.0, x.size + 1) ** 2)  # without a pattern: no terms cancel
        return np.asarray(np.abs(self._slope(x + nudge * x, time) - self._slope(x, time)) / NUDGE)

    def _at_flip(self, start: Point, end: Point, which: int) -> tuple[tuple[Point, Point], tuple[np.ndarray, np.ndarray]]:
        """The neighbouring points between which a key flips on the straight line, and the slopes there."""
        ends = self._keys.flip(*start, *end, which, BISECTIONS)
        if ends is None:
            raise ArithmeticError("the switches of the right-hand side cannot be evaluated between two states of its solution")
        (t, x), (time, other) = ends
        return ((t, x), (time, other)), (self._slope(x, t), self._slope(other, time))

    def _jumps(self, start: Point, end: Point, which: int) -> bool:
        """Whether the right-hand side jumps where a key flips in a step, compared with its size there."""
        _, slopes = self._at_flip(start, end, which)
        gap = np.abs(slopes[1] - slopes[0]).max(initial=0.0)
        return bool(gap > AGREE * max(np.abs(slope).max(initial=0.0) for slope in slopes))

    def _slides(self, start: Point, end: Point, which: int) -> bool:
        """Whether the right-hand side on both sides leads back to the switch where a key flips in a step."""
        ends, slopes = self._at_flip(start, end, which)
        dt = ASIDE * (end[0] - start[0])
        there = [(time + dt, x + dt * slope) for (time, x), slope in zip(ends, slopes, strict=True)]
        points = [*ends, *there]
        keys = self._keys.along(np.array([time for time, _ in points]), np.array([x for _, x in points]))
        if keys is None:
            return False
        before, after, from_before, from_after = keys[:, which]
        return bool(before == from_after != after == from_before)


def _bends(function: Callable[[np.ndarray, float], np.ndarray], start: Point, end: Point, at: Point, size: np.ndarray) -> bool:
    """Whether the slope of a function along a step changes at a point of it; `size` is what rounding is relative to."""
    (time, x), dt, dx = at, end[0] - start[0], end[1] - start[1]
    middle, first, last = function(x, time), function(start[1], float(start[0])), function(end[1], float(end[0]))
    far, near = (
        (function(x - a * dx, time - a * dt) - 2 * middle + function(x + a * dx, time + a * dt)) / a for a in (ASIDE, ASIDE / 4)
    )
    bend = np.abs(4 * near - far) / 3  # without what the second derivatives on both sides add, which is 4 times less nearby
    return bool((bend > BENDS * np.abs(last - first) + ROUNDING * size).any())
