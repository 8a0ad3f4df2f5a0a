"""What stands for functions of `scipy.integrate`; the rule of `quad`: differentiate under the integral, and at its limits."""

from functools import partial
from typing import Any

import numpy as np
import scipy.integrate

from ..rules.primitive import Primitive, adopt, primitive
from ..rules.registry import rule
from . import scipy_ode  # noqa: F401
from .implicit import as_tuple, combined, curvature, has_floats, pulled, value_at


def _quad(
    func: Any,
    a: float,
    b: float,
    args: Any = (),
    full_output: int = 0,
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
    points: Any = None,
    weight: Any = None,
    wvar: Any = None,
    wopts: Any = None,
    maxp1: int = 50,
    limlst: int = 50,
    complex_func: bool = False,
) -> Any:
    if full_output or weight is not None or complex_func:
        raise NotImplementedError("quad inside a differentiated function takes no full_output, weight or complex_func")
    return scipy.integrate.quad(func, a, b, as_tuple(args), epsabs=epsabs, epsrel=epsrel, limit=limit, points=points)


quad = adopt(scipy.integrate.quad, Primitive(_quad))


@rule(quad)
def _quad_rule(func: Any, a: float, b: float, args: Any = (), *options: Any, **named: Any) -> Any:
    value = quad(func, a, b, args, *options, **named)

    def pullback(bar: Any) -> tuple[Any, ...]:
        extra, weight = as_tuple(args), bar[0]  # the second is the error estimate
        closed, args_bar = integral_of_slopes(func, a, b, extra, weight)
        own = args_bar if isinstance(args, tuple) or args_bar is None else args_bar[0]

        def at(end: float, sign: float) -> Any:
            return sign * weight * value_at(func, end, extra) if np.isfinite(end) else 0.0

        return (closed, partial(at, a, -1.0), partial(at, b, 1.0), own, *[None] * 11)

    return value, pullback


@primitive
def integral_of_slopes(func: Any, a: float, b: float, args: tuple[Any, ...], weight: float) -> tuple[Any, Any]:
    """Integral of the cotangents of what the function closes over and of args; None where there is no float."""
    kept = [has_floats(func), has_floats(args)]

    def slopes(x: float) -> Any:
        closed, _, args_bar = pulled(func, x, args, 1.0)
        return closed, (args_bar if kept[1] else None)

    if not any(kept):
        return None, None
    found: tuple[Any, Any] = _integral(slopes, a, b, weight)
    return found


@rule(integral_of_slopes)
def _integral_of_slopes(func: Any, a: float, b: float, args: tuple[Any, ...], weight: float) -> Any:
    def pullback(bar: Any) -> tuple[Any, ...]:
        along = (bar[0], None, bar[1])

        def change(x: float) -> Any:
            closed, _, args_bar, slope = curvature(func, x, args, 1.0, along)
            return closed, (args_bar if has_floats(args) else None), slope

        def end(x: float) -> float:
            return float(change(x)[2]) if np.isfinite(x) else 0.0

        if not (has_floats(func) or has_floats(args)):
            return None, None, None, None, None
        closed, args_bar, slope = _integral(change, a, b, 1.0)
        return _scaled(weight, closed), lambda: -weight * end(a), lambda: weight * end(b), _scaled(weight, args_bar), slope

    return integral_of_slopes(func, a, b, args, weight), pullback


def _integral(function: Any, a: float, b: float, weight: float) -> Any:
    """Of a function that returns a container, times a number."""
    _, back = combined(function(_between(a, b)))
    quad_vec: Any = scipy.integrate.quad_vec  # its stubs take functions of one number only
    return back(weight * quad_vec(lambda x: combined(function(float(x)))[0], a, b)[0])


def _scaled(factor: float, tree: Any) -> Any:
    if tree is None:
        return None
    vector, back = combined(tree)
    return back(factor * vector)


def _between(a: float, b: float) -> float:
    """A point inside the interval, where the structure of the derivative is looked at."""
    if np.isfinite(a) and np.isfinite(b):
        return 0.5 * (a + b)
    return a + 1.0 if np.isfinite(a) else b - 1.0 if np.isfinite(b) else 0.0
