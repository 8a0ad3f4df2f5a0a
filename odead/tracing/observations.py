"""What a recorded function read from globals, closures and attributes, so that a later change of it is noticed."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import is_
from typing import Any, Final

import numpy as np

__all__ = ["IMMUTABLE", "MISSING", "Observations", "attribute_of", "contents_of", "entry_of", "items_of"]

MISSING: Final = object()
IMMUTABLE: Final = frozenset({bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, slice})

Read = Callable[[Any, Any], Any]


def entry_of(namespace: dict[Any, Any], name: Any) -> Any:
    return namespace.get(name, MISSING)


def contents_of(cell: Any, _: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return MISSING


def attribute_of(place: Any, name: str) -> Any:
    return getattr(place, name, MISSING)


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
        self._entries: dict[tuple[int, Any], tuple[Read, Any, Any]] = {}  # apart, because asking `stale` is part of every run
        self._lists: dict[int, tuple[list[Any], tuple[Any, ...]]] = {}  # looked at element by element, without a snapshot
        self._others: dict[tuple[int, Any], tuple[Read, Any, Any, Any]] = {}
        self._changes: dict[tuple[int, Any], tuple[Read, Any, Any, Any]] = {}

    def note(self, read: Read, place: Any, name: Any) -> None:
        """Note the present value, in place of one noted before."""
        if read is entry_of:
            self._entries[id(place), name] = (place.get, name, place.get(name, MISSING))
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
            if key in self._changes and _same(self._noted(read, place, name), before):
                self.note(read, place, name)

    def _noted(self, read: Read, place: Any, name: Any) -> Any:
        if read is entry_of:
            return self._entries[id(place), name][2]
        return self._lists[id(place)][1] if id(place) in self._lists else self._others[id(place), name][3]

    def stale(self) -> bool:
        """Whether anything has changed since it was read."""
        for get, name, value in self._entries.values():
            now = get(name, MISSING)
            if now is not value and not _same(now, value):
                return True
        for items, then in self._lists.values():
            if len(items) != len(then) or not (all(map(is_, items, then)) or _same(tuple(items), then)):
                return True
        for read, place, name, value in self._others.values():
            now = read(place, name)
            if now is not value and not _same(now, value):
                return True
        return False


def _same(now: Any, then: Any) -> bool:
    kind = type(then)
    if type(now) is not kind:
        return False
    if kind is tuple:
        return len(now) == len(then) and all(a is b or _same(a, b) for a, b in zip(now, then, strict=True))
    if kind in IMMUTABLE or issubclass(kind, np.generic):
        return bool(now == then and _sign(now) == _sign(then)) or bool(now != now and then != then)
    return False


def _sign(x: Any) -> float:
    """Tells -0.0 from 0.0, which are equal."""
    return math.copysign(1.0, x) if isinstance(x, (float, np.floating)) else 0.0
