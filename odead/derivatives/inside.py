"""`autodiff` inside a function that is itself being recorded.

The annotations are checked at the values of the outer recording, in the memory that the arrays have there, so that what
overlaps is seen as it is outside of any recording; what is bound are the traced arrays.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..activity import AbstractAnnotation, Active
from ..containers import flatten, map_leaves, places, promoted
from .arguments import Arguments
from .call import Call, Parsed, refuse_unfit
from .holding import Holders, holders_inside
from .kernel import cached_kernel, is_bound
from .nested import Nest, part_of
from .overlapping import Piece

__all__ = ["bind_inside"]


def bind_inside(nest: Nest, parsed: Parsed, kwargs: dict[str, Any]) -> Call:
    """The call, bound to traced arrays.

    What functions and objects hold and is differentiated comes behind the caller's own arguments, see `holding`. `Const` of
    the function is no more than the function, which must not write what it holds.
    """
    mode, f, function, _, annotated = parsed
    holders = holders_inside(nest, f, function, annotated)
    if holders is not None:
        f, annotated = holders.f, holders.annotated
    arguments = Arguments(f, [nest.twin_of(a) for a in annotated], map_leaves(nest.twin, kwargs))
    given = [promoted(a.val) if isinstance(a, Active) else a.val for a in annotated]
    written = (*parsed.annotated, *annotated[len(parsed.annotated) :])  # the caller's own containers
    values, shadows = _traced_values(nest, arguments, (given, kwargs)), _TracedShadows(nest, arguments, written, given)
    arguments.numbers = shadows.numbers
    if holders is not None:
        _place_numbers(arguments, holders, len(parsed.annotated))
    arguments.shadows = shadows.lanes
    refuse_unfit(mode, arguments, annotated)
    active, width = tuple(sorted(arguments.shadows)), arguments.width
    key = ("autodiff", type(mode), mode.strong_zero, width, arguments.key)
    derive = partial(mode.derive, active=active, width=width)
    kernel = cached_kernel(f, key, tuple(given), derive, kwargs, nest=nest)
    bound = [_bound_shadow(nest, nest.twin(values[k]), shadows.lanes[k], width) for k in active]
    return Call(kernel, values, bound, annotated, active, arguments, holders is None, len(parsed.annotated))


def _place_numbers(arguments: Arguments, holders: Holders, own: int) -> None:
    """Derivatives of numbers that are held go where the shadows of their holders have them."""
    first = sum(bound for leaves in arguments.leaves[:own] for _, bound in leaves)
    for k, position in enumerate(arguments.positions[first : first + len(holders.items)]):
        if position in arguments.numbers:
            arguments.numbers[position] = tuple([lane[k].place for lane in holders.lanes])


def _traced_values(nest: Nest, arguments: Arguments, trees: Any) -> list[Any]:
    """What to bind to the arguments of the function, by position; for those that overlap, the memory of all of them."""
    leaves = [leaf for leaf in flatten(trees)[0] if is_bound(nest.twin(leaf))]
    values: dict[int, Any] = {}
    for position, leaf in zip(arguments.positions, leaves, strict=True):
        span = arguments.span_at(position)
        if position not in values:
            values[position] = leaf if span is None else nest.memory(leaf, span)
    return [values[k] for k in range(len(values))]


class _TracedShadows:
    """The shadows of the outer recording, where `Arguments` has those of its values.

    Attributes
    ----------
    lanes : dict of int to tuple
        By position, as `Arguments.shadows`.
    numbers : dict of int to tuple
        By position, as `Arguments.numbers`.
    """

    def __init__(self, nest: Nest, arguments: Arguments, annotated: Sequence[AbstractAnnotation], given: Sequence[Any]) -> None:
        self.lanes: dict[int, tuple[Any, ...]] = {}
        self.numbers: dict[int, tuple[Any, ...]] = {}
        taken = iter(arguments.positions)
        for annotation, value in zip(annotated, given, strict=True):
            flat = [flatten(shadow)[0] for shadow in annotation.shadows]
            where = [places(shadow) for shadow in annotation.shadows]
            for k, leaf in enumerate(flatten(value)[0]):
                position = next(taken) if is_bound(nest.twin(leaf)) else None
                if position in arguments.shadows:
                    self.lanes.setdefault(position, tuple(lane[k] for lane in flat))
                if position in arguments.numbers:
                    self.numbers.setdefault(position, tuple(lane[k] for lane in where))
        traced = {id(nest.twin(leaf)): leaf for a in annotated for shadow in a.shadows for leaf in flatten(shadow)[0]}
        for position, pieces in arguments.pieces.items():
            given = [piece._replace(given=tuple(traced[id(lane)] for lane in piece.given)) for piece in pieces]
            arguments.pieces[position] = given
            self.lanes[position] = tuple(_joined(nest, given, k, flat) for k, flat in enumerate(arguments.shadows[position]))


def _joined(nest: Nest, pieces: Sequence[Piece], lane: int, values: np.ndarray) -> Any:
    """The shadow of the memory of arrays that overlap, from the traced shadows of the arrays."""
    flat = nest.new(np.zeros_like(values))
    for piece in pieces:
        part_of(flat, piece.part)[...] = piece.given[lane]
    return flat


def _bound_shadow(nest: Nest, value: Any, lanes: Sequence[Any], width: int | None) -> Any:
    """The array to bind for a shadow: the caller's own where there is one, else a new one."""
    dtype = np.asarray(value).dtype
    if not lanes:  # Active
        return nest.new(np.zeros(np.shape(value) if width is None else (width, *np.shape(value)), dtype))
    if width is not None:
        return nest.array(list(lanes), dtype)
    return lanes[0] if isinstance(lanes[0], np.ndarray) else nest.array(lanes[0], dtype)
