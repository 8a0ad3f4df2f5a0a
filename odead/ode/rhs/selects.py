"""Which switches recorded as values jump during a solve: their sides differ where they flip.

`np.where`, steps, comparisons used as numbers, and an `if` per element, which the recording turns into `where`: most flip
without a jump, as limiters do in each step, and stay what they are. Those that jump are to be located.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..._system import Roots

__all__ = ["Flips", "Selects"]

BISECTIONS: Final = 50  # down to neighbouring floats of the time
AGREE: Final = 1e-9  # a change of the slope at the switch, relative to its size on the way, that is rounding or less: no jump
LOOKS: Final = 32  # flips of a line that are looked at, of one chunk of states; where there are more it is a limiter
MOST_WAYS: Final = 60  # each is a recording of its own
FEW_STEPS: Final = 8  # a flip in no more than every so manyth step is no chattering


@dataclass
class Flips:
    """How the switches of a line flip during a solve.

    Attributes
    ----------
    steps : int
        With a flip.
    between : int
        Flips in the same step as another one.
    ways : set of bytes
        Values of all of its switches; not all of them where there are too many.
    jumps : bool
        Whether the two sides differ.
    """

    steps: int = 0
    between: int = 0
    ways: set[bytes] = field(default_factory=set)
    jumps: bool = False

    def are_few(self, nsteps: int) -> bool:
        """Whether they can be located one by one, in a solve of so many steps."""
        few = self.steps <= MOST_WAYS or self.steps * FEW_STEPS <= nsteps
        return few and len(self.ways) + self.between <= MOST_WAYS

    def see(self, before: np.ndarray, after: np.ndarray) -> None:
        """The switches before and after one step."""
        flipped = int(np.count_nonzero(before != after))
        self.steps += 1
        self.between += flipped - 1
        if len(self.ways) <= MOST_WAYS:
            self.ways |= {before.tobytes(), after.tobytes()}


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
    """

    def __init__(self, lines: Sequence[str], keys: Roots, slope: Callable[[np.ndarray, float], np.ndarray]) -> None:
        self._keys, self._slope = keys, slope
        names = np.array(lines)
        self._columns = {line: np.flatnonzero(names == line) for line in dict.fromkeys(lines)}

    def see(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]], found: dict[str, Flips]) -> None:
        """Add to `found` how the lines flip along states (k, n) at times (k,), taken on the straight line between."""
        for t, y in chunks:
            keys = self._keys.along(t, y)
            if keys is None:
                raise ArithmeticError("the switches of the right-hand side cannot be evaluated at a state of its solution")
            changed = keys[1:] != keys[:-1]
            if not changed.any():
                continue
            dt, dy = np.abs(np.diff(t)), np.abs(np.diff(y, axis=0)).max(axis=1, initial=0.0)
            size = float((dy[dt > 0] / dt[dt > 0]).max(initial=0.0))
            for line, columns in self._columns.items():
                steps = np.flatnonzero(changed[:, columns].any(axis=1))
                if not steps.size:
                    continue
                flips = found.setdefault(line, Flips())
                for k in steps.tolist():
                    flips.see(keys[k, columns], keys[k + 1, columns])
                looked_at = steps[np.linspace(0, steps.size - 1, min(LOOKS, steps.size)).astype(int)]
                flips.jumps = flips.jumps or any(
                    self._jumps(t, y, k, which, size)
                    for k in looked_at.tolist()
                    for which in dict.fromkeys(columns[changed[k, columns]][[0, -1]].tolist())
                )

    def _jumps(self, t: np.ndarray, y: np.ndarray, k: int, which: int, size: float) -> bool:
        """Whether the right-hand side does where one key flips in step k, compared with its size on the way."""
        ends = self._keys.flip(t[k], y[k], t[k + 1], y[k + 1], which, BISECTIONS)
        if ends is None:
            raise ArithmeticError("the switches of the right-hand side cannot be evaluated between two states of its solution")
        before, after = (self._slope(x, time) for time, x in ends)
        size = max(np.abs(before).max(initial=0.0), np.abs(after).max(initial=0.0), size)
        return bool(np.abs(after - before).max(initial=0.0) > AGREE * size)
