"""The functions of scipy.special that are written in Python; those in C are ufuncs, see `elementwise`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import special

from ..traced.array import TracedArray
from .creation import as_array, as_traced, concrete, recorder_of
from .elementwise import is_static
from .reductions import axes_of, maximum, sum_
from .structured import as_float

__all__ = ["SPECIAL"]


def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    rec = recorder_of((a, b))
    if return_sign:
        rec.fail("scipy.special.logsumexp with return_sign= cannot be traced", "Write it with exp, sum and log")
    x = as_float(rec, a)
    axes = axes_of(axis, x.ndim)
    largest = as_traced(rec, maximum(x, axes, keepdims=True))
    shift = as_traced(rec, np.where(np.isfinite(largest), largest, 0.0))
    terms = np.exp(x - shift)
    total = np.log(sum_(terms if b is None else b * terms, axes, keepdims=keepdims))
    return (total + (shift if keepdims else shift.reshape(np.shape(concrete(total)))))[()]


def _softmax(x: Any, axis: Any = None) -> Any:
    return np.exp(_log_softmax(x, axis))


def _log_softmax(x: Any, axis: Any = None) -> Any:
    x = as_array(x)
    return x - _logsumexp(x, axis, keepdims=True)


def _polygamma(n: Any, x: Any) -> Any:
    rec = recorder_of((n, x))
    order = concrete(n)
    if not is_static(n) or np.ndim(order) or order != int(order):
        rec.fail("scipy.special.polygamma with an order that varies cannot be traced", "Give the order as one number")
    if order == 0:
        return as_traced(rec, special.psi(x))
    return as_traced(rec, _zeta(float(order) + 1, x) * ((-1.0) ** (order + 1) * math.factorial(int(order))))


def _zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    """Hurwitz' zeta function of q."""
    rec = recorder_of((x, q))
    order = concrete(x)
    if q is None or not is_static(x) or np.ndim(order) or order <= 1 or out is not None:
        rec.fail(
            "scipy.special.zeta is traced for one constant x > 1 as a function of q: its derivative in x has no closed form",
            "Give x as a number",
        )
    points = as_float(rec, q)
    value = special.zeta(float(order), points.value)
    view, stored = rec.adopt(np.array(value))
    rec.emit("zeta", view, (rec.program.constant(float(order), "float64", points.shape), rec.cast(points.place, "float64")))
    return TracedArray(rec, view, stored)[()]


def _factorial(n: Any, exact: Any = False, extend: str = "zero") -> Any:
    rec = recorder_of((n,))
    if exact or extend != "zero":
        rec.fail("scipy.special.factorial with exact= or extend= cannot be traced", "Use scipy.special.gamma(n + 1)")
    negative = np.less(n, 0)
    return np.where(negative, 0.0, special.gamma(np.where(negative, 1.0, n) + 1.0))[()]


def _comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:  # noqa: N803  # SciPy's name
    rec = recorder_of((N, k))
    if exact or repetition:
        rec.fail("scipy.special.comb with exact= or repetition= cannot be traced", "Leave them out, or use scipy.special.binom")
    inside = np.less_equal(k, N) & np.greater_equal(N, 0) & np.greater_equal(k, 0)
    n = np.where(inside, N, 1.0)
    return np.where(inside, rec.calls.inside(special.binom)(n, np.where(inside, k, 0.0)), 0.0)[()]


def _perm(N: Any, k: Any, exact: bool = False) -> Any:  # noqa: N803  # SciPy's name
    rec = recorder_of((N, k))
    if exact:
        rec.fail("scipy.special.perm with exact=True cannot be traced", "Leave exact out")
    inside = np.less_equal(k, N) & np.greater_equal(N, 0) & np.greater_equal(k, 0)
    n, m = np.where(inside, N, 1.0), np.where(inside, k, 0.0)
    return np.where(inside, rec.calls.inside(special.poch)(n - m + 1, m), 0.0)[()]


SPECIAL: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    special.logsumexp: _logsumexp, special.softmax: _softmax, special.log_softmax: _log_softmax, special.polygamma: _polygamma,
    special.zeta: _zeta, special.factorial: _factorial, special.comb: _comb, special.perm: _perm,
}  # fmt: skip
