"""hessian and hvp: forward over reverse, both as programs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ..errors import ArgumentTypeError
from ..tape import Program
from ..transform.builder import FLOATS
from ..transform.forward import forward
from ..transform.passes import optimise
from ..transform.reverse import reverse
from .inputs import Inputs
from .kernel import Variant, cached_kernel, empty_results, number, returns_complex

__all__ = ["hessian", "hessian_of_first", "hvp"]

LANES: Final = 16  # Hessian columns per sweep


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """Hessian of a function that returns one number, times a vector.

    Parameters
    ----------
    f : callable
        Of one argument; returns a number.
    x : array, number or container
    v : same structure and shapes as x

    Returns
    -------
    same structure and shapes as x
    """
    inputs = Inputs(f, (x,), 0, v)
    tangents = inputs.shadows_of((v,))
    products = _sweep(f, inputs, tangents, None)
    result = inputs.structured([number(product) for product in products])
    return result


def hessian(f: Callable[..., Any], x: Any) -> np.ndarray:
    """Hessian of a function that returns one number.

    Parameters
    ----------
    f : callable
        Of one argument; returns a number.
    x : array or number

    Returns
    -------
    ndarray (*x.shape, *x.shape)
        Of a complex x (*x.shape, 2, *x.shape, 2): second derivatives by real and imaginary parts, which are real. (They are no
        complex multiples of each other, so no complex matrix holds them; `hvp` applies them to complex vectors.)
    """
    inputs = Inputs(f, (x,), 0)
    if isinstance(x, (tuple, list, dict)) or len(inputs.active) != 1:
        raise ArgumentTypeError("hessian takes one array or number; for a container use hvp, column by column")
    return _hessian(f, inputs)


def hessian_of_first(f: Callable[..., Any], x: np.ndarray, *others: Any) -> np.ndarray:
    """`hessian` with respect to the first of several arguments."""
    return _hessian(f, Inputs(f, (x, *others), 0))


def _hessian(f: Callable[..., Any], inputs: Inputs) -> np.ndarray:
    shape = inputs.shapes()[0]
    lanes_of, dtype = shape, inputs.dtypes()[0]
    if inputs.has_complex:
        shape = (*shape, 2)
    size = int(np.prod(shape, dtype=int))
    width = max(1, min(size, LANES))
    rows = []
    for start in range(0, size, width):
        unit = np.eye(width, size, start, dtype=np.float64 if inputs.has_complex else dtype)
        (products,) = _sweep(f, inputs, [unit.view(dtype).reshape(width, *lanes_of)], width)
        if inputs.has_complex:
            products = np.stack([products.real, products.imag], axis=-1)
        rows.append(products.reshape(width, size)[: size - start])
    return np.concatenate(rows).reshape(shape + shape) if rows else np.zeros(shape + shape)


def _sweep(f: Callable[..., Any], inputs: Inputs, tangents: Sequence[np.ndarray], width: int | None) -> list[np.ndarray]:
    """Tangents of the gradient: one array per differentiated leaf, lanes first."""
    derive = partial(_tangent_of_gradient, active=tuple(inputs.active), width=width)
    kernel = cached_kernel(f, ("hessian", width, inputs.key), inputs.args, derive, nest=inputs.nest)
    lanes = () if width is None else (width,)
    products = inputs.zeros(*lanes)

    def assemble(variant: Variant) -> list[Any]:
        program = variant.primal
        if len(program.results) != 1 or program.buffers[program.results[0]].dtype not in FLOATS:
            raise ArgumentTypeError(f"{program.name} does not return one real number; a Hessian is of one number")
        buffer = program.buffers[program.results[0]]
        if returns_complex(variant):
            raise ArgumentTypeError(f"{program.name} returns a complex number; a Hessian is of a real one")
        if buffer.size != 1:
            raise ArgumentTypeError(f"{program.name} returns an array of shape {buffer.shape}; a Hessian is of one number")
        values = [value.copy() if isinstance(value, np.ndarray) else value for value in inputs.values]
        seed = np.ones(buffer.shape or (), buffer.dtype)
        given = [tangent.copy() for tangent in tangents]
        for product in products:
            product[...] = 0.0
        return [*values, *inputs.zeros(), seed, *given, *products, *empty_results(variant)]

    kernel.run(inputs.values, assemble)
    return products


def _tangent_of_gradient(program: Program, active: tuple[int, ...], width: int | None) -> Program:
    gradient = optimise(reverse(program, active))
    n = len(program.arguments)
    return forward(gradient, (*active, *range(n, n + len(active))), width)
