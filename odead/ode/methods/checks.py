"""Checks: what must hold of the coefficients of a method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Checks"]


@dataclass(frozen=True)
class Checks:
    """Raise ValueError, with the name of the method, where coefficients are wrong.

    Attributes
    ----------
    name : str
    rtol, atol : float
        What round-off makes of sums that agree: the published coefficients of some methods have 11 digits.
    """

    name: str
    rtol: float = 0.0
    atol: float = 1e-11

    def require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ValueError(f"tableau {self.name}: {otherwise}")

    def agree(self, found: ArrayLike, expected: ArrayLike, otherwise: str) -> None:
        self.require(bool(np.allclose(found, expected, rtol=self.rtol, atol=self.atol)), otherwise)
