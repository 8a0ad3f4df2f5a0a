"""AbstractImplicitTableau: what the implicit one-step methods have in common as data."""

from dataclasses import dataclass

import numpy as np

from .checks import Checks
from .tableaus import polynomial_weights, powers_at

__all__ = ["AbstractImplicitTableau"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AbstractImplicitTableau:
    """An implicit one-step method whose stages, one after the other, have one matrix, with error estimate and interpolant.

    Attributes
    ----------
    name : str
    order : int
    error_order : int
        Of the less accurate solution that the error is measured against.
    gamma : float
        The matrix is I - h gamma J.
    a : array, shape (s, s)
        Weights of the stages in the arguments.
    c : array, shape (s,)
        Times of the stages, in steps.
    error : array, shape (s,)
        Weights of the stages in the error estimate.
    interpolant : array, shape (s, degree)
        The weight of stage j at the fraction q of a step is ``sum_k interpolant[j, k] q**(k + 1)``.
    """

    name: str
    order: int
    error_order: int
    gamma: float
    a: np.ndarray
    c: np.ndarray
    error: np.ndarray
    interpolant: np.ndarray

    @property
    def stages(self) -> int:
        return self.c.size

    @property
    def all_stages(self) -> int:
        """The interpolant needs no further ones."""
        return self.stages

    def basis_at(self, q: float) -> list[float]:
        """The basis functions of the interpolant at a fraction of a step."""
        return powers_at(self.interpolant.shape[1], q)

    def weights(self, q: np.ndarray) -> np.ndarray:
        """Weights of the stages at fractions of a step: y(t + q h) = y + h sum_j weights[j] k_j."""
        return polynomial_weights(self.interpolant, q)

    def _check_interpolant(self, checks: Checks, solution: np.ndarray) -> None:
        """It joins the states, the new one of which has these weights of the stages."""
        ends = self.weights(np.array([0.0, 1.0]))
        checks.agree(ends, np.stack([np.zeros(self.stages), solution], axis=1), "the interpolant does not join the states")
