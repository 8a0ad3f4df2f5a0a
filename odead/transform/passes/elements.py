"""Per-element maps of buffers: what is known about each element, addressed by views.

The passes decide about overlapping views element by element, which is exact for views of any shape. Only buffers
that are written more than once need a map, so the cost is that of touching this memory once, as a run does.
"""

from array import array
from typing import Final

import numpy as np

from ...views import View, extent, is_injective

__all__ = ["Marks", "Stamps"]

_STAMP: Final = np.dtype("i")


class Marks:
    """One bit of knowledge per element."""

    __slots__ = ("_memory",)

    def __init__(self, size: int, marked: bool) -> None:
        self._memory = bytearray(b"\x01" * size if marked else size)

    def _window(self, view: View) -> np.ndarray:
        if not view.size:  # its offset may lie anywhere
            return np.empty(view.shape, np.uint8)
        return np.ndarray(view.shape, np.uint8, self._memory, view.offset, view.strides)

    def any(self, view: View) -> bool:
        return bool(self._window(view).any()) if view.shape else self._memory[view.offset] != 0

    def mark(self, view: View) -> int:
        """Mark the elements of a view and return how many were not marked before."""
        if not view.shape:
            new = 1 - self._memory[view.offset]
            self._memory[view.offset] = 1
            return new
        if view.size == 0:
            return 0
        window = self._window(view)
        if is_injective(view):
            new = view.size - int(window.sum(dtype=np.int64))
            window[...] = 1
            return new
        low, high = extent(view)
        around = np.frombuffer(self._memory, np.uint8, high + 1 - low, low)
        before = int(around.sum(dtype=np.int64))
        window[...] = 1
        return int(around.sum(dtype=np.int64)) - before

    def clear(self, view: View) -> int:
        """Clear the elements of a view and return how many were marked before."""
        if not view.shape:
            old = self._memory[view.offset]
            self._memory[view.offset] = 0
            return old
        if view.size == 0:
            return 0
        window = self._window(view)
        old = int(window.sum(dtype=np.int64))
        window[...] = 0
        return old


class Stamps:
    """A number per element, of the last instruction that did something to it; -1 where none did."""

    __slots__ = ("_memory",)

    def __init__(self, size: int) -> None:
        self._memory = array(_STAMP.char, [-1]) * size

    def _window(self, view: View) -> np.ndarray:
        item = _STAMP.itemsize
        if not view.size:  # its offset may lie anywhere
            return np.empty(view.shape, _STAMP)
        return np.ndarray(view.shape, _STAMP, self._memory, item * view.offset, tuple(item * s for s in view.strides))

    def latest(self, view: View) -> int:
        """The largest number among the elements of a view, -1 for an empty one."""
        if not view.shape:
            return self._memory[view.offset]
        return int(self._window(view).max(initial=-1))

    def common(self, view: View) -> int:
        """The number that all elements of a view have, -1 if there is none."""
        if not view.shape:
            return self._memory[view.offset]
        if view.size == 0:
            return -1
        window = self._window(view)
        latest = int(window.max())
        return latest if latest == int(window.min()) else -1

    def all(self, view: View) -> list[int]:
        """The different numbers among the elements of a view."""
        return [int(number) for number in np.unique(self._window(view)) if number >= 0]

    def stamp(self, view: View, number: int) -> None:
        if not view.shape:
            self._memory[view.offset] = number
        elif view.size:
            self._window(view)[...] = number
