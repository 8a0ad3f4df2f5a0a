"""The direction of p in which the sensitivity in the error test of a discrete adjoint moves."""

from typing import NamedTuple

import numpy as np

from ..rhs.rhs import CompiledRhs
from .influence import signs

__all__ = ["Direction"]


class Direction(NamedTuple):
    """Each parameter moves by about its own size, up or down without a pattern: no combination of a few of them is special.

    A matrix whose product with such a direction of it costs less if that has rank one moves by the same size everywhere: the
    power of two below the mean modulus of its elements, which does not depend on the order in which these are added up.

    Attributes
    ----------
    signs : array, shape (n_p,)
        1.0 or -1.0; of each matrix, rank one.
    group : int array, shape (n_p,), or None
        Which matrix each parameter belongs to, -1: to none.
    """

    signs: np.ndarray
    group: np.ndarray | None

    @staticmethod
    def of(rhs: CompiledRhs, *, alone: bool) -> "Direction":
        """That for a right-hand side; `alone` where there is no other sensitivity beside."""
        ranked = rhs.ranked if alone else None
        if ranked is None:
            return Direction(signs(rhs.n_p), None)
        ups, group = signs(rhs.n_p).copy(), np.full(rhs.n_p, -1)
        for number, where in enumerate(ranked.matrices):
            rows, columns = signs(rhs.n_p)[where[:, 0]], signs(rhs.n_p)[where[0]]
            ups[where] = rows[:, None] * columns
            group[where] = number
        return Direction(ups, group)

    def at(self, p: np.ndarray) -> np.ndarray:
        """The direction from these values on."""
        sizes: np.ndarray = np.abs(p)
        sizes[p == 0] = 1.0
        if self.group is not None:
            inside = self.group >= 0
            group = self.group[inside]
            means = np.bincount(group, np.abs(p[inside])) / np.bincount(group)
            sizes[inside] = np.where(means == 0, 1.0, np.ldexp(0.5, np.frexp(means)[1]))[group]
        sizes *= self.signs
        return sizes
