"""Right-hand sides that switch: solved piece by piece, each piece on one side of all switches.

On a piece the right-hand side is what it is on that side, continued smoothly beyond the switches, so that steppers see nothing
of them. After each step they ask whether it ended on the same side. If not, the switch is located on the step's interpolant,
the piece ends there, and the next one begins on the other side.

Sensitivities jump at a switch whose instant moves: with g the switching function and f-, f+ the slopes before and after it,

    S+ = S- + (f+ - f-) (g_x S- + g_p) / (g_x f- + g_t)

(the saltation matrix; M. di Bernardo et al., Piecewise-smooth Dynamical Systems (2008), section 2.5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from .engine import AbstractEngine, Controls, Crossing, Failure, System, Trajectory
from .problem import Problem
from .rhs import Branch
from .switches import Gradient

__all__ = ["Joined", "Piece", "Switch", "integrate", "join"]

SAME: Final = 1e-6  # relative difference between what two switching functions that are the same in effect say
NO_JUMP: Final = 1e-9  # of the slopes, relatively: a kink
NO_PROGRESS: Final = 20  # pieces without one after which to give up


@dataclass(frozen=True)
class Switch:
    """A change of side.

    Attributes
    ----------
    gradient : Gradient
        Of the switching function.
    before, after : array, shape (N,)
        The slopes.
    rate : float
        How fast the switching function changes before it.
    """

    gradient: Gradient
    before: np.ndarray
    after: np.ndarray
    rate: float

    def jump(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The tangents, shape (W, N), after it; p moves along the (W, n_p) directions."""
        moves = (tangents @ self.gradient.x + directions @ self.gradient.p) / self.rate
        return np.asarray(tangents + moves[:, None] * (self.after - self.before))

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cotangents of the state before it and of p."""
        weight = float((self.after - self.before) @ covector) / self.rate
        return covector + weight * self.gradient.x, weight * self.gradient.p


@dataclass(frozen=True)
class Piece:
    """A part of a solution on one side.

    Attributes
    ----------
    problem : Problem
        With the right-hand side of this side, from the start of the piece to its end.
    sol : callable or None
        As in `Trajectory`.
    end : Switch or None
        None where nothing jumps.
    """

    problem: Problem
    sol: Any
    end: Switch | None


def integrate(
    engine: AbstractEngine,
    problem: Problem,
    make: Callable[[Problem], System],
    controls: Controls,
    times: np.ndarray | None,
    dense: bool,
    directions: np.ndarray | None = None,
) -> tuple[Trajectory, list[Piece]]:
    """Integrate, with stops at the switches.

    Parameters
    ----------
    engine, controls, times, dense
        As in `AbstractEngine.integrate`.
    problem : Problem
    make : callable
        From a problem to the system to integrate: the states, perhaps followed by W tangents of them.
    directions : array, shape (W, n_p), optional
        Of p, for these tangents.

    Returns
    -------
    trajectory : Trajectory
    pieces : list of Piece
        The last one ends at the end of the solve.
    """
    if not problem.rhs.branches:
        trajectory = engine.integrate(make(problem), controls, times, dense)
        return trajectory, [Piece(problem, trajectory.sol, None)]
    return _Walk(engine, problem, make, controls, times, dense, directions).run()


@dataclass(frozen=True)
class _Side:
    """`engine.Side` of a branch at the parameters of the problem."""

    branch: Branch
    p: np.ndarray

    def holds(self, x: np.ndarray, t: float) -> bool:
        return self.branch.holds(x[: self.branch.rhs.n].copy(), self.p, t)

    def watch(self) -> Any:
        return self.branch.watch(self.p)


class _Walk:
    """From piece to piece."""

    def __init__(self, engine: AbstractEngine, problem: Problem, make: Callable[[Problem], System], controls: Controls,
                 times: np.ndarray | None, dense: bool, directions: np.ndarray | None) -> None:  # fmt: skip
        self.engine = engine
        self.problem = problem
        self.make = make
        self.controls = controls
        self.times = times
        self.dense = dense
        self.directions = directions
        self.sign = -1.0 if problem.t1 < problem.t0 else 1.0
        self.parts: list[Trajectory] = []
        self.pieces: list[Piece] = []
        self.stuck = 0

    def run(self) -> tuple[Trajectory, list[Piece]]:
        problem = self.problem
        t, z = problem.t0, self.make(problem).x0
        branch = problem.rhs.branch(problem.x0, problem.p, t)
        while True:
            here = replace(problem, rhs=branch.rhs, t0=t, x0=z[: problem.x0.size].copy())
            part = self._solve_piece(here, branch, z)
            crossing = part.crossing
            if crossing is None or part.failure is not None:
                self.parts.append(part)
                self.pieces.append(Piece(here, part.sol, None))
                break
            before, after = _locate(crossing, _Side(branch, problem.p))
            z = np.array(crossing.sol(after))
            part = self._extend(part, crossing, after, z)
            following = problem.rhs.branch(z[: problem.x0.size].copy(), problem.p, after)
            switch, reason = self._switch(branch, following, crossing, before, after)
            self.stuck = self.stuck + 1 if abs(after - t) <= 1e-12 * abs(problem.t1 - problem.t0) else 0
            if self.stuck >= NO_PROGRESS:
                reason = "it switches again and again at the same instant (chattering)"
            if reason:
                failure = Failure(after, z, crossing.t1 - crossing.t0, reason)
                self.parts.append(replace(part, failure=failure))
                self.pieces.append(Piece(replace(here, t1=after), part.sol, None))
                break
            self.parts.append(part)
            self.pieces.append(Piece(replace(here, t1=after), part.sol, switch))
            if switch is not None and self.directions is not None:
                z = _jumped(z, switch, self.directions, problem.x0.size)
            t, branch = after, following
        return self._joined(), self.pieces

    def _solve_piece(self, here: Problem, branch: Branch, z: np.ndarray) -> Trajectory:
        system = replace(self.make(here), x0=z, side=_Side(branch, self.problem.p))
        controls = self.controls
        if self.parts:
            left = controls.max_steps - sum(part.nsteps for part in self.parts)
            controls = replace(controls, first_step=None, max_steps=max(left, 1))
        return self.engine.integrate(system, controls, self._times_after(here.t0, first=not self.parts), self.dense)

    def _times_after(self, t: float, *, first: bool) -> np.ndarray | None:
        if self.times is None or first:
            return self.times
        return self.times[self.sign * (self.times - t) > 0]

    def _extend(self, part: Trajectory, crossing: Crossing, end: float, z: np.ndarray) -> Trajectory:
        """The trajectory with the part of the last step that is before the switch."""
        if self.times is None:
            times, y = np.array([end]), z[:, None]
        else:
            inside = (self.sign * (self.times - crossing.t0) > 0) & (self.sign * (self.times - end) <= 0)
            already = part.t[-1] if part.t.size else None
            times = self.times[inside] if already is None else self.times[inside & (self.sign * (self.times - already) > 0)]
            y = crossing.sol(times)
        sol = part.sol
        if self.dense:
            taken = [part.sol] if part.sol is not None and part.nsteps else []
            sol = Joined([*taken, crossing.sol], np.append(part.sol.ts if taken else [crossing.t0], end))
        return replace(part, t=np.append(part.t, times), y=np.hstack([part.y, y]), sol=sol, nsteps=part.nsteps + 1)

    def _switch(
        self, branch: Branch, following: Branch, crossing: Crossing, before: float, after: float
    ) -> tuple[Switch | None, str]:
        """What happens at the switch, and why the solve cannot go on if it cannot."""
        problem, n = self.problem, self.problem.x0.size
        x, other = (np.array(crossing.sol(t)[:n]) for t in (before, after))
        slopes = []
        for side in (branch, following):
            slope = np.empty(n)
            side.rhs(slope, other, problem.p, after)
            slopes.append(slope)
        if np.abs(slopes[1] - slopes[0]).max(initial=0.0) <= NO_JUMP * np.abs(slopes).max(initial=0.0):
            return None, ""
        found = branch.switches.changed((x, before), (other, after), problem.p)
        if not found:
            if self.directions is None and not self.dense:
                return None, ""
            return None, "a branch depends on something else than comparisons and roundings of numbers, which has no derivative"
        rates = [gradient.rate(slopes[0]) for gradient in found]
        first = Switch(found[0], slopes[0], slopes[1], rates[0])
        if rates[0] * found[0].rate(slopes[1]) < 0:
            return None, "the slopes on both sides of a branch point at each other, so that it switches for ever (chattering)"
        if rates[0] == 0:
            return None, "a branch is only touched, and the instant at which it switches has no derivative"
        if not _agree(found, rates):
            return (
                None,
                "two branches flip at the same instant for different reasons, and the derivative depends on their order",
            )
        return first, ""

    def _joined(self) -> Trajectory:
        parts, last = self.parts, self.parts[-1]
        if len(parts) == 1:
            return last
        t = [part.t[1:] if k and self.times is None else part.t for k, part in enumerate(parts)]
        y = [part.y[:, 1:] if k and self.times is None else part.y for k, part in enumerate(parts)]
        counts = {name: sum(getattr(part, name) for part in parts) for name in ("nfev", "njev", "nlu", "nsteps", "flips")}
        rejected = None if last.nrejected is None else sum(part.nrejected or 0 for part in parts)
        sol = None
        if self.dense:
            sols = [part.sol for part in parts if part.sol is not None and part.sol.ts.size > 1]
            sol = join(sols) if sols else last.sol
        return replace(last, t=np.concatenate(t), y=np.hstack(y), sol=sol, nrejected=rejected, crossing=None, **counts)


def _locate(crossing: Crossing, side: _Side) -> tuple[float, float]:
    """Neighbouring times of which the second is the first on another side, by bisection."""
    before, after = crossing.t0, crossing.t1
    while True:
        middle = before + (after - before) / 2
        if middle in (before, after):
            return before, after
        if side.holds(np.asarray(crossing.sol(middle)), middle):
            before = middle
        else:
            after = middle


def _jumped(z: np.ndarray, switch: Switch, directions: np.ndarray, n: int) -> np.ndarray:
    tangents = switch.jump(z[n:].reshape(len(directions), n), directions)
    return np.concatenate([z[:n], tangents.ravel()])


def _agree(found: Sequence[Gradient], rates: Sequence[float]) -> bool:
    """Whether all say the same about how the instant moves."""
    moves = np.array([np.concatenate([gradient.x, gradient.p]) / rate for gradient, rate in zip(found, rates, strict=True)])
    return bool(np.abs(moves - moves[0]).max(initial=0.0) <= SAME * np.abs(moves[0]).max(initial=0.0))


class Joined:
    """Solutions one after the other.

    Parameters
    ----------
    sols : list of callable
    ts : array
        Ends of the steps; those of all but the last solution are `sols[k].ts`.
    """

    def __init__(self, sols: list[Any], ts: np.ndarray) -> None:
        self.ts = np.asarray(ts, dtype=float)
        self.t_min, self.t_max = float(min(self.ts[0], self.ts[-1])), float(max(self.ts[0], self.ts[-1]))
        self._sols = sols
        self._sign = -1.0 if self.ts[-1] < self.ts[0] else 1.0
        self._ends = np.array([self._sign * sol.ts[-1] for sol in sols[:-1]])

    def __call__(self, t: Any) -> np.ndarray:
        """The state at a time, shape (n,), or at times, shape (n, len(t)). A switch belongs to what ends there."""
        t = np.asarray(t, dtype=float)
        number = np.searchsorted(self._ends, self._sign * t, side="left")
        if not t.ndim or not t.size or (number == number[0]).all():
            return np.asarray(self._sols[int(number.flat[0]) if number.size else 0](t))
        parts = [(number == k, self._sols[k](t[number == k])) for k in np.unique(number)]
        out = np.empty((parts[0][1].shape[0], t.size))
        for where, part in parts:
            out[:, where] = part
        return out


def join(sols: list[Any]) -> Joined:
    """Solutions that end where the next one begins."""
    return Joined(sols, np.concatenate([sols[0].ts, *(sol.ts[1:] for sol in sols[1:])]))
