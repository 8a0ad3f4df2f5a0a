"""What the rules of root finders and quadratures share: derivatives of the user's function at a point.

They are primitives with rules of their own, so that the rules made of them can be differentiated again: the derivative of a
gradient is a Hessian times a vector.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..containers import flatten, map_leaves
from ..derivatives.first_order import jacobian, vjp
from ..derivatives.second_order import hvp
from ..rules.primitive import primitive
from ..rules.registry import rule
from ..testing.call import is_float

__all__ = ["as_tuple", "combined", "curvature", "filled", "has_floats", "jacobian_at", "pulled", "total", "value_at"]


def applied(function: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Any:
    """The function as an argument among others, so that what it closes over has derivatives."""
    return function(x, *args)


def weighted(given: list[Any]) -> Any:
    """weight . function(x, *args) of [weight, function, x, args]; a list, in which ints stay ints."""
    weight, function, x, args = given
    return np.sum(weight * function(x, *args))


@primitive
def value_at(function: Any, x: Any, args: tuple[Any, ...]) -> Any:
    """The value at x."""
    return function(x, *args)


@rule(value_at)
def _value_at(function: Any, x: Any, args: tuple[Any, ...]) -> Any:
    return value_at(function, x, args), lambda bar: pulled(function, x, args, bar)


@primitive
def pulled(function: Any, x: Any, args: tuple[Any, ...], bar: Any) -> tuple[Any, Any, Any]:
    """Cotangents of what the function closes over (None if nothing), of x, and of args."""
    _, pullback = vjp(applied, function, x, args)
    closed, x_bar, args_bar = pullback(bar)
    return (closed if has_floats(function) else None), x_bar, args_bar


@rule(pulled)
def _pulled(function: Any, x: Any, args: tuple[Any, ...], bar: Any) -> Any:
    return pulled(function, x, args, bar), lambda along: curvature(function, x, args, bar, along)


def curvature(function: Any, x: Any, args: tuple[Any, ...], bar: Any, along: Any) -> tuple[Any, Any, Any, Any]:
    """Hessian of bar . function(x, *args) in (what the function closes over, x, args, bar), times a vector.

    Parameters
    ----------
    along : tuple
        The vector in the first three; in bar it is 0.
    """
    point = [bar, function, x, args]
    direction = [map_leaves(_zero, bar), *(filled(like, part) for like, part in zip(point[1:], along, strict=True))]
    bar_bar, closed, x_bar, args_bar = hvp(weighted, point, direction)
    return (closed if has_floats(function) else None), x_bar, args_bar, bar_bar


@primitive
def jacobian_at(function: Any, x: np.ndarray, args: tuple[Any, ...]) -> np.ndarray:
    """Jacobian with respect to x, square."""
    return np.asarray(jacobian(applied, function, x, args, wrt=1)).reshape(x.size, x.size)


@rule(jacobian_at)
def _jacobian_at(function: Any, x: np.ndarray, args: tuple[Any, ...]) -> Any:
    def pullback(bar: np.ndarray) -> tuple[Any, ...]:
        columns = np.eye(x.size).reshape(x.size, *x.shape)
        terms = [
            curvature(function, x, args, weight, (None, column, None))[:3]
            for weight, column in zip(bar.T, columns, strict=True)
        ]
        found: tuple[Any, ...] = total(terms)
        return found

    return jacobian_at(function, x, args), pullback


def has_floats(tree: Any) -> bool:
    return any(map(is_float, flatten(tree)[0]))


def filled(like: Any, cotangent: Any) -> Any:
    """A container as `like` with the floats of the cotangent, 0 where there are none."""
    leaves, structure = flatten(like)
    given = [None] * len(leaves) if cotangent is None else flatten(cotangent)[0]
    pairs = zip(leaves, given, strict=True)
    return structure.unflatten([(_zero(leaf) if g is None else g) if is_float(leaf) else leaf for leaf, g in pairs])


def total(terms: list[Any]) -> Any:
    """The sum of containers of one structure."""
    vector, back = combined(terms[0])
    return back(vector + sum(combined(term)[0] for term in terms[1:]))


def _zero(leaf: Any) -> Any:
    return np.zeros(leaf.shape) if isinstance(leaf, np.ndarray) else 0.0


def as_tuple(args: Any) -> tuple[Any, ...]:
    """SciPy takes a single extra argument without its tuple."""
    return args if isinstance(args, tuple) else (args,)


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
