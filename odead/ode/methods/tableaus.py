"""Tableau: an explicit Runge-Kutta method as data.

All methods here end a step with the derivative at the new state, which is the first stage of the next step. So the last row
of `a` holds the weights of the solution, and the new state is just the argument of the last stage.
"""

from dataclasses import dataclass, field

import numpy as np

from .checks import Checks

__all__ = ["Tableau", "polynomial_weights", "powers_at"]


def polynomial_weights(interpolant: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Weights ``sum_k interpolant[j, k] q**(k + 1)`` at fractions q of a step, shape ``(len(interpolant), *q.shape)``."""
    powers = np.asarray(q, dtype=float) ** np.arange(1, interpolant.shape[1] + 1).reshape(-1, *(1,) * np.ndim(q))
    return np.tensordot(interpolant, powers, axes=1)


def powers_at(degree: int, q: float) -> list[float]:
    """q, q**2, ..., of so many."""
    powers, last = [], 1.0
    for _ in range(degree):
        last *= q
        powers.append(last)
    return powers


@dataclass(frozen=True, eq=False)
class Tableau:
    """An explicit Runge-Kutta method with error estimate and interpolant. Invalid coefficients raise ValueError.

    Attributes
    ----------
    name : str
    order : int
    error_order : int
        Of the less accurate solution that the error is measured against.
    c : array, shape (s,)
        Times of the stages, in steps; the first is 0, the last 1.
    a : array, shape (s, s - 1)
        Row i has the weights of the stages before i in the argument of stage i.
    errors : array, shape (1, s) or (2, s)
        Weights of the stages in the error estimate. Two rows are the estimates of order 5 and 3 of DOP853, combined as in its
        reference.
    interpolant : array, shape (s + extra, degree)
        The weight of stage j at the fraction q of a step is ``interpolant[j] @ basis(q)``.
    flips : tuple of bool
        Basis function k is the one before it (first: 1) times q, or times 1 - q where flips[k].
    extra_c, extra_a : array, shapes (extra,) and (extra, s + extra - 1)
        Stages that only the interpolant needs.
    control : tuple of float
        How the size of the next step follows from the errors of the last step and the one before: the exponents, as parts of
        ``-1 / (error_order + 1)``. (1, 0) is the elementary control of SciPy.
    """

    name: str
    order: int
    error_order: int
    c: np.ndarray
    a: np.ndarray
    errors: np.ndarray
    interpolant: np.ndarray
    flips: tuple[bool, ...]
    extra_c: np.ndarray = field(default_factory=lambda: np.zeros(0))
    extra_a: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    control: tuple[float, float] = (1.0, 0.0)

    @property
    def stages(self) -> int:
        """Derivatives that a step uses, the one at its end included."""
        return self.c.size

    @property
    def all_stages(self) -> int:
        """Those for the interpolant included."""
        return self.c.size + self.extra_c.size

    @property
    def b(self) -> np.ndarray:
        """Weights of the solution, shape (s,)."""
        return np.append(self.a[-1], 0.0)

    def basis(self, q: np.ndarray) -> np.ndarray:
        """The basis functions of the interpolant at fractions of a step, shape ``(degree, *q.shape)``."""
        factors = [1 - q if flip else q for flip in self.flips]
        return np.cumprod(factors, axis=0)

    def basis_at(self, q: float) -> list[float]:
        """The same at one fraction."""
        values, last = [], 1.0
        for flip in self.flips:
            last *= 1 - q if flip else q
            values.append(last)
        return values

    def weights(self, q: np.ndarray) -> np.ndarray:
        """Weights of the stages at fractions of a step: y(t + q h) = y + h sum_j weights[j] k_j."""
        return np.tensordot(self.interpolant, self.basis(np.asarray(q, dtype=float)), axes=1)

    def __post_init__(self) -> None:
        s, more, checks = self.c.size, self.extra_c.size, Checks(self.name)
        checks.require(self.a.shape == (s, s - 1), "a has another shape than (s, s - 1)")
        checks.require(
            self.extra_a.shape == (more, s + more - 1 if more else 0), "extra_a has another shape than (extra, s + extra - 1)"
        )
        checks.require(self.errors.shape in ((1, s), (2, s)), "errors has another shape than (1, s) or (2, s)")
        checks.require(
            self.interpolant.shape == (s + more, len(self.flips)), "interpolant has another shape than (s + extra, degree)"
        )
        checks.require(not np.triu(self.a).any(), "a stage uses itself or a later one")
        checks.require(not np.triu(self.extra_a, s).any(), "an extra stage uses itself or a later one")
        checks.agree(self.a.sum(1), self.c, "the rows of a do not sum to c")
        checks.agree(self.extra_a.sum(1), self.extra_c, "the rows of extra_a do not sum to extra_c")
        checks.agree(self.c[[0, -1]], [0, 1], "the first stage is not at 0 or the last one not at 1")
        checks.agree(self.errors.sum(1), 0, "the error weights do not sum to 0")
        at = np.array([0, 0.3, 1])
        weights = self.weights(at)
        checks.agree(weights.sum(0), at, "the interpolant does not reproduce a constant derivative")
        checks.agree(weights[:, 0], 0, "the interpolant does not begin at the old state")
        checks.agree(weights[:, 2], np.append(self.b, np.zeros(more)), "the interpolant does not end at the new state")
