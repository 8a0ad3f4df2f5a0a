"""The ordinary differential equation under one with constraints, in functions that can be recorded and differentiated.

With U, V and D the null spaces and the pseudoinverse of a singular M (`mass`) and G = Uᵀ f_x V, the derivative of the
constraints along a solution is 0, and so

    x' = D f + V a,    a = -G⁻¹ Uᵀ (f_x D f + f_t),

which keeps Uᵀ f as it is. Consistent values have no formula. They are found by Newton's method, of which no derivative is
taken, and followed by two of its steps, which change nothing: each squares the error of the derivatives, so that three of them
are right.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from ...derivatives.first_order import jacobian, jvp
from ...rules.easy import stop_gradient
from ...rules.primitive import Primitive
from ...rules.registry import inactive
from ..rhs.consistent import make_consistent
from ..rhs.mass import Mass, dense
from ..rhs.rhs import CompiledRhs

__all__ = ["Constraints", "consistent", "differential", "slope_of", "underlying", "velocity"]

Flat = Callable[..., Any]  # (dx, x, p, t) on vectors; p is None where there are no parameters

_STEPS: Final = 2


class Constraints:
    """Those of one right-hand side.

    Parameters
    ----------
    flat : callable
    mass : Mass
        A singular one.
    name : str
        Of the right-hand side.

    Attributes
    ----------
    left, right, pseudoinverse : array
        U, V and D.
    """

    def __init__(self, flat: Flat, mass: Mass, name: str) -> None:
        self._flat, self._mass, self._name = flat, mass, name
        self._compiled: CompiledRhs | None = None
        self.left, self.right = dense(mass.null_left), dense(mass.null_right)
        rows = np.eye(mass.n)
        mass.divide(rows)
        self.pseudoinverse = rows.T.copy()

    def solve(self, x: np.ndarray, p: np.ndarray | None, t: Any) -> np.ndarray:
        """The consistent state from this guess."""
        given, t = np.zeros(0) if p is None else np.array(p), float(t)
        if self._compiled is None or self._compiled.is_stale():
            self._compiled = CompiledRhs(self._flat, self._name, np.array(x), given, t, in_place=True, mass=self._mass)
        names = [f"x[{k}]" for k in range(self._mass.n)]
        return make_consistent(self._compiled, self._mass, np.array(x), given, t, self._name, names).x


def _solved(constraints: Constraints, x: np.ndarray, p: np.ndarray | None, t: Any) -> np.ndarray:
    return constraints.solve(x, p, t)


_solved.__name__ = "consistent"
_found: Final = Primitive(_solved)
inactive(_found)


def slope_of(flat: Flat, x: Any, p: Any, t: Any) -> Any:
    """f(x, p, t)."""
    dx = np.zeros_like(x)
    flat(dx, x, p, t)
    return dx


def underlying(flat: Flat, constraints: Constraints) -> Flat:
    """The right-hand side of the ordinary differential equation, on consistent states."""
    return partial(_fill, flat, constraints)


def _fill(flat: Flat, constraints: Constraints, dx: Any, x: Any, p: Any, t: Any) -> None:
    dx[:] = velocity(flat, constraints, x, p, t)


def velocity(flat: Flat, constraints: Constraints | None, x: Any, p: Any, t: Any) -> Any:
    """x' at a consistent state; without constraints f."""
    if constraints is None:
        return slope_of(flat, x, p, t)
    some = constraints.pseudoinverse @ slope_of(flat, x, p, t)
    _, change = jvp(partial(_residual, flat, constraints, p), (x, t), (some, 1.0))
    return some - constraints.right @ np.linalg.solve(_by_algebraic(flat, constraints, x, p, t), change)


def consistent(flat: Flat, constraints: Constraints, x: Any, p: Any, t: Any) -> Any:
    """The consistent state from the guess x, with its derivatives."""
    x = _found(constraints, x, p, t) + (x - stop_gradient(x))
    for _ in range(_STEPS):
        residual = _residual(flat, constraints, p, x, t)
        x = x - constraints.right @ np.linalg.solve(_by_algebraic(flat, constraints, x, p, t), residual)
    return x


def differential(flat: Flat, constraints: Constraints | None, x: Any, p: Any, t: Any) -> Any:
    """x' at the consistent state from the guess x, up to its algebraic part."""
    if constraints is None:
        return slope_of(flat, x, p, t)
    return constraints.pseudoinverse @ slope_of(flat, consistent(flat, constraints, x, p, t), p, t)


def _residual(flat: Flat, constraints: Constraints, p: Any, x: Any, t: Any) -> Any:
    return constraints.left.T @ slope_of(flat, x, p, t)


def _by_algebraic(flat: Flat, constraints: Constraints, x: Any, p: Any, t: Any) -> Any:
    """G."""
    return jacobian(partial(_moved, flat, constraints, p, t), x, np.zeros(constraints.right.shape[1]), wrt=1)


def _moved(flat: Flat, constraints: Constraints, p: Any, t: Any, x: Any, part: Any) -> Any:
    return _residual(flat, constraints, p, x + constraints.right @ part, t)
