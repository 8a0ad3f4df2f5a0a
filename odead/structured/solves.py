"""Linear systems: the LU factorisation, and solves with general, triangular and banded matrices.

A solve takes the factorisation as an operand that carries no derivative, so that tangents and adjoints, which solve with the
same matrix, cost no further factorisation. The lanes of a batch become more columns of one right-hand side.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008: solve.
S. F. Walter & L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum experimental
design", 2010: LU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack, solve_banded

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term, part, total, triangle

__all__ = ["Lu", "Solve", "SolveBanded", "SolveTriangular", "factorised", "solved", "triangular"]


def factorised(a: Term) -> Term:
    """The LU pack of matrices."""
    n = a.shape[-1]
    return a.new("lu", (*a.shape[:-2], n * n + 2 * n), a)


def solved(a: Term, lu: Term, b: Term, transposed: bool = False) -> Term:
    """The solution of a x = b, or of a.T x = b; b may have lanes in front, which a has not."""
    return _with_lanes_as_columns(lambda columns: b.new("solve", columns.shape, a, columns, lu, params=transposed), a, b)


def triangular(t: Term, b: Term, lower: bool, unit: bool = False) -> Term:
    """The solution of t x = b, of which only one triangle is read; b may have lanes in front, which t has not."""
    return _with_lanes_as_columns(
        lambda columns: b.new("solve_triangular", columns.shape, t, columns, params=(lower, unit)), t, b
    )


def _with_lanes_as_columns(solve: Callable[[Term], Term], a: Term, b: Term) -> Term:
    """Solve with right-hand sides that have one more leading axis than the matrices, as more columns of one."""
    if len(b.shape) == len(a.shape):
        return solve(b)
    lanes, (*batch, n, k) = b.shape[0], b.shape[1:]
    order = (len(batch) + 1, *range(len(batch) + 1), len(batch) + 2)  # where (lanes, *batch, n, k) lie in (*batch, n, lanes, k)

    def spread(columns: Term) -> Term:
        n_k = columns.view.strides[-1]
        strides = (*columns.view.strides[:-1], k * n_k, n_k)
        shape = (*batch, n, lanes, k)
        view = columns.view._replace(shape=tuple(shape[j] for j in order), strides=tuple(strides[j] for j in order))
        return Term(b.build, view)

    columns = Term(b.build, b.build.program.temp(b.dtype, (*batch, n, lanes * k)))
    b.store(spread(columns).view)
    return spread(solve(columns))


class Lu(AbstractStructured):
    """LU factorisation with partial pivoting, packed.

    The pack has L and U as LAPACK has them, column by column (n * n), the row that each row was exchanged with (n), and the
    rows of the matrix in their new order (n). A singular matrix has a factorisation too.
    """

    name = "lu"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and len(ins[0].shape) >= 2, f"{where}: lu takes a matrix"
        n = ins[0].shape[-1]
        assert ins[0].shape[-2] == n and out.shape == (*ins[0].shape[:-2], n * n + 2 * n), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        (a,) = ins
        n = a.shape[-1]
        factorise: Any = lapack.get_lapack_funcs("getrf", (out,))
        for place in np.ndindex(a.shape[:-2]) if n else ():
            lu, exchanged, _ = factorise(a[place])
            rows = np.arange(n)
            for k, j in enumerate(exchanged):
                rows[[k, j]] = rows[[j, k]]
            out[place] = np.concatenate([lu.T.ravel(), exchanged, rows])

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        lu, rows = self.parts(build, site)
        d = Term(build, da)
        permuted = d.T.new("take_along", d.T.shape, d.T, rows.broadcast(d.shape)).T
        inner = triangular(lu, permuted, lower=True, unit=True)
        inner = triangular(lu.T, inner.T, lower=True).T
        result = self.unit_lower(lu) @ inner.lower(-1) + inner.upper() @ lu.upper()
        build.zero(dout)
        result.store(part(Term(build, dout), 0, lu.shape[-2:]).T.view)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        lu, rows = self.parts(build, site)
        d = part(Term(build, dout), 0, lu.shape[-2:]).T
        inner = (self.unit_lower(lu).T @ d.lower(-1)).lower(-1) + (d.upper() @ lu.upper().T).upper()
        inner = triangular(lu, inner.T, lower=False).T
        inner = triangular(lu.T, inner, lower=False, unit=True).T
        contribution = build.temp_like(inner.view)
        build.zero(contribution)
        build.emit("put_along_add", contribution, (contribution, inner.view, rows.broadcast(inner.shape).view))
        accumulate(0, Term(build, contribution).T.view)

    def parts(self, build: Any, site: Site) -> tuple[Term, Term]:
        """L and U in one matrix, and the rows in their new order."""
        pack = Term(build, site.out)
        n = site.ins[0].shape[-1]
        rows = part(pack, n * n + n, (n,))
        return part(pack, 0, (n, n)).T, rows.call("cast", rows, dtype="int64").row

    def unit_lower(self, lu: Term) -> Term:
        return lu.lower(-1) + lu.number(np.eye(lu.shape[-1]))


class Solve(AbstractStructured):
    """The solution of a x = b, or of a.T x = b where `params` is true, with the pack of `lu` of a as third operand.

    Where the matrix is singular, the solution has infinities or NaN.
    """

    name = "solve"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 3 and isinstance(params, bool), f"{where}: solve takes three operands"
        a, b, lu = ins
        n = a.shape[-1]
        assert a.shape[-2:] == (n, n) and lu.shape == (*a.shape[:-2], n * n + 2 * n), f"{where}: shapes do not fit"
        assert out.shape == b.shape and b.shape[:-1] == a.shape[:-1], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        a, b, pack = ins
        n = a.shape[-1]
        substitute: Any = lapack.get_lapack_funcs("getrs", (out,))
        for place in np.ndindex(a.shape[:-2]) if out.size else ():
            lu = np.asfortranarray(pack[place][: n * n].reshape(n, n).T)
            out[place] = substitute(lu, pack[place][n * n : n * n + n].astype(int), b[place], trans=int(bool(params)))[0]

    def carries(self, k: int) -> bool:
        return k < 2

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, 2, RESULT) if k == 0 else (0, 2)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        a, _, lu = (Term(build, view) for view in site.ins)
        da, db = (None if din is None else Term(build, din) for din in dins[:2])
        residual = None if da is None else -((da.T if site.params else da) @ Term(build, site.out))
        solved(a, lu, total(db, residual), bool(site.params)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        a, _, lu = (Term(build, view) for view in site.ins)
        multiplier = solved(a, lu, Term(build, dout), not site.params)
        if active[1]:
            accumulate(1, multiplier.view)
        if active[0]:
            x = Term(build, site.out)
            accumulate(0, (-(x @ multiplier.T) if site.params else -(multiplier @ x.T)).view)


class SolveTriangular(AbstractStructured):
    """The solution of t x = b with one triangle of t: `params` is (lower, unit diagonal). The rest of t is not read."""

    name = "solve_triangular"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: solve_triangular takes two operands"
        t, b = ins
        assert isinstance(params, tuple) and len(params) == 2, f"{where}: two parameters"
        assert t.shape[-2:] == (t.shape[-1],) * 2, f"{where}: shapes do not fit"
        assert out.shape == b.shape and b.shape[:-1] == t.shape[:-1], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        t, b = ins
        lower, unit = params
        substitute: Any = blas.get_blas_funcs("trsm", (out,))
        for place in np.ndindex(t.shape[:-2]) if out.size else ():
            out[place] = substitute(1.0, t[place], b[place], lower=lower, diag=unit)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT) if k == 0 else (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        dt, db = (None if din is None else Term(build, din) for din in dins)
        residual = None if dt is None else -(self.triangle(dt, site) @ Term(build, site.out))
        triangular(Term(build, site.ins[0]), total(db, residual), *site.params).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        lower, unit = site.params
        multiplier = triangular(Term(build, site.ins[0]).T, Term(build, dout), not lower, unit)
        if active[1]:
            accumulate(1, multiplier.view)
        if active[0]:
            accumulate(0, self.triangle(-(multiplier @ Term(build, site.out).T), site).view)

    def triangle(self, x: Term, site: Site) -> Term:
        """The part of a matrix that is read."""
        lower, unit = site.params
        below = triangle(x.shape[-2], x.shape[-1], -1 if unit else 0)
        return x.selected(below if lower else below.T)


class SolveBanded(AbstractStructured):
    """The solution of a x = b for a banded a in the form of `scipy.linalg.solve_banded`; `params` is (below, above)."""

    name = "solve_banded"
    batched = False
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: solve_banded takes two operands"
        bands, b = ins
        assert isinstance(params, tuple) and len(params) == 2, f"{where}: two parameters"
        assert bands.shape == (sum(params) + 1, b.shape[0]), f"{where}: shapes do not fit"
        assert out.shape == b.shape and len(b.shape) == 2, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        if out.size:
            out[...] = solve_banded(params, ins[0], ins[1], check_finite=False)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT) if k == 0 else (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        below, above = site.params
        bands, x = Term(build, site.ins[0]), Term(build, site.out)
        dbands, db = (None if din is None else Term(build, din) for din in dins)
        residual = Term(build, build.temp_like(dout))
        (x.number(0.0) if db is None else db).store(residual.view)
        if dbands is not None:
            for d in self.diagonals(site):
                rows, columns = self.reach(d, x.shape[0])
                band = dbands.window(-2, above + d, above + d + 1).window(-1, *columns).T
                target = residual.window(-2, *rows)
                (target - band * x.window(-2, *columns)).store(target.view)
        self.solved(bands, residual, below, above).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        below, above = site.params
        bands, x = Term(build, site.ins[0]), Term(build, site.out)
        multiplier = self.solved(self.transposed(bands, site), Term(build, dout), above, below)
        if active[1]:
            accumulate(1, multiplier.view)
        if active[0]:
            contribution = build.temp_like(build.lift(site.ins[0]))
            build.zero(contribution)
            for d in self.diagonals(site):
                rows, columns = self.reach(d, x.shape[0])
                band = Term(build, contribution).window(-2, above + d, above + d + 1).window(-1, *columns)
                (-(multiplier.window(-2, *rows) * x.window(-2, *columns)).sum()).row.store(band.view)
            accumulate(0, contribution)

    def solved(self, bands: Term, b: Term, below: int, above: int) -> Term:
        return _with_lanes_as_columns(
            lambda columns: b.new("solve_banded", columns.shape, bands, columns, params=(below, above)), bands, b
        )

    def diagonals(self, site: Site) -> range:
        """Row minus column of each diagonal that has elements."""
        below, above = site.params
        n = site.out.shape[0]
        return range(max(-above, 1 - n), min(below, n - 1) + 1)

    def reach(self, d: int, n: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last-but-one row and column of the diagonal d."""
        return (max(d, 0), n + min(d, 0)), (max(-d, 0), n - max(d, 0))

    def transposed(self, bands: Term, site: Site) -> Term:
        below, above = site.params
        result = Term(bands.build, bands.build.temp_like(bands.view))
        bands.build.zero(result.view)
        for d in self.diagonals(site):
            rows, columns = self.reach(d, bands.shape[-1])
            band = bands.window(-2, above + d, above + d + 1).window(-1, *columns)
            band.store(result.window(-2, below - d, below - d + 1).window(-1, *rows).view)
        return result
