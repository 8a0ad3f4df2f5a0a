"""RosenbrockTableau: a Rosenbrock method as data.

The coefficients are those of the form without products of the Jacobian with a vector (E. Hairer, G. Wanner, Solving Ordinary
Differential Equations II, section IV.7): for an autonomous system

    (1/gamma - h J) k_i = f(x + h sum_j a_ij k_j) + sum_j shift_ij k_j,   new x = x + h sum_j m_j k_j.
"""

from dataclasses import dataclass

import numpy as np

from .checks import Checks
from .implicit import AbstractImplicitTableau

__all__ = ["RosenbrockTableau"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RosenbrockTableau(AbstractImplicitTableau):
    """A Rosenbrock method; here a and shift are strictly lower triangular. Invalid coefficients raise ValueError.

    Attributes
    ----------
    shift : array, shape (s, s)
        Weights of the stages in the right-hand sides of the equations of stages.
    d : array, shape (s,)
        Weights of h df/dt.
    m : array, shape (s,)
        Weights of the stages in the new state.
    """

    shift: np.ndarray
    d: np.ndarray
    m: np.ndarray

    @property
    def gamma_matrix(self) -> np.ndarray:
        """Gamma, which multiplies the stages of the form with products of J: k_i = f(...) + h J sum_j Gamma_ij k_j."""
        return np.linalg.inv(np.eye(self.stages) / self.gamma - self.shift)

    def __post_init__(self) -> None:
        s, checks = self.stages, Checks(self.name, rtol=1e-11, atol=1e-10)  # the coefficients are large, and cancel
        checks.require(self.a.shape == self.shift.shape == (s, s), "a or shift has another shape than (s, s)")
        checks.require(not np.triu(self.a).any() and not np.triu(self.shift).any(), "a stage uses itself or a later one")
        checks.require(self.d.shape == self.m.shape == self.error.shape == (s,), "d, m or error has another shape than (s,)")
        checks.agree(self.gamma_matrix.sum(1), self.d, "the rows of Gamma do not sum to d")
        checks.agree(self.a @ self.d, self.c, "the stages are at other times than c")  # on x' = 1 the stages are d
        checks.agree(self.m @ self.d, 1, "the weights of the solution do not sum to 1")
        checks.agree(self.error @ self.d, 0, "the error weights do not sum to 0")
        self._check_interpolant(checks, self.m)
