"""Formulas over views: what tangents and adjoints of matrix functions are written with.

`Term(build, view)` has the operators of an array; each emits an instruction into a new temporary. Shapes broadcast as in
NumPy, from the right, so a primal value meets a shadow without further ado: the lane axis of the shadow comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..views import View

__all__ = ["Term", "block", "identity", "part", "total", "triangle"]


class Term:
    """A value in a program under construction.

    Attributes
    ----------
    build : Builder
    view : View
    """

    __slots__ = ("build", "view")

    def __init__(self, build: Any, view: View) -> None:
        self.build, self.view = build, view

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def dtype(self) -> str:
        return self.build.program.dtype(self.view)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------------------ views

    @property
    def T(self) -> Term:  # noqa: N802  # as NumPy calls it
        """The matrices transposed."""
        shape, strides = self.view.shape, self.view.strides
        return self._view(shape=(*shape[:-2], shape[-1], shape[-2]), strides=(*strides[:-2], strides[-1], strides[-2]))

    @property
    def diagonal(self) -> Term:
        shape, strides = self.view.shape, self.view.strides
        return self._view(shape=(*shape[:-2], min(shape[-2:])), strides=(*strides[:-2], strides[-2] + strides[-1]))

    @property
    def column(self) -> Term:
        """Vectors as matrices of one column."""
        return self._view(shape=(*self.shape, 1), strides=(*self.view.strides, 0))

    @property
    def row(self) -> Term:
        """Vectors as matrices of one row."""
        shape, strides = self.view.shape, self.view.strides
        return self._view(shape=(*shape[:-1], 1, shape[-1]), strides=(*strides[:-1], 0, strides[-1]))

    @property
    def flipped(self) -> Term:
        """The last axis backwards."""
        n, step = self.shape[-1], self.view.strides[-1]
        return self._view(offset=self.view.offset + max(n - 1, 0) * step, strides=(*self.view.strides[:-1], -step))

    def window(self, axis: int, start: int, stop: int) -> Term:
        """The elements start..stop-1 along an axis, counted from the last one: -1, -2, ..."""
        shape = list(self.shape)
        shape[axis] = stop - start
        return self._view(offset=self.view.offset + start * self.view.strides[axis], shape=tuple(shape))

    def broadcast(self, shape: tuple[int, ...]) -> Term:
        return Term(self.build, self.build.broadcast(self.view, shape))

    def _view(self, **changes: Any) -> Term:
        return Term(self.build, self.view._replace(**changes))

    # ------------------------------------------------------------------------------------------------ arithmetic

    def __add__(self, other: Term | float) -> Term:
        return self._apply("add", other)

    def __sub__(self, other: Term | float) -> Term:
        return self._apply("sub", other)

    def __mul__(self, other: Term | float) -> Term:
        return self._apply("mul", other)

    def __neg__(self) -> Term:
        return self.call("neg", self)

    def __matmul__(self, other: Term) -> Term:
        lead = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
        left, right = self.broadcast(lead + self.shape[-2:]), other.broadcast(lead + other.shape[-2:])
        return self.new("matmul", (*lead, self.shape[-2], other.shape[-1]), left, right)

    def _apply(self, op: str, other: Term | float) -> Term:
        return self.call(op, self, other if isinstance(other, Term) else self.number(other))

    def number(self, value: Any) -> Term:
        """A literal number or array of the dtype of this term."""
        return Term(self.build, self.build.program.constant(value, self.dtype))

    def call(self, op: str, *operands: Term, dtype: str = "") -> Term:
        """An elementwise operation."""
        shape = np.broadcast_shapes(*(operand.shape for operand in operands))
        return self.new(op, shape, *(operand.broadcast(shape) for operand in operands), dtype=dtype)

    def new(self, op: str, shape: tuple[int, ...], *operands: Term, params: Any = None, dtype: str = "") -> Term:
        """The result of any operation."""
        out = self.build.program.temp(dtype or self.dtype, shape)
        self.build.emit(op, out, tuple(operand.view for operand in operands), params)
        return Term(self.build, out)

    def sum(self, axes: int = 1) -> Term:
        """The sum over the last axes."""
        return self.new("sum", self.shape[: len(self.shape) - axes], self)

    def selected(self, mask: np.ndarray | Term) -> Term:
        """The elements where the mask is true, exactly 0 elsewhere."""
        if not isinstance(mask, Term):
            mask = Term(self.build, self.build.program.constant(mask, "bool"))
        return self.call("where", mask, self, self.number(0.0))

    def lower(self, k: int = 0) -> Term:
        """The lower triangle up to the diagonal k."""
        return self.selected(triangle(self.shape[-2], self.shape[-1], k))

    def upper(self) -> Term:
        return self.selected(triangle(self.shape[-1], self.shape[-2]).T)

    def store(self, out: View) -> None:
        """Emit `out = self`."""
        self.build.emit("copy", out, (self.broadcast(out.shape).view,))


def triangle(rows: int, columns: int, k: int = 0) -> np.ndarray:
    """Where a matrix has its lower triangle, up to the diagonal k."""
    return np.tri(rows, columns, k).astype(bool)


def total(*terms: Term | None) -> Term:
    """The sum of those that are there."""
    there = [term for term in terms if term is not None]
    result = there[0]
    for term in there[1:]:
        result = result + term
    return result


def part(whole: Term, start: int, shape: tuple[int, ...]) -> Term:
    """An array of this shape in the rows of a pack, from position `start` on; the pack's last axis is contiguous."""
    lead, step = whole.view.strides[:-1], whole.view.strides[-1]
    strides = tuple(step * prod(shape[k + 1 :]) for k in range(len(shape)))
    return Term(
        whole.build,
        whole.view._replace(offset=whole.view.offset + start * step, shape=whole.shape[:-1] + shape, strides=lead + strides),
    )


def identity(like: Term) -> Term:
    """The identity of the size of the square matrices `like`."""
    return like.number(np.eye(like.shape[-1]))


def block(rows: Sequence[Sequence[Term | None]], n: int) -> Term:
    """The matrix made of square blocks of size n; None is 0."""
    terms = [term for row in rows for term in row if term is not None]
    lead = np.broadcast_shapes(*(term.shape[:-2] for term in terms))
    first = terms[0]
    whole = Term(first.build, first.build.program.temp(first.dtype, (*lead, n * len(rows), n * len(rows))))
    for i, row in enumerate(rows):
        for j, term in enumerate(row):
            target = whole.window(-2, n * i, n * i + n).window(-1, n * j, n * j + n)
            (term if term is not None else first.number(0.0)).store(target.view)
    return whole
