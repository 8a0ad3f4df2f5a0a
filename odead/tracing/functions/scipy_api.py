"""The functions of SciPy that are written in Python, gathered; those of scipy.linalg are here.

SciPy does not dispatch on its arguments, so the namespace gives these to the user. Each first calls SciPy on the concrete
values, for its exceptions; options that only concern memory and checks are left to that call.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import linalg

from ..recorder import Recorder, contains_traced, is_traced
from ..traced.array import TracedArray
from .complex_api import any_complex
from .complex_linalg import COMPLEX_SCIPY
from .complex_systems import COMPLEX_SYSTEMS_SCIPY, lu_parts
from .creation import as_traced, astype, concrete, from_numpy, leaves_of, recorder_of
from .eigen import SCIPY_EIGEN, refuse_options
from .elementwise import is_static
from .fourier import SCIPY_FOURIER
from .linalg import (
    cholesky,
    det,
    eigh_parts,
    eigvalsh,
    factorised,
    hold,
    inv,
    lower_part,
    norm,
    qr_parts,
    same_type,
    solve_with,
    svd,
    svdvals,
    swapped,
    upper_part,
)
from .matrix_functions import COMPLEX_MATRIX_FUNCTIONS, MATRIX_FUNCTIONS
from .scipy_matrices import SCIPY_MATRICES, SCIPY_SIGNAL, block_diag, solve_toeplitz, toeplitz
from .scipy_special import SPECIAL
from .structured import as_float, broadcast_array, part, structured

__all__ = ["SCIPY", "bind_scipy", "handler_of"]

Handler = Callable[..., Any]


def handler_of(function: Callable[..., Any]) -> Handler | None:
    """What traces a function of SciPy; None for those that are not in the tables."""
    handler, name = SCIPY.get(function), getattr(function, "__name__", "")
    if handler is None and name in SCIPY_SIGNAL and function is getattr(sys.modules.get("scipy.signal"), name, None):
        return SCIPY_SIGNAL[name]
    return handler


def bind_scipy(rec: Recorder, function: Callable[..., Any], handler: Handler) -> Callable[..., Any]:
    """What stands for a function of SciPy in one recording."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not contains_traced(args) and not contains_traced(options):
            return from_numpy(rec, function(*args, **options))
        value = function(*concrete(args), **{name: concrete(x) for name, x in options.items()})
        leaves = [*leaves_of(args), *leaves_of(options)]
        if all(map(is_static, leaves)):
            return from_numpy(rec, value)
        if any_complex(leaves) and function not in SCIPY_FOURIER:
            of_complex = _OF_COMPLEX.get(function)
            if of_complex is None:
                name = f"{function.__module__.split('._')[0]}.{function.__name__}"
                rec.fail(f"{name} of complex numbers cannot be traced", "Write it with real and imaginary parts")
            return of_complex(*args, **options)
        return _as_precise(handler(*args, **options), value)

    return call


def _as_precise(made: Any, value: Any) -> Any:
    """In SciPy's precision: some functions of float32 matrices are float64."""
    if isinstance(made, tuple) and isinstance(value, tuple) and len(made) == len(value):
        return tuple([_as_precise(x, y) for x, y in zip(made, value, strict=True)])
    dtype, kinds = getattr(value, "dtype", None), (np.float32, np.float64)
    if is_traced(made) and dtype in kinds and made.dtype in kinds and made.dtype != dtype:
        return astype(as_traced(made.rec, made), dtype)[()]
    return made


# -------------------------------------------------------------------------------------------------- linear systems


def _solve(a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False, check_finite: bool = True,
           assume_a: str | None = None, transposed: bool = False) -> Any:  # fmt: skip
    rec = recorder_of((a, b))
    matrix, right = same_type(rec, a, b)
    if assume_a in ("sym", "symmetric", "her", "hermitian", "pos", "positive definite"):
        matrix = _symmetric(matrix, lower)
    elif assume_a not in (None, "gen", "general"):
        rec.fail(f"scipy.linalg.solve with assume_a={assume_a!r} cannot be traced", "Leave assume_a out")
    return solve_with(factorised(matrix), matrix, right, transposed)


def _lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    matrix = as_float(recorder_of((a,)), a)
    n = matrix.shape[-1]
    pack = structured(matrix.rec, "lu", (*matrix.shape[:-2], n * n + 2 * n), matrix)
    return swapped(part(pack, 0, (n, n))), astype(part(pack, n * n, (n,)), np.int64)


def _lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    rec = recorder_of((*lu_and_piv, b))
    lu, right = same_type(rec, lu_and_piv[0], b)
    exchanges = astype(as_traced(rec, lu_and_piv[1]), np.int64, copy=False)
    rows = structured(rec, "permutation", exchanges.shape, exchanges)
    if trans:
        half = _substituted(_substituted(right, swapped(lu), lower=True), swapped(lu), lower=False, unit=True)
        return _picked(half, structured(rec, "argsort", rows.shape, rows))
    return _substituted(_substituted(_picked(right, rows), lu, lower=True, unit=True), lu, lower=False)


def _picked(b: TracedArray, rows: TracedArray) -> Any:
    """Rows of a vector or of a matrix."""
    if b.ndim == 1:
        return structured(b.rec, "take", rows.shape, b, rows)
    return swapped(structured(b.rec, "take", b.shape[::-1], swapped(b), rows))


def _substituted(b: TracedArray, matrix: TracedArray, lower: bool, unit: bool = False) -> Any:
    """The solution of a triangular system for a vector or several."""
    vector = b.ndim == 1
    columns = b[:, None] if vector else b
    lead = np.broadcast_shapes(matrix.shape[:-2], columns.shape[:-2])
    operands = broadcast_array(matrix, lead + matrix.shape[-2:]), broadcast_array(columns, lead + columns.shape[-2:])
    x = structured(b.rec, "solve_triangular", operands[1].shape, *operands, params=(lower, unit))
    return x[..., 0] if vector else x


def _solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, **_: Any) -> Any:
    rec = recorder_of((a, b))
    matrix, right = same_type(rec, a, b)
    if not unit_diagonal:
        hold(matrix.diagonal(0, -2, -1) != 0)
    if trans in (0, "N"):
        return _substituted(right, matrix, lower, unit_diagonal)
    return _substituted(right, swapped(matrix), not lower, unit_diagonal)


def _solve_banded(
    l_and_u: tuple[int, int], ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    rec = recorder_of((ab, b))
    bands, right = same_type(rec, ab, b)
    if bands.ndim > 2 or right.ndim > 2:
        rec.fail("scipy.linalg.solve_banded of several matrices cannot be traced", "Call it on one at a time")
    columns = right[:, None] if right.ndim == 1 else right
    below, above = (int(n) for n in l_and_u)
    x = structured(rec, "solve_banded", columns.shape, bands, columns, params=(below, above))
    return x[:, 0] if right.ndim == 1 else x


def _cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return cholesky(a, upper=not lower)


def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The factor with zeros in the other triangle, where SciPy leaves what was there."""
    return cholesky(a, upper=not lower), lower


def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    factor, right = same_type(recorder_of((*c_and_lower, b)), c_and_lower[0], b)
    below = factor if c_and_lower[1] else swapped(factor)
    return _substituted(_substituted(right, below, lower=True), swapped(below), lower=False)


def _inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: str | None = None, **_: Any) -> Any:
    if assume_a not in (None, "gen", "general"):
        recorder_of((a,)).fail("scipy.linalg.inv with assume_a= cannot be traced", "Leave assume_a out")
    return inv(a)


# ---------------------------------------------------------------------------------------------------- decompositions


def _eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, type: int = 1, subset_by_index: Any = None,
          subset_by_value: Any = None, **_: Any) -> Any:  # fmt: skip
    refuse_options(a, None if type == 1 else b, {"subset_by_value": subset_by_value, "subset_by_index": subset_by_index})
    triangle = "L" if lower else "U"
    if b is None:
        return eigvalsh(a, triangle) if eigvals_only else eigh_parts(a, f"scipy {triangle}")
    matrix, weight = same_type(recorder_of((a, b)), a, b)
    factor = cholesky(weight if lower else swapped(weight))
    half = _substituted(_symmetric(matrix, lower), factor, lower=True)
    reduced = _substituted(swapped(half), factor, lower=True)
    if eigvals_only:
        return eigvalsh(reduced, triangle)
    values, vectors = eigh_parts(reduced, f"numpy {triangle}")
    return values, _substituted(vectors, swapped(factor), lower=False)


def _symmetric(matrix: Any, lower: bool) -> Any:
    """The symmetric matrix of which this is one triangle."""
    below = lower_part(matrix) if lower else swapped(upper_part(matrix))
    return as_traced(matrix.rec, below + swapped(lower_part(as_traced(matrix.rec, below), -1)))


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, **_: Any) -> Any:
    result = svd(a, full_matrices, compute_uv)
    return tuple(result) if compute_uv else result


def _qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False, check_finite: bool = True
) -> Any:
    matrix = as_float(recorder_of((a,)), a)
    tall = matrix.shape[-2] > matrix.shape[-1]
    if pivoting or mode == "raw" or (tall and mode != "economic"):
        matrix.rec.fail(f"scipy.linalg.qr with mode={mode!r} or pivoting cannot be traced", "Use mode='economic'")
    q, r = qr_parts(matrix)
    return (r,) if mode == "r" else (q, r)


def _pinv(a: Any, *, atol: float | None = None, rtol: float | None = None, return_rank: bool = False, **_: Any) -> Any:
    matrix = as_float(recorder_of((a,)), a)
    if atol is not None or return_rank:
        matrix.rec.fail("scipy.linalg.pinv with atol= or return_rank= cannot be traced", "Use rtol=")
    m, n = matrix.shape[-2:]
    cutoff = max(m, n) * float(np.finfo(matrix.dtype).eps) if rtol is None else rtol
    return structured(matrix.rec, "pinv", (*matrix.shape[:-2], n, m), matrix, params=cutoff)


def _pinvh(a: Any, atol: float | None = None, rtol: float | None = None, lower: bool = True, return_rank: bool = False,
           check_finite: bool = True) -> Any:  # fmt: skip
    matrix = as_float(recorder_of((a,)), a)
    return _pinv(_symmetric(matrix, lower), atol=atol, rtol=rtol, return_rank=return_rank)


def _expm(A: Any) -> Any:  # noqa: N803  # SciPy's name
    matrix = as_float(recorder_of((A,)), A)
    return structured(matrix.rec, "expm", matrix.shape, matrix)


SCIPY: Final[Mapping[Callable[..., Any], Handler]] = {
    linalg.solve: _solve, linalg.inv: _inv, linalg.det: lambda a, *_, **__: det(a), linalg.lu_factor: _lu_factor,
    linalg.lu_solve: _lu_solve, linalg.solve_triangular: _solve_triangular, linalg.solve_banded: _solve_banded,
    linalg.cholesky: _cholesky, linalg.cho_factor: _cho_factor, linalg.cho_solve: _cho_solve, linalg.eigh: _eigh,
    linalg.eigvalsh: lambda a, b=None, *, lower=True, **options: _eigh(a, b, lower=lower, eigvals_only=True, **options),
    linalg.svd: _svd, linalg.svdvals: lambda a, *_, **__: svdvals(a), linalg.qr: _qr, linalg.pinv: _pinv,
    linalg.norm: lambda a, ord=None, axis=None, keepdims=False, check_finite=True: norm(a, ord, axis, keepdims),
    linalg.expm: _expm, linalg.block_diag: block_diag, linalg.lu: lu_parts(_lu_factor), linalg.pinvh: _pinvh,
    **SCIPY_EIGEN, **SCIPY_FOURIER, **SCIPY_MATRICES, **MATRIX_FUNCTIONS,
    **SPECIAL,
}  # fmt: skip

_OF_COMPLEX: Final[Mapping[Callable[..., Any], Handler]] = {
    **COMPLEX_SCIPY, **COMPLEX_SYSTEMS_SCIPY, **COMPLEX_MATRIX_FUNCTIONS, linalg.block_diag: block_diag,
    linalg.toeplitz: toeplitz, linalg.solve_toeplitz: solve_toeplitz,
}  # fmt: skip
