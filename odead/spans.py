"""Arrays that overlap in memory: the stretch they share, and each as a view of it.

Two arguments of a call may be slices of one array. What is written through one is read through the other, so a program has to
see one memory for both: the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .views import View

__all__ = ["Span", "address_of", "spans"]


class Span(NamedTuple):
    """The memory of arrays that overlap, directly or through others.

    Attributes
    ----------
    arrays : tuple of ndarray
        Of one dtype.
    dtype : dtype
    size : int
        Number of elements from the first to the last.
    parts : tuple of View
        Of each array, in a buffer of this size; the number of the buffer is 0.
    """

    arrays: tuple[np.ndarray, ...]
    dtype: np.dtype[Any]
    size: int
    parts: tuple[View, ...]

    def memory(self) -> np.ndarray:
        """All elements from the first to the last, as a flat array that is no copy."""
        owner = next((x for x in self.arrays if x.flags.writeable), self.arrays[0])
        address = address_of(self.arrays[0]) - self.parts[0].offset * self.dtype.itemsize
        return np.asarray(_Memory(owner, address, self.size))

    @property
    def key(self) -> tuple[int, tuple[View, ...]]:
        """What a recorded program depends on."""
        return self.size, self.parts

    @staticmethod
    def part_of(memory: np.ndarray, part: View) -> np.ndarray:
        """The array that a view is, for flat memory."""
        strides = [stride * memory.itemsize for stride in part.strides]
        return np.ndarray(part.shape, memory.dtype, memory, part.offset * memory.itemsize, strides)


class _Memory:
    """Speaks NumPy's array interface for a stretch of memory that an array owns, or has from its owner."""

    def __init__(self, owner: np.ndarray, address: int, size: int) -> None:
        self._owner = owner  # keeps the memory alive
        self.__array_interface__ = {
            "shape": (size,),
            "typestr": owner.dtype.str,
            "data": (address, not owner.flags.writeable),
            "version": 3,
        }


def address_of(x: np.ndarray) -> int:
    """Of the first element."""
    address: int = x.__array_interface__["data"][0]
    return address


def spans(arrays: Sequence[np.ndarray]) -> list[Span]:
    """The spans of those of the arrays that overlap with another one.

    An array that occurs twice as the same object does not overlap with itself.

    Raises
    ------
    TypeError
        Two of them overlap but are of different dtypes, or lie at distances that are no whole number of elements. Its
        argument `arrays` has the two.
    """
    distinct = list({id(x): x for x in arrays if x.size}.values())
    ranges = [np.lib.array_utils.byte_bounds(x) for x in distinct]
    order = sorted(range(len(distinct)), key=lambda k: ranges[k])
    group = list(range(len(distinct)))
    end, running = -1, [0] * 0
    for k in order:
        low, high = ranges[k]
        if low >= end:
            running = []
        for other in running:
            if ranges[other][1] > low and group[other] != group[k] and np.shares_memory(distinct[k], distinct[other]):
                joined, left = group[other], group[k]
                group = [joined if g == left else g for g in group]
        running.append(k)
        end = max(end, high)
    members: dict[int, list[int]] = {}
    for k, number in enumerate(group):
        members.setdefault(number, []).append(k)
    return [_span([distinct[k] for k in ks]) for ks in members.values() if len(ks) > 1]


def _span(arrays: list[np.ndarray]) -> Span:
    dtype = arrays[0].dtype
    low = min(np.lib.array_utils.byte_bounds(x)[0] for x in arrays)
    high = max(np.lib.array_utils.byte_bounds(x)[1] for x in arrays)
    parts = []
    for x in arrays:
        distances = [address_of(x) - low, *x.strides]
        if x.dtype != dtype or any(distance % dtype.itemsize for distance in distances):
            raise TypeError("overlapping arrays of different dtypes, or at distances of parts of an element", x, arrays[0])
        offset, *strides = [distance // dtype.itemsize for distance in distances]
        parts.append(View(0, offset, x.shape, tuple(strides)))
    return Span(tuple(arrays), dtype, (high - low) // dtype.itemsize, tuple(parts))
