"""Integrals over one panel by nested Gauss and Kronrod rules, halved until the two agree.

Reference: A. S. Kronrod, Nodes and weights of quadrature formulas (1965); the pair with 3 and 7 nodes.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

__all__ = ["NODES", "integrate"]

NODES: Final = np.array([
    -0.9604912687080202, -0.7745966692414834, -0.4342437493468026, 0.0,
    0.4342437493468026, 0.7745966692414834, 0.9604912687080202,
])  # fmt: skip
_KRONROD: Final = np.array([
    0.1046562260264673, 0.2684880898683334, 0.4013974147759622, 0.4509165386584741,
    0.4013974147759622, 0.2684880898683334, 0.1046562260264673,
])  # fmt: skip
_GAUSS: Final = np.array([0.0, 5 / 9, 0.0, 8 / 9, 0.0, 5 / 9, 0.0])
MAX_HALVINGS: Final = 12  # below 1/4096 of a step the integrand is noise

Integrand = Callable[[np.ndarray], np.ndarray]  # times (7,) -> values (7, k)


def integrate(integrand: Integrand, start: float, stop: float, tolerance: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The integral of a vector function from start to stop.

    Parameters
    ----------
    integrand : callable
    start, stop : float
    tolerance : callable
        From the integral over a panel, shape (k,), how far the two rules may differ there, shape (k,).

    Returns
    -------
    array, shape (k,)
    """
    middle, half = (start + stop) / 2, (stop - start) / 2
    total = None
    panels = [(middle, half, 0)]
    while panels:
        middle, half, depth = panels.pop()
        values = integrand(middle + half * NODES)
        fine = half * (_KRONROD @ values)
        error = np.abs(fine - half * (_GAUSS @ values))
        if depth < MAX_HALVINGS and (error > tolerance(fine)).any():
            panels += [(middle - half / 2, half / 2, depth + 1), (middle + half / 2, half / 2, depth + 1)]
        else:
            total = fine if total is None else total + fine
    assert total is not None
    return np.asarray(total)
