"""How instructions that are cut along one axis touch memory, and how far apart in that axis two of them meet."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..views import View, overlap

__all__ = ["FAR", "Access", "access", "distance"]

FAR: Final = 1 << 60  # a distance that no block allows
_MOST_LANES: Final = 64


class Access(NamedTuple):
    """A view seen from the axis along which it is cut.

    Attributes
    ----------
    view : View
    axis : int
        -1 where index after index touches all of the view.
    start : int
        Lowest element at index 0.
    step : int
        Elements from one index to the next.
    span : int
        What the axes behind the cut one add at most.
    outer : tuple of (extent, stride)
        The axes before the cut one, strides positive.
    extent : int
        Indices.
    """

    view: View
    axis: int
    start: int
    step: int
    span: int
    outer: tuple[tuple[int, int], ...]
    extent: int


def access(view: View, axis: int) -> Access:
    """Return how `view` is touched index by index of `axis`."""
    start, span = view.offset, 0
    outer: list[tuple[int, int]] = []
    for k, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        if k == axis or extent == 1 or stride == 0:
            continue
        if stride < 0:
            start, stride = start + (extent - 1) * stride, -stride
        if k < axis:
            outer.append((extent, stride))
        else:
            span += (extent - 1) * stride
    step, count = (0, 1) if axis < 0 else (view.strides[axis], view.shape[axis])
    return Access(view, axis, start, step, span, tuple(outer), count)


def distance(a: Access, b: Access) -> int | None:
    """Return the largest i - j such that index i of `a` and index j of `b` touch one element; None where they never meet.

    An upper bound: spans count as touched throughout. FAR where the two do not go through memory side by side.
    """
    if a.view.buffer != b.view.buffer:
        return None
    if a.step != b.step or a.step <= 0 or a.outer != b.outer or len(a.outer) > 1:
        return FAR if overlap(a.view, b.view) else None
    lanes, between = a.outer[0] if a.outer else (1, 0)
    if lanes > _MOST_LANES:
        return FAR if overlap(a.view, b.view) else None
    found = None
    for lane in range(1 - lanes, lanes):
        apart = b.start - a.start + lane * between
        least = max(-((a.span - apart) // a.step), 1 - b.extent)
        most = min((apart + b.span) // a.step, a.extent - 1)
        if least <= most and (found is None or most > found):
            found = most
    return found
