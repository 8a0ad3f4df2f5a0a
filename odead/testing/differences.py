"""Derivatives of plain functions by extrapolated differences: the truth that needs no odead."""

from collections.abc import Callable

import numpy as np

__all__ = ["slope"]

EPS = float(np.finfo(float).eps)
ROWS = 12  # steps 1/16 ... 4e-9 of what the caller calls a large change: one of them suits, whatever the scale of the function


def slope(function: Callable[[float], np.ndarray], eps: float = EPS) -> tuple[np.ndarray, np.ndarray]:
    """Derivative at 0 and an estimate of its error, entry by entry.

    Central differences and their extrapolations in the square of the step; of all these each entry takes the one with the
    smallest estimate: the change from its neighbours (Ridders, Advances in Engineering Software 4, 1982) plus rounding.
    Smooth functions come out to about 1e-10. Where the smallest step says something else altogether, larger ones went over
    jumps, as those of a remainder, and agreed by chance; there the smallest steps count.

    Parameters
    ----------
    function : callable
        From a number to an array (n,); scaled so that 1 is a large change.
    eps : float
        Relative rounding error of its values.

    Returns
    -------
    derivative, error : arrays (n,)
        The error is infinite where no difference is finite.
    """
    previous: list[np.ndarray] = []
    best = error = rounding = np.zeros(0)
    plain: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for row in range(ROWS):
            h = 0.25 ** (row + 2)
            above, below = function(h), function(-h)
            current = [(above - below) / (2 * h)]
            plain.append(current[0])
            # Without this, steps too small to change anything would agree on a derivative of 0.
            rounding = eps * np.fmax(np.abs(above), np.abs(below)) / h
            if row == 0:
                best, error = np.zeros_like(above), np.full_like(above, np.inf)
            for order, coarse in enumerate(previous, start=1):
                finer, weight = current[-1], 16.0**order
                current.append((weight * finer - coarse) / (weight - 1))
                estimate = np.maximum(np.abs(current[-1] - finer), np.abs(current[-1] - coarse)) + rounding
                best, error = np.where(estimate < error, [current[-1], estimate], [best, error])
            previous = current
        finest = plain[-1]
        apart = np.abs(best - finest) > 0.01 * np.fmax(np.abs(best), np.abs(finest)) + 100 * rounding
        return np.where(apart, finest, best), np.where(apart, np.abs(finest - plain[-2]) + rounding, error)
