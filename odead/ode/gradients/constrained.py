"""The adjoint of a problem with a singular mass matrix, as an ordinary differential equation.

Of M x' = f, lambda solves Mᵀ lambda' = -Jᵀ lambda, whose constraints are Vᵀ Jᵀ lambda = 0 (U and V as in `mass`). What is
integrated is w = Mᵀ lambda, the cotangent of x as far as M sees it; with D the pseudoinverse of Mᵀ and G = Uᵀ J V,

    lambda = D w + U a,    a = -G⁻ᵀ Vᵀ Jᵀ D w,    w' = -Jᵀ lambda.

A cotangent g of x at a datum is one of M x and of p, because the algebraic part follows both (`consistent`): w jumps by what is
left of g on that way, the gradient by the rest.

Reference: Y. Cao, S. Li, L. Petzold, R. Serban, Adjoint sensitivity analysis for differential-algebraic equations (2003).
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ..problem.problem import Problem
from ..rhs.consistent import Scaled, consistent_at
from ..rhs.jacobian import Jacobian, Pattern
from ..rhs.mass import Mass, dense

__all__ = ["Constrained"]


class Constrained:
    """Lambda of one problem along its solution.

    Parameters
    ----------
    problem : Problem
        With a singular mass matrix.
    sol : callable
        Its solution.
    """

    def __init__(self, problem: Problem, sol: Any) -> None:
        assert problem.rhs.mass is not None
        self._problem, self._sol = problem, sol
        self._mass: Mass = problem.rhs.mass
        rows = np.eye(self._mass.n)
        self._mass.divide_transposed(rows)
        self._pseudoinverse = rows.T
        self._transposed = self._mass.elements.T.tocsr()

    def visible(self, times: np.ndarray, cotangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of cotangents (N, m) of the solution at some times, those of M x, and what they add to the gradient by p."""
        problem, seen, by_p = self._problem, np.zeros_like(cotangents), np.zeros(self._problem.p.size)
        for k, t in enumerate(times.tolist()):
            there = consistent_at(problem.rhs, self._mass, np.array(self._sol(t)), problem.p, t)
            seen[:, k], more = there.pull(cotangents[:, k])
            by_p += more
        return seen, by_p

    def seen(self, covector: np.ndarray) -> np.ndarray:
        """Mᵀ lambda."""
        return np.asarray(self._transposed @ covector)

    def jump(self, times: np.ndarray, cotangents: np.ndarray, number: int, covector: np.ndarray) -> np.ndarray:
        """Lambda before a datum, in the order of the backward solve, to lambda after it; the cotangents are those of M x."""
        return self.covector(float(times[number]), self.seen(covector) + cotangents[:, number])

    def tolerances(self, part: float, atol: np.ndarray, times: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Absolute tolerances of lambda: from those of w, and where lambda follows from constraints, this part of its size."""
        size = np.zeros(self._mass.n)
        for k, t in enumerate(times.tolist()):
            size = np.maximum(size, np.abs(self.covector(t, cotangents[:, k])))
        follows = np.abs(dense(self._mass.null_left)).sum(axis=1)
        found = np.abs(self._pseudoinverse) @ atol + part * follows * size
        return np.where(found > 0, found, part)

    def covector(self, t: float, w: np.ndarray) -> np.ndarray:
        """Lambda."""
        return self._lift(self._jacobian(t), w)

    def slope(self, t: float, w: np.ndarray) -> np.ndarray:
        """Jᵀ lambda."""
        jacobian = self._jacobian(t)
        return np.asarray(jacobian.T @ self._lift(jacobian, w))

    def jacobian(self, t: float, sign: float) -> Jacobian:
        """The derivative of the slope by w, times `sign`."""
        jacobian = self._jacobian(t)
        columns = jacobian.T @ self._lift(jacobian, np.eye(self._mass.n))
        full = Pattern.of(csr_array(np.ones((self._mass.n, self._mass.n))))
        return Jacobian(full, sign * columns.T.ravel())

    def _jacobian(self, t: float) -> Any:
        found = self._problem.rhs.jacobian(np.array(self._sol(t)), self._problem.p, t)
        return found.dense() if isinstance(self._mass.null_left, np.ndarray) else found.sparse()

    def _lift(self, jacobian: Any, w: np.ndarray) -> np.ndarray:
        """Lambda, of a vector or of the columns of a matrix."""
        left, right = self._mass.null_left, self._mass.null_right
        some = self._pseudoinverse @ w
        rest = Scaled((left.T @ jacobian @ right).T).solve(right.T @ (jacobian.T @ some))
        return np.asarray(some - left @ rest)
