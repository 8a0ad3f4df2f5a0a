"""The shadows of arguments that overlap: joined into one for the memory they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentValueError
from ..spans import Span, address_of
from ..views import View

__all__ = ["Piece", "joined"]


class Piece(NamedTuple):
    """A differentiated array of a span.

    Attributes
    ----------
    number : int
        Of the argument that it is in.
    part : View
        Where it lies in the span.
    given : tuple of ndarray
        The caller's shadows, one per lane.
    """

    number: int
    part: View
    given: tuple[np.ndarray, ...]


def joined(span: Span, pieces: Sequence[Piece], describe: Callable[[int], str]) -> Iterator[np.ndarray]:
    """For each lane the shadow of the whole span; zero where no differentiated array lies.

    Raises
    ------
    ArgumentValueError
        The shadows do not overlap as the values do: an element has two derivatives, or two elements share one.
    """
    for lane in range(len(pieces[0].given)):
        if not _overlap_alike(span, pieces, lane):
            names = " and ".join(dict.fromkeys(describe(piece.number) for piece in pieces))
            raise ArgumentValueError(
                f"{names} overlap in memory, and their shadows do not overlap in the same way: take the shadows as the same "
                f"views of one array, or pass a copy of one of the values"
            )
        flat = np.zeros(span.size, span.dtype)
        for piece in pieces:
            Span.part_of(flat, piece.part)[...] = piece.given[lane]
        yield flat


def _overlap_alike(span: Span, pieces: Sequence[Piece], lane: int) -> bool:
    shifts = {address_of(piece.given[lane]) - piece.part.offset * span.dtype.itemsize for piece in pieces}
    if len(shifts) == 1 and all(_same_steps(piece, lane) for piece in pieces):
        return True
    elements = np.concatenate([piece.part.indices().reshape(-1) for piece in pieces])
    addresses = np.concatenate([_addresses(piece.given[lane]) for piece in pieces])
    pairs = len(np.unique(np.stack([elements, addresses]), axis=1).T)
    return pairs == len(np.unique(elements)) == len(np.unique(addresses))


def _same_steps(piece: Piece, lane: int) -> bool:
    shadow = piece.given[lane]
    return tuple([stride // shadow.itemsize for stride in shadow.strides]) == piece.part.strides


def _addresses(x: np.ndarray) -> np.ndarray:
    """Of each element."""
    found = np.full(x.shape, address_of(x), dtype=np.int64)
    for axis, (n, stride) in enumerate(zip(x.shape, x.strides, strict=True)):
        found += (np.arange(n) * stride).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    return found.reshape(-1)
