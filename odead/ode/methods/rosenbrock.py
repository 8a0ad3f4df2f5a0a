"""RosenbrockTableau: a Rosenbrock method as data.

The coefficients are those of the form without products of the Jacobian with a vector (E. Hairer, G. Wanner, Solving Ordinary
Differential Equations II, section IV.7): for an autonomous system

    (1/gamma - h J) k_i = f(x + h sum_j a_ij k_j) + sum_j shift_ij k_j,   new x = x + h sum_j m_j k_j.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .tableaus import polynomial_weights, powers_at

__all__ = ["RosenbrockTableau"]

_ROUND_OFF = 1e-11  # relative to the coefficients: they are published with 16 digits, and cancel


@dataclass(frozen=True, eq=False)
class RosenbrockTableau:
    """A Rosenbrock method with error estimate and interpolant. Invalid coefficients raise ValueError.

    Attributes
    ----------
    name : str
    order : int
    error_order : int
        Of the less accurate solution that the error is measured against.
    gamma : float
    a, shift : array, shape (s, s)
        Strictly lower triangular.
    c, d : array, shape (s,)
        Times of the stages in steps, and the weights of h df/dt.
    m : array, shape (s,)
        Weights of the stages in the new state.
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
    shift: np.ndarray
    c: np.ndarray
    d: np.ndarray
    m: np.ndarray
    error: np.ndarray
    interpolant: np.ndarray

    @property
    def stages(self) -> int:
        return self.c.size

    @property
    def all_stages(self) -> int:
        """The interpolant needs no further ones."""
        return self.stages

    @property
    def gamma_matrix(self) -> np.ndarray:
        """Gamma, which multiplies the stages of the form with products of J: k_i = f(...) + h J sum_j Gamma_ij k_j."""
        return np.linalg.inv(np.eye(self.stages) / self.gamma - self.shift)

    def basis_at(self, q: float) -> list[float]:
        """The basis functions of the interpolant at a fraction of a step."""
        return powers_at(self.interpolant.shape[1], q)

    def weights(self, q: np.ndarray) -> np.ndarray:
        """Weights of the stages at fractions of a step: y(t + q h) = y + h sum_j weights[j] k_j."""
        return polynomial_weights(self.interpolant, q)

    def __post_init__(self) -> None:
        s = self.c.size
        self._require(self.a.shape == self.shift.shape == (s, s), "a or shift has another shape than (s, s)")
        self._require(not np.triu(self.a).any() and not np.triu(self.shift).any(), "a stage uses itself or a later one")
        self._require(self.d.shape == self.m.shape == self.error.shape == (s,), "d, m or error has another shape than (s,)")
        self._agree(self.gamma_matrix.sum(1), self.d, "the rows of Gamma do not sum to d")
        self._agree(self.a @ self.d, self.c, "the stages are at other times than c")  # on x' = 1 the stages are d
        self._agree(self.m @ self.d, 1, "the weights of the solution do not sum to 1")
        self._agree(self.error @ self.d, 0, "the error weights do not sum to 0")
        ends = self.weights(np.array([0.0, 1.0]))
        self._agree(ends, np.stack([np.zeros(s), self.m], axis=1), "the interpolant does not join the states")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ValueError(f"tableau {self.name}: {otherwise}")

    def _agree(self, found: np.ndarray, expected: Any, otherwise: str) -> None:
        self._require(bool(np.allclose(found, expected, rtol=_ROUND_OFF, atol=1e-10)), otherwise)
