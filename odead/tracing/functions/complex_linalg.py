"""Linear algebra of complex matrices.

What is a function of the matrix goes through the real matrix of twice the size, [[re, -im], [im, re]], which adds and
multiplies as the complex one does: solutions, pseudo-inverses, exponentials, eigenvalues and singular values (each of which
it has twice). Factors and determinants are eliminated column by column, as LAPACK does without blocks.

Sources: G. H. Golub, C. F. Van Loan, Matrix Computations, 4th edition, 2013, sections 3.4 (pivoted elimination), 4.2
(Cholesky) and 5.1 (reflections of complex vectors); N. J. Higham, Functions of Matrices, 2008, section 1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import linalg, special

from ..traced.complexes import TracedComplexArray, combined
from . import linalg as real
from .complex_api import as_complex, concatenated, mover
from .creation import as_traced, concrete, from_numpy, recorder_of
from .eigen import EIGEN, SCIPY_EIGEN, refuse_options
from .reductions import axes_of
from .structured import part, structured

__all__ = [
    "COMPLEX_LINALG", "COMPLEX_SCIPY", "complex_matrix", "embedded", "halves", "norm", "pinv", "solve_triangular", "svd",
]  # fmt: skip

Handler = Callable[..., Any]


def complex_matrix(a: Any, *others: Any) -> TracedComplexArray:
    return as_complex(recorder_of((a, *others)), a)


def embedded(matrix: TracedComplexArray) -> Any:
    """The real matrix of twice the size."""
    re, im = matrix.real, matrix.imag
    return concatenated((concatenated((re, -im), -1), concatenated((im, re), -1)), -2)


def halves(x: Any) -> Any:
    """The complex matrix whose parts are one above the other, in as many columns as wanted."""
    x = as_traced(recorder_of((x,)), x)
    n = x.shape[-2] // 2
    return combined(x.rec, x[..., :n, :], x[..., n:, :], shape=(*x.shape[:-2], n, x.shape[-1]))


def solve(a: Any, b: Any) -> Any:
    value = np.linalg.solve(concrete(a), concrete(b))  # raises NumPy's own errors
    matrix, right = complex_matrix(a, b), complex_matrix(b, a)
    columns = right[:, None] if right.ndim == 1 else right
    both = np.linalg.solve(embedded(matrix), concatenated((columns.real, columns.imag), -2))
    return halves(both).reshape(value.shape)


def inv(a: Any) -> Any:
    return solve(a, np.eye(np.shape(concrete(a))[-1], dtype=complex))


def pinv(a: Any, *args: Any, **options: Any) -> Any:
    matrix = complex_matrix(a)
    whole = as_traced(matrix.rec, np.linalg.pinv(embedded(matrix), *args, **options))
    return halves(whole[..., : matrix.shape[-2]])


def expm(A: Any) -> Any:  # noqa: N803  # SciPy's name
    matrix = complex_matrix(A)
    whole = embedded(matrix)
    return halves(structured(matrix.rec, "expm", whole.shape, whole)[..., : matrix.shape[-1]])


# ---------------------------------------------------------------------------------------------------- elimination


def _pivots(matrix: TracedComplexArray) -> list[Any]:
    """The pivots of elimination with row exchanges, the sign of the exchanges in each; their product is the determinant."""
    rec, found = matrix.rec, []
    rest: Any = matrix
    for n in range(matrix.shape[-1], 0, -1):
        column = rest[:, 0]
        largest = np.argmax(column.real**2 + column.imag**2)
        row = rest[largest]
        sign = np.where(np.equal(largest, 0), 1.0, -1.0)[()]
        found.append(row[0] * sign)
        if found[-1] == 0:
            rec.fail("the determinant of a singular complex matrix cannot be traced", "Write it with real and imaginary parts")
        exchanged = np.where(np.equal(np.arange(n), largest)[:, None], rest[0], rest)
        rest = exchanged[1:, 1:] - np.multiply.outer(exchanged[1:, 0] / row[0], row[1:])
    return found


def _of_each(function: Handler) -> Handler:
    """A function of one matrix for several: one after the other."""

    def apply(a: Any, **options: Any) -> Any:
        matrix = complex_matrix(a)
        if matrix.ndim == 2:
            return function(matrix, **options)
        results = [function(matrix[place], **options) for place in np.ndindex(matrix.shape[:-2])]
        return _stacked(results, matrix.shape[:-2])

    return apply


def _stacked(results: Sequence[Any], lead: tuple[int, ...]) -> Any:
    if isinstance(results[0], tuple):
        return type(results[0])(*[_stacked(column, lead) for column in zip(*results, strict=True)])
    return np.reshape(np.stack(results), (*lead, *np.shape(concrete(results[0]))))


def _det(matrix: TracedComplexArray) -> Any:
    np.linalg.det(matrix.value)
    total: Any = 1.0
    for pivot in _pivots(matrix):
        total = pivot * total
    return total


def _slogdet(matrix: TracedComplexArray) -> Any:
    result = np.linalg.slogdet(matrix.value)
    sign: Any = 1.0
    size: Any = 0.0
    for pivot in _pivots(matrix):
        sign, size = pivot / abs(pivot) * sign, size + np.log(abs(pivot))
    return type(result)(sign, size)


def _cholesky(matrix: TracedComplexArray, upper: bool = False) -> Any:
    np.linalg.cholesky(matrix.value, upper=upper)
    rest: Any = np.conjugate(matrix.T) if upper else matrix
    n = len(matrix)
    made: Any = from_numpy(matrix.rec, np.zeros((n, n), complex))
    for k in range(n):
        root = np.sqrt(rest[0, 0].real)
        column = rest[1:, 0] / root
        made[k, k] = root
        made[k + 1 :, k] = column
        rest = rest[1:, 1:] - np.multiply.outer(column, np.conjugate(column))
    return np.conjugate(made.T) if upper else made


class _Factors(NamedTuple):
    q: Any
    r: Any


def _reflected(matrix: TracedComplexArray) -> _Factors:
    """q and r of the thin decomposition, with LAPACK's signs."""
    m, n = matrix.shape
    size = min(m, n)
    rest: Any = np.copy(matrix)
    whole: Any = from_numpy(matrix.rec, np.eye(m, dtype=complex))
    for k in range(size):
        column = rest[k:, k]
        first, below = column[0], (column[1:].real ** 2 + column[1:].imag ** 2).sum()
        if below == 0 and first.imag == 0:
            continue  # there is nothing to reflect
        length = np.sqrt(first.real**2 + first.imag**2 + below)
        target = np.where(np.greater_equal(first.real, 0.0), -length, length)[()]
        away = np.copy(column)
        away[0] = first - target
        away = away / (first - target)
        factor = (target - first) / target
        rest[k:, :] = rest[k:, :] - np.multiply.outer(away, np.conjugate(factor) * (np.conjugate(away) @ rest[k:, :]))
        whole[:, k:] = whole[:, k:] - np.multiply.outer(whole[:, k:] @ away, factor * np.conjugate(away))
    return _Factors(whole[:, :size], np.triu(rest[:size]))


def qr(a: Any, mode: str = "reduced") -> Any:
    result = np.linalg.qr(concrete(a), mode)  # type: ignore[call-overload]
    matrix = complex_matrix(a)
    if mode not in ("reduced", "r"):
        matrix.rec.fail(f"np.linalg.qr of complex matrices with mode={mode!r} cannot be traced", "Use mode='reduced'")
    q, r = _of_each(_reflected)(matrix)
    return r if mode == "r" else type(result)(q, r)


# ---------------------------------------------------------------------------------------------------- spectra


def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    np.linalg.eigvalsh(concrete(a), UPLO)  # type: ignore[call-overload]
    return real.eigvalsh(embedded(_hermitian(complex_matrix(a), UPLO.upper() == "L")))[..., ::2]


def _hermitian(matrix: Any, lower: bool) -> Any:
    """The Hermitian matrix of which this is one triangle; imaginary parts on the diagonal count as 0."""
    below = np.tril(matrix, -1) if lower else np.conjugate(np.triu(matrix, 1).swapaxes(-1, -2))
    return below + np.conjugate(below.swapaxes(-1, -2)) + np.multiply(matrix.real, np.eye(matrix.shape[-1]))


def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    result = np.linalg.eigh(concrete(a), UPLO)  # type: ignore[call-overload]
    return type(result)(*_eigh(a, UPLO.upper()))


def _eigh(a: Any, triangle: str) -> tuple[Any, Any]:
    matrix = complex_matrix(a)
    *lead, n, _ = matrix.shape
    parts = as_traced(matrix.rec, matrix.real), as_traced(matrix.rec, matrix.imag)
    pack = structured(matrix.rec, "eigh_complex", (*lead, n + 2 * n * n), *parts, params=triangle)
    re, im = part(pack, n, (n, n)), part(pack, n + n * n, (n, n))
    return part(pack, 0, (n,)), combined(matrix.rec, re, im, shape=re.shape)


def _scipy_eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, **options: Any) -> Any:
    refuse_options(a, b, options)
    return eigvalsh(a, "L" if lower else "U") if eigvals_only else _eigh(a, "scipy L" if lower else "scipy U")


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if compute_uv:
        recorder_of((a,)).fail(
            "the singular vectors of a complex matrix cannot be traced: their phases are LAPACK's choice",
            "Ask for the singular values, with compute_uv=False",
        )
    return as_traced(recorder_of((a,)), real.svdvals(embedded(complex_matrix(a))))[..., ::2]


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    array = complex_matrix(x)
    axes = axes_of(axis, array.ndim)
    if ord not in (2, -2, "nuc") or len(axes) != 2:
        return np.linalg.norm(as_traced(array.rec, abs(array)), ord, axis, keepdims)
    np.linalg.norm(array.value, ord, axis, keepdims)  # raises NumPy's own errors
    values = as_traced(array.rec, svd(mover(np.moveaxis)(array, axes, (-2, -1)), compute_uv=False))
    result = values.sum(-1) if ord == "nuc" else values.max(-1) if ord == 2 else values.min(-1)
    if not keepdims:
        return result
    return as_traced(array.rec, result).reshape([1 if k in axes else n for k, n in enumerate(array.shape)])


# ---------------------------------------------------------------------------------------------------- SciPy


def _solve(a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
           check_finite: bool = True, assume_a: str | None = None, **_: Any) -> Any:  # fmt: skip
    matrix = complex_matrix(a, b)
    if assume_a in ("her", "hermitian", "pos", "positive definite"):
        matrix = _hermitian(matrix, lower)
    elif assume_a in ("sym", "symmetric"):
        below: Any = np.tril(matrix) if lower else np.triu(matrix).swapaxes(-1, -2)
        matrix = below + np.tril(below, -1).swapaxes(-1, -2)
    elif assume_a not in (None, "gen", "general"):
        matrix.rec.fail(f"scipy.linalg.solve of complex numbers with assume_a={assume_a!r} cannot be traced", "Leave it out")
    return solve(matrix, b)


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, **_: Any) -> Any:
    matrix = complex_matrix(a, b)
    kept: Any = np.tril(matrix, -int(unit_diagonal)) if lower else np.triu(matrix, int(unit_diagonal))
    kept = kept + np.eye(matrix.shape[-1]) if unit_diagonal else kept
    if trans in (1, "T", 2, "C"):
        kept = kept.swapaxes(-1, -2)
    return solve(np.conjugate(kept) if trans in (2, "C") else kept, b)


def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    factor, lower = complex_matrix(c_and_lower[0], b), c_and_lower[1]
    below = np.tril(factor) if lower else np.conjugate(np.triu(factor).swapaxes(-1, -2))
    return solve(np.conjugate(below.swapaxes(-1, -2)), solve(below, b))


def _solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any, **_: Any) -> Any:
    """By the real matrix with the parts of each unknown side by side, which stays banded."""
    bands, right = complex_matrix(ab, b), complex_matrix(b, ab)
    if bands.ndim > 2 or right.ndim > 2:
        bands.rec.fail("scipy.linalg.solve_banded of several matrices cannot be traced", "Call it on one at a time")
    below, above = (2 * int(n) + 1 for n in l_and_u)
    wide: Any = from_numpy(bands.rec, np.zeros((below + above + 1, 2 * bands.shape[1])))
    for first in (0, 1):
        wide[1:-1:2, first::2] = bands.real
    wide[:-2:2, 1::2] = -bands.imag
    wide[2::2, ::2] = bands.imag
    columns = right[:, None] if right.ndim == 1 else right
    n, m = columns.shape
    both: Any = np.stack([columns.real, columns.imag], axis=1).reshape(2 * n, m)
    x = structured(bands.rec, "solve_banded", both.shape, wide, both, params=(below, above))
    return combined(bands.rec, x[0::2], x[1::2], shape=(n, m)).reshape(right.shape)


def _cholesky_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return _of_each(_cholesky)(a, upper=not lower)


def _inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: str | None = None, **_: Any) -> Any:
    if assume_a not in (None, "gen", "general"):
        recorder_of((a,)).fail("scipy.linalg.inv with assume_a= cannot be traced", "Leave assume_a out")
    return inv(a)


def _qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False, check_finite: bool = True
) -> Any:
    matrix = complex_matrix(a)
    tall = matrix.shape[-2] > matrix.shape[-1]
    if pivoting or mode == "raw" or (tall and mode != "economic"):
        matrix.rec.fail(f"scipy.linalg.qr with mode={mode!r} or pivoting cannot be traced", "Use mode='economic'")
    q, r = qr(matrix)
    return (r,) if mode == "r" else (q, r)


def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    x = complex_matrix(a, b)
    if return_sign:
        x.rec.fail("scipy.special.logsumexp with return_sign= cannot be traced", "Write it with exp, sum and log")
    shift = np.max(x.real, axis=axis, keepdims=True)
    terms = np.exp(x - shift)
    total = np.log(np.sum(terms if b is None else b * terms, axis=axis, keepdims=keepdims))
    return total + (shift if keepdims else np.reshape(shift, np.shape(concrete(total))))


COMPLEX_LINALG: Final[Mapping[Any, Handler]] = {
    np.linalg.solve: solve, np.linalg.inv: inv, np.linalg.norm: norm, np.linalg.det: _of_each(_det),
    np.linalg.slogdet: _of_each(_slogdet), np.linalg.qr: qr, np.linalg.eigvalsh: eigvalsh, np.linalg.svd: svd,
    np.linalg.cholesky: lambda a, /, *, upper=False: _of_each(_cholesky)(a, upper=upper), np.linalg.pinv: pinv,
    np.linalg.svdvals: lambda x, /: svd(x, compute_uv=False), np.linalg.eigh: eigh, **EIGEN,
}  # fmt: skip

COMPLEX_SCIPY: Final[Mapping[Any, Handler]] = {
    linalg.solve: _solve, linalg.inv: _inv, linalg.det: lambda a, *_, **__: _of_each(_det)(a), linalg.expm: expm,
    linalg.solve_triangular: solve_triangular, linalg.cho_solve: _cho_solve, linalg.solve_banded: _solve_banded,
    linalg.cholesky: _cholesky_factor, linalg.cho_factor: lambda a, lower=False, *_, **__: (_cholesky_factor(a, lower), lower),
    linalg.eigvalsh: lambda a, b=None, **options: _scipy_eigh(a, b, eigvals_only=True, **options),
    linalg.eigh: _scipy_eigh, linalg.qr: _qr,
    linalg.pinvh: lambda a, *, rtol=None, lower=True, **_: pinv(_hermitian(complex_matrix(a), lower), rtol=rtol),
    **SCIPY_EIGEN,
    linalg.svdvals: lambda a, *_, **__: svd(a, compute_uv=False),
    linalg.svd: lambda a, full_matrices=True, compute_uv=True, **_: svd(a, compute_uv=compute_uv),
    linalg.norm: lambda a, ord=None, axis=None, keepdims=False, check_finite=True: norm(a, ord, axis, keepdims),
    special.logsumexp: _logsumexp, linalg.pinv: lambda a, *, rtol=None, **_: pinv(a, rtol=rtol),
}  # fmt: skip
