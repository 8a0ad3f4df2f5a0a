"""How the states of a doubled problem (`doubled`) jump where its right-hand side does.

At a switch, the root of g(x, p, t), x is continuous, and its derivative s along v becomes s + (f- - f+) dtau (`jumps`), where
dtau = -(g_x s + g_p v) / (g_x f- + g_t) is how the switch moves along v. That is a reset of the doubled state, whose own
derivatives are the jumps of second derivatives; they need the second derivatives of g.

With constraints, of M x' = f (`consistent`), f in the gap is D f, with the pseudoinverse D of M, that after the switch at the
state which is consistent there; f- in dtau is x'. The algebraic parts of x and s follow from the constraints after that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..rhs.consistent import Consistent, velocity, velocity_cotangents
from ..rhs.jumps import Gradient
from ..rhs.rhs import CompiledRhs

__all__ = ["Side", "SwitchReset"]

Products = Callable[[Gradient], Gradient]


@dataclass(frozen=True)
class Side:
    """The doubled right-hand side before or after a switch, at one point.

    Attributes
    ----------
    rhs : CompiledRhs
    x, p : array
    t : float
    consistent : Consistent or None
        How the state there depends on that before the switch, where constraints change.
    """

    rhs: CompiledRhs
    x: np.ndarray
    p: np.ndarray
    t: float
    consistent: Consistent | None = None

    def slope(self) -> np.ndarray:
        """f, or D f."""
        slope = np.empty((1, self.x.size))
        self.rhs(slope[0], self.x, self.p, self.t)
        if self.rhs.mass is not None:
            self.rhs.mass.divide(slope)
        return np.asarray(slope[0])

    def push(self, d_x: np.ndarray, d_p: np.ndarray, d_t: np.ndarray) -> np.ndarray:
        """Tangents (W, N) of the slope, for those of x, p and t."""
        if self.consistent is not None:
            d_x = self.consistent.push(d_x, d_p) + d_t[:, None] * self.consistent.by_t
        slopes = self.rhs.tangents_in_time(self.x, self.p, self.t, d_x, d_p, d_t)
        if self.rhs.mass is not None:
            self.rhs.mass.divide(slopes)
        return slopes

    def pull(self, covector: np.ndarray) -> Gradient:
        """Derivatives of the slope times a covector."""
        covectors = covector[None].copy()
        if self.rhs.mass is not None:
            self.rhs.mass.divide_transposed(covectors)
        by_x, by_p, by_t = self.rhs.cotangents_in_time(self.x, self.p, self.t, covectors[0])
        if self.consistent is None:
            return Gradient(by_x, by_p, by_t)
        own, more = self.consistent.pull(by_x)
        return Gradient(own, by_p + more, by_t + float(self.consistent.by_t @ by_x))

    def velocity(self) -> np.ndarray:
        """x'."""
        mass = self.rhs.mass
        return self.slope() if mass is None else velocity(self.rhs, mass, self.x, self.p, self.t)

    def pull_velocity(self, covector: np.ndarray) -> Gradient:
        """Derivatives of x' times a covector."""
        mass = self.rhs.mass
        if mass is None:
            return self.pull(covector)
        return Gradient(*velocity_cotangents(self.rhs, mass, self.x, self.p, self.t, covector))


class SwitchReset:
    """`jumps.ResetMap` of a switch, of doubled states.

    Parameters
    ----------
    halves : tuple of int
        States and parameters of the problem that was doubled.
    before, after : Side
    root : Gradient
        Of g.
    products : callable
        From a direction to the second derivatives of g times it, both as `Gradient`.
    """

    def __init__(self, halves: tuple[int, int], before: Side, after: Side, root: Gradient, products: Products) -> None:
        n, n_p = halves
        self._n, self._before, self._after = n, before, after
        velocity = before.velocity()
        self._gap = (before.slope() - after.slope())[:n]
        x, p = before.x, before.p
        along = Gradient(_padded(x[n:], x.size), _padded(p[n_p : 2 * n_p], p.size), 0.0)
        onwards = Gradient(_padded(velocity[:n], x.size), np.zeros(p.size), 1.0)
        rate = _times(root, onwards)
        self._moved = -_times(root, along) / rate
        numerator = products(along)
        by_s, by_v = _shifted(root.x, n), _shifted(root.p, n_p)
        denominator, by_slope = products(onwards), before.pull_velocity(_padded(root.x[:n], x.size))
        self._by = Gradient(
            -(numerator.x + by_s + self._moved * (denominator.x + by_slope.x)) / rate,
            -(numerator.p + by_v + self._moved * (denominator.p + by_slope.p)) / rate,
            -(numerator.t + self._moved * (denominator.t + by_slope.t)) / rate,
        )

    def __call__(self) -> np.ndarray:
        """The state after it."""
        x: np.ndarray = self._before.x.copy()
        x[self._n :] += self._moved * self._gap
        return x

    def push(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        return self._push(tangents, directions, np.zeros(len(tangents)))

    def along(self, slope: np.ndarray) -> np.ndarray:
        """How the state after it changes along a solution before it."""
        made: np.ndarray = self._push(slope[None], np.zeros((1, self._before.p.size)), np.ones(1))[0]
        return made

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = covector[self._n :]
        weight, wide = float(own @ self._gap), _padded(own, covector.size)
        before, after = self._before.pull(wide), self._after.pull(wide)
        by_x = covector + weight * self._by.x + self._moved * (before.x - after.x)
        return by_x, weight * self._by.p + self._moved * (before.p - after.p)

    def _push(self, d_x: np.ndarray, d_p: np.ndarray, d_t: np.ndarray) -> np.ndarray:
        n, made = self._n, d_x.copy()
        moves = d_x @ self._by.x + d_p @ self._by.p + d_t * self._by.t
        gaps = (self._before.push(d_x, d_p, d_t) - self._after.push(d_x, d_p, d_t))[:, :n]
        made[:, n:] += moves[:, None] * self._gap + self._moved * gaps
        return made


def _times(a: Gradient, b: Gradient) -> float:
    return float(a.x @ b.x + a.p @ b.p + a.t * b.t)


def _padded(first: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([first, np.zeros(size - first.size)])


def _shifted(vector: np.ndarray, by: int) -> np.ndarray:
    """The first entries at the places of the derivatives along the direction."""
    made = np.zeros(vector.size)
    made[by : 2 * by] = vector[:by]
    return made
