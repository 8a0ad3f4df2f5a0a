"""More of scipy.linalg, and what of other parts of SciPy is a few lines of NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import integrate, linalg, signal, special

from .creation import as_traced, concrete, recorder_of
from .linalg import lstsq, same_type, swapped
from .products import convolve
from .structured import as_float, structured

__all__ = ["SCIPY_MATRICES"]


def _solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    rec = recorder_of((a, b, q))
    operands = same_type(rec, a, b, q)
    return structured(rec, "solve_sylvester", operands[2].shape, *operands)


def _solve_lyapunov(a: Any, q: Any) -> Any:
    matrix = as_traced(recorder_of((a, q)), a)
    return _solve_sylvester(matrix, swapped(matrix), q)


def _sqrtm(A: Any, *_: Any, **__: Any) -> Any:  # noqa: N803  # SciPy's name
    rec = recorder_of((A,))
    matrix = as_float(rec, A)
    if np.iscomplexobj(linalg.sqrtm(matrix.value)):
        rec.fail("scipy.linalg.sqrtm of a matrix whose root is complex cannot be traced", "Write it with eigh or expm")
    return structured(rec, "sqrtm", matrix.shape, matrix)


def _lstsq(a: Any, b: Any, cond: float | None = None, *_: Any, **__: Any) -> Any:
    return lstsq(a, b, cond)


def _toeplitz(c: Any, r: Any = None) -> Any:
    rec = recorder_of((c, r))
    column = np.ravel(as_traced(rec, c))
    row = column if r is None else np.ravel(as_traced(rec, r))
    place = len(column) - 1 + np.arange(len(row)) - np.arange(len(column))[:, None]
    return np.concatenate((column[::-1], row[1:]))[place]


def _multigammaln(a: Any, d: Any) -> Any:
    x, n = as_traced(recorder_of((a,)), a), int(concrete(d))
    total = sum(special.gammaln(x - 0.5 * k) for k in range(n))
    return (total + n * (n - 1) / 4 * math.log(math.pi))[()]


def _convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto", axes: Any = None) -> Any:
    """Of vectors; "same" is as long as the first."""
    rec = recorder_of((in1, in2))
    x, y = as_traced(rec, in1), as_traced(rec, in2)
    if x.ndim != 1 or y.ndim != 1 or axes is not None:
        rec.fail("scipy.signal.convolve of more than one dimension cannot be traced", "Write it with slices and sums")
    if mode != "same":
        return convolve(x, y, mode)
    start = (y.size - 1) // 2
    return convolve(x, y, "full")[start : start + x.size]


SCIPY_MATRICES: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    linalg.solve_sylvester: _solve_sylvester, linalg.solve_continuous_lyapunov: _solve_lyapunov, linalg.sqrtm: _sqrtm,
    linalg.lstsq: _lstsq, linalg.toeplitz: _toeplitz, special.multigammaln: _multigammaln,
    signal.convolve: _convolve,
    integrate.trapezoid: lambda y, x=None, dx=1.0, axis=-1: np.trapezoid(as_traced(recorder_of((y, x, dx)), y), x, dx, axis),
    signal.fftconvolve: lambda in1, in2, mode="full", axes=None: _convolve(in1, in2, mode, axes=axes),
}  # fmt: skip
