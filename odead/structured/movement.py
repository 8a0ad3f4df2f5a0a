"""Gather and scatter, with one index for all rows or one for each, and the orders that give such indices."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..views import View
from .base import AbstractStructured, Accumulate, Inactive, Site

__all__ = [
    "SEAMLESS", "Argsort", "Extremum", "Permutation", "Put", "PutAdd", "PutAlongAdd", "Searchsorted", "Take", "TakeAlong",
]  # fmt: skip

SEAMLESS: Final = "seamless"


class Take(AbstractStructured):
    """Gather along the last axis: out[..., j] = x[..., index[j]]; `index` has the trailing axes of `out`, values in 0..n-1.

    Its parameter is `SEAMLESS` where it picks the pieces of a function that is twice continuously differentiable: then a step
    of an ODE solver may pass from one to the next as if it were one formula.
    """

    name = "take"
    scatter = "put_add"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: take takes two operands"
        x, index = ins
        assert out.shape == x.shape[:-1] + index.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        x, index = ins
        out[...] = x[..., index]

    def needs(self, k: int) -> tuple[int, ...]:
        return (1,)

    def index(self, build: Any, index: View) -> View:
        """The index for a shadow."""
        return index

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        build.emit(self.name, dout, (dins[0], self.index(build, site.ins[1])))

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        contribution = build.temp_like(build.lift(site.ins[0]))
        build.zero(contribution)
        build.emit(self.scatter, contribution, (contribution, dout, self.index(build, site.ins[1])))
        accumulate(0, contribution)


class TakeAlong(Take):
    """Gather along the last axis, with an index for each row: out[..., j] = x[..., index[..., j]]."""

    name = "take_along"
    scatter = "put_along_add"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: take_along takes two operands"
        x, index = ins
        assert out.shape == index.shape and out.shape[:-1] == x.shape[:-1] and x.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.take_along_axis(ins[0], ins[1], axis=-1)

    def index(self, build: Any, index: View) -> View:
        return build.lift(index)  # type: ignore[no-any-return]


class Put(AbstractStructured):
    """Scatter along the last axis, in place: out[..., index[j]] = values[..., j]; the indices are distinct."""

    name = "put"
    in_place = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 3 and ins[0] == out, f"{where}: {self.name} updates its first operand"
        assert ins[1].shape == out.shape[:-1] + ins[2].shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        _, values, index = ins
        out[..., index] = values

    def needs(self, k: int) -> tuple[int, ...]:
        return (2,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        values = dins[1] if dins[1] is not None else build.zeros_like(build.lift(site.ins[1]))
        build.emit("put", dout, (dout, values, site.ins[2]))

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        values = build.lift(site.ins[1])
        if active[1]:
            contribution = build.temp_like(values)
            build.emit("take", contribution, (dout, site.ins[2]))
            accumulate(1, contribution)
        build.emit("put", dout, (dout, build.zeros_like(values), site.ins[2]))


class PutAdd(Put):
    """Scatter-add along the last axis, in place: out[..., index[j]] += values[..., j], in order; indices may repeat."""

    name = "put_add"
    gather = "take"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        _, values, index = ins
        for row in np.ndindex(out.shape[:-1]):
            np.add.at(out[row], index, values[row])

    def index(self, build: Any, index: View) -> View:
        """The index for a shadow."""
        return index

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        if dins[1] is not None:
            build.emit(self.name, dout, (dout, dins[1], self.index(build, site.ins[2])))

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        if active[1]:
            contribution = build.temp_like(build.lift(site.ins[1]))
            build.emit(self.gather, contribution, (dout, self.index(build, site.ins[2])))
            accumulate(1, contribution)


class PutAlongAdd(PutAdd):
    """Scatter-add along the last axis, with an index for each row: out[..., index[..., j]] += values[..., j]."""

    name = "put_along_add"
    gather = "take_along"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 3 and ins[0] == out, f"{where}: {self.name} updates its first operand"
        assert ins[1].shape == ins[2].shape and ins[1].shape[:-1] == out.shape[:-1], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        _, values, index = ins
        for row in np.ndindex(out.shape[:-1]):
            np.add.at(out[row], index[row], values[row])

    def index(self, build: Any, index: View) -> View:
        return build.lift(index)  # type: ignore[no-any-return]


class Argsort(Inactive):
    """The stable order of each row, int64; NaN comes last, as in `np.argsort`."""

    name = "argsort"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape and out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.argsort(ins[0], axis=-1, kind="stable")


class Extremum(Inactive):
    """The position of the first largest (argmax) or smallest (argmin) element of each row, int64."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._function = getattr(np, name)

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape[:-1], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = self._function(ins[0], axis=-1)


class Permutation(Inactive):
    """The order of rows after exchanges, one after the other, of row k with row x[k], as LAPACK gives them; int64."""

    name = "permutation"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape and out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.arange(out.shape[-1])
        for row in np.ndindex(out.shape[:-1]):
            for k, j in enumerate(ins[0][row]):
                out[row][[k, j]] = out[row][[j, k]]


class Searchsorted(Inactive):
    """The place of each v in a sorted grid, int64, as `np.searchsorted(grid, v, side)`; `params` is the side.

    The leading axes of the grid are those of the values and of the result.
    """

    name = "searchsorted"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2 and ins[0].shape, f"{where}: searchsorted takes a grid and values"
        lead = ins[0].shape[:-1]
        assert out.shape == ins[1].shape and out.shape[: len(lead)] == lead, f"{where}: shapes do not fit"
        assert params in ("left", "right"), f"{where}: the side is left or right"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        grid, values = ins
        for row in np.ndindex(grid.shape[:-1]):
            out[row] = np.searchsorted(grid[row], values[row], side=params)
