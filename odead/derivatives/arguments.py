"""The annotated arguments of a call, taken apart into leaves and checked before anything runs.

A shadow of another structure, shape or dtype, read-only, or overlapping something, an array under `Active`, and an argument
without annotation raise ArgumentTypeError or ArgumentValueError.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..activity import AbstractAnnotation, Active, BatchDuplicated, Duplicated
from ..containers import Place, Structure, flatten, places, promoted
from ..errors import ArgumentTypeError, ArgumentValueError, argument_name
from .kernel import is_bound, layout, refuse_traced

__all__ = ["Arguments"]


class Arguments:
    """Arguments of one call.

    Attributes
    ----------
    args : tuple
        The values, as the function takes them (bare ints under `Active` as floats).
    kwargs : dict
        The keyword arguments; Const.
    structures : list of Structure
        Of each positional argument.
    leaves : list of list of (object, bool)
        For each positional argument its leaves, and whether the leaf is a program input.
    bound : list
        The leaves that are program inputs, those of `kwargs` last.
    positions : list of int
        For each bound leaf its place among the distinct ones.
    shadows : dict of int to tuple
        For each position that is differentiated: the caller's shadows, one per lane; empty for `Active`.
    numbers : dict of int to tuple
        For each number that has shadows: where in them its derivatives are, one place per lane; None where it cannot be put.
    owner : dict of int to int
        For each position: the number of its argument.
    width : int or None
        Number of lanes.
    key : tuple
        What a recorded program depends on.
    """

    __slots__ = (
        "_annotated",
        "_f",
        "_first",
        "_static",
        "args",
        "bound",
        "key",
        "kwargs",
        "leaves",
        "numbers",
        "owner",
        "positions",
        "shadows",
        "structures",
        "width",
    )

    def __init__(self, f: Callable[..., Any], annotated: Sequence[AbstractAnnotation], kwargs: dict[str, Any]) -> None:
        self._f = f
        self._annotated = annotated
        self.kwargs = kwargs
        self.structures: list[Structure] = []
        self.leaves: list[list[tuple[Any, bool]]] = []
        self.bound: list[Any] = []
        self.positions: list[int] = []
        self.shadows: dict[int, tuple[Any, ...]] = {}
        self.numbers: dict[int, tuple[Place | None, ...]] = {}
        self.owner: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._static: list[tuple[int, type, Any]] = []  # with the number of program inputs before it
        self.args = tuple(self._add(number, annotation) for number, annotation in enumerate(annotated))
        leaves, keywords = flatten(kwargs)
        for leaf in leaves:
            self._bind(leaf)
        self.width = _width(self, annotated)
        _check_overlap(self)
        kinds = tuple(layout(leaf) if isinstance(leaf, np.ndarray) else None for leaf in self.bound)
        self.key = (
            tuple(self.structures),
            keywords,
            tuple(self._static),
            kinds,
            tuple(self.positions),
            tuple(sorted(self.shadows)),
        )

    def _add(self, number: int, annotation: AbstractAnnotation) -> Any:
        """Take in one argument; return the value that the function takes."""
        if not isinstance(annotation, AbstractAnnotation):
            raise ArgumentTypeError(
                f"{argument_name(self._f, number)} is a bare {type(annotation).__name__}: say how it takes part, for instance "
                f"Duplicated(x, dx) for an array to differentiate, Active(x) for a number, Const(x) otherwise"
            )
        value = promoted(annotation.val) if isinstance(annotation, Active) else annotation.val
        leaves, structure = flatten(value)
        lanes = [_shadow_leaves(self, number, shadow, structure) for shadow in annotation.shadows]
        self.structures.append(structure)
        self.leaves.append([(leaf, is_bound(leaf)) for leaf in leaves])
        for k, leaf in enumerate(leaves):
            position = self._bind(leaf)
            if position is not None:
                self.owner.setdefault(position, number)
            if position is not None and annotation.differentiated and _is_float(leaf):
                self._differentiate(number, annotation, leaf, position, tuple(lane[k] for lane in lanes))
                if lanes and not isinstance(leaf, np.ndarray):
                    self.numbers[position] = tuple(places(shadow)[k] for shadow in annotation.shadows)
        return value

    def _bind(self, leaf: Any) -> int | None:
        """The position of a leaf among the distinct program inputs; None if it is static."""
        refuse_traced(leaf)
        if not is_bound(leaf):
            self._static.append((len(self.bound), type(leaf), leaf))
            return None
        identity = id(leaf) if isinstance(leaf, np.ndarray) else -1 - len(self.bound)  # equal numbers are not the same variable
        position = self._first.setdefault(identity, len(self._first))
        self.bound.append(leaf)
        self.positions.append(position)
        return position

    def _differentiate(
        self, number: int, annotation: AbstractAnnotation, leaf: Any, position: int, given: tuple[Any, ...]
    ) -> None:
        _check_leaf(self, number, annotation, leaf)
        for shadow in given:
            _check_shadow(self, number, leaf, shadow)
        if position in self.shadows and any(a is not b for a, b in zip(self.shadows[position], given, strict=True)):
            raise ArgumentValueError(
                f"{self.describe(number)}: the same array is {self.describe(self.owner[position])} with another shadow; "
                f"it has one derivative, so give the same shadow twice"
            )
        self.shadows[position] = given

    def describe(self, number: int) -> str:
        """How messages name an argument."""
        return f"{argument_name(self._f, number)} ({type(self._annotated[number]).__name__})"


def _is_float(leaf: Any) -> bool:
    return not isinstance(leaf, np.ndarray) or leaf.dtype.kind in "fc"


def _shadow_leaves(arguments: Arguments, number: int, shadow: Any, structure: Structure) -> list[Any]:
    leaves, other = flatten(shadow)
    if other != structure:
        raise ArgumentTypeError(
            f"{arguments.describe(number)}: the shadow is another container than the value; "
            f"odead.make_zero(x) builds one that fits"
        )
    return leaves


def _check_leaf(arguments: Arguments, number: int, annotation: AbstractAnnotation, leaf: Any) -> None:
    if isinstance(annotation, Active) and isinstance(leaf, np.ndarray):
        raise ArgumentTypeError(
            f"{arguments.describe(number)}: Active is for numbers, this is an array of shape {leaf.shape}; "
            f"write Duplicated(x, dx) with a shadow dx = np.zeros_like(x), or use odead.gradient, which returns one"
        )


def _check_shadow(arguments: Arguments, number: int, leaf: Any, shadow: Any) -> None:
    wrong_type = wrong_value = ""
    if not isinstance(leaf, np.ndarray):
        if not isinstance(shadow, (float, int, np.floating)):
            wrong_type = f"of a number is a number, not {type(shadow).__name__}"
    elif not isinstance(shadow, np.ndarray):
        wrong_type = f"is a {type(shadow).__name__}, not an array; np.zeros_like(x) builds one"
    elif shadow.shape != leaf.shape:
        wrong_value = f"has shape {shadow.shape}, the value {leaf.shape}"
    elif shadow.dtype != leaf.dtype:
        wrong_type = f"has dtype {shadow.dtype}, the value {leaf.dtype}"
    elif not shadow.flags.writeable:
        wrong_value = "is read-only, and it is updated in place"
    if wrong_type:
        raise ArgumentTypeError(f"{arguments.describe(number)}: the shadow {wrong_type}")
    if wrong_value:
        raise ArgumentValueError(f"{arguments.describe(number)}: the shadow {wrong_value}")


def _check_overlap(arguments: Arguments) -> None:
    """No shadow shares memory with a value or with the shadow of another value.

    Raises
    ------
    ArgumentValueError
    """
    values = {p: leaf for p, leaf in zip(arguments.positions, arguments.bound, strict=True) if isinstance(leaf, np.ndarray)}
    earlier: list[tuple[int, np.ndarray]] = []
    for position, given in arguments.shadows.items():
        number = arguments.owner[position]
        for shadow in given:
            if not isinstance(shadow, np.ndarray):
                continue
            for other, value in values.items():
                if _share(shadow, value):
                    owner = arguments.owner.get(other)
                    whose = "a keyword argument" if owner is None else f"the value of {arguments.describe(owner)}"
                    raise ArgumentValueError(
                        f"{arguments.describe(number)}: its shadow shares memory with "
                        f"{'its own value' if other == position else whose}; np.zeros_like(x) is a fresh one"
                    )
            for other, shadow_before in earlier:
                if _share(shadow, shadow_before):
                    raise ArgumentValueError(
                        f"{arguments.describe(number)}: its shadow shares memory with that of {arguments.describe(other)}; "
                        f"derivatives would mix"
                    )
            earlier.append((number, shadow))


def _share(a: np.ndarray, b: np.ndarray) -> bool:
    return np.may_share_memory(a, b) and np.shares_memory(a, b)


def _width(arguments: Arguments, annotated: Sequence[AbstractAnnotation]) -> int | None:
    widths = {number: len(a.dval) for number, a in enumerate(annotated) if isinstance(a, BatchDuplicated)}
    if not widths:
        return None
    for number, annotation in enumerate(annotated):
        if isinstance(annotation, Duplicated):
            raise ArgumentTypeError(
                f"{arguments.describe(number)}: the other arguments are BatchDuplicated, so this one must be too"
            )
    if len(set(widths.values())) > 1 or 0 in widths.values():
        raise ArgumentValueError(
            f"batch widths differ or are zero: {', '.join(f'argument {n}: {w}' for n, w in widths.items())}"
        )
    return next(iter(widths.values()))
