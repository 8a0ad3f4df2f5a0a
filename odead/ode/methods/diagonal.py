"""DiagonalTableau: a diagonally implicit Runge-Kutta method as data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .checks import Checks
from .implicit import AbstractImplicitTableau

__all__ = ["DiagonalTableau"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DiagonalTableau(AbstractImplicitTableau):
    """A diagonally implicit Runge-Kutta method with an explicit first stage. Invalid coefficients raise ValueError.

    The last stage is at the new state, and the first one of the next step. `a` is lower triangular; its diagonal is gamma but
    for the first stage, and its last row has the weights of the solution.
    """

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

    def __post_init__(self) -> None:
        s, checks = self.stages, Checks(self.name)
        checks.require(self.a.shape == (s, s), "a has another shape than (s, s)")
        checks.require(not np.triu(self.a, 1).any(), "a stage uses a later one")
        checks.require(not self.a[0].any() and self.c[0] == 0, "the first stage is not explicit")
        checks.require(bool((np.diag(self.a)[1:] == self.gamma).all()), "a stage has another weight than gamma in its argument")
        checks.require(self.error.shape == (s,), "error has another shape than (s,)")
        checks.agree(self.a.sum(1), self.c, "the rows of a do not sum to c")
        checks.require(self.c[-1] == 1, "the last stage is not at the new state")
        checks.agree(self.error.sum(), 0, "the error weights do not sum to 0")
        self._check_interpolant(checks, self.a[-1])
