"""Factorisations into orthogonal matrices: eigenvalues of symmetric matrices, singular values, QR.

Results are packs: the parts follow each other in the last axis.

Where eigenvalues, or singular values, coincide to rounding, the vectors are not functions of the matrix. By convention such a
pair contributes nothing: right for whatever does not depend on the choice of the vectors within their space and treats the
values alike, as the values themselves (`eigvalsh`, `svdvals`) or their sum.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008: eigenvalues.
J. Townsend, "Differentiating the singular value decomposition", 2016.
S. F. Walter & L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum experimental
design", 2010: QR.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term, part, total
from .matrices import from_lower, symmetric
from .solves import triangular

__all__ = ["Eigh", "Eigvalsh", "Qr", "Svd", "Svdvals", "gaps", "reciprocals"]


def gaps(values: Term, scale: int) -> Term:
    """1 / (values[j] - values[i]) at (i, j); 0 where they differ by no more than rounding."""
    difference = values.row - values.column
    size = values.call("abs", values)
    limit = size.new("amax", size.shape[:-1], size).column.column * (scale * float(np.finfo(values.dtype).eps))
    distinct = values.call("greater", values.call("abs", difference), limit, dtype="bool")
    safe = values.call("where", distinct, difference, values.number(1.0))
    return values.call("reciprocal", safe).selected(distinct)


def reciprocals(values: Term) -> Term:
    """1 / values; 0 at 0."""
    regular = values.call("not_equal", values, values.number(0.0), dtype="bool")
    return values.call("reciprocal", values.call("where", regular, values, values.number(1.0))).selected(regular)


def eigh_of(a: np.ndarray, whose: str) -> tuple[np.ndarray, np.ndarray]:
    """Of matrices whose lower triangle is to be read; see `Eigh`."""
    matrix, triangle = (a, "L") if whose[-1] == "L" else (np.conjugate(np.swapaxes(a, -1, -2)), "U")
    if whose.startswith("numpy"):
        return tuple(np.linalg.eigh(matrix, triangle))  # type: ignore[call-overload]
    found = [scipy.linalg.eigh(matrix[place], lower=triangle == "L") for place in np.ndindex(matrix.shape[:-2])]
    values, vectors = zip(*found, strict=True)
    return np.reshape(values, a.shape[:-1]), np.reshape(vectors, a.shape)


class Eigh(AbstractStructured):
    """Eigenvalues (n), in ascending order, and eigenvectors (n, n) of symmetric matrices; the lower triangle is read.

    Which of two opposite vectors is found is LAPACK's choice: `params` says of which routine, "numpy" or "scipy", and whether
    the user gave it a lower triangle, "L", or an upper one, "U", which is the lower one of the operand here. None: "numpy L".
    """

    name = "eigh"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: eigh takes one operand"
        n = ins[0].shape[-1]
        assert ins[0].shape[-2] == n >= 1 and out.shape == (*ins[0].shape[:-2], n + n * n), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        n = ins[0].shape[-1]
        values, vectors = eigh_of(ins[0], params or "numpy L")
        out[..., :n], out[..., n:] = values, vectors.reshape(*out.shape[:-1], n * n)

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        inner = v.T @ symmetric(Term(build, da)) @ v
        inner.diagonal.store(dw.view)
        (v @ (gaps(w, w.shape[-1]) * inner)).store(dv.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        (w, v), (dw, dv) = (self.parts(build, view, site) for view in (site.out, dout))
        inner = gaps(w, w.shape[-1]) * (v.T @ dv) + dw.row.broadcast(dv.shape).selected(np.eye(w.shape[-1], dtype=bool))
        accumulate(0, from_lower(v @ inner @ v.T).view)

    def parts(self, build: Any, pack: View, site: Site) -> tuple[Term, Term]:
        n = site.ins[0].shape[-1]
        return part(Term(build, pack), 0, (n,)), part(Term(build, pack), n, (n, n))


class Eigvalsh(AbstractStructured):
    """Eigenvalues of symmetric matrices; multiple ones have the derivatives that go with the vectors found."""

    name = "eigvalsh"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: eigvalsh takes one operand"
        assert ins[0].shape[-1] >= 1 and ins[0].shape == (*out.shape, out.shape[-1]), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.linalg.eigvalsh(ins[0])

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        v = self.vectors(build, site)
        (v * (symmetric(Term(build, da)) @ v)).T.sum().store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        v = self.vectors(build, site)
        accumulate(0, from_lower((v * Term(build, dout).row) @ v.T).view)

    def vectors(self, build: Any, site: Site) -> Term:
        a = Term(build, site.ins[0])
        n = a.shape[-1]
        return part(a.new("eigh", (*a.shape[:-2], n + n * n), a), n, (n, n))


class Svd(AbstractStructured):
    """Thin singular value decomposition of (m, n): u (m, k), s (k), vh (k, n) with k = min(m, n)."""

    name = "svd"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: svd takes one operand"
        m, n = ins[0].shape[-2:]
        k = min(m, n)
        assert k >= 1 and out.shape == (*ins[0].shape[:-2], m * k + k + k * n), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        u, s, vh = np.linalg.svd(ins[0], full_matrices=False)
        lead = out.shape[:-1]
        out[...] = np.concatenate([u.reshape(*lead, -1), s, vh.reshape(*lead, -1)], axis=-1)

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        (u, s, vh), (du, ds, dvh) = (self.parts(build, view, site) for view in (site.out, dout))
        d, v = Term(build, da), vh.T
        inner = u.T @ d @ v
        near, inverse = self.gaps(s), reciprocals(s)
        inner.diagonal.store(ds.view)
        change = u @ (near * (inner * s.row + s.column * inner.T))
        total(change, self.outside(u, d @ v * inverse.row)).store(du.view)
        change = v @ (near * (s.column * inner + inner.T * s.row))
        total(change, self.outside(v, d.T @ u * inverse.row)).store(dvh.T.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        (u, s, vh), (du, ds, dvh) = (self.parts(build, view, site) for view in (site.out, dout))
        v, dv = vh.T, dvh.T
        near, inverse = self.gaps(s), reciprocals(s)
        left, right = u.T @ du, v.T @ dv
        inner = (near * (left - left.T)) * s.row + s.column * (near * (right - right.T))
        inner = inner + ds.row.broadcast(inner.shape).selected(np.eye(s.shape[-1], dtype=bool))
        beside_u, beside_v = self.outside(u, du * inverse.row), self.outside(v, dv * inverse.row)
        result = total(u @ inner @ vh, beside_u and beside_u @ vh, beside_v and u @ beside_v.T)
        accumulate(0, result.view)

    def gaps(self, s: Term) -> Term:
        return gaps(s * s, s.shape[-1])

    def outside(self, basis: Term, x: Term) -> Term | None:
        """x - basis basis.T x; None for a square basis, which has no outside."""
        return None if basis.shape[-1] == basis.shape[-2] else x - basis @ (basis.T @ x)

    def parts(self, build: Any, pack: View, site: Site) -> tuple[Term, Term, Term]:
        m, n = site.ins[0].shape[-2:]
        k = min(m, n)
        whole = Term(build, pack)
        return part(whole, 0, (m, k)), part(whole, m * k, (k,)), part(whole, m * k + k, (k, n))


class Svdvals(AbstractStructured):
    """Singular values; multiple ones have the derivatives that go with the vectors found."""

    name = "svdvals"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: svdvals takes one operand"
        k = min(ins[0].shape[-2:])
        assert k >= 1 and out.shape == (*ins[0].shape[:-2], k), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.linalg.svd(ins[0], compute_uv=False)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        u, vh = self.vectors(build, site)
        (u * (Term(build, da) @ vh.T)).T.sum().store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        u, vh = self.vectors(build, site)
        accumulate(0, ((u * Term(build, dout).row) @ vh).view)

    def vectors(self, build: Any, site: Site) -> tuple[Term, Term]:
        a = Term(build, site.ins[0])
        m, n = a.shape[-2:]
        k = min(m, n)
        pack = a.new("svd", (*a.shape[:-2], m * k + k + k * n), a)
        return part(pack, 0, (m, k)), part(pack, m * k + k, (k, n))


class Qr(AbstractStructured):
    """Thin QR decomposition of (m, n) with m >= n: q (m, n), r (n, n)."""

    name = "qr"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: qr takes one operand"
        m, n = ins[0].shape[-2:]
        assert m >= n and out.shape == (*ins[0].shape[:-2], m * n + n * n), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        q, r = np.linalg.qr(ins[0])
        lead = out.shape[:-1]
        out[...] = np.concatenate([q.reshape(*lead, -1), r.reshape(*lead, -1)], axis=-1) if out.size else 0

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        (q, r), (dq, dr) = (self.parts(build, view, site) for view in (site.out, dout))
        scaled = triangular(r.T, Term(build, da).T, lower=True).T
        inner = q.T @ scaled
        turn = inner.lower(-1)
        turn = turn - turn.T
        total(scaled, q @ (turn - inner)).store(dq.view)
        ((inner - turn).upper() @ r).upper().store(dr.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        (q, r), (dq, dr) = (self.parts(build, view, site) for view in (site.out, dout))
        inner = r @ dr.upper().T - dq.T @ q
        inner = inner.lower() + inner.lower(-1).T
        accumulate(0, triangular(r, (dq + q @ inner).T, lower=False).T.view)

    def parts(self, build: Any, pack: View, site: Site) -> tuple[Term, Term]:
        m, n = site.ins[0].shape[-2:]
        return part(Term(build, pack), 0, (m, n)), part(Term(build, pack), m * n, (n, n))
