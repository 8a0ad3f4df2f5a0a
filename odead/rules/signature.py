"""Signature: what one recorded call of a primitive takes and leaves, as arrays in a row.

A call instruction reads its operands and writes one flat array of float64 in which everything it leaves stands in a row: the
leaves of the returned value, then the exit values of what the primitive writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from ..containers import Structure, flatten
from ..errors import RuleError
from .primitive import Primitive

__all__ = ["EXACT", "Same", "Signature", "Slot", "Static", "by_parameter", "offsets", "read", "shape_of", "write"]

EXACT: Final = 2**53  # integers that float64 holds


class Slot(NamedTuple):
    """One array or number.

    Attributes
    ----------
    dtype : str
    shape : tuple of int
    kind : type
        ndarray, or the type of the number.
    """

    dtype: str
    shape: tuple[int, ...]
    kind: type

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype[0] == "f"

    def value(self, array: Any) -> Any:
        """A private array, or a number of the right type."""
        if self.kind is np.ndarray:
            return np.array(array, self.dtype).reshape(self.shape)
        return self.kind(np.asarray(array).reshape(())[()])

    def zero(self) -> Any:
        return np.zeros(self.shape, self.dtype) if self.kind is np.ndarray else 0.0


class Static(NamedTuple):
    """A leaf that is the same at every run."""

    value: Any


class Same(NamedTuple):
    """A returned leaf that is an operand, the very array."""

    operand: int


def offsets(slots: Sequence[Slot]) -> Iterator[tuple[Slot, int, int]]:
    """Each slot with where it begins and ends in the row."""
    start = 0
    for slot in slots:
        yield slot, start, start + slot.size
        start += slot.size


def write(row: np.ndarray, values: Sequence[Any], slots: Sequence[Slot], lanes: tuple[int, ...] = ()) -> None:
    """Put values into the last axis of a row."""
    for value, (_, start, stop) in zip(values, offsets(slots), strict=True):
        row[..., start:stop] = np.asarray(value).reshape(*lanes, stop - start)


def read(row: Any, slots: Sequence[Slot]) -> list[Any]:
    """The values in a row, numbers for numbers; also of a traced row."""
    found = []
    for slot, start, stop in offsets(slots):
        found.append(row[start:stop].reshape(slot.shape) if slot.kind is np.ndarray else row[start])
    return found


def shape_of(x: Any) -> tuple[int, ...]:
    """Also of a traced value."""
    shape = getattr(x, "shape", None)
    return np.shape(x) if shape is None else shape


def dtype_of(x: Any) -> np.dtype[Any]:
    """Also of a traced value."""
    own = getattr(x, "dtype", None)
    if isinstance(own, np.dtype):
        return own
    return np.asarray(x.value if hasattr(type(x), "__odead_call__") else x).dtype


@dataclass(frozen=True, eq=False)
class Signature:
    """What a call takes and leaves.

    Attributes
    ----------
    primitive : Primitive
    arguments : Structure
        Of (args, kwargs).
    leaves : tuple of int or Static
        For each leaf of the arguments its operand, or itself.
    operands : tuple of Slot
    written : tuple of int
        The operands into which the primitive writes, in the order of its `writes`.
    result : Structure
        Of the returned value.
    returned : tuple of Slot, Same or Static
        Its leaves.
    width : int or None
        Where all values have a leading axis, its length.
    """

    primitive: Primitive
    arguments: Structure
    leaves: tuple[int | Static, ...]
    operands: tuple[Slot, ...]
    written: tuple[int, ...]
    result: Structure
    returned: tuple[Slot | Same | Static, ...]
    width: int | None = None

    @property
    def name(self) -> str:
        return self.primitive.__name__

    @property
    def outs(self) -> tuple[Slot, ...]:
        """What the row holds."""
        returned = [leaf for leaf in self.returned if isinstance(leaf, Slot)]
        return (*returned, *(self.operands[k] for k in self.written))

    @property
    def n_returned(self) -> int:
        return sum(isinstance(leaf, Slot) for leaf in self.returned)

    def in_lanes(self, width: int) -> Signature:
        """The same for values with a leading axis of that length."""
        operands = tuple(_laned(slot, width) for slot in self.operands)
        returned = tuple(_laned(leaf, width) if isinstance(leaf, Slot) else leaf for leaf in self.returned)
        return replace(self, operands=operands, returned=returned, width=width)

    # ------------------------------------------------------------------------------------------------ arguments

    def build(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with these operands."""
        filled = [values[leaf] if isinstance(leaf, int) else leaf.value for leaf in self.leaves]
        args, kwargs = self.arguments.unflatten(filled)
        return args, kwargs

    def parameters(self) -> list[list[int]]:
        """For each argument, then each keyword argument, the operands it is made of."""
        return [own for _, own in by_parameter(self.primitive, self.arguments, self.leaves)]

    def parameter_names(self) -> list[str]:
        return [name for name, _ in by_parameter(self.primitive, self.arguments, self.leaves)]

    def tangents(self, shadows: Sequence[Any]) -> tuple[Any, ...]:
        """One item per positional argument, in its structure; 0 for constants, None where there is no float."""
        filled = [shadows[leaf] if isinstance(leaf, int) else self._zero(leaf.value) for leaf in self.leaves]
        args, _ = self.arguments.unflatten(filled)
        return tuple(args)

    def _zero(self, constant: Any) -> Any:
        if not isinstance(constant, (float, np.floating, np.ndarray)) or dtype_of(constant).kind != "f":
            return None
        lanes = () if self.width is None else (self.width,)
        return np.zeros(lanes + np.shape(constant), dtype_of(constant)) if lanes or np.ndim(constant) else 0.0

    # ------------------------------------------------------------------------------------------------ what a run leaves

    def leave(self, result: Any, values: Sequence[Any], blame: str) -> list[Any]:
        """What the row holds, from the returned value and the operands after the run; checked."""
        leaves, structure = flatten(result)
        if structure != self.result:
            raise RuleError(f"{blame}: returns another container than the recorded call of {self.name} did")
        row = []
        for k, (leaf, expected) in enumerate(zip(leaves, self.returned, strict=True)):
            if isinstance(expected, Slot):
                self._check(leaf, expected, blame, f"returned value {k}" if len(leaves) > 1 else "returned value")
                row.append(leaf)
            elif isinstance(expected, Static) and not _equal(leaf, expected.value):
                raise RuleError(
                    f"{blame}: returns {leaf!r} where the recorded call of {self.name} returned {expected.value!r}; only "
                    f"arrays and numbers may vary from call to call"
                )
        return row + [values[k] for k in self.written]

    @staticmethod
    def _check(value: Any, expected: Slot, blame: str, what: str) -> None:
        shape, dtype = shape_of(value), dtype_of(value)
        if shape != expected.shape:
            raise RuleError(f"{blame}: the {what} has shape {shape}, where the recorded call returned shape {expected.shape}")
        if dtype.kind not in "fiub" or (dtype.kind == "f" and not expected.is_float):
            given = dtype if hasattr(value, "dtype") else type(value).__name__
            raise RuleError(f"{blame}: the {what} has dtype {given}, the recorded call returned {expected.dtype}")
        is_traced = hasattr(type(value), "__odead_call__")
        if expected.dtype == "int64" and not is_traced and np.abs(np.asarray(value)).max(initial=0) > EXACT:
            raise RuleError(f"{blame}: the {what} holds integers beyond 2**53, which a call cannot return")

    # ------------------------------------------------------------------------------------------------ pullbacks

    def pull(self, pullback: Callable[..., Any], row: Sequence[Any], rule_place: str, active: Sequence[bool]) -> list[Any]:
        """Cotangents of the operands from those of what the call leaves.

        Parameters
        ----------
        pullback : callable
        row : sequence
            One cotangent per slot of `outs`.
        rule_place : str
            File and line, for messages.
        active : sequence of bool
            The operands whose cotangent is wanted.

        Returns
        -------
        list
            One per operand; None where it is zero or not wanted.
        """
        items = pullback(*self._cotangents(row))
        positional = self.arguments.children[0].children
        if len(positional) == 1 and not isinstance(items, (tuple, list)):
            items = (items,)
        if not isinstance(items, (tuple, list)) or not self._fits(len(items)):
            given = len(items) if isinstance(items, (tuple, list)) else f"a {type(items).__name__}"
            raise RuleError(
                f"{rule_place}: the pullback of {self.name} returns {given} items; it returns one per positional parameter "
                f"({', '.join(self.parameter_names()[: len(positional)])}), None where it is zero"
            )
        totals: list[Any] = [None] * len(self.operands)
        leaves = iter(self.leaves)
        for number, child in enumerate(positional):
            own = [next(leaves) for _ in range(_count(child))]
            wanted = [isinstance(leaf, int) and active[leaf] for leaf in own]
            if not any(wanted) or items[number] is None:
                continue
            parts = self._parts(items[number], child, number, rule_place)
            for leaf, part, want in zip(own, parts, wanted, strict=True):
                part = part() if want and _is_lazy(part) else part
                if want and part is not None and isinstance(leaf, int):
                    self._check_item(part, self.operands[leaf], number, rule_place)
                    totals[leaf] = part if totals[leaf] is None else totals[leaf] + part
        return totals

    def _fits(self, n: int) -> bool:
        return n == len(self.arguments.children[0].children) or n == len(self.primitive.parameters)

    def _cotangents(self, row: Sequence[Any]) -> list[Any]:
        given = iter(row)
        leaves = []
        for leaf in self.returned:
            own = next(given) if isinstance(leaf, Slot) else None
            if isinstance(leaf, Same):
                own = self.operands[leaf.operand].zero()  # all of it is in the exit cotangent
            leaves.append(own if isinstance(leaf, (Slot, Same)) and self._slot(leaf).is_float else None)
        returned = [] if self.returns_nothing else [self.result.unflatten(leaves)]
        by_operand = dict(zip(self.written, given, strict=True))
        positions = {name: k for k, name in enumerate(self.parameter_names())}
        children = (*self.arguments.children[0].children, *self.arguments.children[1].children)
        starts = np.cumsum([0, *map(_count, children)])
        exits = []
        for name in self.primitive.writes:
            if name in positions:
                k = positions[name]
                own = self.leaves[starts[k] : starts[k + 1]]
                exits.append(children[k].unflatten([by_operand.get(leaf) if isinstance(leaf, int) else None for leaf in own]))
        return returned + exits

    def _slot(self, leaf: Slot | Same) -> Slot:
        return leaf if isinstance(leaf, Slot) else self.operands[leaf.operand]

    @property
    def returns_nothing(self) -> bool:
        return self.returned == (Static(None),)

    def _parts(self, item: Any, structure: Structure, number: int, rule_place: str) -> list[Any]:
        """The leaves of one item; a part of a container may be None as a whole."""
        if structure.kind is None:
            return [item]
        if _is_lazy(item):
            item = item()
        if item is None:
            return [None] * _count(structure)
        leaves, given = flatten(item)
        if given == structure:
            return leaves
        if given.kind is structure.kind and given.keys == structure.keys and len(given.children) == len(structure.children):
            _, structures = None, structure.children
            values = _children(item, given)
            return [p for v, s in zip(values, structures, strict=True) for p in self._parts(v, s, number, rule_place)]
        raise RuleError(
            f"{rule_place}: the pullback of {self.name} returns another container for argument {number} than the argument is"
        )

    def _check_item(self, part: Any, slot: Slot, number: int, rule_place: str) -> None:
        argument = f"argument {number} ({self.parameter_names()[number]})"
        shape, dtype = shape_of(part), dtype_of(part)
        if shape != slot.shape:
            raise RuleError(
                f"{rule_place}: the pullback of {self.name} returns shape {shape} for {argument}, which has shape {slot.shape}"
            )
        too_coarse = dtype.kind == "f" and dtype.itemsize < np.dtype(slot.dtype).itemsize
        if dtype.kind not in "fiu" or too_coarse:
            raise RuleError(
                f"{rule_place}: the pullback of {self.name} returns dtype {dtype} for {argument}, which has {slot.dtype}"
            )


def by_parameter(primitive: Primitive, arguments: Structure, leaves: Sequence[int | Static]) -> list[tuple[str, list[int]]]:
    """For each argument, then each keyword argument: its name, and the operands it is made of."""
    positional, keywords = arguments.children
    names = primitive.parameters
    given = [names[k] if k < len(names) else f"argument {k}" for k in range(len(positional.children))]
    rest = iter(leaves)
    found = []
    for name, child in zip((*given, *map(str, keywords.keys)), (*positional.children, *keywords.children), strict=True):
        own = [next(rest) for _ in range(_count(child))]
        found.append((name, [leaf for leaf in own if isinstance(leaf, int)]))
    return found


def _laned(slot: Slot, width: int) -> Slot:
    return Slot(slot.dtype, (width, *slot.shape), np.ndarray)


def _count(structure: Structure) -> int:
    return 1 if structure.kind is None else sum(map(_count, structure.children))


def _children(item: Any, structure: Structure) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, (tuple, list)):
        return list(item)
    return [getattr(item, key) for key in structure.keys]


def _is_lazy(part: Any) -> bool:
    """Whether it is to be called for its value; a container may be callable, too."""
    return callable(part) and not hasattr(part, "dtype") and flatten(part)[1].kind is None


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except (TypeError, ValueError):
        return False
