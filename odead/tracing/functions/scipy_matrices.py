"""More of scipy.linalg, and what of other parts of SciPy is a few lines of NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import integrate, linalg, special

from .creation import as_traced, concrete, empty, recorder_of
from .linalg import lstsq
from .products import convolve

__all__ = ["SCIPY_MATRICES", "SCIPY_SIGNAL", "block_diag", "solve_toeplitz", "toeplitz"]


def _lstsq(a: Any, b: Any, cond: float | None = None, *_: Any, **__: Any) -> Any:
    return lstsq(a, b, cond)


def toeplitz(c: Any, r: Any = None) -> Any:
    rec = recorder_of((c, r))
    column = np.ravel(as_traced(rec, c))
    row = np.conjugate(column) if r is None else np.ravel(as_traced(rec, r))
    place = len(column) - 1 + np.arange(len(row)) - np.arange(len(column))[:, None]
    return np.concatenate((column[::-1], row[1:]))[place]


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    return np.linalg.solve(toeplitz(c, r), b)


def block_diag(*arrs: Any) -> Any:
    rec = recorder_of(arrs)
    blocks = [np.atleast_2d(as_traced(rec, x)) for x in arrs]
    whole = empty(rec, tuple(np.sum([x.shape for x in blocks], axis=0)), np.result_type(*(x.dtype for x in blocks)))
    i = j = 0
    for x in blocks:
        whole[i : i + x.shape[0], j : j + x.shape[1]] = x
        i, j = i + x.shape[0], j + x.shape[1]
    return whole


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
    linalg.lstsq: _lstsq, linalg.toeplitz: toeplitz, linalg.solve_toeplitz: solve_toeplitz, special.multigammaln: _multigammaln,
    integrate.trapezoid: lambda y, x=None, dx=1.0, axis=-1: np.trapezoid(as_traced(recorder_of((y, x, dx)), y), x, dx, axis),
}  # fmt: skip

# By name: to import scipy.signal, and scipy.stats with it, takes as long as all else that odead needs, NumPy included.
SCIPY_SIGNAL: Final[Mapping[str, Callable[..., Any]]] = {
    "convolve": _convolve,
    "fftconvolve": lambda in1, in2, mode="full", axes=None: _convolve(in1, in2, mode, axes=axes),
}
