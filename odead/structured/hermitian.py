"""Eigenvalues and eigenvectors of complex Hermitian matrices.

An eigenvector is one up to a phase. LAPACK (zhetrd) leaves the first component real where it is given the lower triangle, and
the last one where it is given the upper one; derivatives are those of vectors that keep that component real. Where it is 0,
and between eigenvalues that coincide to rounding, the change of the vectors within their space counts as 0: right for
whatever does not depend on the choice.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008.
C. Boeddeker, P. Hanebrink, L. Drude, J. Heymann & R. Haeb-Umbach, "On the computation of complex-valued gradients with
application to statistically optimum beamforming", 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .eigen import Pair
from .expression import Term, part
from .matrices import from_lower, symmetric
from .spectral import eigh_of, gaps, reciprocals

__all__ = ["EighComplex"]


class EighComplex(AbstractStructured):
    """Eigenvalues (n), ascending, and eigenvectors, real and imaginary parts (n, n) each.

    The operands are the real and the imaginary part of the matrices, of which one triangle is read: `params` ends with "L" or
    "U". It begins with "scipy" where the vectors are to be those of SciPy's routine; they may have other signs than NumPy's.
    """

    name = "eigh_complex"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: eigh_complex takes two operands"
        n = ins[0].shape[-1]
        assert ins[0].shape == ins[1].shape and ins[0].shape[-2] == n >= 1, f"{where}: shapes do not fit"
        assert out.shape == (*ins[0].shape[:-2], n + 2 * n * n) and params[-1] in ("L", "U"), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        matrix = ins[0] + 1j * ins[1]
        below = matrix if params[-1] == "L" else np.conjugate(np.swapaxes(matrix, -1, -2))
        w, v = eigh_of(below, params if len(params) > 1 else f"numpy {params}")
        flat = v.reshape(*v.shape[:-2], -1)
        out[...] = np.concatenate([w, flat.real, flat.imag], axis=-1)

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        change = v.H @ _times(_hermitian(build, dins, site.params), v)
        change.re.diagonal.store(dw.view)
        near = gaps(w, w.shape[-1])
        raw = v @ Pair(near * change.re, near * change.im)
        real, inverse = _real_row(v, site.params)
        turn = -(_row(raw.im, real) * inverse)
        (raw.re - v.im * turn).store(dv.re.view)
        (raw.im + v.re * turn).store(dv.im.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        n = w.shape[-1]
        turned = (v.re * dv.im - v.im * dv.re).T.sum().row
        real, inverse = _real_row(v, site.params)
        own = np.arange(n)[:, None] == real
        beside = -(turned * inverse).broadcast(dv.im.shape).selected(np.broadcast_to(own, (n, n)))
        inner = v.H @ Pair(dv.re, dv.im + beside)
        near = gaps(w, n)
        diagonal = dw.row.broadcast(dv.re.shape).selected(np.eye(n, dtype=bool))
        result = v @ Pair(near * inner.re + diagonal, near * inner.im) @ v.H
        lower = site.params[-1] == "L"
        if active[0]:
            accumulate(0, (from_lower(result.re) if lower else from_lower(result.re.T).T).view)
        if active[1]:
            turned = result.im - result.im.T
            accumulate(1, (turned.lower(-1) if lower else turned.T.lower(-1).T).view)

    def parts(self, build: Any, pack: View, site: Site) -> tuple[Term, Pair]:
        n = site.ins[0].shape[-1]
        whole = Term(build, pack)
        return part(whole, 0, (n,)), Pair(part(whole, n, (n, n)), part(whole, n + n * n, (n, n)))


def _hermitian(build: Any, parts: tuple[View | None, ...], triangle: str) -> tuple[Term | None, Term | None]:
    """The Hermitian matrix of which one triangle is read, None for a part that is 0."""
    re, im = (None if view is None else Term(build, view) for view in parts)
    lower = triangle[-1] == "L"
    below = None if im is None else (im if lower else im.T).lower(-1)
    skew = None if below is None else (below - below.T if lower else below.T - below)
    return (None if re is None else symmetric(re if lower else re.T)), skew


def _times(a: tuple[Term | None, Term | None], v: Pair) -> Pair:
    re, im = a
    if im is None:
        assert re is not None
        return Pair(re @ v.re, re @ v.im)
    if re is None:
        return Pair(-(im @ v.im), im @ v.re)
    return Pair(re, im) @ v


def _row(x: Term, k: int) -> Term:
    return x.window(-2, k, k + 1)


def _real_row(v: Pair, triangle: str) -> tuple[int, Term]:
    """The row in which the vectors are real, and 1 / its elements; 0 for those that are 0."""
    k = 0 if triangle[-1] == "L" else v.re.shape[-1] - 1
    return k, reciprocals(_row(v.re, k))
