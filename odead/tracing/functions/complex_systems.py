"""LU factors of complex matrices, and what is solved with them or in the sense of least squares.

Source: G. H. Golub, C. F. Van Loan, Matrix Computations, 4th edition, 2013, section 3.4 (elimination with row exchanges).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import linalg

from .complex_linalg import complex_matrix, norm, pinv, solve_triangular, svd
from .creation import as_traced, astype, concrete, from_numpy, recorder_of
from .linalg import hold
from .structured import structured

__all__ = ["COMPLEX_SYSTEMS", "COMPLEX_SYSTEMS_SCIPY", "lu_parts"]

Handler = Callable[..., Any]


def _eliminated(matrix: Any) -> tuple[Any, Any]:
    """Both factors in one matrix, and the row with which each was exchanged; the pivot is LAPACK's, by |re| + |im|."""
    n = matrix.shape[-1]
    work: Any = np.copy(matrix)
    exchanges: Any = from_numpy(matrix.rec, np.zeros(n, np.int64))
    for k in range(n):
        column = work[k:, k]
        pivot = k + np.argmax(abs(column.real) + abs(column.imag))
        exchanges[k] = pivot
        row = np.copy(work[pivot])
        work = np.where(np.equal(np.arange(n), pivot)[:, None], work[k], work)
        work[k] = row
        hold(as_traced(matrix.rec, np.not_equal(abs(row[k : k + 1]), 0.0)))
        work[k + 1 :, k] = work[k + 1 :, k] / row[k]
        work[k + 1 :, k + 1 :] = work[k + 1 :, k + 1 :] - np.multiply.outer(work[k + 1 :, k], row[k + 1 :])
    return work, exchanges


def _lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    matrix = complex_matrix(a)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        matrix.rec.fail("scipy.linalg.lu_factor of anything but one square matrix cannot be traced", "Take one after the other")
    if not np.all(np.diagonal(linalg.lu_factor(matrix.value)[0])):
        matrix.rec.fail("scipy.linalg.lu_factor of a singular complex matrix cannot be traced", "Use np.linalg.pinv")
    return _eliminated(matrix)


def _lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    rec = recorder_of((*lu_and_piv, b))
    factors, right = complex_matrix(lu_and_piv[0], b), complex_matrix(b, lu_and_piv[0])
    exchanges = astype(as_traced(rec, lu_and_piv[1]), np.int64, copy=False)
    rows = structured(rec, "permutation", exchanges.shape, exchanges)
    if not trans:
        half = solve_triangular(factors, right[rows], lower=True, unit_diagonal=True)
        return solve_triangular(factors, half)
    half = solve_triangular(factors, right, trans=trans)
    half = solve_triangular(factors, half, trans=trans, lower=True, unit_diagonal=True)
    return half[structured(rec, "argsort", rows.shape, rows)]


def lu_parts(factor: Handler) -> Handler:
    """`scipy.linalg.lu` by `lu_factor`."""

    def lu(a: Any, permute_l: bool = False, *_: Any, p_indices: bool = False, **__: Any) -> Any:
        rec = recorder_of((a,))
        shape = np.shape(concrete(a))
        if len(shape) != 2 or shape[0] != shape[1]:
            rec.fail("scipy.linalg.lu of anything but one square matrix cannot be traced", "Use scipy.linalg.qr")
        factors, exchanges = factor(a)
        rows = structured(rec, "permutation", exchanges.shape, exchanges)
        back = structured(rec, "argsort", rows.shape, rows)
        below, above = np.tril(factors, -1) + np.eye(shape[0], dtype=factors.dtype), np.triu(factors)
        if permute_l:
            return below[back], above
        if p_indices:
            return back, below, above
        return as_traced(rec, np.eye(shape[0], dtype=abs(factors).dtype))[back], below, above

    return lu


def _lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The solution by the pseudo-inverse, so also for matrices without full rank."""
    _, residuals, rank, _ = np.linalg.lstsq(concrete(a), concrete(b), rcond)
    matrix, right = complex_matrix(a, b), complex_matrix(b, a)
    cutoff = float(np.finfo(float).eps) * max(matrix.shape) if rcond is None else rcond
    x = pinv(matrix, rtol=cutoff) @ right
    gap = right - matrix @ x
    rest = np.sum(gap.real**2 + gap.imag**2, axis=0, keepdims=right.ndim == 1) if residuals.size else residuals
    return x, rest if residuals.size else from_numpy(matrix.rec, residuals), rank, svd(matrix, compute_uv=False)


def _cond(x: Any, p: Any = None) -> Any:
    np.linalg.cond(concrete(x), p)
    if p is None or p in (2, -2):
        values = svd(x, compute_uv=False)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    return norm(x, p, (-2, -1)) * norm(np.linalg.inv(x), p, (-2, -1))


COMPLEX_SYSTEMS: Final[Mapping[Handler, Handler]] = {np.linalg.lstsq: _lstsq, np.linalg.cond: _cond}
COMPLEX_SYSTEMS_SCIPY: Final[Mapping[Handler, Handler]] = {
    linalg.lu_factor: _lu_factor, linalg.lu_solve: _lu_solve, linalg.lu: lu_parts(_lu_factor),
    linalg.lstsq: lambda a, b, cond=None, *_, **__: _lstsq(a, b, cond),
}  # fmt: skip
