"""What a recorded function read from globals, closures and attributes, so that a later change of it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._observed import IMMUTABLE, MISSING, attribute_of, changed, contents_of, entry_of, same

__all__ = ["IMMUTABLE", "MISSING", "Observations", "attribute_of", "contents_of", "entry_of", "items_of"]

Read = Callable[[Any, Any], Any]


def items_of(container: Any, _: Any) -> Any:
    """What a list, dict or set holds, or the elements of an array: a snapshot."""
    if isinstance(container, np.ndarray):
        return (container.dtype.str, container.shape, container.tobytes())
    return tuple(container.items()) if isinstance(container, dict) else tuple(container)


class Observations:
    """Names read while recording, and the values found.

    Immutable values are compared, all others (arrays, functions, classes, modules) must still be the same object: the
    contents of an array are read at every run.
    """

    __slots__ = ("_changes", "_entries", "_lists", "_others")

    def __init__(self) -> None:
        self._entries: dict[tuple[int, Any], tuple[Any, Any, Any]] = {}
        self._lists: dict[int, tuple[list[Any], tuple[Any, ...]]] = {}  # looked at element by element, without a snapshot
        self._others: dict[tuple[int, Any], tuple[Read, Any, Any, Any]] = {}
        self._changes: dict[tuple[int, Any], tuple[Read, Any, Any, Any]] = {}

    def note(self, read: Read, place: Any, name: Any) -> None:
        """Note the present value, in place of one noted before."""
        if read is entry_of:
            self._entries[id(place), name] = (place, name, entry_of(place, name))
        elif read is items_of and type(place) is list:
            self._lists[id(place)] = (place, tuple(place))
        else:
            self._others[id(place), name] = (read, place, name, read(place, name))

    def note_change(self, read: Read, place: Any, name: Any, before: Any) -> None:
        """Note the value that the recorded function itself has left in the place of `before`."""
        self._changes.setdefault((id(place), name), (read, place, name, before))
        self.note(read, place, name)

    def follow(self, later: Observations) -> None:
        """Note anew what a later recording of the same function has changed, where this one has left the value before.

        Without this, two variants of a function that counts its calls would make each other stale at every turn.
        """
        for key, (read, place, name, before) in later._changes.items():
            if key in self._changes and same(self._noted(read, place, name), before):
                self.note(read, place, name)

    def _noted(self, read: Read, place: Any, name: Any) -> Any:
        if read is entry_of:
            return self._entries[id(place), name][2]
        return self._lists[id(place)][1] if id(place) in self._lists else self._others[id(place), name][3]

    def stale(self) -> bool:
        """Whether anything has changed since it was read."""
        return changed(self._entries, self._lists, self._others)
