"""The functions of `math` and the builtins on traced numbers: one table from function to operation.

The value of the recorded run comes from the function itself, so that `math.log(-1.0)` raises while recording as it does in
the plain call.
"""

from __future__ import annotations

import cmath
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from ...views import View
from ..domains import DOMAINS
from ..recorder import Recorder, contains_traced, is_traced
from ..traced.array import TracedArray
from ..traced.complexes import is_complex
from ..traced.scalar import TracedScalar
from .complex_api import complex_number

__all__ = ["BUILTINS", "MATH", "make_number", "make_type"]

Function = Callable[..., Any]

_ONE: Final[Mapping[Function, str]] = {
    math.exp: "exp", math.expm1: "expm1", math.log1p: "log1p", math.log2: "log2", math.log10: "log10", math.sqrt: "sqrt",
    math.sin: "sin", math.cos: "cos", math.tan: "tan", math.asin: "arcsin", math.acos: "arccos", math.atan: "arctan",
    math.sinh: "sinh", math.cosh: "cosh", math.tanh: "tanh", math.asinh: "arcsinh", math.acosh: "arccosh",
    math.atanh: "arctanh", math.erf: "erf", math.erfc: "erfc", math.fabs: "abs", math.degrees: "rad2deg",
    math.radians: "deg2rad", math.isnan: "isnan", math.isinf: "isinf", math.isfinite: "isfinite",
    math.exp2: "exp2", math.cbrt: "cbrt", math.gamma: "gamma", math.lgamma: "gammaln",
}  # fmt: skip
_TWO: Final[Mapping[Function, str]] = {
    math.pow: "pow", math.atan2: "arctan2", math.fmod: "fmod", math.copysign: "copysign",
}  # fmt: skip


def _number(rec: Recorder, x: Any) -> tuple[View, float]:
    """An argument of a function of `math`, as a float64 view and a Python float."""
    if type(x) is TracedArray:
        x = x._only()
    if is_traced(x) and is_complex(x):
        float(x.value)  # raises Python's own error, or warns that NumPy's number loses its imaginary part
        return _number(rec, x.real)
    if type(x) is TracedScalar:
        return (x.place if x.kind == "float64" else rec.cast(x.place, "float64")), float(x.value)
    value = float(x)
    return rec.number(value), value


def _elementwise(function: Function, op: str) -> Callable[[Recorder], Function]:
    """`function` for one recorder."""
    result = "bool" if op.startswith("is") else "float64"

    def bind(rec: Recorder) -> Function:
        record = rec.record_python if op in DOMAINS else rec.record

        def call(*xs: Any) -> Any:
            if not any(map(is_traced, xs)):
                return function(*xs)
            operands = [_number(rec, x) for x in xs]
            views = tuple([view for view, _ in operands])
            try:
                value = function(*[value for _, value in operands])
            except (ValueError, OverflowError) as error:
                value = rec.raised(error, op, views)
            return TracedScalar(rec, record(op, result, views), value, result)

        return call

    return bind


def _composed(function: Function, composed: Function) -> Callable[[Recorder], Function]:
    """A function made of others, called only if something is traced."""

    def bind(rec: Recorder) -> Function:
        def call(*xs: Any, **options: Any) -> Any:
            return composed(rec, *xs, **options) if contains_traced(xs) else function(*xs, **options)

        return call

    return bind


_log: Final = _elementwise(math.log, "log")
_hypot: Final = _elementwise(math.hypot, "hypot")
_trunc: Final = _elementwise(lambda x: float(math.trunc(x)), "trunc")
_rint: Final = _elementwise(lambda x: float(round(x)), "rint")


def _log_to_base(rec: Recorder, x: Any, base: Any = None) -> Any:
    log = _log(rec)
    return log(x) if base is None else log(x) / log(base)


def _hypotenuse(rec: Recorder, *xs: Any) -> Any:
    if len(xs) == 1:
        return abs(_python_float(rec, xs[0]))
    hypot = _hypot(rec)
    total = hypot(xs[0], xs[1])
    for x in xs[2:]:
        total = hypot(total, x)
    return total


def _python_float(rec: Recorder, x: Any) -> Any:
    """A number as a Python float, which the functions of `math` return for every argument."""
    return TracedScalar(rec, *_number(rec, x)) if is_traced(x) else float(x)


def _fsum(rec: Recorder, xs: Iterable[Any]) -> Any:
    total: Any = 0.0
    for x in xs:
        total = total + _python_float(rec, x)
    return total


def _modf(rec: Recorder, x: Any) -> tuple[Any, Any]:
    whole = _trunc(rec)(x)
    return _python_float(rec, x) - whole, whole


def _remainder(rec: Recorder, x: Any, y: Any) -> Any:
    x, y = _python_float(rec, x), _python_float(rec, y)
    if not rec.is_beside():
        math.remainder(_value(x), _value(y))  # raises what the plain call raises
    return x - _rint(rec)(x / y) * y


def _is_close(rec: Recorder, a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    a, b = _python_float(rec, a), _python_float(rec, b)
    return abs(a - b) <= np.maximum(rel_tol * np.maximum(abs(a), abs(b)), abs_tol)


def _untraceable(function: Function) -> Callable[[Recorder], Function]:
    def fail(rec: Recorder, *xs: Any, **options: Any) -> Any:
        rec.fail(f"math.{function.__name__} of a traced number cannot be traced", "Write it with the other functions of math")

    return _composed(function, fail)


def _of_complex(function: Function, ufunc: np.ufunc) -> Callable[[Recorder], Function]:
    """A function of `cmath`, whose result is complex also for a real argument."""

    def call(rec: Recorder, x: Any) -> Any:
        value = function(_value(x))  # raises as the plain call does
        return rec.api.ufunc(rec, ufunc, "__call__", (complex_number(rec, complex, x),), {"value": value})

    return _composed(function, call)


_CMATH: Final = {
    cmath.acos: np.arccos, cmath.acosh: np.arccosh, cmath.asin: np.arcsin, cmath.asinh: np.arcsinh, cmath.atan: np.arctan,
    cmath.atanh: np.arctanh, cmath.cos: np.cos, cmath.cosh: np.cosh, cmath.exp: np.exp, cmath.log10: np.log10,
    cmath.sin: np.sin, cmath.sinh: np.sinh, cmath.sqrt: np.sqrt, cmath.tan: np.tan, cmath.tanh: np.tanh,
    cmath.isnan: np.isnan, cmath.isinf: np.isinf, cmath.isfinite: np.isfinite,
}  # fmt: skip


def _complex_log(rec: Recorder, x: Any, base: Any = None) -> Any:
    log = _of_complex(cmath.log, np.log)(rec)
    return log(x) if base is None else log(x) / log(base)


# Functions that ask a traced number by a special method (floor, ceil, trunc, prod) need no row.
MATH: Final[Mapping[Function, Callable[[Recorder], Function]]] = {
    **{f: _untraceable(f) for f in (math.frexp, math.nextafter, math.ulp)},
    **{function: _elementwise(function, op) for function, op in {**_ONE, **_TWO}.items()},
    math.log: _composed(math.log, _log_to_base),
    math.hypot: _composed(math.hypot, _hypotenuse),
    math.dist: _composed(math.dist, lambda rec, p, q: _hypotenuse(rec, *(a - b for a, b in zip(p, q, strict=True)))),
    math.fsum: _composed(math.fsum, _fsum),
    math.modf: _composed(math.modf, _modf),
    math.remainder: _composed(math.remainder, _remainder),
    math.isclose: _composed(math.isclose, _is_close),
    math.ldexp: _composed(math.ldexp, lambda rec, x, i: _python_float(rec, x) * 2.0 ** operator.index(i)),
    **{function: _of_complex(function, ufunc) for function, ufunc in _CMATH.items()},
    cmath.log: _composed(cmath.log, _complex_log),
    cmath.phase: _composed(cmath.phase, lambda rec, x: np.angle(complex_number(rec, complex, x))),
    cmath.polar: _composed(cmath.polar, lambda rec, x: (abs(x), np.angle(complex_number(rec, complex, x)))),
    cmath.rect: _composed(cmath.rect, lambda rec, r, phi: complex_number(rec, complex, r * np.cos(phi), r * np.sin(phi))),
}


# ------------------------------------------------------------------------------------------------ builtins


def _extreme(function: Function, ufunc: np.ufunc, ignoring_nan: np.ufunc) -> Callable[[Recorder], Function]:
    """`max` or `min`: an operation, not a branch. Of equal numbers Python takes the first; the derivative is shared."""

    def bind(rec: Recorder) -> Function:
        def call(*args: Any, **options: Any) -> Any:
            items = list(args[0]) if len(args) == 1 else list(args)
            if options or not items or not all(_is_number(x) for x in items) or not any(map(is_traced, items)):
                return function(items, **options) if len(args) == 1 else function(*args, **options)
            best = items[0]
            for item in items[1:]:
                best = _better(best, item)
            return best

        def _better(best: Any, item: Any) -> Any:
            # Python keeps the first of two numbers unless the second is better, so a nan that comes second is ignored,
            # and one that comes first stays.
            if not is_traced(best) and not is_traced(item):
                return function(best, item)
            if all(isinstance(x, (int, np.integer)) for x in (best, item)):
                result = ufunc(best, item)
            elif not is_traced(item):
                result = ufunc(best, item) if item == item else best
            elif not is_traced(best):
                result = ignoring_nan(best, item) if best == best else best
            elif type(best) is type(item) is TracedScalar and best.kind == item.kind == "float64":
                chosen = rec.record(ufunc.__name__, "float64", (best.place, item.place))
                ignored = rec.record("isnan", "bool", (item.place,))
                view = rec.record("where", "float64", (ignored, best.place, chosen))
                result = TracedScalar(rec, view, np.float64(function(best.value, item.value)))
            else:
                result = np.where(np.isnan(item), best, ufunc(best, item))[()]
            if not is_traced(result):
                return result
            if isinstance(_value(best), np.generic) or isinstance(_value(item), np.generic):
                return result  # a NumPy number, whichever is chosen: the type must not hang on the values
            kind = int if result.kind == "int64" else float
            return TracedScalar(rec, result.place, kind(result.value), result.kind)

        return call

    return bind


def _value(x: Any) -> Any:
    return x.value if is_traced(x) else x


def _is_number(x: Any) -> bool:
    return type(x) in (TracedScalar, float, int, np.float64) or (type(x) is TracedArray and x.ndim == 0)


BUILTINS: Final[Mapping[Function, Callable[[Recorder], Function]]] = {
    max: _extreme(max, np.maximum, np.fmax),
    min: _extreme(min, np.minimum, np.fmin),
}


def make_number(rec: Recorder, kind: type) -> type:
    """`float`, `int` or one of NumPy's that lets a traced number be converted, and is the type itself in every other way."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if kind in (complex, np.complex128) and any(map(is_traced, args)) and not kwargs:
                return complex_number(rec, kind, *args)
            if len(args) == 1 and not kwargs and is_traced(args[0]):
                return _converted(rec, args[0], kind)
            if args and type(args[0]) is str and rec.texts.holds(args[0]):
                rec.fail(
                    f"{kind.__name__}({args[0]!r}) reads a text made of a traced number: it would be the same at later calls",
                    "Use the number itself, np.round(x, digits) or int(x)",
                )
            return kind(*args, **kwargs)

        def __instancecheck__(cls, x: Any) -> bool:
            return isinstance(x, kind)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, kind)

        def __eq__(cls, other: object) -> bool:
            return other is kind or other is cls

        def __hash__(cls) -> int:
            return hash(kind)

        def __getattr__(cls, name: str) -> Any:
            return getattr(kind, name)

    return Meta(kind.__name__, (), {"dtype": np.dtype(kind), "__doc__": kind.__doc__})


def make_type(translate: Callable[[type], Any]) -> type:
    """`type` for which the class of a traced value is that of the value it stands for."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if len(args) == 1 and not kwargs:
                kind = args[0].__class__ if is_traced(args[0]) else type(args[0])
                return translate(kind) if is_traced(args[0]) or kind in (int, float) else kind
            return type(*args, **kwargs)

        def __instancecheck__(cls, x: Any) -> bool:
            return isinstance(x, type)

    return Meta("type", (), {})


def _converted(rec: Recorder, x: Any, kind: type) -> Any:
    """`float(x)` or `int(x)` of a traced number or an array of one element."""
    if type(x) is TracedArray:
        if kind not in (float, int) and (kind is not np.float64 or x.ndim):
            return x.astype(kind)
        x = x._only() if kind in (float, int) else x[()]
    if not is_traced(x):
        return kind(x)
    if is_complex(x):
        kind(x.value)  # raises Python's own error, or warns that a part is discarded
        return _converted(rec, x.real, kind)
    if kind in (int, np.int64):
        return x.truncated(kind(x.value))
    dtype = np.dtype(kind).name
    view = x.place if x.kind == dtype else rec.cast(x.place, dtype)
    return TracedScalar(rec, view, kind(x.value), dtype)
