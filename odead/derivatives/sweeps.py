"""Whole Jacobians by sweeps over unit tangents or cotangents, many lanes at once."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ..errors import ArgumentTypeError
from ..tape import Program
from ..transform.builder import FLOATS
from ..transform.forward import forward
from ..transform.reverse import reverse
from .complexes import as_reals, complex_blocks
from .inputs import Inputs
from .kernel import Derive, Kernel, Variant, cached_kernel, empty_results, returns_complex

__all__ = ["columns", "copies", "holomorphic", "in_parts", "kernel_of", "only_float", "only_real", "rows", "value_at"]

LANES: Final = 32  # columns or rows of a dense Jacobian per sweep: enough to amortise the primal, few enough to stay in cache


def kernel_of(f: Callable[..., Any], inputs: Inputs, what: Hashable, derive: Derive | None) -> Kernel:
    return cached_kernel(f, (what, inputs.key), inputs.args, derive, nest=inputs.nest)


def copies(values: Sequence[Any]) -> list[Any]:
    """For functions that write into their arguments, each sweep starts from the entry values."""
    return [value.copy() if isinstance(value, np.ndarray) else value for value in values]


def only_float(program: Program) -> int:
    """The buffer of the one value that the function returns."""
    if len(program.results) == 1 and program.buffers[program.results[0]].dtype in FLOATS:
        return program.results[0]
    if not program.results:
        what = f"{program.name} returns nothing to differentiate; return a float, for instance an entry of an array it writes"
    elif len(program.results) > 1:
        what = f"{program.name} returns several values; return one"
    else:
        what = f"{program.name} returns {program.buffers[program.results[0]].dtype}, which has no derivative; return floats"
    raise ArgumentTypeError(what)


def only_real(variant: Variant) -> int:
    """As `_only_float`, and not complex."""
    if returns_complex(variant):
        raise ArgumentTypeError(
            f"{variant.primal.name} returns complex numbers; return a real one, such as abs(z)**2 or z.real, or write "
            f"mode=Reverse(holomorphic=True) for the complex derivative of a holomorphic function"
        )
    return only_float(variant.primal)


def value_at(kernel: Kernel, inputs: Inputs) -> np.ndarray:
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        only_float(variant.primal)
        results[:] = empty_results(variant)
        return [*(v.copy() if isinstance(v, np.ndarray) else v for v in inputs.values), *results]

    kernel.run(inputs.values, assemble)
    return results[0]


def holomorphic(f: Callable[..., Any], inputs: Inputs, strong_zero: bool = False) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value, and per differentiated leaf the complex derivative (out.size, in.size); checked to be one."""
    kernel = kernel_of(f, inputs, "primal", None)
    value = value_at(kernel, inputs)
    if not returns_complex(kernel.variant) or not all(map(np.iscomplexobj, inputs.differentiated())):
        raise ArgumentTypeError(
            f"{kernel.primal.name}: a holomorphic function has complex arguments and returns complex numbers; for real ones "
            f"leave holomorphic=True out"
        )
    by_columns = sum(inputs.sizes()) <= value.size
    blocks = columns(f, inputs, strong_zero=strong_zero)[1] if by_columns else rows(f, inputs, value, strong_zero)
    return complex_blocks(kernel.variant, inputs, value, blocks)


def columns(
    f: Callable[..., Any], inputs: Inputs, real: bool = False, strong_zero: bool = False
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value, and per differentiated leaf the block (out.size, in.size), by forward sweeps over unit tangents.

    Complex numbers count as two floats. With `real`, the function must return real numbers.
    """
    sizes = inputs.sizes()
    total = sum(sizes)
    width = max(1, min(total, LANES))
    derive = partial(forward, active=inputs.active, width=width, strong_zero=strong_zero)
    kernel = kernel_of(f, inputs, ("forward", width, strong_zero), derive)
    value = np.empty(0)
    found: list[np.ndarray] = []
    for start in range(0, max(total, 1), width):
        seeds = _unit_rows(start, width, sizes, inputs)
        results: list[np.ndarray] = []

        def assemble(variant: Variant, seeds: list[np.ndarray] = seeds, results: list[np.ndarray] = results) -> list[Any]:
            only_real(variant) if real else only_float(variant.primal)
            results[:] = empty_results(variant)
            return [*copies(inputs.values), *seeds, *results]

        kernel.run(inputs.values, assemble)
        value = results[0]
        found.append(results[1].reshape(width, -1)[: total - start])
    whole = np.concatenate(found).T
    return value, np.split(whole, np.cumsum(sizes)[:-1], axis=1)


def rows(f: Callable[..., Any], inputs: Inputs, value: np.ndarray, strong_zero: bool = False) -> list[np.ndarray]:
    """Per differentiated leaf the block (out.size, in.size), by reverse sweeps over unit cotangents."""
    width = max(1, min(value.size, LANES))
    derive = partial(reverse, active=inputs.active, width=width, strong_zero=strong_zero)
    kernel = kernel_of(f, inputs, ("rows", width, strong_zero), derive)
    blocks: list[list[np.ndarray]] = [[] for _ in inputs.active]
    for start in range(0, value.size, width):
        seed = np.eye(width, value.size, start, dtype=value.dtype).reshape(width, *value.shape)
        shadows = inputs.zeros(width)

        def assemble(variant: Variant, shadows: list[np.ndarray] = shadows, seed: np.ndarray = seed) -> list[Any]:
            return [*copies(inputs.values), *shadows, seed.copy(), *empty_results(variant)]

        kernel.run(inputs.values, assemble)
        for block, shadow in zip(blocks, shadows, strict=True):
            block.append(as_reals(shadow.reshape(width, -1))[: value.size - start])
    return [np.concatenate(block) for block in blocks]


def _unit_rows(start: int, width: int, sizes: Sequence[int], inputs: Inputs) -> list[np.ndarray]:
    """Rows start ... start + width of the identity, split over the differentiated leaves."""
    return in_parts(np.eye(width, sum(sizes), start), inputs)


def in_parts(directions: np.ndarray, inputs: Inputs) -> list[np.ndarray]:
    """Directions (width, all floats) as one array (width, *shape) per differentiated leaf."""
    parts = np.split(directions, np.cumsum(inputs.sizes())[:-1], axis=1)
    pairs = zip(parts, inputs.zeros(len(directions)), strict=True)
    return [np.ascontiguousarray(part, as_reals(zero).dtype).view(zero.dtype).reshape(zero.shape) for part, zero in pairs]
