"""Nested containers of arrays and numbers, taken apart into leaves and put together again.

tuple, list, dict, NamedTuple and dataclass are containers; everything else is a leaf. A `Structure` is what remains when
the leaves are taken out: hashable, so that it can be part of a cache key.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CellType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Place", "Structure", "flatten", "map_leaves", "places", "promoted"]


class Structure(NamedTuple):
    """The shape of a container.

    Attributes
    ----------
    kind : type or None
        Class of the container; None for a leaf.
    keys : tuple
        Keys of a dict or field names of a dataclass, in order; empty otherwise.
    children : tuple of Structure
    """

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: "tuple[Structure, ...]" = ()

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The container with these leaves, in the order of `flatten`."""
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        values = [child._build(leaves) for child in self.children]
        if self.kind in (tuple, list):
            return self.kind(values)
        if issubclass(self.kind, tuple):
            return self.kind(*values)
        if issubclass(self.kind, dict):
            return self.kind(zip(self.keys, values, strict=True))
        return _new_dataclass(self.kind, dict(zip(self.keys, values, strict=True)))


LEAF = Structure(None)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Leaves in depth-first order, and the structure that puts them together again."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind is np.ndarray or kind is float:  # by far the most frequent
        leaves.append(tree)
        return LEAF
    if isinstance(tree, (tuple, list)):
        return Structure(kind, (), tuple(_flatten(item, leaves) for item in tree))
    if isinstance(tree, dict):
        return Structure(kind, tuple(tree), tuple(_flatten(item, leaves) for item in tree.values()))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(field.name for field in dataclasses.fields(tree))
        return Structure(kind, names, tuple(_flatten(getattr(tree, name), leaves) for name in names))
    leaves.append(tree)
    return LEAF


class Place(NamedTuple):
    """Where a leaf can be replaced: in a list, a dict, an object that is not frozen, or (key None) a closure cell."""

    owner: Any
    key: Any

    def put(self, value: Any) -> None:
        if isinstance(self.owner, (list, dict)):
            self.owner[self.key] = value
        elif isinstance(self.owner, CellType):
            self.owner.cell_contents = value
        else:
            setattr(self.owner, self.key, value)


def places(tree: Any) -> list[Place | None]:
    """For each leaf, in the order of `flatten`, its place; None in a tuple, a frozen dataclass and outside of any container."""
    found: list[Place | None] = []
    _find_places(tree, None, found)
    return found


def _find_places(tree: Any, place: Place | None, found: list[Place | None]) -> None:
    items: Iterable[tuple[Any, Any]]
    mutable = not isinstance(tree, tuple)
    if isinstance(tree, (tuple, list)):
        items = enumerate(tree)
    elif isinstance(tree, dict):
        items = tree.items()
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        items = [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
        mutable = not getattr(tree, "__dataclass_params__").frozen  # noqa: B009  # mypy does not know the attribute
    else:
        found.append(place)
        return
    for key, item in items:
        _find_places(item, Place(tree, key) if mutable else None, found)


def promoted(tree: Any) -> Any:
    """The same with a bare int, and ints in plain tuples, as floats."""
    if type(tree) is int or issubclass(type(tree), np.integer):
        return float(tree)
    if type(tree) is tuple:
        return tuple(promoted(item) for item in tree)
    return tree


def _new_dataclass(kind: type, values: dict[str, Any]) -> Any:
    """An instance with these fields, without running `__init__`, which may compute or refuse."""
    new: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(new, name, value)
    return new


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same container with `function` applied to each leaf."""
    leaves, structure = flatten(tree)
    return structure.unflatten([function(leaf) for leaf in leaves])
