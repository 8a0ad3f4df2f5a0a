"""The solution of the compiled loop as a function of time."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .formulas import BackwardFormulas
from .rosenbrock import RosenbrockTableau
from .tableaus import Tableau

__all__ = ["Interpolant"]


@dataclass(frozen=True, eq=False)
class Interpolant:
    """Piecewise polynomials between the steps; beyond the ends, the first and last one go on.

    Attributes
    ----------
    tableau : Tableau, RosenbrockTableau or BackwardFormulas
    ts : array, shape (m + 1,)
        Ends of the steps, in the order they were taken.
    states : array, shape (m + 1, n)
        There.
    slopes : array, shape (m, stages, n)
        The stages of each step.
    """

    tableau: Tableau | RosenbrockTableau | BackwardFormulas
    ts: np.ndarray
    states: np.ndarray
    slopes: np.ndarray

    @property
    def t_min(self) -> float:
        return float(min(self.ts[0], self.ts[-1]))

    @property
    def t_max(self) -> float:
        return float(max(self.ts[0], self.ts[-1]))

    def __call__(self, t: Any) -> np.ndarray:
        """The state at a time, shape (n,), or at times, shape (n, len(t)). The end of a step belongs to it, as in SciPy."""
        t = np.asarray(t, dtype=float)
        sign = -1.0 if self.ts[-1] < self.ts[0] else 1.0
        step = np.searchsorted(sign * self.ts, sign * t, side="left") - 1
        if not len(self.slopes):
            return np.broadcast_to(self.states[0].reshape(-1, *(1,) * t.ndim), (self.states.shape[1], *t.shape)).copy()
        step = np.clip(step, 0, len(self.slopes) - 1)
        h = self.ts[step + 1] - self.ts[step]
        weights = self.tableau.weights((t - self.ts[step]) / h) * h
        change = np.einsum("s...,...sn->n...", weights, self.slopes[step])
        states: np.ndarray = np.moveaxis(self.states[step], -1, 0) + change
        return states
