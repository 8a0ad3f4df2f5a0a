"""Functions of a matrix: determinants, pseudo-inverse, Cholesky factor, exponential.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008: determinant.
G. H. Golub & V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate", 1973.
I. Murray, "Differentiation of the Cholesky decomposition", 2016.
A. H. Al-Mohy & N. J. Higham, "Computing the Fréchet derivative of the matrix exponential", 2009.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import expm, expm_frechet

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term, block, identity, part, total
from .solves import factorised, solved, triangular

__all__ = ["Cholesky", "Cofactor", "Det", "Expm", "ExpmFrechet", "Pinv", "Slogdet", "from_lower", "symmetric"]


class _OfSquare(AbstractStructured):
    """A function of square matrices whose value is a square matrix of the same size."""

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: {self.name} takes one operand"
        assert ins[0].shape[-2:] == (ins[0].shape[-1],) * 2 and out.shape == ins[0].shape, f"{where}: shapes do not fit"


def _inverse_transposed(a: Term) -> Term:
    return solved(a, factorised(a), identity(a).broadcast(a.shape), transposed=True)


class Det(AbstractStructured):
    """Determinant; its derivative is the matrix of cofactors, also where the matrix is singular."""

    name = "det"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: det takes one operand"
        assert ins[0].shape == (*out.shape, *ins[0].shape[-1:] * 2), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.linalg.det(ins[0])

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        (Term(build, da) * self.partial(build, site)).sum(2).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        accumulate(0, (Term(build, dout).column.column * self.partial(build, site)).view)

    def partial(self, build: Any, site: Site) -> Term:
        a = Term(build, site.ins[0])
        return a.new("cofactor", a.shape, a)


class Cofactor(_OfSquare):
    """det(a) inv(a).T, by the singular values, none of which is divided by. Its own derivative needs a regular matrix."""

    name = "cofactor"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        u, s, vh = np.linalg.svd(ins[0])
        others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(axis=-1)
        out[...] = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None] * ((u * others[..., None, :]) @ vh)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        d, value = Term(build, da), Term(build, site.out)
        inverse = _inverse_transposed(Term(build, site.ins[0]))
        ((inverse * d).sum(2).column.column * value - inverse @ d.T @ value).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        d, value = Term(build, dout), Term(build, site.out)
        inverse = _inverse_transposed(Term(build, site.ins[0]))
        accumulate(0, ((value * d).sum(2).column.column * inverse - value @ d.T @ inverse).view)


class Slogdet(AbstractStructured):
    """Sign and logarithm of the absolute value of the determinant, as a pack of two numbers; the sign has derivative 0."""

    name = "slogdet"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: slogdet takes one operand"
        assert out.shape == (*ins[0].shape[:-2], 2) and len({*ins[0].shape[-2:]}) == 1, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[..., 0], out[..., 1] = np.linalg.slogdet(ins[0])

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        build.zero(dout)
        change = (_inverse_transposed(Term(build, site.ins[0])) * Term(build, da)).sum(2)
        change.store(part(Term(build, dout), 1, ()).view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        d = part(Term(build, dout), 1, ())
        accumulate(0, (d.column.column * _inverse_transposed(Term(build, site.ins[0]))).view)


class Pinv(AbstractStructured):
    """Pseudo-inverse; `params` is the cutoff of `np.linalg.pinv`. The derivative is that at constant rank."""

    name = "pinv"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: pinv takes one operand"
        assert out.shape == (*ins[0].shape[:-2], ins[0].shape[-1], ins[0].shape[-2]), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.linalg.pinv(ins[0], params)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        d, a, p = Term(build, da), Term(build, site.ins[0]), Term(build, site.out)
        across = (p @ p.T) @ d.T @ _complement(a, p)
        total(-(p @ d @ p), across, _complement(p, a) @ d.T @ (p.T @ p)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        d, a, p = Term(build, dout), Term(build, site.ins[0]), Term(build, site.out)
        across = _complement(a, p) @ (d.T @ (p @ p.T))
        accumulate(0, total(-(p.T @ d @ p.T), across, (p.T @ p) @ d.T @ _complement(p, a)).view)


def _complement(a: Term, b: Term) -> Term:
    """1 - a b."""
    product = a @ b
    return identity(product) - product


# ------------------------------------------------------------------------------------------- symmetric matrices


def symmetric(x: Term) -> Term:
    """The symmetric matrix whose lower triangle is that of x: what functions of a symmetric matrix read."""
    return x.lower() + x.lower(-1).T


def from_lower(x: Term) -> Term:
    """The adjoint of `symmetric`: the upper triangle, which is not read, gets nothing."""
    return x.lower() + x.T.lower(-1)


class Cholesky(_OfSquare):
    """Lower Cholesky factor. Only the lower triangle is read, so the derivative is in the lower triangle only."""

    name = "cholesky"
    can_fail = True

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.linalg.cholesky(ins[0])

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        factor = Term(build, site.out)
        half = triangular(factor, symmetric(Term(build, da)), lower=True)
        inner = triangular(factor, half.T, lower=True)
        (factor @ _half_diagonal(inner)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        factor = Term(build, site.out)
        inner = _half_diagonal(factor.T @ Term(build, dout).lower())
        half = triangular(factor.T, inner, lower=False)
        accumulate(0, from_lower(triangular(factor.T, half.T, lower=False).T).view)


def _half_diagonal(x: Term) -> Term:
    """The lower triangle with half of the diagonal."""
    weights = np.tri(x.shape[-1], k=-1) + np.eye(x.shape[-1]) / 2
    return x.lower() * x.number(weights)


# -------------------------------------------------------------------------------------------------- exponential


class Expm(_OfSquare):
    """Matrix exponential."""

    name = "expm"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        if out.size:
            out[...] = expm(ins[0])

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        _frechet(Term(build, site.ins[0]), Term(build, da)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        accumulate(0, _frechet(Term(build, site.ins[0]).T, Term(build, dout)).view)


def _frechet(a: Term, e: Term) -> Term:
    return e.new("expm_frechet", e.shape, a.broadcast(e.shape), e)


class ExpmFrechet(AbstractStructured):
    """Derivative of the exponential of a in the direction e.

    It is the upper right block of exp([[a, e], [0, a]]), so its own derivative is one of twice the size.
    """

    name = "expm_frechet"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: expm_frechet takes two operands"
        assert out.shape == ins[0].shape == ins[1].shape and len({*out.shape[-2:]}) == 1, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        a, e = ins
        for place in np.ndindex(out.shape[:-2]) if out.size else ():
            out[place] = expm_frechet(a[place], e[place], compute_expm=False, check_finite=False)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, 1) if k == 0 else (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        a, e = (Term(build, view) for view in site.ins)
        da, de = (None if din is None else Term(build, din) for din in dins)
        n = a.shape[-1]
        change = _frechet(block([[a, e], [None, a]], n), block([[da, de], [None, da]], n))
        change.window(-2, 0, n).window(-1, n, 2 * n).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        a, e = (Term(build, view) for view in site.ins)
        d = Term(build, dout)
        n = a.shape[-1]
        if not active[0]:
            accumulate(1, _frechet(a.T, d).view)
            return
        change = _frechet(block([[a, e], [None, a]], n).T, block([[None, d], [None, None]], n))
        top, bottom = change.window(-2, 0, n), change.window(-2, n, 2 * n)
        accumulate(0, (top.window(-1, 0, n) + bottom.window(-1, n, 2 * n)).view)
        if active[1]:
            accumulate(1, top.window(-1, n, 2 * n).view)
