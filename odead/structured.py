"""Operations with structure: those whose result element depends on more than the operand elements beside it.

One small class each, holding all there is to know about the operation: shape rule, NumPy value, tangent, adjoint and
what the adjoint needs kept. The C kernel of the same name is in `_core.pyx`. Views are those of `tape.py`.

In tangents and adjoints `build` is the program under construction: `build.emit(op, out, ins, params)`,
`build.zero(view)`, `build.temp_like(view)`, and `build.lift(view)`, which puts the lane axis of a batch, with stride 0, in
front of a primal value. Shadows carry the lane axis already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from .tape import View

__all__ = ["STRUCTURED", "AbstractStructured"]

Accumulate = Callable[[int, "View"], None]  # add a contribution to the shadow of operand k


class AbstractStructured(ABC):
    """One structured operation.

    Attributes
    ----------
    name : str
        The opcode.
    in_place : bool
        The first operand is the result itself, updated; its shadow is updated in place too.
    """

    name: str
    in_place = False

    @abstractmethod
    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        """Raise AssertionError, starting with `where`, unless shapes and parameters fit."""

    @abstractmethod
    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        """Write the result into `out` with NumPy: the oracle."""

    def needs(self, k: int) -> tuple[int, ...]:
        """The operands whose values the adjoint of operand k uses."""
        return ()

    @abstractmethod
    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        """Emit what sets `dout`; dins[k] is None where operand k is inactive, at least one is not."""

    @abstractmethod
    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        """Emit what adds the contributions of `dout` to the shadows of the active operands."""


class Sum(AbstractStructured):
    """Sum over the last axes: the operand has the shape of the result followed by the reduced axes."""

    name = "sum"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: sum takes one operand"
        assert ins[0].shape[: len(out.shape)] == out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        (x,) = ins
        out[...] = x.sum(axis=tuple(range(out.ndim, x.ndim)))

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        build.emit("sum", dout, dins)

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        reduced = build.lift(ins[0]).shape[len(dout.shape) :]
        accumulate(0, dout._replace(shape=dout.shape + reduced, strides=dout.strides + (0,) * len(reduced)))


class Matmul(AbstractStructured):
    """Matrix product over the last two axes; leading axes are a batch, equal in all three views (stride 0 broadcasts)."""

    name = "matmul"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: matmul takes two operands"
        a, b = ins
        assert len(out.shape) == len(a.shape) == len(b.shape) >= 2, f"{where}: ranks differ"
        assert out.shape[:-2] == a.shape[:-2] == b.shape[:-2], f"{where}: batch axes differ"
        assert (a.shape[-2], b.shape[-1]) == out.shape[-2:] and a.shape[-1] == b.shape[-2], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        np.matmul(*ins, out=out)

    def needs(self, k: int) -> tuple[int, ...]:
        return (1 - k,)

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        (a, b), (da, db) = ins, dins
        if da is not None and db is not None:
            other = build.temp_like(dout)
            build.emit("matmul", other, (da, build.lift(b)))
            build.emit("matmul", dout, (build.lift(a), db))
            build.emit("add", dout, (dout, other))
        elif da is not None:
            build.emit("matmul", dout, (da, build.lift(b)))
        else:
            build.emit("matmul", dout, (build.lift(a), db))

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        a, b = map(build.lift, ins)
        if active[0]:
            contribution = build.temp_like(a)
            build.emit("matmul", contribution, (dout, _transposed(b)))
            accumulate(0, contribution)
        if active[1]:
            contribution = build.temp_like(b)
            build.emit("matmul", contribution, (_transposed(a), dout))
            accumulate(1, contribution)


def _transposed(view: View) -> View:
    return view._replace(shape=(*view.shape[:-2], *view.shape[:-3:-1]), strides=(*view.strides[:-2], *view.strides[:-3:-1]))


class Take(AbstractStructured):
    """Gather along the last axis: out[..., j] = x[..., index[j]]; `index` has the trailing axes of `out`, values in 0..n-1."""

    name = "take"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: take takes two operands"
        x, index = ins
        assert out.shape == x.shape[:-1] + index.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        x, index = ins
        out[...] = x[..., index]

    def needs(self, k: int) -> tuple[int, ...]:
        return (1,)

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        build.emit("take", dout, (dins[0], ins[1]))

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        contribution = build.temp_like(build.lift(ins[0]))
        build.zero(contribution)
        build.emit("put_add", contribution, (contribution, dout, ins[1]))
        accumulate(0, contribution)


class Put(AbstractStructured):
    """Scatter along the last axis, in place: out[..., index[j]] = values[..., j]; the indices are distinct."""

    name = "put"
    in_place = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        assert out is not None and len(ins) == 3 and ins[0] == out, f"{where}: {self.name} updates its first operand"
        assert ins[1].shape == out.shape[:-1] + ins[2].shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        _, values, index = ins
        out[..., index] = values

    def needs(self, k: int) -> tuple[int, ...]:
        return (2,)

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        values = dins[1] if dins[1] is not None else build.zeros_like(build.lift(ins[1]))
        build.emit("put", dout, (dout, values, ins[2]))

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        values = build.lift(ins[1])
        if active[1]:
            contribution = build.temp_like(values)
            build.emit("take", contribution, (dout, ins[2]))
            accumulate(1, contribution)
        build.emit("put", dout, (dout, build.zeros_like(values), ins[2]))


class PutAdd(Put):
    """Scatter-add along the last axis, in place: out[..., index[j]] += values[..., j], in order; indices may repeat."""

    name = "put_add"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        _, values, index = ins
        np.add.at(out, (..., index), values)

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        if dins[1] is not None:
            build.emit("put_add", dout, (dout, dins[1], ins[2]))

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        if active[1]:
            contribution = build.temp_like(build.lift(ins[1]))
            build.emit("take", contribution, (dout, ins[2]))
            accumulate(1, contribution)


class Guard(AbstractStructured):
    """Stop the run, with the number of this guard, unless every element of the operand equals `params`."""

    name = "guard"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Hashable, where: str) -> None:
        assert out is None and len(ins) == 1, f"{where}: a guard has one operand and no result"
        assert isinstance(params, (bool, int)), f"{where}: a guard expects a bool or an int"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Hashable) -> None:
        raise AssertionError("a guard has no value; the executor compares its operand")

    def tangent(self, build: Any, dout: View, ins: tuple[View, ...], dins: tuple[View | None, ...], params: Hashable) -> None:
        raise AssertionError("a guard has no tangent")

    def adjoint(
        self, build: Any, dout: View, ins: tuple[View, ...], active: tuple[bool, ...], params: Hashable, accumulate: Accumulate
    ) -> None:
        raise AssertionError("a guard has no adjoint")


STRUCTURED: Final[dict[str, AbstractStructured]] = {c.name: c for c in (Sum(), Matmul(), Take(), Put(), PutAdd(), Guard())}
