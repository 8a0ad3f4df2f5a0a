"""make_zero: shadows of arrays, containers, functions and objects."""

from __future__ import annotations

import copy
import functools
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np

from .containers import flatten, map_leaves
from .holders import PLAIN_OBJECTS, attributes, class_of, held, is_holder
from .spans import Span, spans

__all__ = ["make_zero"]


def make_zero(x: Any) -> Any:
    """A shadow for `x`: floats and float arrays become zero, the rest is kept.

    Parameters
    ----------
    x : array, number, container, function or callable object
        A function or object gives one of the same code or class that holds shadows: closure cells, attributes and what lies
        in them. Aliasing inside x (the same array twice, views of one array) is kept; no memory is shared with x.

    Returns
    -------
    same structure, shapes and dtypes as x
    """
    return _Zeroing(x).of(x)


class _Zeroing:
    """Keeps what has been made, so that what is one thing in x is one thing in its shadow."""

    def __init__(self, x: Any) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # id -> the thing, so that the id stays its own, and its shadow
        leaves = [leaf for leaf in flatten(x)[0] if not _is_traced(leaf)]
        inside = [x.value for leaf in leaves if is_holder(leaf) for x in held(leaf) if not _is_traced(x.value)]
        for span in spans([leaf for leaf in (*leaves, *inside) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fc"]):
            memory = np.zeros(span.size, span.dtype)
            for array, part in zip(span.arrays, span.parts, strict=True):
                self._made[id(array)] = (array, Span.part_of(memory, part))

    def of(self, x: Any) -> Any:
        return map_leaves(self._leaf, x)

    def _leaf(self, x: Any) -> Any:
        if _is_traced(x) and isinstance(x, np.ndarray):
            return self._once(x, np.zeros_like)
        if isinstance(x, (float, complex, np.inexact)):
            return x.__class__(0)  # of a traced number, the class that it stands for
        if isinstance(x, np.ndarray):
            return self._once(x, self._array)
        if isinstance(x, MethodType) and is_holder(x):
            return MethodType(self._leaf(x.__func__), self._leaf(x.__self__))
        if isinstance(x, functools.partial) and is_holder(x):
            return functools.partial(self._leaf(x.func), *self.of(x.args), **self.of(x.keywords))
        if isinstance(x, FunctionType) and is_holder(x):
            return self._function(x)
        return self._object(x) if is_holder(x) else x

    def _once(self, x: Any, make: Any) -> Any:
        if id(x) not in self._made:
            self._made[id(x)] = (x, make(x))
        return self._made[id(x)][1]

    @staticmethod
    def _array(x: np.ndarray) -> np.ndarray:
        return np.zeros_like(x) if x.dtype.kind in "fc" else copy.copy(x)

    def _function(self, f: FunctionType) -> FunctionType:
        known = self._made.get(id(f))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]
        cells = tuple([self._once(cell, lambda _: CellType()) for cell in f.__closure__ or ()])
        made = FunctionType(f.__code__, f.__globals__, f.__name__, None, cells)
        self._made[id(f)] = (f, made)  # before the cells, which may lead back here
        made.__defaults__ = None if f.__defaults__ is None else tuple(map(self._default, f.__defaults__))
        made.__kwdefaults__ = {name: self._default(x) for name, x in f.__kwdefaults__.items()} if f.__kwdefaults__ else None
        made.__qualname__, made.__module__, made.__doc__ = f.__qualname__, f.__module__, f.__doc__
        made.__dict__.update({name: self._default(x) for name, x in vars(f).items()})
        for cell, new in zip(f.__closure__ or (), cells, strict=True):
            if not _is_bound(new) and _is_bound(cell):
                new.cell_contents = self.of(cell.cell_contents)
        return made

    def _default(self, x: Any) -> Any:
        """A number that is a default is an argument left out, not something held."""
        return x if isinstance(x, (float, complex, np.inexact)) else self.of(x)

    def _object(self, x: Any) -> Any:
        known = self._made.get(id(x))
        if known is not None:
            return known[1]
        kind: Any = class_of(x)
        made = kind() if isinstance(x, PLAIN_OBJECTS) else object.__new__(kind)
        self._made[id(x)] = (x, made)
        for name, value in attributes(x).items():
            object.__setattr__(made, name, self.of(value))
        return made


def _is_traced(x: Any) -> bool:
    """Whether x is of a function that is being recorded; its arrays are taken as if none overlapped."""
    return hasattr(type(x), "__odead_stop__")


def _is_bound(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
