"""Rule of `scipy.integrate.quad`: differentiate under the integral, and at its limits."""

from typing import Any

import numpy as np
import scipy.integrate

from ..rules.primitive import Primitive, adopt
from ..rules.registry import rule
from .implicit import as_tuple, combined, pulled


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
    extra = as_tuple(args)
    value = _quad(func, a, b, args, *options, **named)

    def pullback(bar: Any) -> tuple[Any, ...]:
        value_bar = float(bar[0])  # the second is the error estimate

        def end(x: float, sign: float) -> float:
            return sign * value_bar * float(func(x, *extra)) if np.isfinite(x) else 0.0

        def inside() -> Any:
            def integrand(x: float) -> np.ndarray:
                closed, _, args_bar = pulled(func, float(x), extra, 1.0)
                return combined((closed, args_bar))[0]

            closed, _, args_bar = pulled(func, _between(a, b), extra, 1.0)
            vector, back = combined((closed, args_bar))
            if not vector.size:
                return None, None
            return back(value_bar * scipy.integrate.quad_vec(integrand, a, b)[0])

        closed, args_bar = inside()
        own = args_bar if isinstance(args, tuple) or args_bar is None else args_bar[0]
        return (closed, lambda: end(a, -1.0), lambda: end(b, 1.0), own, *[None] * 11)

    return value, pullback


def _between(a: float, b: float) -> float:
    """A point inside the interval, where the structure of the derivative is looked at."""
    if np.isfinite(a) and np.isfinite(b):
        return 0.5 * (a + b)
    return a + 1.0 if np.isfinite(a) else b - 1.0 if np.isfinite(b) else 0.0
