"""Layout: a container of floats seen as one vector.

The steppers know vectors only; the user's functions see the arrays, numbers and containers that were passed. Ints, strings
and other static leaves are kept in the layout, where they take no part in the vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Final

import numpy as np

from ..._results import all_finite
from ...containers import LEAF, Structure, flatten
from ...errors import ArgumentTypeError, ArgumentValueError
from ...rules.primitive import standin_of

__all__ = ["Layout", "Slot", "Static", "lay_out", "vector_layout"]


@dataclass(frozen=True)
class Slot:
    """Where a leaf lives in the vector; shape None is a plain number."""

    start: int
    stop: int
    shape: tuple[int, ...] | None
    dtype: str

    def read(self, vector: Any, trailing: tuple[int, ...] = ()) -> Any:
        """The leaf as a view of the vector (of its first axis, where it has more), traced or not."""
        if self.dtype == "complex128":
            return self._read_complex(vector, trailing)
        if self.shape is None:
            return vector[self.start]
        shape = self.shape + trailing
        part = vector[self.start : self.stop]
        return part if len(shape) == 1 + len(trailing) else part.reshape(shape)

    def _read_complex(self, vector: Any, trailing: tuple[int, ...]) -> Any:
        """A view of pairs of floats as complex numbers; a new array where the vector has more axes."""
        if self.shape is None:
            return vector[self.start] + 1j * vector[self.start + 1]
        pairs = vector[self.start : self.stop].reshape((*self.shape, 2, *trailing))
        if not trailing:
            return pairs.view(np.complex128)[..., 0]
        before = (slice(None),) * len(self.shape)
        return pairs[(*before, 0)] + 1j * pairs[(*before, 1)]


@dataclass(frozen=True, eq=False)
class Static:
    """A leaf that is not a float: part of the program, not of the vector. An array is a copy, which nobody changes."""

    value: Any

    @cached_property
    def _key(self) -> Any:
        value = self.value
        return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else (type(value), value)

    @cached_property
    def seen(self) -> Any:
        """What the user's functions see: of an interpolant of SciPy, what can be traced."""
        standin = standin_of(self.value) if callable(self.value) else None
        return self.value if standin is None else standin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and bool(self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)


@dataclass(frozen=True)
class Layout:
    """How a container is packed into a vector. Hashable as far as its static leaves are.

    Attributes
    ----------
    structure : Structure
    leaves : tuple of Slot or Static
        The same array twice has the same slot twice.
    size : int
        Length of the vector.
    """

    structure: Structure
    leaves: tuple[Slot | Static, ...]
    size: int

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.structure, self.leaves, self.size))

    @cached_property
    def is_vector(self) -> bool:
        """Whether packing changes nothing."""
        return self.structure == LEAF and isinstance(self.leaves[0], Slot) and self.leaves[0].shape == (self.size,)

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is a vector of float64."""
        return self.is_vector and self.slots[0].dtype == "float64"

    @cached_property
    def is_none(self) -> bool:
        return self.structure == LEAF and isinstance(self.leaves[0], Static) and self.leaves[0].value is None

    @cached_property
    def has_numbers(self) -> bool:
        return any(isinstance(leaf, Slot) and leaf.shape is None for leaf in self.leaves)

    @cached_property
    def has_complex(self) -> bool:
        return any(slot.dtype == "complex128" for slot in self.slots)

    @cached_property
    def slots(self) -> list[Slot]:
        """Distinct ones, in the order of the vector."""
        return list(dict.fromkeys(leaf for leaf in self.leaves if isinstance(leaf, Slot)))

    def states(self, y: np.ndarray) -> np.ndarray:
        """Rows of floats (size, ...) as the numbers of the container: complex ones if any of them is."""
        if not self.has_complex:
            return y
        parts = [(y[slot.start : slot.stop], slot.dtype) for slot in self.slots]
        return np.concatenate([part[0::2] + 1j * part[1::2] if kind == "complex128" else part for part, kind in parts])

    def per_float(self, values: np.ndarray, argument: str) -> np.ndarray:
        """One value for each element of the vector, from one for each number of the container."""
        widths = [2 if slot.dtype == "complex128" else 1 for slot in self.slots]
        counts = [(slot.stop - slot.start) // width for slot, width in zip(self.slots, widths, strict=True)]
        if values.shape != (sum(counts),):
            raise ArgumentValueError(f"{argument} has shape {values.shape}; one entry per state is ({sum(counts)},)")
        return np.repeat(values, np.repeat(widths, counts))

    def tolerances(self, given: Any, argument: str) -> Any:
        """Tolerances of the numbers of the container as those of the floats; None and single numbers as they are."""
        if not self.has_complex or given is None or np.ndim(given) == 0:
            return given
        return self.per_float(np.asarray(given), argument)

    def unpack(self, vector: Any, trailing: tuple[int, ...] = ()) -> Any:
        """The container whose leaves are views of `vector`; static leaves come from the layout."""
        if vector is None:  # there are no parameters, but perhaps empty arrays of them
            vector = np.empty(0)
        return self.structure.unflatten(
            [leaf.seen if isinstance(leaf, Static) else leaf.read(vector, trailing) for leaf in self.leaves]
        )

    def arrays(self, tree: Any) -> list[np.ndarray]:
        """The arrays of floats in a container that was laid out so."""
        leaves = zip(flatten(tree)[0], self.leaves, strict=False)  # x0 may have been a function or a list of numbers
        return [leaf for leaf, place in leaves if isinstance(leaf, np.ndarray) and isinstance(place, Slot)]

    def gradient(self, vector: np.ndarray) -> Any:
        """A container of fresh leaves in the dtypes of the original; numbers are Python floats."""
        if self.is_plain:  # the usual case, in a tenth of the time
            return vector.copy()
        fresh: dict[Slot, Any] = {}

        def leaf(slot: Slot) -> Any:
            if slot not in fresh:  # an array that occurs twice stays one array
                value = slot.read(vector)
                fresh[slot] = value.item() if slot.shape is None else value.astype(slot.dtype, copy=True)
            return fresh[slot]

        return self._build(leaf)

    def names(self, root: str) -> list[str]:
        """One name for each element of the vector, as the user would index it."""
        if self.is_vector:
            return list(_vector_names(root, self.size))
        names = [""] * self.size
        for path, leaf in zip(_paths(self.structure, root), self.leaves, strict=True):
            if isinstance(leaf, Slot):
                for k in range(leaf.stop - leaf.start):
                    number, suffix = divmod(k, 2) if leaf.dtype == "complex128" else (k, None)
                    index = "" if leaf.shape is None else _index(leaf.shape, number)
                    index += "" if suffix is None else (".real", ".imag")[suffix]
                    names[leaf.start + k] = names[leaf.start + k] or path + index
        return names

    def _build(self, read: Callable[[Slot], Any]) -> Any:
        return self.structure.unflatten([leaf.value if isinstance(leaf, Static) else read(leaf) for leaf in self.leaves])


def lay_out(tree: Any, argument: str, complex_allowed: bool = False) -> tuple[Layout, np.ndarray]:
    """The layout of a container and its values as a float64 vector.

    Parameters
    ----------
    tree : array, number, None or container
        Ints count as floats in tuples, lists and dicts, and so does an integer array that is not inside a container; int fields
        of a NamedTuple or dataclass, and integer arrays in containers (tables of indices), are static.
    argument : str
        Its name in messages.
    complex_allowed : bool
        A complex number is two floats of the vector.

    Raises
    ------
    ArgumentTypeError
        A leaf is complex or of a dtype that is no number.
    ArgumentValueError
        A leaf is not finite.
    """
    if type(tree) is np.ndarray and tree.ndim == 1 and tree.dtype == _FLOAT64:  # the usual case, in a fifth of the time
        return _checked(vector_layout(tree.size), tree.copy(), argument)
    if isinstance(tree, (str, bytes)):
        raise ArgumentTypeError(f"{argument} is {tree!r}, not a number; pass an array, a number or a container of them")
    leaves, structure = flatten(tree)
    promoted = _promotable(structure)
    slots: dict[int, Slot] = {}
    layout: list[Slot | Static] = []
    values: list[np.ndarray] = []
    start = 0
    for leaf, path, promote in zip(leaves, _paths(structure, argument), promoted, strict=True):
        if id(leaf) in slots and isinstance(leaf, np.ndarray):
            layout.append(slots[id(leaf)])
            continue
        array = _as_floats(leaf, path, promote, structure == LEAF, complex_allowed)
        if array is None:
            layout.append(Static(leaf.copy() if isinstance(leaf, np.ndarray) else leaf))
            continue
        shape = leaf.shape if isinstance(leaf, np.ndarray) else None
        flat = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64).ravel().view(np.float64)
        slot = Slot(start, start + flat.size, shape, array.dtype.name)
        slots[id(leaf)] = slot
        layout.append(slot)
        values.append(flat)
        start += flat.size
    vector = np.concatenate(values) if values else np.empty(0)
    return _checked(Layout(structure, tuple(layout), start), vector, argument)


_FLOAT64: Final = np.dtype(np.float64)


@lru_cache(maxsize=64)
def vector_layout(size: int) -> Layout:
    """Of a vector of float64."""
    return Layout(LEAF, (Slot(0, size, (size,), "float64"),), size)


@lru_cache(maxsize=64)
def _vector_names(root: str, size: int) -> tuple[str, ...]:
    """Kept: for the 252 weights of a small network, writing them took as long as the gradient."""
    return tuple(f"{root}[{k}]" for k in range(size))


def _checked(layout: Layout, vector: np.ndarray, argument: str) -> tuple[Layout, np.ndarray]:
    if not all_finite(vector):
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ArgumentValueError(f"{layout.names(argument)[bad]} is {vector[bad]}; {argument} must be finite")
    return layout, vector


def _as_floats(leaf: Any, path: str, promote: bool, alone: bool, complex_allowed: bool) -> np.ndarray | None:
    """The leaf as an array of floats; None if it is static."""
    if isinstance(leaf, (bool, np.bool_, str, bytes)) or leaf is None or callable(leaf):
        return None
    if isinstance(leaf, (int, np.integer)):
        return np.array(leaf, dtype=np.float64) if promote else None
    if not isinstance(leaf, (np.ndarray, float, complex, np.inexact)):
        raise ArgumentTypeError(f"{path} is a {type(leaf).__name__}; floats, arrays and containers of them can be integrated")
    array = np.asarray(leaf)
    if array.dtype.kind in "iu" and alone:
        return array.astype(np.float64)
    if array.dtype.kind in "iub":
        return None
    if array.dtype == np.complex128 and complex_allowed:
        return array
    if array.dtype.kind == "c":
        raise ArgumentTypeError(f"{path} is complex, which is not supported here; pass real and imaginary part as two floats")
    if array.dtype.name not in ("float64", "float32"):
        raise ArgumentTypeError(f"{path} has dtype {array.dtype}; use float64")
    return array


def _promotable(structure: Structure) -> list[bool]:
    """For each leaf, whether an int there is meant as a float."""
    if structure.kind is None:
        return [True]
    plain = structure.kind in (tuple, list) or issubclass(structure.kind, dict)
    return [p and plain for child in structure.children for p in _promotable(child)]


def _paths(structure: Structure, root: str) -> list[str]:
    """How the user would write each leaf."""
    if structure.kind is None:
        return [root]
    keys: Sequence[Any] = structure.keys or range(len(structure.children))
    by_name = bool(structure.keys) and not issubclass(structure.kind, dict)
    return [
        path
        for key, child in zip(keys, structure.children, strict=True)
        for path in _paths(child, f"{root}.{key}" if by_name else f"{root}[{key!r}]")
    ]


def _index(shape: tuple[int, ...], k: int) -> str:
    return f"[{', '.join(str(i) for i in np.unravel_index(k, shape))}]" if prod(shape) and shape else ""
