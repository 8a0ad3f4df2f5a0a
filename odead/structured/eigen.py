"""Eigenvalues and eigenvectors of general matrices, real or complex.

Eigenvectors are LAPACK's: of Euclidean length 1, the largest component real. Its sign is LAPACK's choice, which may differ
between neighbouring matrices; derivatives are those of a vector that keeps its sign. Where two eigenvalues coincide to
rounding, the pair contributes nothing; who records the operation refuses such matrices.

References
----------
J. R. Magnus, "On differentiating eigenvalues and eigenvectors", Econometric Theory 1, 1985: simple eigenvalues.
C. Boeddeker, P. Hanebrink, L. Drude, J. Heymann & R. Haeb-Umbach, "On the computation of complex-valued gradients with
application to statistically optimum beamforming", 2017: the adjoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term, block, part, total
from .solves import factorised, solved

__all__ = ["Eig", "Pair"]


@dataclass(frozen=True)
class Pair:
    """Complex numbers as real and imaginary part."""

    re: Term
    im: Term

    def __mul__(self, other: Pair) -> Pair:
        return Pair(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def __matmul__(self, other: Pair) -> Pair:
        return Pair(self.re @ other.re - self.im @ other.im, self.re @ other.im + self.im @ other.re)

    @property
    def conjugate(self) -> Pair:
        return Pair(self.re, -self.im)

    @property
    def H(self) -> Pair:  # noqa: N802  # as NumPy's users write it
        """The matrices transposed and conjugated."""
        return Pair(self.re.T, -self.im.T)


class Eig(AbstractStructured):
    """Eigenvalues, real parts (n) and imaginary parts (n), and eigenvectors, the same (n, n), of matrices.

    One operand is a real matrix; two are the real and the imaginary part of a complex one.
    """

    name = "eig"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) in (1, 2), f"{where}: eig takes one operand or two"
        *lead, rows, n = ins[0].shape
        assert rows == n >= 1 and out.shape == (*lead, 2 * n + 2 * n * n), f"{where}: shapes do not fit"

        assert ins[-1].shape == ins[0].shape, f"{where}: real and imaginary part differ in shape"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        w, v = np.linalg.eig(ins[0] if len(ins) == 1 else ins[0] + 1j * ins[1])
        vectors = v.reshape(*v.shape[:-2], -1)
        out[...] = np.concatenate([w.real, w.imag, vectors.real, vectors.imag], axis=-1)

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        re, im = (None if view is None else Term(build, view) for view in (*dins, None)[:2])
        right = Pair(
            total(re and re @ v.re, im and -(im @ v.im)),
            total(re and re @ v.im, im and im @ v.re),
        )
        inner = _solved(v, right)
        inner.re.diagonal.store(dw.re.view)
        inner.im.diagonal.store(dw.im.view)
        change = v @ (_gaps(w) * inner)
        longer = (v.re * change.re + v.im * change.im).T.sum()
        turned = (_turning(v) * change.im).T.sum()
        along = v * Pair(longer.row, turned.row)
        (change.re - along.re).store(dv.re.view)
        (change.im - along.im).store(dv.im.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        longer = (v.re * dv.re + v.im * dv.im).T.sum()
        turned = (v.re * dv.im - v.im * dv.re).T.sum()
        change = Pair(dv.re - v.re * longer.row, dv.im - v.im * longer.row - _turning(v) * turned.row)
        inner = _gaps(w).conjugate * (v.H @ change)
        diagonal = np.eye(w.re.shape[-1], dtype=bool)
        inner = Pair(
            inner.re + dw.re.row.broadcast(inner.re.shape).selected(diagonal),
            inner.im + dw.im.row.broadcast(inner.im.shape).selected(diagonal),
        )
        result = _solved(v, inner @ v.H, adjoint=True)
        for k, (is_active, term) in enumerate(zip(active, (result.re, result.im), strict=False)):
            if is_active:
                accumulate(k, term.view)

    def parts(self, build: Any, pack: View, site: Site) -> tuple[Pair, Pair]:
        n = site.ins[0].shape[-1]
        whole = Term(build, pack)
        vectors = Pair(part(whole, 2 * n, (n, n)), part(whole, 2 * n + n * n, (n, n)))
        return Pair(part(whole, 0, (n,)), part(whole, n, (n,))), vectors


def _solved(v: Pair, right: Pair, adjoint: bool = False) -> Pair:
    """The solution of v x = right, or of v.H x = right, by the real matrix [[re, -im], [im, re]]; right may have lanes."""
    n, shape = v.re.shape[-1], right.re.shape
    matrix = block([[v.re, -v.im], [v.im, v.re]], n)
    both = Term(v.re.build, v.re.build.program.temp(v.re.dtype, (*shape[:-2], 2 * n, shape[-1])))
    right.re.store(both.window(-2, 0, n).view)
    right.im.store(both.window(-2, n, 2 * n).view)
    x = solved(matrix, factorised(matrix), both, adjoint)
    return Pair(x.window(-2, 0, n), x.window(-2, n, 2 * n))


def _gaps(w: Pair) -> Pair:
    """1 / (w[j] - w[i]) at (i, j); 0 where they differ by no more than rounding."""
    re, im = w.re.row - w.re.column, w.im.row - w.im.column
    squares, sizes = re * re + im * im, w.re * w.re + w.im * w.im
    rounding = (w.re.shape[-1] * float(np.finfo(w.re.dtype).eps)) ** 2
    limit = sizes.new("amax", sizes.shape[:-1], sizes).column.column * rounding
    distinct = re.call("greater", squares, limit, dtype="bool")
    inverse = re.call("reciprocal", re.call("where", distinct, squares, re.number(1.0))).selected(distinct)
    return Pair(re * inverse, -(im * inverse))


def _turning(v: Pair) -> Term:
    """1 / v at the component of each vector that LAPACK makes real, 0 elsewhere: what an imaginary change there turns it by."""
    squares = (v.re * v.re).selected(v.re.call("equal", v.im, v.re.number(0.0), dtype="bool"))
    largest = squares.new("amax", squares.shape[:-1], squares.T).row
    chosen = v.re.call("equal", squares, largest, dtype="bool")
    count = v.re.number(1.0).broadcast(squares.shape).selected(chosen).T.sum().row  # of several, each has its share
    return v.re.call("reciprocal", v.re.call("where", chosen, v.re, v.re.number(1.0)) * count).selected(chosen)
