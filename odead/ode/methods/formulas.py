"""BackwardFormulas: backward differentiation formulas of a range of orders as data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial

from .tableaus import polynomial_weights, powers_at

__all__ = ["BackwardFormulas"]


@dataclass(frozen=True, eq=False)
class BackwardFormulas:
    """Numerical differentiation formulas with quasi-constant step size. Invalid coefficients raise ValueError.

    With the backward differences D_j of the new state, the formula of order k is
    ``sum_{j<=k} D_j / j = h f(new) + kappa_k gamma_k (new - predicted)``, and kappa = 0 the classical one.

    Attributes
    ----------
    name : str
    kappa : array, shape (orders + 1,)
        From order 0 on; the last 0 where the classical formula is kept.
    """

    name: str
    kappa: np.ndarray

    @property
    def orders(self) -> int:
        return self.kappa.size - 1

    @property
    def all_stages(self) -> int:
        """Rows of a record with which the solution is known between the steps: differences of orders 1 and up, over h."""
        return self.orders

    @property
    def gamma(self) -> np.ndarray:
        """Partial sums of 1 / j."""
        sums: np.ndarray = np.append(0, np.cumsum(1 / np.arange(1, self.orders + 1)))
        return sums

    @property
    def alpha(self) -> np.ndarray:
        scaled: np.ndarray = (1 - self.kappa) * self.gamma
        return scaled

    @property
    def error_constant(self) -> np.ndarray:
        """The error of a step, in corrections of the predicted state."""
        constants: np.ndarray = self.kappa * self.gamma + 1 / np.arange(1, self.orders + 2)
        return constants

    @cached_property
    def interpolant(self) -> np.ndarray:
        """Coefficients of q, q**2, ... in the weight of each difference at the fraction q of a step, shape (orders, orders).

        The polynomial through the last states, which ends at the new one: with s = q - 1 the weight of D_j is
        s (s + 1) ... (s + j - 1) / j!; that of D_1 counts from the old state.
        """
        rows = np.zeros((self.orders, self.orders))
        rows[0, 0] = 1
        weight = Polynomial([-1, 1])
        for j in range(2, self.orders + 1):
            weight = weight * Polynomial([j - 2, 1]) / j
            rows[j - 1, :j] = weight.coef[1:]
        return rows

    def basis_at(self, q: float) -> list[float]:
        """The basis functions of the interpolant at a fraction of a step."""
        return powers_at(self.interpolant.shape[1], q)

    def weights(self, q: np.ndarray) -> np.ndarray:
        """Weights of the rows of a record at fractions of a step: y(t + q h) = y + h sum_j weights[j] row_j."""
        return polynomial_weights(self.interpolant, q)

    def __post_init__(self) -> None:
        if self.kappa.ndim != 1 or self.orders < 1 or self.kappa[0] != 0:
            raise ValueError(f"formulas {self.name}: kappa must be a vector that begins with 0")
        if not (self.error_constant > 0).all():
            raise ValueError(f"formulas {self.name}: an error constant is not positive")
