"""DiagonalTableau: a diagonally implicit Runge-Kutta method as data."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .tableaus import polynomial_weights, powers_at

__all__ = ["DiagonalTableau"]

_ROUND_OFF = 1e-11


@dataclass(frozen=True, eq=False)
class DiagonalTableau:
    """A diagonally implicit Runge-Kutta method with an explicit first stage. Invalid coefficients raise ValueError.

    The last stage is at the new state, and the first one of the next step.

    Attributes
    ----------
    name : str
    order : int
    error_order : int
        Of the less accurate solution that the error is measured against.
    gamma : float
        Weight of a stage in its own argument.
    a : array, shape (s, s)
        Weights of the stages in the arguments, lower triangular; the last row has the weights of the solution.
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

    @cached_property
    def guess(self) -> np.ndarray:
        """Weights of the stages before in a guess for a stage, shape (s, s): their polynomial, or one at the same time."""
        guess = np.zeros((self.stages, self.stages))
        for i in range(1, self.stages):
            known = self.c[:i]
            same = np.flatnonzero(known == self.c[i])
            if same.size:
                guess[i, same[-1]] = 1
                continue
            for j in range(i):
                others = np.delete(known, j)
                guess[i, j] = np.prod((self.c[i] - others) / (known[j] - others))
        return guess

    def basis_at(self, q: float) -> list[float]:
        """The basis functions of the interpolant at a fraction of a step."""
        return powers_at(self.interpolant.shape[1], q)

    def weights(self, q: np.ndarray) -> np.ndarray:
        """Weights of the stages at fractions of a step: y(t + q h) = y + h sum_j weights[j] k_j."""
        return polynomial_weights(self.interpolant, q)

    def __post_init__(self) -> None:
        s = self.c.size
        self._require(self.a.shape == (s, s), "a has another shape than (s, s)")
        self._require(not np.triu(self.a, 1).any(), "a stage uses a later one")
        self._require(not self.a[0].any() and self.c[0] == 0, "the first stage is not explicit")
        self._require(bool((np.diag(self.a)[1:] == self.gamma).all()), "a stage has another weight than gamma in its argument")
        self._require(self.error.shape == (s,), "error has another shape than (s,)")
        self._agree(self.a.sum(1), self.c, "the rows of a do not sum to c")
        self._require(self.c[-1] == 1, "the last stage is not at the new state")
        self._agree(self.error.sum(), 0, "the error weights do not sum to 0")
        ends = self.weights(np.array([0.0, 1.0]))
        self._agree(ends, np.stack([np.zeros(s), self.a[-1]], axis=1), "the interpolant does not join the states")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ValueError(f"tableau {self.name}: {otherwise}")

    def _agree(self, found: Any, expected: Any, otherwise: str) -> None:
        self._require(bool(np.allclose(found, expected, rtol=0, atol=_ROUND_OFF)), otherwise)
