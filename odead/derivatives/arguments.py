"""The annotated arguments of a call, taken apart into leaves and checked before anything runs.

A shadow of another structure, shape or dtype, read-only, or overlapping something, an array under `Active`, and an argument
without annotation raise ArgumentTypeError or ArgumentValueError.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import numpy as np

from ..activity import AbstractAnnotation, Active, BatchDuplicated, BatchDuplicatedNoNeed, Duplicated, DuplicatedNoNeed
from ..containers import Place, Structure, flatten, places, promoted
from ..errors import ArgumentTypeError, ArgumentValueError, argument_name
from ..holders import Held, held_with_shadows, is_holder
from ..spans import Span, address_of, spans
from .kernel import is_bound, layout, number_kind, static_key
from .nested import part_of
from .overlapping import Piece, joined

__all__ = ["Arguments"]

_WITHOUT_NEED: Final = (DuplicatedNoNeed, BatchDuplicatedNoNeed)

FUNCTION: Final = -1  # the number under which the function itself owns what it holds

Holder = tuple[int, AbstractAnnotation, Sequence[Held], Sequence[Sequence[Held]]]
"""Number of the argument, its annotation, what is held, and the same of each shadow."""


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
    held : list of Held
        What functions and objects hold that is a program input: of the function itself where it is annotated, and of those
        among the differentiated arguments.
    bound : list
        The leaves that are program inputs, those of `kwargs` and then what is held last.
    positions : list of int
        For each bound leaf its place among the distinct ones.
    shadows : dict of int to tuple
        For each position that is differentiated: the caller's shadows, one per lane; empty for `Active`. Those of arrays that
        overlap are copied into one that is flat, see `give_back`.
    numbers : dict of int to tuple
        For each number that has shadows: where in them its derivatives are, one place per lane; None where it cannot be put.
    owner : dict of int to int
        For each position: the number of its argument.
    pieces : dict of int to list of Piece
        For each position that is the memory of arrays that overlap: those of them that are differentiated.
    unneeded : tuple of int
        The positions of arrays whose exit value the caller does not need.
    width : int or None
        Number of lanes.
    key : tuple
        What a recorded program depends on.
    """

    __slots__ = (
        "_annotated",
        "_f",
        "_first",
        "_span_of",
        "_spans",
        "_static",
        "args",
        "bound",
        "held",
        "key",
        "kwargs",
        "leaves",
        "numbers",
        "owner",
        "pieces",
        "positions",
        "shadows",
        "structures",
        "unneeded",
        "width",
    )

    def __init__(
        self,
        f: Callable[..., Any],
        annotated: Sequence[AbstractAnnotation],
        kwargs: dict[str, Any],
        function: AbstractAnnotation | None = None,
    ) -> None:
        self._f = f
        self._annotated = annotated
        self.kwargs = kwargs
        self.structures: list[Structure] = []
        self.leaves: list[list[tuple[Any, bool]]] = []
        self.held: list[Held] = []
        self.bound: list[Any] = []
        self.positions: list[int] = []
        self.shadows: dict[int, tuple[Any, ...]] = {}
        self.numbers: dict[int, tuple[Place | None, ...]] = {}
        self.owner: dict[int, int] = {}
        self._first: dict[Hashable, int] = {}
        self._static: list[tuple[int, Hashable]] = []  # with the number of program inputs before it
        self.pieces: dict[int, list[Piece]] = {}
        holders = _holders(self, f, annotated, function)
        self._find_spans(holders)
        self.args = tuple(self._add(number, annotation) for number, annotation in enumerate(annotated))
        leaves, keywords = flatten(kwargs)
        for leaf in leaves:
            self._bind(leaf)
        for number, annotation, items, lanes in holders:
            self._add_held(number, annotation, items, lanes)
        self.unneeded = self._unneeded()
        self.width = _width(self, [(FUNCTION, function), *enumerate(annotated)])
        self._check_overlap()
        for position, pieces in self.pieces.items():
            self.shadows[position] = tuple(joined(self._spans[position], pieces, self.describe))
        kinds = tuple(layout(leaf) if isinstance(leaf, np.ndarray) else number_kind(leaf) for leaf in self.bound)
        self.key = (
            tuple(self.structures),
            keywords,
            tuple(self._static),
            kinds,
            tuple(self.positions),
            tuple(sorted(self.shadows)),
            tuple((position, span.key) for position, span in self._spans.items()),
            tuple(item.path for item in self.held),
        )

    def _find_spans(self, holders: Sequence[Holder]) -> None:
        """Find what overlaps, before the arrays get their positions."""
        leaves = [leaf for annotation in self._annotated for leaf in flatten(annotation.val)[0]]
        leaves += flatten(self.kwargs)[0]
        leaves += [item.value for _, _, items, _ in holders for item in items]
        self._span_of: dict[int, Span] = {}
        self._spans: dict[int, Span] = {}  # by position
        try:
            found = spans([leaf for leaf in leaves if isinstance(leaf, np.ndarray)])
        except TypeError:  # recording raises, and can say which they are
            return
        for span in found:
            self._span_of.update({id(array): span for array in span.arrays})

    def span_at(self, position: int) -> Span | None:
        """The arrays that overlap at a position."""
        return self._spans.get(position)

    def values(self) -> list[Any]:
        """What to bind to the arguments of the function, by position."""
        values: dict[int, Any] = {position: span.memory() for position, span in self._spans.items()}
        for position, leaf in zip(self.positions, self.bound, strict=True):
            values.setdefault(position, leaf)
        return [values[k] for k in range(len(values))]

    def give_back(self) -> None:
        """Copy what the shadows of overlapping arrays have become into the caller's."""
        for position, pieces in self.pieces.items():
            for piece in pieces:
                for flat, shadow in zip(self.shadows[position], piece.given, strict=True):
                    shadow[...] = part_of(flat, piece.part)

    def _unneeded(self) -> tuple[int, ...]:
        """Positions of arrays that are nothing but arguments without need, and overlap no other."""
        owners = [annotation for annotation, leaves in zip(self._annotated, self.leaves, strict=True) for _, b in leaves if b]
        unneeded: set[int] = set()
        needed = set(self._spans) | set(self.positions[len(owners) :])
        for annotation, position in zip(owners, self.positions, strict=False):
            (unneeded if isinstance(annotation, _WITHOUT_NEED) else needed).add(position)
        return tuple(sorted(unneeded - needed))

    def _add(self, number: int, annotation: AbstractAnnotation) -> Any:
        """Take in one argument; return the value that the function takes."""
        value = promoted(annotation.val) if isinstance(annotation, Active) else annotation.val
        leaves, structure = flatten(value)
        if isinstance(annotation, Active) and not any(map(is_bound, leaves)):
            raise ArgumentTypeError(f"{self.describe(number)}: there is no float in it; write Const(x)")
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

    def _add_held(
        self, number: int, annotation: AbstractAnnotation, items: Sequence[Held], lanes: Sequence[Sequence[Held]]
    ) -> None:
        """Take in what a function or object holds."""
        for k, item in enumerate(items):
            position = self._bind(item.value)
            if position is None:
                continue
            self.held.append(item)
            self.owner.setdefault(position, number)
            if annotation.differentiated and _is_float(item.value):
                self._differentiate(number, annotation, item.value, position, tuple(lane[k].value for lane in lanes))
                if not isinstance(item.value, np.ndarray):
                    self.numbers[position] = tuple(lane[k].place for lane in lanes)

    def _bind(self, leaf: Any) -> int | None:
        """The position of a leaf among the distinct program inputs; None if it is static."""
        if not is_bound(leaf):
            self._static.append((len(self.bound), static_key(leaf)))
            return None
        span = self._span_of.get(id(leaf))
        identity: Hashable = -1 - len(self.bound)  # equal numbers are not the same variable
        if isinstance(leaf, np.ndarray):
            identity = id(leaf) if span is None else ("span", id(span))
        position = self._first.setdefault(identity, len(self._first))
        if span is not None:
            self._spans[position] = span
        self.bound.append(leaf)
        self.positions.append(position)
        return position

    def _differentiate(
        self, number: int, annotation: AbstractAnnotation, leaf: Any, position: int, given: tuple[Any, ...]
    ) -> None:
        _check_leaf(self, number, annotation, leaf)
        for shadow in given:
            _check_shadow(self, number, leaf, shadow)
        span = self._spans.get(position)
        if span is not None:
            part = next(part for array, part in zip(span.arrays, span.parts, strict=True) if array is leaf)
            self.pieces.setdefault(position, []).append(Piece(number, part, given))
            self.shadows[position] = ()
            return
        if position in self.shadows and not all(map(_is_same, self.shadows[position], given)):
            raise ArgumentValueError(
                f"{self.describe(number)}: the same array is {self.describe(self.owner[position])} with another shadow; "
                f"it has one derivative, so give the same shadow twice"
            )
        self.shadows[position] = given

    def _check_overlap(self) -> None:
        """No shadow shares memory with a value or with the shadow of another value.

        Raises
        ------
        ArgumentValueError
        """
        arrays = zip(self.positions, self.bound, strict=True)
        values = {id(leaf): (position, leaf) for position, leaf in arrays if isinstance(leaf, np.ndarray)}
        pieces = [(p, piece.number, piece.given) for p, pieces in self.pieces.items() for piece in pieces]
        whole = [(p, self.owner[p], given) for p, given in self.shadows.items() if p not in self.pieces]
        earlier: list[tuple[int, int, int, np.ndarray]] = []
        for position, number, given in (*whole, *pieces):
            for lane, shadow in enumerate(given):
                if not isinstance(shadow, np.ndarray):
                    continue
                for other, value in values.values():
                    if _share(shadow, value):
                        owner = self.owner.get(other)
                        whose = "a keyword argument" if owner is None else f"the value of {self.describe(owner)}"
                        raise ArgumentValueError(
                            f"{self.describe(number)}: its shadow shares memory with "
                            f"{'its own value' if other == position else whose}; np.zeros_like(x) is a fresh one"
                        )
                for before, other_lane, other, shadow_before in earlier:
                    overlaps_alike = position == before and lane == other_lane  # which is seen when they are joined
                    if not overlaps_alike and _share(shadow, shadow_before):
                        raise ArgumentValueError(
                            f"{self.describe(number)}: its shadow shares memory with that of {self.describe(other)}; "
                            f"derivatives would mix"
                        )
                earlier.append((position, lane, number, shadow))

    def describe(self, number: int) -> str:
        """How messages name an argument."""
        if number == FUNCTION:
            return f"what the function {getattr(self._f, '__name__', type(self._f).__name__)} holds"
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
        if not isinstance(shadow, (float, int, np.floating, *([complex] if isinstance(leaf, complex) else []))):
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


def _is_same(a: Any, b: Any) -> bool:
    """Whether two shadows are the same elements of the same memory."""
    arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    return a is b or (arrays and a.shape == b.shape and a.strides == b.strides and address_of(a) == address_of(b))


def _share(a: np.ndarray, b: np.ndarray) -> bool:
    return np.may_share_memory(a, b) and np.shares_memory(a, b)


def _width(arguments: Arguments, annotated: Sequence[tuple[int, AbstractAnnotation | None]]) -> int | None:
    widths = {number: len(a.dval) for number, a in annotated if isinstance(a, BatchDuplicated)}
    if not widths:
        return None
    for number, annotation in annotated:
        if isinstance(annotation, Duplicated):
            raise ArgumentTypeError(
                f"{arguments.describe(number)}: the other arguments are BatchDuplicated, so this one must be too"
            )
    if len(set(widths.values())) > 1 or 0 in widths.values():
        described = ", ".join(f"{'the function' if n == FUNCTION else f'argument {n}'}: {w}" for n, w in widths.items())
        raise ArgumentValueError(f"batch widths differ or are zero: {described}")
    return next(iter(widths.values()))


# ---------------------------------------------------------------------------------------------------- holders


def _holders(
    arguments: Arguments, f: Callable[..., Any], annotated: Sequence[AbstractAnnotation], function: AbstractAnnotation | None
) -> list[Holder]:
    """What the function holds where it is annotated, and the functions and objects among the differentiated arguments."""
    found: list[Holder] = []
    if function is not None:
        found.append(_holder(arguments, FUNCTION, function, f, list(function.shadows)))
    for number, annotation in enumerate(annotated):
        if not isinstance(annotation, AbstractAnnotation):
            raise ArgumentTypeError(
                f"{argument_name(f, number)} is a bare {type(annotation).__name__}: say how it takes part, for instance "
                f"Duplicated(x, dx) for an array to differentiate, Active(x) for a number, Const(x) otherwise"
            )
        if annotation.shadows:
            leaves, structure = flatten(annotation.val)
            for k, leaf in enumerate(leaves):
                if is_holder(leaf):
                    lanes = [_shadow_leaves(arguments, number, shadow, structure)[k] for shadow in annotation.shadows]
                    found.append(_holder(arguments, number, annotation, leaf, lanes))
    return [holder for holder in found if holder[2]]


def _holder(arguments: Arguments, number: int, annotation: AbstractAnnotation, x: Any, shadows: Sequence[Any]) -> Holder:
    return number, annotation, *held_with_shadows(x, shadows, arguments.describe(number))
