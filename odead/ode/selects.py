"""Which switches recorded as values jump during a solve: their sides differ where they flip.

`np.where`, steps, comparisons used as numbers, and an `if` per element, which the recording turns into `where`: most flip
without a jump, as limiters do in each step, and stay what they are. Those that jump are to be located.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ..derivatives.kernel import Kernel, Variant, empty_results

__all__ = ["Flips", "discontinuous_selects"]

BISECTIONS: Final = 50  # down to neighbouring floats of the time
AGREE: Final = 1e-9  # a change of the slope at the switch, relative to its size on the way, that is rounding or less: no jump


MOST_WAYS: Final = 32  # each is a recording of its own
FEW_STEPS: Final = 8  # a flip in no more than every so manyth step is no chattering


@dataclass(frozen=True)
class Flips:
    """How a switch that jumps flips during a solve.

    Attributes
    ----------
    steps : int
        With a flip.
    ways : int
        Different values of all of its elements, those between the flips of one step counted.
    """

    steps: int
    ways: int

    def __add__(self, other: "Flips") -> "Flips":
        return Flips(self.steps + other.steps, self.ways + other.ways)

    def are_few(self, nsteps: int) -> bool:
        """Whether they can be located one by one, in a solve of so many steps."""
        return self.ways <= MOST_WAYS and (self.steps <= MOST_WAYS or self.steps * FEW_STEPS <= nsteps)


class _Seen(NamedTuple):
    """What the switches of a right-hand side were at one point, and its slope there."""

    variant: Variant
    slope: np.ndarray
    values: list[np.ndarray]

    def switches(self) -> Iterator[tuple[str, np.ndarray]]:
        """Source line, key."""
        program = self.variant.executable.program
        for buffer, value in zip(program.results, self.values, strict=True):
            yield program.buffers[buffer].name, np.ravel(value)


def discontinuous_selects(kernel: Kernel, t: np.ndarray, y: np.ndarray, p: tuple[np.ndarray, ...]) -> dict[str, Flips]:
    """The source lines of switches that flip between the rows of `y` while their two sides differ.

    Parameters
    ----------
    kernel : Kernel
        Derived by `frozen.observe_keys`.
    t : array, shape (m,)
    y : array, shape (m, n)
    p : tuple of array
        The parameters, if there are any.

    Returns
    -------
    dict of str to Flips
        Between two rows the states are taken on the straight line.
    """

    def seen(time: float, x: np.ndarray) -> _Seen:
        values: list[np.ndarray] = []
        slope = np.empty(x.size)
        arguments = (slope, np.ascontiguousarray(x), *p, float(time))

        def assemble(variant: Variant) -> list[object]:
            values[:] = empty_results(variant)
            return [*arguments, *values]

        return _Seen(kernel.run(arguments, assemble), slope, values)

    found: dict[str, None] = {}
    points = [seen(time, x) for time, x in zip(t, y, strict=True)]
    negligible = AGREE * max((np.abs(point.slope).max(initial=0.0) for point in points), default=0.0)
    for k in range(len(points) - 1):
        before, after = points[k], points[k + 1]
        if before.variant is not after.variant:
            continue  # a branch, which is located
        for number, ((line, a), (_, b)) in enumerate(zip(before.switches(), after.switches(), strict=True)):
            flipped = np.flatnonzero(a != b)
            if line in found or not flipped.size:
                continue
            element = int(flipped[0])
            low, high = (t[k], y[k]), (t[k + 1], y[k + 1])
            slopes = [before.slope, after.slope]
            for _ in range(BISECTIONS):
                middle = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
                here = seen(*middle)
                if here.variant is not before.variant:
                    break
                if list(here.switches())[number][1][element] == a[element]:
                    low, slopes[0] = middle, here.slope
                else:
                    high, slopes[1] = middle, here.slope
            if np.abs(slopes[1] - slopes[0]).max(initial=0.0) > negligible:
                found[line] = None
    return {line: _flips(line, points) for line in found}


def _flips(line: str, points: list[_Seen]) -> Flips:
    """How the switches of a line flip between these points."""
    steps, between, ways = 0, 0, set()
    before: list[np.ndarray] = []
    for point in points:
        keys = [value for source, value in point.switches() if source == line]
        ways.add(b"".join(key.tobytes() for key in keys))
        flipped = sum(int(np.count_nonzero(a != b)) for a, b in zip(before, keys, strict=False))
        steps += flipped > 0
        between += max(flipped - 1, 0)
        before = keys
    return Flips(steps, len(ways) + between)
