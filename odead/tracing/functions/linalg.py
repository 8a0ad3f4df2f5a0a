"""The functions of np.linalg, in terms of structured operations.

Each first calls NumPy on the concrete values, for its exceptions and for the shapes of its results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ..recorder import Recorder
from ..traced.array import TracedArray
from .creation import as_array, as_traced, astype, concrete, from_numpy, recorder_of
from .elementwise import is_static
from .movement import concatenate, mover, where
from .products import matmul
from .reductions import axes_of, maximum, minimum, root, sum_
from .structured import as_float, broadcast_array, part, structured

__all__ = [
    "LINALG", "eigh_parts", "factorised", "identity", "lower_part", "qr_parts", "solve_with", "svd_parts", "swapped",
    "upper_part",
]  # fmt: skip


def swapped(x: Any) -> Any:
    """Matrices transposed: a view."""
    return x.swapaxes(-1, -2)


def identity(like: TracedArray) -> TracedArray:
    made: TracedArray = from_numpy(like.rec, np.eye(like.shape[-1], dtype=like.dtype))
    return broadcast_array(made, like.shape)


def factorised(a: TracedArray) -> TracedArray:
    """The LU pack, with a guard that the matrix is regular: at others NumPy raises."""
    n = a.shape[-1]
    pack: TracedArray = structured(a.rec, "lu", (*a.shape[:-2], n * n + 2 * n), a)
    hold(part(pack, 0, (n, n)).diagonal(0, -2, -1) != 0)
    return pack


def hold(condition: Any) -> None:
    """Guard an array of conditions, all of which are met in the recorded run."""
    if not is_static(condition) and condition.size:
        condition.rec.guard(condition.place, True)


def solve_with(pack: TracedArray, a: TracedArray, b: TracedArray, transposed: bool = False) -> Any:
    """The solution of a x = b for a vector or several; `pack` is that of `factorised`."""
    vector = b.ndim == 1
    columns = b[:, None] if vector else b
    lead = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    operands = [broadcast_array(a, lead + a.shape[-2:]), broadcast_array(columns, lead + columns.shape[-2:])]
    operands.append(broadcast_array(pack, lead + pack.shape[-1:]))
    shape = lead + columns.shape[-2:]
    x = structured(a.rec, "solve", shape, *operands, params=transposed)
    return x[..., 0] if vector else x


def same_type(rec: Recorder, *xs: Any) -> list[TracedArray]:
    """Operands as floats of one dtype."""
    arrays = [as_float(rec, x) for x in xs]
    dtype = np.result_type(*(x.dtype for x in arrays))
    return [astype(x, dtype, copy=False) for x in arrays]


def solve(a: Any, b: Any) -> Any:
    rec = recorder_of((a, b))
    np.linalg.solve(concrete(a), concrete(b))
    matrix, right = same_type(rec, a, b)
    return solve_with(factorised(matrix), matrix, right)


def inv(a: Any) -> Any:
    np.linalg.inv(concrete(a))
    matrix = as_float(recorder_of((a,)), a)
    return solve_with(factorised(matrix), matrix, identity(matrix))


def det(a: Any) -> Any:
    np.linalg.det(concrete(a))
    matrix = as_float(recorder_of((a,)), a)
    return structured(matrix.rec, "det", matrix.shape[:-2], matrix)[()]


def slogdet(a: Any) -> Any:
    result = np.linalg.slogdet(concrete(a))
    matrix = as_float(recorder_of((a,)), a)
    pack = structured(matrix.rec, "slogdet", (*matrix.shape[:-2], 2), matrix)
    return type(result)(pack[..., 0][()], pack[..., 1][()])


def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    np.linalg.cholesky(concrete(a), upper=upper)
    matrix = as_float(recorder_of((a,)), a)
    if upper:
        return swapped(structured(matrix.rec, "cholesky", matrix.shape, swapped(matrix)))
    return structured(matrix.rec, "cholesky", matrix.shape, matrix)


def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    result = np.linalg.eigh(concrete(a), UPLO)  # type: ignore[call-overload]
    return type(result)(*eigh_parts(a, f"numpy {UPLO.upper()}"))


def eigh_parts(a: Any, whose: str) -> tuple[Any, Any]:
    """Eigenvalues and vectors; whose signs: of "numpy" or "scipy", from the triangle "L" or "U"."""
    matrix, n = read_from(a, whose[-1]), np.shape(concrete(a))[-1]
    pack = structured(matrix.rec, "eigh", (*matrix.shape[:-2], n + n * n), matrix, params=whose)
    return part(pack, 0, (n,)), part(pack, n, (n, n))


def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    np.linalg.eigvalsh(concrete(a), UPLO)  # type: ignore[call-overload]
    matrix = read_from(a, UPLO)
    return structured(matrix.rec, "eigvalsh", matrix.shape[:-1], matrix)


def read_from(a: Any, triangle: str) -> TracedArray:
    """A symmetric matrix whose lower triangle is the one to be read."""
    matrix = as_float(recorder_of((a,)), a)
    return swapped(matrix) if triangle.upper() == "U" else matrix


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    result = np.linalg.svd(concrete(a), full_matrices, compute_uv, hermitian)  # type: ignore[call-overload]
    matrix = as_float(recorder_of((a,)), a)
    if not compute_uv:
        return structured(matrix.rec, "svdvals", (*matrix.shape[:-2], min(matrix.shape[-2:])), matrix)
    if full_matrices and matrix.shape[-1] != matrix.shape[-2]:
        matrix.rec.fail("np.linalg.svd with full_matrices=True cannot be traced", "Ask for full_matrices=False")
    return type(result)(*svd_parts(matrix))


def svd_parts(matrix: TracedArray) -> tuple[TracedArray, TracedArray, TracedArray]:
    m, n = matrix.shape[-2:]
    k = min(m, n)
    pack = structured(matrix.rec, "svd", (*matrix.shape[:-2], m * k + k + k * n), matrix)
    return part(pack, 0, (m, k)), part(pack, m * k, (k,)), part(pack, m * k + k, (k, n))


def svdvals(x: Any, /) -> Any:
    return svd(x, compute_uv=False)


def qr(a: Any, mode: str = "reduced") -> Any:
    result = np.linalg.qr(concrete(a), mode)  # type: ignore[call-overload]
    matrix = as_float(recorder_of((a,)), a)
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and matrix.shape[-2] > matrix.shape[-1]):
        matrix.rec.fail(f"np.linalg.qr with mode={mode!r} cannot be traced", "Use mode='reduced'")
    q, r = qr_parts(matrix)
    return r if mode == "r" else type(result)(q, r)


def qr_parts(matrix: TracedArray) -> tuple[Any, Any]:
    """q and r of the thin decomposition; of a wide matrix, q is that of its first columns."""
    m, n = matrix.shape[-2:]
    k = min(m, n)
    pack = structured(matrix.rec, "qr", (*matrix.shape[:-2], m * k + k * k), matrix[..., :k])
    q, r = part(pack, 0, (m, k)), part(pack, m * k, (k, k))
    return q, concatenate((r, matmul(swapped(q), matrix[..., k:])), -1) if n > m else r


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    value = np.linalg.pinv(concrete(a), rcond, hermitian, rtol=rtol)
    matrix = as_float(recorder_of((a,)), a)
    cutoff = rcond if rcond is not None else None if rtol is np._NoValue or rtol is None else float(rtol)
    return structured(matrix.rec, "pinv", value.shape, matrix, params=cutoff)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The solution by the pseudo-inverse, so also for matrices without full rank."""
    rec = recorder_of((a, b))
    _, residuals, rank, _ = np.linalg.lstsq(concrete(a), concrete(b), rcond)
    matrix, right = same_type(rec, a, b)
    m, n = matrix.shape
    cutoff = float(np.finfo(matrix.dtype).eps) * max(m, n) if rcond is None else rcond
    x = matmul(structured(rec, "pinv", (n, m), matrix, params=cutoff), right)
    gap = right - matmul(matrix, x)
    rest = sum_(gap * gap, 0, keepdims=right.ndim == 1) if residuals.size else from_numpy(rec, residuals)
    return x, rest, rank, svdvals(matrix)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norms of vectors and matrices; the derivative is 0 where the norm is."""
    x = as_array(x)
    np.linalg.norm(x.value, ord, axis, keepdims)  # raises NumPy's own errors
    x = as_float(x.rec, x)
    axes = axes_of(axis, x.ndim)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return root(sum_(x * x, axes, keepdims=keepdims))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    return _matrix_norm(x, ord, axes, keepdims)


def cond(x: Any, p: Any = None) -> Any:
    value = np.linalg.cond(concrete(x), p)
    if p is None or p in (2, -2):
        singular = svdvals(x)
        ends = (-1, 0) if p == -2 else (0, -1)
        return singular[..., ends[0]] / singular[..., ends[1]]
    return as_traced(recorder_of((x,)), norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))).reshape(np.shape(value))[()]


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    size = abs(x)
    if ord in (np.inf, -np.inf):
        return (maximum if ord > 0 else minimum)(size, axes, keepdims=keepdims)
    if ord == 0:
        return sum_(astype(as_traced(x.rec, x != 0), x.dtype), axes, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axes, keepdims=keepdims)
    total = sum_(size**ord, axes, keepdims=keepdims)
    positive = np.greater(total, 0)
    return np.where(positive, np.where(positive, total, 1.0) ** (1.0 / ord), total)[()]


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    rows, columns = axes
    if ord in (2, -2, "nuc"):
        values = svdvals(mover(np.moveaxis)(x, axes, (-2, -1)))
        result = {2: maximum, -2: minimum, "nuc": sum_}[ord](values, -1)
    else:
        summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = sum_(abs(x), summed)
        result = (maximum if ord > 0 else minimum)(sums, other - (other > summed))
    if not keepdims:
        return result
    shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
    return as_traced(x.rec, result).reshape(shape)


def lower_part(x: TracedArray, k: int = 0) -> Any:
    """`np.tril`, with exact zeros whatever is above."""
    return where(np.tri(*x.shape[-2:], k, dtype=bool), x, 0.0)  # type: ignore[call-overload]


def upper_part(x: TracedArray) -> Any:
    return swapped(lower_part(swapped(x)))


LINALG: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    np.linalg.solve: solve, np.linalg.inv: inv, np.linalg.det: det, np.linalg.slogdet: slogdet,
    np.linalg.cholesky: cholesky, np.linalg.eigh: eigh, np.linalg.eigvalsh: eigvalsh, np.linalg.svd: svd,
    np.linalg.svdvals: svdvals, np.linalg.qr: qr, np.linalg.pinv: pinv, np.linalg.lstsq: lstsq, np.linalg.norm: norm,
    np.linalg.cond: cond,
}  # fmt: skip
