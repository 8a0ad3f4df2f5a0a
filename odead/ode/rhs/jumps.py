"""How derivatives pass an instant that moves: at a switch of the right-hand side, a reset of the state, a stop.

With an instant tau, slopes f- and f+ before and after it, and the state set to h(t, x, p) there, the sensitivities become

    S+ = h_x S- + h_p + (h_x f- + h_t - f+) dtau,

where dtau is how tau moves: -(g_x S- + g_p) / (g_x f- + g_t) at a root of g(t, x, p). Without a reset h is x. (The saltation
matrix; M. di Bernardo et al., Piecewise-smooth Dynamical Systems (2008), section 2.5; with resets, N. J. Kong et al., Saltation
matrices: the essential tool for linearizing hybrid dynamical systems (2024).)
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

__all__ = ["Gradient", "Jump", "Move", "PassedReset", "ResetMap", "Transition"]


@dataclass(frozen=True)
class Gradient:
    """Derivatives of a root function: with respect to x, shape (N,), to p, shape (n_p,), and to t."""

    x: np.ndarray
    p: np.ndarray
    t: float

    def rate(self, slope: np.ndarray) -> float:
        """How fast it changes along a solution."""
        return float(self.x @ slope + self.t)

    def move(self, rate: float) -> "Move":
        """How its root moves, where it changes at this rate."""
        return Move(-self.x / rate, -self.p / rate)


@dataclass(frozen=True)
class Move:
    """How an instant moves with the state before it, shape (N,), and with p, shape (n_p,)."""

    x: np.ndarray
    p: np.ndarray

    def along(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """dtau for tangents of the state, shape (W, N), and directions of p, shape (W, n_p)."""
        return np.asarray(tangents @ self.x + directions @ self.p)


class ResetMap(Protocol):
    """A reset at one state."""

    def push(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The tangents, shape (W, N), after it, at a fixed time."""

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cotangents of the state before it and of p."""


class PassedReset(NamedTuple):
    """A reset inside a loop.

    Attributes
    ----------
    t : float
    map : ResetMap
    x : array, shape (N,)
        The state before it.
    """

    t: float
    map: ResetMap
    x: np.ndarray


@dataclass(frozen=True)
class Jump:
    """What happens at an instant.

    Attributes
    ----------
    move : Move
    gap : array, shape (N,)
        How far the states after it are apart for each unit of time that it comes later: h_x f- + h_t - f+.
    reset : ResetMap or None
    """

    move: Move
    gap: np.ndarray
    reset: ResetMap | None = None


@dataclass(frozen=True)
class Transition:
    """All that happens at one instant, in this order; each moves with the state before all of them."""

    jumps: tuple[Jump, ...]

    def push(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The tangents, shape (W, N), after it; p moves along the (W, n_p) directions."""
        before = tangents
        for jump in self.jumps:
            if jump.reset is not None:
                tangents = jump.reset.push(tangents, directions)
            tangents = tangents + jump.move.along(before, directions)[:, None] * jump.gap
        return tangents

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cotangents of the state before it and of p."""
        by_x, by_p = np.zeros_like(covector), np.zeros(self.jumps[0].move.p.size if self.jumps else 0)
        for jump in reversed(self.jumps):
            weight = float(jump.gap @ covector)
            by_x = by_x + weight * jump.move.x
            by_p = by_p + weight * jump.move.p
            if jump.reset is not None:
                covector, more = jump.reset.pull(covector)
                by_p = by_p + more
        return covector + by_x, by_p
