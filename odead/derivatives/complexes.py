"""Real Jacobians of the pairs of floats that complex numbers are, as complex ones."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..errors import ArgumentTypeError
from ..tracing.traced.complexes import from_pairs
from .inputs import Inputs
from .kernel import Variant, returns_complex

__all__ = ["as_reals", "complex_block", "complex_blocks", "complex_columns", "holomorphic_derivative"]

HOLOMORPHIC: Final = 1e-8  # largest violation of the Cauchy-Riemann equations, relative to the largest derivative


def as_reals(x: np.ndarray) -> np.ndarray:
    """A contiguous array, complex numbers as two floats each in the last axis."""
    return x.view(np.float64) if x.dtype.kind == "c" else x


def complex_columns(block: np.ndarray, takes: bool) -> np.ndarray:
    """Derivatives (m, 2 n) by x and y as u_x + i u_y (m, n), where the argument is complex."""
    made: np.ndarray = from_pairs(block.reshape(len(block), -1, 2)) if takes else block
    return made


def complex_blocks(
    variant: Variant, inputs: Inputs, value: np.ndarray, blocks: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value and Jacobian of a function whose value or arguments are complex.

    Parameters
    ----------
    variant : Variant
    inputs : Inputs
    value : array
        Of the program: pairs where it is complex.
    blocks : sequence of array (value.size, n)
        One per differentiated leaf.

    Returns
    -------
    value, blocks
        A real function has u_x + i u_y, a complex one of real arguments u_x + i v_x, and one of complex arguments its complex
        derivative.

    Raises
    ------
    ArgumentTypeError
        A complex function of a complex argument is not holomorphic there: u_x = v_y and u_y = -v_x do not hold.
    """
    pairs = zip(blocks, inputs.differentiated(), strict=True)
    made = [complex_block(variant, block, np.iscomplexobj(leaf)) for block, leaf in pairs]
    return from_pairs(value) if returns_complex(variant) else value, made


def complex_block(variant: Variant, block: np.ndarray, takes: bool) -> np.ndarray:
    """One block as in `complex_blocks`; `takes` says whether the argument is complex."""
    if not returns_complex(variant):
        return complex_columns(block, takes)
    u, v = block[0::2], block[1::2]
    if takes:
        return holomorphic_derivative(
            variant, u[:, 0::2], u[:, 1::2], v[:, 0::2], v[:, 1::2], lambda k: divmod(k, u.shape[1] // 2)
        )
    made: np.ndarray = from_pairs(np.stack([u, v], axis=-1))
    return made


def holomorphic_derivative(
    variant: Variant, u_x: Any, u_y: Any, v_x: Any, v_y: Any, place: Callable[[int], tuple[int, int]]
) -> np.ndarray:
    """Complex derivatives u_x + i v_x from the real ones, arrays of one shape; `place` gives row and column of an entry.

    Raises
    ------
    ArgumentTypeError
        The equations of Cauchy and Riemann do not hold.
    """
    gap = np.maximum(np.abs(u_x - v_y), np.abs(u_y + v_x))
    largest = max(np.abs(part).max(initial=0.0) for part in (u_x, u_y, v_x, v_y))
    if (gap > HOLOMORPHIC * largest).any():
        k = np.flatnonzero(gap > HOLOMORPHIC * largest)[0]
        row, column = place(k)
        parts = [part.reshape(-1)[k] for part in (u_x, v_y, u_y, -v_x)]
        raise ArgumentTypeError(
            f"{variant.primal.name} is not holomorphic: of returned number {row} with respect to number {column} of the "
            f"argument, u_x = {parts[0]:.6g} and v_y = {parts[1]:.6g}, u_y = {parts[2]:.6g} and -v_x = {parts[3]:.6g}, which "
            f"would be equal. Differentiate its real and its imaginary part"
        )
    derivative: np.ndarray = from_pairs(np.stack([u_x, v_x], axis=-1))
    return derivative
