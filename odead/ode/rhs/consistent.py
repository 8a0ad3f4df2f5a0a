"""Consistent initial values: x0 moved along the algebraic part until the constraints hold, and how that depends on all else.

With Uᵀ f(x, p, t) = 0 the constraints and x moved by V a (see `mass`), G = Uᵀ f_x V is regular where the index is 1, and by the
implicit function theorem

    da = -G⁻¹ Uᵀ (f_x dx + f_p dp + f_t dt):

a change of the guess along V changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

from ..._matrices import Dense, MassMatrix
from ...errors import ArgumentValueError
from .jacobian import Jacobian
from .mass import SMALL, Mass, dense

__all__ = [
    "Consistent",
    "Differentiable",
    "Scaled",
    "consistent_at",
    "make_consistent",
    "velocities",
    "velocity",
    "velocity_cotangents",
]

_ITERATIONS: Final = 50
_HALVINGS: Final = 20
_QUADRATIC: Final = 1e-9  # of the state: the step after one so small ends at round-off
_REGULAR: Final = 1e-13  # with rows and columns scaled to 1, a matrix as close as this to a singular one is singular
_DENSE: Final = 100  # constraints


class Differentiable(Protocol):
    """A right-hand side, as `rhs.CompiledRhs` is one."""

    def __call__(self, dx: np.ndarray, x: np.ndarray, p: np.ndarray, t: float) -> None: ...

    def jacobian(self, x: np.ndarray, p: np.ndarray, t: float) -> Jacobian: ...

    def along(self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray) -> np.ndarray: ...

    def along_changes(
        self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray, columns: np.ndarray, directions: np.ndarray
    ) -> np.ndarray: ...

    def tangents(
        self, dx: np.ndarray, x: np.ndarray, p: np.ndarray, t: float, d_dx: np.ndarray, d_x: np.ndarray, d_p: np.ndarray
    ) -> None: ...

    def cotangent_x(self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray) -> np.ndarray: ...

    def cotangent_p(self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray) -> np.ndarray: ...

    def cotangents_in_time(
        self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]: ...

    def products_in_time(
        self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray, d_x: np.ndarray, d_t: float
    ) -> tuple[np.ndarray, np.ndarray, float]: ...


class Scaled:
    """A square matrix with rows and columns scaled, factored. ValueError if it is singular."""

    def __init__(self, matrix: Any) -> None:
        self._solve: Callable[[np.ndarray], np.ndarray]
        if matrix.shape[0] <= _DENSE:
            matrix = dense(matrix)
            self._rows = _reciprocals(np.abs(matrix).max(axis=1))
            scaled = self._rows[:, None] * matrix
            self._columns = _reciprocals(np.abs(scaled).max(axis=0))
            inverse = _inverse(scaled * self._columns)
            smallest, self._solve = 1 / np.abs(inverse).max(initial=1.0), lambda b: inverse @ b
        else:
            self._rows = _reciprocals(abs(matrix).max(axis=1).toarray().ravel())
            scaled = scipy.sparse.diags_array(self._rows) @ matrix
            self._columns = _reciprocals(abs(scaled).max(axis=0).toarray().ravel())
            scaled = scipy.sparse.csc_array(scaled @ scipy.sparse.diags_array(self._columns))
            try:
                factors = splu(scaled)
            except RuntimeError as error:
                raise ValueError("singular") from error
            pivots = np.abs(factors.U.diagonal())
            smallest, self._solve = pivots.min() / pivots.max(), factors.solve
        if not smallest > _REGULAR:
            raise ValueError("singular")

    def solve(self, b: np.ndarray) -> np.ndarray:
        """For a vector, or the columns of a matrix."""
        rows, columns = (self._rows, self._columns) if b.ndim == 1 else (self._rows[:, None], self._columns[:, None])
        return np.asarray(columns * self._solve(rows * b))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """By loops: LAPACK's threads were seen to take 17 ms for a matrix of one number on a busy machine."""
    n = len(matrix)
    columns, rows = np.divmod(np.arange(n * n), n)
    solver = Dense(n, rows, columns, np.arange(n * n))
    solver.take_mass(MassMatrix(n, (), (), (), ()))  # 0 - (-1) * matrix
    found = solver.solved(matrix.T.ravel(), -1.0, np.eye(n))
    if found is None:
        raise ValueError("singular")
    return np.asarray(found.T)


def _reciprocals(sizes: np.ndarray) -> np.ndarray:
    if not (sizes > 0).all() or not np.isfinite(sizes).all():
        raise ValueError("singular")
    return 1 / sizes


@dataclass(frozen=True)
class Consistent:
    """A consistent state and what its algebraic part depends on.

    Attributes
    ----------
    x : array, shape (n,)
    by_x : array or sparse array, shape (n, n)
        Its derivative by the guess, a projection along V.
    by_t : array, shape (n,)
    """

    rhs: Differentiable
    mass: Mass
    x: np.ndarray
    p: np.ndarray
    t: float
    regular: Scaled
    by_x: Any
    by_t: np.ndarray

    def push(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The tangents of it, shape (W, n), for those of the guess and directions of p."""
        return np.asarray((self.by_x @ tangents.T).T + directions @ self.by_p.T)

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cotangents of the guess and of p."""
        return np.asarray(self.by_x.T @ covector), np.asarray(self.by_p.T @ covector)

    def along(self, slope: np.ndarray) -> np.ndarray:
        """How it changes while the guess moves at this rate."""
        return np.asarray(self.by_x @ slope + self.by_t)

    @cached_property
    def by_p(self) -> np.ndarray:
        """Its derivative by p at a fixed guess, shape (n, n_p)."""
        if not self.p.size:
            return np.zeros((self.x.size, 0))
        rows = [self.rhs.cotangent_p(self.x, self.p, self.t, row) for row in dense(self.mass.null_left).T.copy()]
        return np.asarray(-(self.mass.null_right @ self.regular.solve(np.array(rows).reshape(-1, self.p.size))))


def _jacobian(rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float) -> Any:
    found = rhs.jacobian(x, p, t)
    return found.dense() if mass.n <= SMALL else found.sparse()


def velocity(rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float) -> np.ndarray:
    """x' at a consistent state: M x' = f, and the derivative of the constraints is 0."""
    return np.asarray(velocities(rhs, mass, x, p, t, np.empty((0, x.size)), np.empty((0, p.size)))[0])


def velocities(
    rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float, columns: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """x' at a consistent state, and s' for each of the W sensitivities s along a direction of p, shape (1 + W, n)."""
    slopes = np.empty((1 + len(columns), x.size))
    if len(columns):
        rhs.tangents(slopes[0], x, p, t, slopes[1:], columns, directions)
    else:
        rhs(slopes[0], x, p, t)
    mass.divide(slopes)
    if not mass.is_singular:
        return slopes
    left, right = mass.null_left, mass.null_right
    jacobian = _jacobian(rhs, mass, x, p, t)
    regular = Scaled(left.T @ jacobian @ right)
    slopes[0] -= right @ regular.solve(left.T @ rhs.along(x, p, t, slopes[0]))
    if len(columns):
        changes = rhs.along_changes(x, p, t, slopes[0], columns, directions) + (jacobian @ slopes[1:].T).T
        slopes[1:] -= (right @ regular.solve(left.T @ changes.T)).T
    return slopes


def velocity_cotangents(
    rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The derivatives of ``covector @ x'`` by x, p and t, at a consistent state.

    With D the pseudoinverse of M and u = U G⁻ᵀ Vᵀ covector, x' = D f + V a and Uᵀ (f_x x' + f_t) = 0 give

        covector @ d(x') = (Dᵀ covector - Dᵀ f_xᵀ u) @ df - u @ d(f_x x' + f_t),    x' held in the last term.
    """
    weights = covector.copy()
    if mass.is_singular:
        left, right = mass.null_left, mass.null_right
        regular = Scaled((left.T @ _jacobian(rhs, mass, x, p, t) @ right).T)
        u = np.asarray(left @ regular.solve(right.T @ covector))
        weights -= rhs.cotangent_x(x, p, t, u)
        bent = rhs.products_in_time(x, p, t, u, velocity(rhs, mass, x, p, t), 1.0)
    mass.divide_transposed(weights[None])
    by_x, by_p, by_t = rhs.cotangents_in_time(x, p, t, weights)
    return (by_x - bent[0], by_p - bent[1], by_t - bent[2]) if mass.is_singular else (by_x, by_p, by_t)


def make_consistent(
    rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float, name: str, names: list[str]
) -> Consistent:
    """Solve the constraints by Newton's method.

    Parameters
    ----------
    rhs : Constrained
    mass : Mass
        A singular one.
    x : array, shape (n,)
        The guess.
    p : array, shape (n_p,)
    t : float
    name : str
        Of the right-hand side.
    names : list of str
        Of the states.

    Raises
    ------
    ArgumentValueError
        The index is not 1, or there is no solution near the guess.
    """
    constraints = _Constraints(rhs, mass, p, t)
    try:
        x = _solve(constraints, x.copy())
        regular = constraints.regular(x)
    except ValueError:
        raise ArgumentValueError(
            f"mass_matrix: the problem is not of index 1 at t = {t:.6g}: the algebraic equations of {name} do not determine "
            f"{_algebraic(mass, names)}, because their derivative by the algebraic part of x is singular. Check mass_matrix "
            f"and the guess in x0; of a problem of higher index, differentiate the constraints by time"
        ) from None
    except ArithmeticError:
        raise ArgumentValueError(
            f"x0: no values of its algebraic part ({_algebraic(mass, names)}) with which the algebraic equations of {name} "
            f"hold were found at t = {t:.6g}; give a better guess of them in x0"
        ) from None
    return _linearised(constraints, x, regular)


def consistent_at(rhs: Differentiable, mass: Mass, x: np.ndarray, p: np.ndarray, t: float) -> Consistent:
    """The same at a state whose constraints hold, of a problem of index 1."""
    constraints = _Constraints(rhs, mass, p, t)
    return _linearised(constraints, x, constraints.regular(x))


def _linearised(constraints: "_Constraints", x: np.ndarray, regular: Scaled) -> Consistent:
    rhs, mass, p, t = constraints.rhs, constraints.mass, constraints.p, constraints.t
    right = mass.null_right
    moved = regular.solve(dense(constraints.by_x(x)))
    if x.size <= SMALL:
        by_x = np.eye(x.size) - right @ moved
    else:
        by_x = scipy.sparse.csr_array(scipy.sparse.eye_array(x.size) - right @ scipy.sparse.csr_array(moved))
    by_t = -(right @ regular.solve(mass.null_left.T @ rhs.along(x, p, t, np.zeros(x.size))))
    return Consistent(rhs, mass, x, p, t, regular, by_x, np.asarray(by_t))


@dataclass(frozen=True)
class _Constraints:
    """U^T f at one time, as a function of x."""

    rhs: Differentiable
    mass: Mass
    p: np.ndarray
    t: float

    def residual(self, x: np.ndarray) -> np.ndarray:
        slope = np.empty(x.size)
        self.rhs(slope, x, self.p, self.t)
        return np.asarray(self.mass.null_left.T @ slope)

    def by_x(self, x: np.ndarray) -> Any:
        return self.mass.null_left.T @ _jacobian(self.rhs, self.mass, x, self.p, self.t)

    def regular(self, x: np.ndarray) -> Scaled:
        """G; ValueError if it is singular."""
        return Scaled(self.by_x(x) @ self.mass.null_right)

    def damping(self, x: np.ndarray, step: np.ndarray, regular: Scaled) -> float:
        """The largest of 1, 1/2, 1/4, ... of a Newton step after which the next simplified correction is smaller."""
        size, fraction, moved = float(np.linalg.norm(step)), 1.0, self.mass.null_right @ step
        for _ in range(_HALVINGS):
            if float(np.linalg.norm(regular.solve(self.residual(x + fraction * moved)))) <= (1 - 0.25 * fraction) * size:
                return fraction
            fraction /= 2
        return fraction


def _solve(constraints: _Constraints, x: np.ndarray) -> np.ndarray:
    """The x where they hold; ArithmeticError if the iteration does not arrive."""
    for _ in range(_ITERATIONS):
        regular = constraints.regular(x)
        step = -regular.solve(constraints.residual(x))
        moved = constraints.mass.null_right @ step
        size = float(np.abs(moved).max())
        if not np.isfinite(size):
            break
        if size <= _QUADRATIC * float(np.abs(x).max()):
            return np.asarray(x + moved)
        x = x + constraints.damping(x, step, regular) * moved
    raise ArithmeticError("no convergence")


def _algebraic(mass: Mass, names: list[str]) -> str:
    found = [names[k] for k in np.flatnonzero(dense(mass.null_right).any(axis=1))]
    return ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
