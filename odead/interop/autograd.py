"""Functions of HIPS autograd: what has a `defvjp`, and any function written with `autograd.numpy`, as primitives."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..rules.primitive import Primitive
from ..rules.registry import register_vjp
from .border import floats_of, needs, own

__all__ = ["from_autograd"]


def from_autograd(function: Callable[..., Any]) -> Primitive:
    """A primitive whose derivative autograd computes.

    Parameters
    ----------
    function : callable
        Of arrays and numbers, made of functions that autograd knows; returns one array or number.
    """
    core = needs("autograd.core", "autograd")

    def value_and_pullback(*args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        active = floats_of(args)
        values = tuple([own(args[k]) for k in active])

        def of_floats(xs: Any) -> Any:
            filled = list(args)
            for k, x in zip(active, xs, strict=True):
                filled[k] = x
            return function(*filled)

        vjp, value = core.make_vjp(of_floats, values)

        def pullback(bar: Any) -> tuple[Any, ...]:
            items: list[Any] = [None] * len(args)
            for k, item in zip(active, vjp(bar), strict=True):
                items[k] = np.array(item) if isinstance(args[k], np.ndarray) else float(item)
            return tuple(items)

        return own(value), pullback

    return register_vjp(Primitive(function), value_and_pullback)
