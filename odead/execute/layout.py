"""From the shape and strides of the operands to a row and the axes around it: the fewest and longest rows."""

from functools import lru_cache
from typing import NamedTuple

__all__ = ["Axis", "Layout", "collapse", "merge"]


class Axis(NamedTuple):
    """`extent` steps, each of `strides[k]` elements in operand k."""

    extent: int
    strides: tuple[int, ...]


class Layout(NamedTuple):
    """Loops of an instruction: `row` is the innermost one, `axes` are around it, `starts[k]` elements are added to offset k."""

    row: Axis
    axes: tuple[Axis, ...]
    starts: tuple[int, ...]


_SHORT = 8  # a call per row costs about as much as this many elements


@lru_cache(maxsize=65536)
def collapse(shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> Layout:
    """Choose the loops of an elementwise operation, whose elements may be visited in any order.

    `strides` has those of the result, in which no element repeats, first. Axes are turned so that the result goes upwards,
    ordered by its strides and merged where all operands allow it.
    """
    axes = [Axis(extent, steps) for extent, steps in zip(shape, zip(*strides, strict=True), strict=True) if extent != 1]
    starts = [0] * len(strides)
    for k, (extent, steps) in enumerate(axes):
        if steps[0] < 0:
            starts = [start + (extent - 1) * step for start, step in zip(starts, steps, strict=True)]
            axes[k] = Axis(extent, tuple(-step for step in steps))
    axes.sort(key=lambda axis: -axis.strides[0])
    axes = merge(axes)
    if not axes:
        return Layout(Axis(1, (0,) * len(strides)), (), tuple(starts))
    longest = max(range(len(axes)), key=lambda k: axes[k].extent)
    inner = longest if axes[-1].extent < _SHORT and axes[longest].extent > 4 * axes[-1].extent else len(axes) - 1
    row = axes.pop(inner)
    return Layout(row, tuple(axes), tuple(starts))


def merge(axes: list[Axis]) -> list[Axis]:
    """Drop axes of extent 1 and join neighbours that all operands walk through as through one axis; keeps the order."""
    merged: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        if merged and all(a == b * axis.extent for a, b in zip(merged[-1].strides, axis.strides, strict=True)):
            merged[-1] = Axis(merged[-1].extent * axis.extent, axis.strides)
        else:
            merged.append(axis)
    return merged
