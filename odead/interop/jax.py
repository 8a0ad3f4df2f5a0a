"""JAX functions as primitives: any jittable one, with its `custom_vjp` or `custom_jvp` where it has them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..rules.primitive import Primitive
from ..rules.registry import register_vjp
from .border import floats_of, needs, own

__all__ = ["from_jax"]


def from_jax(function: Callable[..., Any], *, jit: bool = True) -> Primitive:
    """A primitive whose value and derivative JAX computes, in float64.

    Parameters
    ----------
    function : callable
        Of arrays and numbers; returns one array or number.
    jit : bool
        Compile it with XLA.
    """
    jax = needs("jax", "jax")
    compiled = jax.jit(function) if jit else function

    def plain(*args: Any) -> Any:
        with _double(jax):
            return own(np.asarray(compiled(*args)))

    def pushed(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        active = floats_of(primals)
        with _double(jax):
            f = _of_floats(compiled, primals, active)
            value, tangent = jax.jvp(f, [own(primals[k]) for k in active], [own(tangents[k]) for k in active])
            return own(np.asarray(value)), own(np.asarray(tangent))

    def value_and_pullback(*args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        active = floats_of(args)
        with _double(jax):
            value, vjp = jax.vjp(_of_floats(compiled, args, active), *[own(args[k]) for k in active])

        def pullback(bar: Any) -> tuple[Any, ...]:
            items: list[Any] = [None] * len(args)
            with _double(jax):
                for k, item in zip(active, vjp(jax.numpy.asarray(bar, dtype=value.dtype)), strict=True):
                    items[k] = own(np.asarray(item))
            return tuple(items)

        return own(np.asarray(value)), pullback

    plain.__name__ = getattr(function, "__name__", "jax_function")
    return register_vjp(Primitive(plain), value_and_pullback, frule=pushed if not hasattr(function, "defvjp") else None)


def _of_floats(function: Callable[..., Any], args: tuple[Any, ...], active: list[int]) -> Callable[..., Any]:
    def of_floats(*xs: Any) -> Any:
        filled = list(args)
        for k, x in zip(active, xs, strict=True):
            filled[k] = x
        return function(*filled)

    return of_floats


def _double(jax: Any) -> Any:
    """Within, JAX computes in float64, whatever its global switch says."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return needs("jax.experimental", "jax").enable_x64()
