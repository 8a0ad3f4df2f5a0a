"""A plain call, taken apart: the leaves of its arguments, and what it leaves in them and returns."""

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ..containers import Structure, flatten
from ..derivatives.inputs import DIFFERENTIABLE
from ..errors import ArgumentTypeError

__all__ = ["Call", "Leaf", "Output", "copied", "is_float", "like", "reals"]

ALL_COMBINATIONS_UP_TO: Final = 5  # arguments; of more, each alone, each left out, all and none


@dataclass(frozen=True)
class Leaf:
    """An array, number or other thing among the arguments; the same array in two places is one leaf."""

    name: str
    value: Any
    arguments: tuple[int, ...]

    @property
    def is_array(self) -> bool:
        return isinstance(self.value, np.ndarray)


@dataclass(frozen=True)
class Output:
    """The exit value of an array leaf, or a leaf of the returned value (`leaf` is None)."""

    name: str
    value: Any
    leaf: int | None


class Call:
    """A function and its arguments, taken apart; every call works on copies.

    Attributes
    ----------
    name : str
    parameters : list of str
    leaves : list of Leaf
        Distinct ones.
    floats : list of int
        The leaves with a derivative.
    differentiable : list of int
        The arguments with a derivative.
    outputs : list of Output
        Of a plain call: exit values of the array leaves, then the returned leaves.
    returned_structure : Structure
    """

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if not callable(f):
            raise ArgumentTypeError(f"the function to check is a {type(f).__name__}, which cannot be called")
        self.f, self.name = f, getattr(f, "__name__", type(f).__name__)
        self.parameters = _parameter_names(f, len(args))
        self.leaves: list[Leaf] = []
        self.places: list[list[int]] = []  # the leaves that each argument is made of
        self._structures: list[Structure] = []
        known: dict[int, int] = {}
        for k, arg in enumerate(args):
            leaves, structure = flatten(arg)
            named = zip(leaves, _leaf_names(self.parameters[k], structure), strict=True)
            self._structures.append(structure)
            self.places.append([self._add(known, leaf, name, k) for leaf, name in named])
        self.floats = [n for n, leaf in enumerate(self.leaves) if is_float(leaf.value)]
        self.differentiable = sorted({k for n in self.floats for k in self.leaves[n].arguments})
        if not self.differentiable:
            raise ArgumentTypeError(f"{self.name}: there is no float among the arguments to differentiate with respect to")
        values = [copied(leaf.value) for leaf in self.leaves]
        returned = f(*self.arguments(values))
        self.returned_structure = flatten(returned)[1]
        self.outputs = self.outputs_of(values, returned)

    def _add(self, known: dict[int, int], leaf: Any, name: str, argument: int) -> int:
        number = known.get(id(leaf)) if isinstance(leaf, np.ndarray) else None
        if number is None:
            known[id(leaf)] = number = len(self.leaves)
            self.leaves.append(Leaf(name, copied(leaf), (argument,)))
        else:
            first = self.leaves[number]
            self.leaves[number] = replace(first, arguments=(*first.arguments, argument))
        return number

    def arguments(self, values: Sequence[Any]) -> list[Any]:
        """The arguments with these leaves."""
        return [s.unflatten([values[n] for n in p]) for s, p in zip(self._structures, self.places, strict=True)]

    def run(self, values: Sequence[Any]) -> list[Output]:
        """Outputs of a plain call at these leaves."""
        copies = [copied(value) for value in values]
        return self.outputs_of(copies, self.f(*self.arguments(copies)))

    def outputs_of(self, values: Sequence[Any], returned: Any) -> list[Output]:
        pairs = zip(self.leaves, values, strict=True)
        exits = [Output(leaf.name, value, n) for n, (leaf, value) in enumerate(pairs) if leaf.is_array]
        leaves, structure = flatten(returned)
        named = zip(_leaf_names("the returned value", structure), leaves, strict=True)
        return exits + [Output(name, copied(value), None) for name, value in named]

    @property
    def returned(self) -> list[Output]:
        return [output for output in self.outputs if output.leaf is None]

    @property
    def returns_floats(self) -> bool:
        return any(is_float(output.value) for output in self.returned)

    @property
    def returns_one_number(self) -> bool:
        """Whether a reverse call starts from the returned value."""
        if len(self.returned) != 1 or not self.returns_floats:
            return False
        return np.ndim(self.returned[0].value) == 0 and not np.iscomplexobj(self.returned[0].value)

    def combinations(self) -> Iterator[frozenset[int]]:
        """Sets of active arguments; an array that is in two arguments is active in both or in none."""
        some, every = self.differentiable, frozenset(self.differentiable)
        if len(some) <= ALL_COMBINATIONS_UP_TO:
            sets = [frozenset(c) for n in range(len(some) + 1) for c in itertools.combinations(some, n)]
        else:
            sets = [frozenset(), *(frozenset([k]) for k in some), *(every - {k} for k in some), every]
        floats = [frozenset(self.leaves[n].arguments) for n in self.floats]
        return (active for active in sets if all(active & owners in (frozenset(), owners) for owners in floats))

    def reversible(self, active: frozenset[int]) -> bool:
        """Whether reverse mode has annotations for them: a container of arrays and of numbers has none."""
        return all(len({self.leaves[n].is_array for n in self.places[k] if n in self.floats}) == 1 for k in active)

    def active_leaves(self, active: frozenset[int]) -> list[int]:
        return [n for n in self.floats if active.intersection(self.leaves[n].arguments)]

    def describe(self, active: frozenset[int]) -> str:
        return ", ".join(f"{name} {'active' if k in active else 'Const'}" for k, name in enumerate(self.parameters))

    def entry(self, name: str, leaf: int | None, index: tuple[int, ...]) -> str:
        """An entry, as messages name it."""
        where = f"{name}[{', '.join(map(str, index))}]" if index else name
        return where if leaf is None else f"argument {self.leaves[leaf].arguments[0]}, {where}"


def copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def is_float(value: Any) -> bool:
    """Whether something has a derivative: floats and complex numbers."""
    if isinstance(value, np.ndarray):
        return value.dtype.name in DIFFERENTIABLE
    return isinstance(value, (float, complex, np.inexact))


def reals(value: Any) -> np.ndarray:
    """Floats as they are, complex numbers as pairs (..., 2)."""
    array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
    return array[..., None].view(np.float64) if array.dtype.kind == "c" else array


def like(value: Any, derivative: Any) -> Any:
    """A derivative by `reals(value)`, in the type and dtype of the value; a new array for an array, also one without axes."""
    if np.iscomplexobj(value):
        derivative = np.array(derivative, order="C").view(np.complex128)[..., 0]
        return derivative if isinstance(value, np.ndarray) else complex(derivative)
    return np.array(derivative, value.dtype) if isinstance(value, np.ndarray) else float(derivative)


def _parameter_names(f: Callable[..., Any], n: int) -> list[str]:
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # some builtins have no signature
        names = []
    return [names[k] if len(names) >= n else f"args[{k}]" for k in range(n)]


def _leaf_names(name: str, structure: Structure) -> list[str]:
    if structure.kind is None:
        return [name]
    has_items = issubclass(structure.kind, (dict, tuple, list))
    keys = structure.keys or range(len(structure.children))
    names = [f"{name}[{key!r}]" if has_items else f"{name}.{key}" for key in keys]
    return [leaf for part, child in zip(names, structure.children, strict=True) for leaf in _leaf_names(part, child)]
