"""What the rules of root finders and quadratures share: derivatives of the user's function at a point."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..containers import flatten, map_leaves
from ..derivatives.first_order import jacobian, vjp
from ..testing.call import is_float

__all__ = ["as_tuple", "combined", "jacobian_at", "pulled", "scaled"]


def applied(function: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Any:
    """The function as an argument among others, so that what it closes over has derivatives."""
    return function(x, *args)


def pulled(function: Any, x: Any, args: tuple[Any, ...], bar: Any) -> tuple[Any, Any, Any]:
    """Cotangents of what the function closes over (None if nothing), of x, and of args."""
    _, pullback = vjp(applied, function, x, args)
    closed, x_bar, args_bar = pullback(bar)
    return (closed if any(map(is_float, flatten(function)[0])) else None), x_bar, args_bar


def jacobian_at(function: Any, x: np.ndarray, args: tuple[Any, ...]) -> np.ndarray:
    """Jacobian with respect to x."""
    return np.atleast_2d(np.asarray(jacobian(applied, function, x, args, wrt=1)))


def as_tuple(args: Any) -> tuple[Any, ...]:
    """SciPy takes a single extra argument without its tuple."""
    return args if isinstance(args, tuple) else (args,)


def scaled(factor: float, x: Any) -> Any:
    """A container times a number."""
    return None if x is None else map_leaves(lambda leaf: factor * leaf if is_float(leaf) else None, x)


def combined(x: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """The floats of a container in one vector, and the way back."""
    leaves, structure = flatten(x)
    floats = [leaf for leaf in leaves if is_float(leaf)]
    sizes = [np.size(leaf) for leaf in floats]

    def back(vector: np.ndarray) -> Any:
        parts = iter(np.split(vector, np.cumsum(sizes)[:-1]) if sizes else [])
        return structure.unflatten([_like(leaf, next(parts)) if is_float(leaf) else None for leaf in leaves])

    return np.concatenate([np.zeros(0), *map(np.ravel, floats)]), back


def _like(leaf: Any, part: np.ndarray) -> Any:
    return part.reshape(leaf.shape) if isinstance(leaf, np.ndarray) else float(part[0])
