"""Elementwise functions of complex numbers, as formulas on real and imaginary parts.

A formula sees parts that are traced arrays, traced numbers or floats, and returns `Parts`, or one of those where the result
is real. Derivatives follow from the real operations; where a formula divides a plane into sectors, each is chosen by
`np.where`, so that no derivative of another one enters. Branch cuts are NumPy's, which honours signed zeros on them.

Sources: W. Kahan, Branch cuts for complex elementary functions, in The State of the Art in Numerical Analysis, 1987 (square
root, inverse functions); R. L. Smith, Algorithm 116: complex division, Comm. ACM 5, 1962 (scaling of the divisor).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ..recorder import is_traced
from ..traced.complexes import Parts

__all__ = ["FORMULAS"]

Part = Any


def _is_number(x: Part, value: float) -> bool:
    return not is_traced(x) and type(x) in (float, int, np.float64) and x == value


def _plus(a: Part, b: Part) -> Part:
    return b if _is_number(a, 0.0) else a if _is_number(b, 0.0) else a + b


def _minus(a: Part, b: Part) -> Part:
    return a if _is_number(b, 0.0) else -b if _is_number(a, 0.0) else a - b


def _times(a: Part, b: Part) -> Part:
    """The product; a constant 0 or 1, as in 1j * z, costs nothing."""
    if _is_number(a, 0.0) or _is_number(b, 0.0):
        return 0.0
    if _is_number(a, 1.0) or _is_number(b, 1.0):
        return b if _is_number(a, 1.0) else a
    if _is_number(a, -1.0) or _is_number(b, -1.0):
        return -b if _is_number(a, -1.0) else -a
    return a * b


# ---------------------------------------------------------------------------------------------------- arithmetic


def add(x: Parts, y: Parts) -> Parts:
    return Parts(_plus(x.re, y.re), _plus(x.im, y.im))


def subtract(x: Parts, y: Parts) -> Parts:
    return Parts(_minus(x.re, y.re), _minus(x.im, y.im))


def multiply(x: Parts, y: Parts) -> Parts:
    return Parts(
        _minus(_times(x.re, y.re), _times(x.im, y.im)),
        _plus(_times(x.re, y.im), _times(x.im, y.re)),
    )


def divide(x: Parts, y: Parts) -> Parts:
    """Smith's scaling by the larger part of the divisor; the quotient does not depend on it, so neither do derivatives."""
    if _is_number(y.im, 0.0):
        return Parts(x.re / y.re, 0.0 if _is_number(x.im, 0.0) else x.im / y.re)
    size = _stopped(np.maximum(np.abs(y.re), np.abs(y.im)))
    scale = np.where(np.equal(size, 0.0), 1.0, size)[()]
    c, d = y.re / scale, y.im / scale
    denominator = y.re * c + y.im * d
    return Parts(_plus(_times(x.re, c), _times(x.im, d)) / denominator, _minus(_times(x.im, c), _times(x.re, d)) / denominator)


def _stopped(x: Part) -> Part:
    return x.__odead_stop__() if is_traced(x) else x


def negative(x: Parts) -> Parts:
    return Parts(-x.re, -x.im)


def conjugate(x: Parts) -> Parts:
    return Parts(x.re, -x.im)


def reciprocal(x: Parts) -> Parts:
    return divide(Parts(1.0, 0.0), x)


def square(x: Parts) -> Parts:
    return multiply(x, x)


def _is_zero(x: Parts) -> Part:
    return np.logical_and(np.equal(x.re, 0.0), np.equal(x.im, 0.0))


def _where(mask: Part, x: Parts, y: Parts) -> Parts:
    return Parts(np.where(mask, x.re, y.re)[()], np.where(mask, x.im, y.im)[()])


_LARGEST_POWER: Final = 100  # up to which NumPy multiplies


def power(x: Parts, y: Parts) -> Parts:
    """Integer powers by multiplication, others by the logarithm; 0 to a power with positive real part is 0, 0**0 is 1."""
    if not is_traced(y.re) and _is_number(y.im, 0.0) and np.ndim(y.re) == 0 and float(y.re).is_integer():
        n = int(y.re)
        if abs(n) <= _LARGEST_POWER:
            return _integer_power(x, n) if n >= 0 else reciprocal(_integer_power(x, -n))
    zero = _is_zero(x)
    result = exp(multiply(y, log(_where(zero, Parts(1.0, 0.0), x))))
    at_zero = np.where(np.greater(y.re, 0.0), 0.0, np.where(_is_zero(y), 1.0, np.nan))[()]
    return _where(zero, Parts(at_zero, 0.0), result)


def _integer_power(x: Parts, n: int) -> Parts:
    result: Parts | None = None
    while n:
        if n & 1:
            result = x if result is None else multiply(result, x)
        n >>= 1
        x = square(x) if n else x
    return Parts(1.0, 0.0) if result is None else result


# ---------------------------------------------------------------------------------------------------- size and angle


def absolute(x: Parts) -> Part:
    return np.hypot(x.re, x.im)


def sign(x: Parts) -> Parts:
    """z / |z|, and 0 at 0: what NumPy 2 calls the sign."""
    size = absolute(x)
    zero = np.equal(size, 0.0)
    safe = np.where(zero, 1.0, size)[()]
    return _where(zero, Parts(0.0, 0.0), Parts(x.re / safe, x.im / safe))


# ---------------------------------------------------------------------------------------------------- exponentials, roots


def exp(x: Parts) -> Parts:
    size = np.exp(x.re)
    return Parts(size * np.cos(x.im), size * np.sin(x.im))


def exp2(x: Parts) -> Parts:
    return exp(Parts(x.re * math.log(2.0), x.im * math.log(2.0)))


def expm1(x: Parts) -> Parts:
    half = np.sin(0.5 * x.im)
    return Parts(np.expm1(x.re) * np.cos(x.im) - 2.0 * half * half, np.exp(x.re) * np.sin(x.im))


def log(x: Parts) -> Parts:
    return Parts(np.log(absolute(x)), np.arctan2(x.im, x.re))


def log2(x: Parts) -> Parts:
    return Parts(np.log2(absolute(x)), np.arctan2(x.im, x.re) / math.log(2.0))


def log10(x: Parts) -> Parts:
    return Parts(np.log10(absolute(x)), np.arctan2(x.im, x.re) / math.log(10.0))


def log1p(x: Parts) -> Parts:
    return Parts(0.5 * np.log1p(x.re * (2.0 + x.re) + x.im * x.im), np.arctan2(x.im, 1.0 + x.re))


def sqrt(x: Parts) -> Parts:
    """The root with a non-negative real part; on the cut, the sign of the zero in the imaginary part decides."""
    right = np.greater_equal(x.re, 0.0)
    zero = _is_zero(x)
    re = np.where(zero, 1.0, x.re)[()]
    larger = np.sqrt(0.5 * (np.where(right, re, -re)[()] + np.hypot(re, x.im)))
    side = np.copysign(1.0, x.im)
    smaller = 0.5 * x.im / larger
    root = _where(right, Parts(larger, smaller), Parts(smaller * side, larger * side))
    return _where(zero, Parts(0.0, x.im), root)


# ---------------------------------------------------------------------------------------------------- trigonometry


def sin(x: Parts) -> Parts:
    return Parts(np.sin(x.re) * np.cosh(x.im), np.cos(x.re) * np.sinh(x.im))


def cos(x: Parts) -> Parts:
    return Parts(np.cos(x.re) * np.cosh(x.im), -np.sin(x.re) * np.sinh(x.im))


def sinh(x: Parts) -> Parts:
    return Parts(np.sinh(x.re) * np.cos(x.im), np.cosh(x.re) * np.sin(x.im))


def cosh(x: Parts) -> Parts:
    return Parts(np.cosh(x.re) * np.cos(x.im), np.sinh(x.re) * np.sin(x.im))


_SATURATED: Final = 50.0  # beyond it tanh is 1 and its imaginary part below 1e-43


def tanh(x: Parts) -> Parts:
    re = np.minimum(np.maximum(x.re, -_SATURATED), _SATURATED)
    sinh_, cos_ = np.sinh(re), np.cos(x.im)
    denominator = sinh_ * sinh_ + cos_ * cos_
    return Parts(sinh_ * np.cosh(re) / denominator, np.sin(x.im) * cos_ / denominator)


def _turned(function: Callable[[Parts], Parts]) -> Callable[[Parts], Parts]:
    """-i f(i z): sine and tangent from their hyperbolic forms, and the inverses likewise."""

    def formula(x: Parts) -> Parts:
        turned = function(Parts(-x.im, x.re))
        return Parts(turned.im, -turned.re)

    return formula


def _both_roots(x: Parts) -> tuple[Parts, Parts]:
    """The square roots of 1 - z and 1 + z, signed zeros kept."""
    return sqrt(Parts(1.0 - x.re, -x.im)), sqrt(Parts(1.0 + x.re, x.im))


def arcsin(x: Parts) -> Parts:
    minus, plus = _both_roots(x)
    return Parts(
        np.arctan2(x.re, minus.re * plus.re - minus.im * plus.im),
        np.arcsinh(minus.re * plus.im - minus.im * plus.re),
    )


def arccos(x: Parts) -> Parts:
    minus, plus = _both_roots(x)
    return Parts(2.0 * np.arctan2(minus.re, plus.re), np.arcsinh(plus.re * minus.im - plus.im * minus.re))


def arccosh(x: Parts) -> Parts:
    minus, plus = sqrt(Parts(x.re - 1.0, x.im)), sqrt(Parts(x.re + 1.0, x.im))
    return Parts(np.arcsinh(minus.re * plus.re + minus.im * plus.im), 2.0 * np.arctan2(minus.im, plus.re))


def arctanh(x: Parts) -> Parts:
    away = 1.0 - x.re
    return Parts(
        0.25 * np.log1p(4.0 * x.re / (away * away + x.im * x.im)),
        0.5 * (np.arctan2(x.im, 1.0 + x.re) - np.arctan2(-x.im, away)),
    )


# ---------------------------------------------------------------------------------------------------- comparisons


def equal(x: Parts, y: Parts) -> Part:
    return np.logical_and(np.equal(x.re, y.re), np.equal(x.im, y.im))


def not_equal(x: Parts, y: Parts) -> Part:
    return np.logical_or(np.not_equal(x.re, y.re), np.not_equal(x.im, y.im))


def _ordered(strict: np.ufunc, last: np.ufunc) -> Callable[[Parts, Parts], Part]:
    """NumPy's order: by the real part, then by the imaginary one."""

    def formula(x: Parts, y: Parts) -> Part:
        return np.logical_or(strict(x.re, y.re), np.logical_and(np.equal(x.re, y.re), last(x.im, y.im)))

    return formula


def maximum(x: Parts, y: Parts) -> Parts:
    """The later one in NumPy's order, or one with a nan. Of equal numbers the first is taken, with its derivative."""
    return _where(np.logical_or(_is_nan(x), _ordered(np.greater, np.greater_equal)(x, y)), x, y)


def minimum(x: Parts, y: Parts) -> Parts:
    return _where(np.logical_or(_is_nan(x), _ordered(np.less, np.less_equal)(x, y)), x, y)


def _is_nan(x: Parts) -> Part:
    return np.logical_or(np.isnan(x.re), np.isnan(x.im))


def _either(test: np.ufunc) -> Callable[[Parts], Part]:
    return lambda x: np.logical_or(test(x.re), test(x.im))


def _truth(x: Parts) -> Part:
    return np.logical_or(np.not_equal(x.re, 0.0), np.not_equal(x.im, 0.0))


FORMULAS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": add, "subtract": subtract, "multiply": multiply, "divide": divide, "negative": negative, "positive": lambda x: x,
    "conjugate": conjugate, "reciprocal": reciprocal, "square": square, "power": power, "float_power": power,
    "absolute": absolute, "sign": sign, "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log10": log10,
    "log1p": log1p, "sqrt": sqrt, "sin": sin, "cos": cos, "tan": _turned(tanh), "sinh": sinh, "cosh": cosh, "tanh": tanh,
    "arcsin": arcsin, "arccos": arccos, "arctan": _turned(arctanh), "arcsinh": _turned(arcsin), "arccosh": arccosh,
    "arctanh": arctanh, "equal": equal, "not_equal": not_equal, "less": _ordered(np.less, np.less),
    "less_equal": _ordered(np.less, np.less_equal), "greater": _ordered(np.greater, np.greater),
    "greater_equal": _ordered(np.greater, np.greater_equal), "maximum": maximum, "minimum": minimum,
    "isnan": _either(np.isnan), "isinf": _either(np.isinf),
    "isfinite": lambda x: np.logical_and(np.isfinite(x.re), np.isfinite(x.im)),
    "rint": lambda x: Parts(np.rint(x.re), np.rint(x.im)),
    "logical_and": lambda x, y: np.logical_and(_truth(x), _truth(y)),
    "logical_or": lambda x, y: np.logical_or(_truth(x), _truth(y)),
    "logical_xor": lambda x, y: np.logical_xor(_truth(x), _truth(y)),
    "logical_not": lambda x: np.logical_not(_truth(x)),
}  # fmt: skip
