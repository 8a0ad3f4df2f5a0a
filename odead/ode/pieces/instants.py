"""What happens where a piece of a solution ends: switches of the right-hand side, stops, events with their resets.

All of them are the same thing: an instant that moves, perhaps a reset, and a slope that jumps (`jumps`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ...errors import ArgumentValueError, TracingError
from ..problem.events import Events
from ..problem.problem import Problem
from ..rhs.consistent import Consistent, consistent_at, make_consistent
from ..rhs.jumps import Gradient, Jump, Move, Transition
from ..rhs.rhs import CompiledRhs
from ..rhs.sides import Branch
from .switched import Side, SwitchReset
from .together import jumps_apart

__all__ = ["TOGETHER", "Happening", "Instant", "Occurrence", "first_signs", "happen", "starting"]

Root = tuple[Gradient, Callable[[Gradient], Gradient]]  # of a root function: with products with its second derivatives

SAME: Final = 1e-6  # relative difference between what two root functions that are the same in effect say
NO_JUMP: Final = 1e-9  # of the slopes, relatively: a kink
AT_ROOT: Final = 1e-10  # of the span: an event that would happen within this time after it happened does not happen again
STANDSTILL: Final = 1e-9  # rate of a root function after a reset, relative to that before, below which it rests at its root
TOGETHER: Final = 16  # spacings of floating-point numbers: what is closer happens at the same instant
ATTEMPTS: Final = 4  # to find the side of a state that constraints choose
PROBE: Final = 1e-6  # of the span, to see where a root function goes that starts at 0 with rate 0


@dataclass(frozen=True)
class Instant:
    """Where a piece ends.

    Attributes
    ----------
    before, after : float
        Neighbouring times, or those around a stop, on the two sides.
    x : array, shape (N,)
        The state `after`, had nothing happened.
    x_before : array, shape (N,)
    stops : array of int
        Numbers of the stops that are due.
    crossed : array of int
        Numbers of the events whose sign has changed, whether in the direction that counts or not.
    """

    before: float
    after: float
    x: np.ndarray
    x_before: np.ndarray
    stops: np.ndarray
    crossed: np.ndarray


@dataclass(frozen=True)
class Occurrence:
    """An event that happened.

    Attributes
    ----------
    number : int
    t : float
    x : array, shape (N,)
        Before all resets.
    move : Move or None
        None where it is only touched, so that its instant has no derivative.
    """

    number: int
    t: float
    x: np.ndarray
    move: Move | None


@dataclass(frozen=True)
class Happening:
    """What happened at an instant.

    Attributes
    ----------
    transition : Transition or None
    x : array, shape (N,)
        The state after it.
    branch : Branch or None
        That of the right-hand side after it.
    slope : array, shape (N,)
        Before it.
    events : list of Occurrence
    signs : array
        Of the root functions after it.
    reason : str
        Why the solve cannot go on, if it cannot.
    chatters : bool
        Whether that is because both sides of a switch lead back to it.
    rate : float
        How fast the value goes by which a branch is chosen that flips, if it depends on the state; 0: none, or no jump.
    lines : callable
        Names the source lines of the branches that flip.
    """

    transition: Transition | None
    x: np.ndarray
    branch: Branch | None
    slope: np.ndarray
    events: list[Occurrence]
    signs: np.ndarray
    reason: str
    chatters: bool
    rate: float
    lines: Callable[[], str]


def first_signs(problem: Problem, x: np.ndarray, t: float) -> np.ndarray:
    """The signs that the root functions have at the start; at a root, those that they get at once. 0: none."""
    events, p = problem.events, problem.p
    if events is None:
        return np.zeros(0)
    signs = np.sign(events.values(x, p, t))
    if not signs.all():
        h = PROBE * (problem.t1 - problem.t0)
        middle = x + 0.5 * h * problem.velocity(x, t)
        probed = np.sign(events.values(x + h * problem.velocity(middle, t + 0.5 * h), p, t + h))
        signs = np.where(signs == 0, probed, signs)
    return np.asarray(signs)


def starting(problem: Problem, signs: np.ndarray) -> np.ndarray:
    """Numbers of the events that happen at the start: at their root there, they leave it in a direction that counts.

    As in SciPy, which compares the values at the ends of a step.

    Parameters
    ----------
    problem : Problem
    signs : array
        From `first_signs`.
    """
    events = problem.events
    if events is None or problem.t1 == problem.t0:
        return np.zeros(0, dtype=int)
    values = events.values(problem.x0, problem.p, problem.t0)
    return np.flatnonzero((values == 0) & (signs != 0) & (events.directions * signs >= 0))


def happen(
    problem: Problem, branch: Branch | None, instant: Instant, signs: np.ndarray, direction: float, *, differentiated: bool
) -> Happening:
    """What happens at an instant.

    Parameters
    ----------
    problem : Problem
    branch : Branch or None
        Of the right-hand side before it; None where that has no branches.
    instant : Instant
    signs : array
        Of the root functions before it.
    direction : float
        1.0 or -1.0, of time.
    differentiated : bool
        Whether derivatives are wanted.
    """
    return _Moment(problem, branch, instant, signs, direction, differentiated).happen()


class _Moment:
    """`happen`, step by step."""

    def __init__(
        self,
        problem: Problem,
        branch: Branch | None,
        instant: Instant,
        signs: np.ndarray,
        direction: float,
        differentiated: bool,
    ) -> None:
        self.problem, self.branch, self.instant = problem, branch, instant
        self.signs, self.direction, self.differentiated = signs, direction, differentiated
        self.jumps: list[Jump] = []
        self.reason = ""
        self.chatters, self.rate = False, 0.0
        self.slope = self._slope(branch, instant.x, instant.before)
        self.x, self.following = instant.x, self._branch(instant.x)

    def happen(self) -> Happening:
        events, before = self.problem.events, self.slope
        crossed = self._crossed(events) if events is not None else []
        fired = [o for o in crossed if self._counts(o.number)]
        self._switch([o.move for o in fired if o.move is not None])
        signs = self.signs
        if events is not None:
            resets = [o for o in fired if events.resets[o.number] is not None]
            if self.problem.halves is not None and len(resets) + bool(self.jumps) > 1:
                self.reason = self.reason or "second derivatives of several things at one instant are not supported yet"
            for occurrence in resets:
                self._reset(events, occurrence)
            signs = self._signs_after(events, crossed, before)
        transition = Transition(tuple(self.jumps)) if self.jumps else None
        return Happening(
            transition, self.x, self.following, before, fired, signs, self.reason, self.chatters, self.rate, self._lines
        )

    def _branch(self, x: np.ndarray) -> Branch | None:
        """The side of a state after the instant.

        Where a guard looks at a sum, NumPy may round it to the other side of the switch than the compiled one, by which the
        instant was found, and what is recorded there does not hold there: it is recorded a little later.
        """
        if self.branch is None:
            return None
        problem = self.problem
        try:
            return problem.rhs.branch(x.copy(), problem.p, self.instant.after)
        except TracingError:
            h = AT_ROOT * (problem.t1 - problem.t0)
            return problem.rhs.branch(x + h * self.slope, problem.p, self.instant.after + h)

    def _slope(self, branch: Branch | None, x: np.ndarray, t: float) -> np.ndarray:
        rhs: CompiledRhs = self.problem.rhs if branch is None else branch.rhs
        return self.problem._replace(rhs=rhs).velocity(x, t)

    def _made_consistent(self, branch: Branch | None, x: np.ndarray) -> Consistent | None:
        """The constraints of the right-hand side on one side, solved after the instant; None where there are none."""
        problem = self.problem
        rhs = problem.rhs if branch is None else branch.rhs
        if rhs.mass is None:
            return None
        try:
            return make_consistent(rhs, rhs.mass, x, problem.p, self.instant.after, problem.name, problem.state_names)
        except ArgumentValueError:
            self.reason = self.reason or "no values of the algebraic part of x were found that are consistent after it jumped"
            return None

    def _consistent_after_switch(self, x: np.ndarray) -> Consistent | None:
        """`_made_consistent` on the side after a switch.

        There the last digits of a state, which the constraints correct, would decide anew. Where no constraint jumps, states
        that may decide stay as they are; else where the solution goes decides.
        """
        found, problem, after = self._made_consistent(self.following, x), self.problem, self.instant.after
        if found is None or self._branch(found.x) is self.following:
            return found
        before = self._made_consistent(self.branch, x)
        if before is not None and np.abs(found.x - before.x).max() <= NO_JUMP * np.abs(found.x).max():
            deciding = x.size if problem.halves is None else problem.halves[0]
            return consistent_at(found.rhs, found.mass, np.append(x[:deciding], found.x[deciding:]), problem.p, after)
        h = AT_ROOT * (problem.t1 - problem.t0)
        later = found.x + h * self._slope(self.following, found.x, after)
        if problem.rhs.branch(later, problem.p, after + h) is not self.following:
            self.reason = self.reason or "the algebraic part of x jumps across another branch of the right-hand side"
        return found

    def _consistent_after_reset(self, x: np.ndarray) -> tuple[Branch | None, Consistent | None]:
        """The side on which the constraints have their solution after a reset to x, and that solution."""
        guess = x
        for _ in range(ATTEMPTS):
            following = self._branch(guess)
            found = self._made_consistent(following, guess)
            if found is None or self._branch(found.x) is following:
                return following, found
            guess = found.x
        self.reason = self.reason or (
            "the constraints of each branch of the right-hand side have their solution on the side of another one after a reset"
        )
        return following, found

    # ------------------------------------------------------------------------------------------ the right-hand side

    def _switch(self, others: list[Move]) -> None:
        """A right-hand side that jumps: at one of its branches, at a stop, or with an event."""
        instant, changes = self.instant, self.following is not self.branch or bool(self.instant.stops.size)
        consistent = self._consistent_after_switch(instant.x) if changes else None
        if consistent is not None:
            self.x = consistent.x
        slope = self._slope(self.following, self.x, instant.after)
        before, self.slope = self.slope, slope
        if consistent is None and not self._jumps(before, slope):
            return
        roots = self._roots_of_branches(before, slope) + self._roots_of_stops()
        moves = [root.move(root.rate(before)) for root, _ in roots] or others
        if self.problem.halves is not None and not self.reason:
            self._switch_doubled(roots, before, consistent)
        elif self.reason or not self.differentiated:
            return
        elif consistent is not None:
            move = moves[0] if moves else Move(np.zeros(instant.x.size), np.zeros(self.problem.p.size))
            self.jumps.append(Jump(move, consistent.along(before) - slope, consistent))
        elif moves and _agree(moves):
            self.jumps.append(Jump(moves[0], before - slope))
        elif roots and len(roots) == len(moves) and not instant.stops.size and self.branch is not None:
            self.jumps += self._jumps_apart([gradient for gradient, _ in roots], before, slope)
        if moves and not _agree(moves) and not (self.jumps and consistent is None and self.problem.halves is None):
            self.reason = (
                "two branches flip at the same instant for different reasons, and the derivative depends on their order"
            )
        elif not moves and self.following is not self.branch and not instant.stops.size:
            self.reason = self._no_root()

    def _no_root(self) -> str:
        """Why a branch flips, and no switching function does."""
        instant, branch = self.instant, self.branch
        if branch is not None and not branch.holds(instant.x_before.copy(), self.problem.p, instant.before):
            return "the steps are too inaccurate to tell both sides of a switch apart, and tolerances have to be tighter"
        return "a branch depends on something else than comparisons and roundings of numbers, which has no derivative"

    def _jumps(self, before: np.ndarray, slope: np.ndarray) -> bool:
        """Whether these slopes differ, and not by what is rounding of the states over the whole span."""
        gap = np.abs(slope - before)
        if gap.max(initial=0.0) <= NO_JUMP * max(np.abs(slope).max(initial=0.0), np.abs(before).max(initial=0.0)):
            return False
        rounding = TOGETHER * np.spacing(np.abs(self.x))
        return bool((gap * abs(self.problem.t1 - self.problem.t0) > rounding).any())

    def _switch_doubled(self, roots: Sequence[Root], before: np.ndarray, consistent: Consistent | None) -> None:
        """The derivative in the second half of the states jumps too."""
        problem, instant = self.problem, self.instant
        if problem.twice:
            self.reason = "third derivatives where the right-hand side switches are not supported yet"
        elif not roots and self.following is not self.branch:
            self.reason = "second derivatives are not supported yet where a branch flips for another reason than a comparison"
        if self.reason or problem.halves is None:
            return
        move = Move(np.zeros(instant.x.size), np.zeros(problem.p.size))
        if roots:
            root, products = roots[0]
            rhs, other = (problem.rhs if branch is None else branch.rhs for branch in (self.branch, self.following))
            before_it = Side(rhs, instant.x, problem.p, instant.before)
            reset = SwitchReset(
                problem.halves, before_it, Side(other, self.x, problem.p, instant.after, consistent), root, products
            )
            self.x, move = reset(), root.move(root.rate(before))
            if consistent is None:
                self.slope = self._slope(self.following, self.x, instant.after)
                self.jumps.append(Jump(move, reset.along(before) - self.slope, reset))
                return
            self.jumps.append(Jump(move, reset.along(before), reset))
            before = np.zeros(before.size)
        if consistent is not None:
            self._follow_constraints(move, before)

    def _follow_constraints(self, move: Move, before: np.ndarray) -> None:
        """The algebraic part of the doubled state jumps to what the constraints after the instant want.

        `before` is how the state changes that goes in, beyond the jumps there are.
        """
        consistent = self._consistent_after_switch(self.x)
        if consistent is None:
            return
        self.x = consistent.x
        self.slope = self._slope(self.following, self.x, self.instant.after)
        self.jumps.append(Jump(move, consistent.along(before) - self.slope, consistent))

    def _roots_of_branches(self, before: np.ndarray, slope: np.ndarray) -> list[Root]:
        if self.branch is None or self.following is self.branch:
            return []
        instant = self.instant
        found = self.branch.switches.changed((instant.x_before, instant.before), (instant.x, instant.after), self.problem.p)
        rates = [gradient.rate(before) for gradient, _ in found]
        if any(rate * gradient.rate(slope) < 0 for rate, (gradient, _) in zip(rates, found, strict=True)):
            self.chatters = True
            self.reason = (
                f"both sides of the switch at {self._lines()} lead back to it, so that it switches for ever (chattering)"
            )
        elif found and rates[0] == 0:
            self.reason = (
                f"the switch at {self._lines()} is only touched, and the instant at which it switches has no derivative"
            )
        elif found and found[0][0].x.any():
            self.rate = rates[0]
        return [] if self.reason else found

    def _lines(self) -> str:
        """Of what flips here."""
        instant, branch = self.instant, self.branch
        assert branch is not None
        lines = branch.switches.lines_changed((instant.x_before, instant.before), (instant.x, instant.after), self.problem.p)
        return "; ".join(lines)

    def _jumps_apart(self, gradients: Sequence[Gradient], before: np.ndarray, slope: np.ndarray) -> list[Jump]:
        instant, branch = self.instant, self.branch
        assert branch is not None
        return jumps_apart(
            self.problem, branch, (instant.x_before, instant.before), gradients, self.direction, (before, slope),
            lambda other: self._slope(other, instant.x, instant.after),
        )  # fmt: skip

    def _roots_of_stops(self) -> list[Root]:
        """Of t - T(p), for stops that are computed from p."""
        stops, p = self.problem.stops, self.problem.p
        if stops is None or stops.by_p is None:
            return []
        zeros = np.zeros(self.instant.x.size)

        def products(number: int, direction: Gradient) -> Gradient:
            return Gradient(zeros, -stops.product(number, p, direction.p), 0.0)

        return [(Gradient(zeros, -stops.by_p[k], 1.0), partial(products, k)) for k in self.instant.stops.tolist()]

    # ---------------------------------------------------------------------------------------------------- events

    def _counts(self, number: int) -> bool:
        """Whether the change of sign is in the direction that counts, as time goes."""
        events = self.problem.events
        return events is not None and events.directions[number] * -self.signs[number] >= 0

    def _crossed(self, events: Events) -> list[Occurrence]:
        instant, p = self.instant, self.problem.p
        found = []
        for number in instant.crossed.tolist():
            gradient = events.gradient(number, instant.x, p, instant.after)
            rate = gradient.rate(self.slope)
            move = gradient.move(rate) if rate * self.direction * self.signs[number] < 0 else None
            found.append(Occurrence(number, instant.after, instant.x, move))
        return found

    def _reset(self, events: Events, occurrence: Occurrence) -> None:
        reset, instant, p = events.resets[occurrence.number], self.instant, self.problem.p
        assert reset is not None
        x = reset(self.x, p, instant.after)
        following, consistent = self._consistent_after_reset(x)
        x = x if consistent is None else consistent.x
        slope = self._slope(following, x, instant.after)
        if self.differentiated:
            if occurrence.move is None:
                self.reason = self.reason or (
                    f"the event {events.names[occurrence.number]} is only touched, and its instant has no derivative"
                )
                return
            linearised = reset.at(self.x, p, instant.after)
            if consistent is None:
                self.jumps.append(Jump(occurrence.move, linearised.along(self.slope) - slope, linearised))
            else:  # one after the other
                self.jumps.append(Jump(occurrence.move, linearised.along(self.slope), linearised))
                self.jumps.append(Jump(occurrence.move, consistent.by_t - slope, consistent))
        self.x, self.following, self.slope = x, following, slope

    def _signs_after(self, events: Events, crossed: Sequence[Occurrence], before: np.ndarray) -> np.ndarray:
        """What the signs of the root functions are from now on.

        At its root the value of one that has happened is rounding: where it goes from there decides.
        """
        instant, p = self.instant, self.problem.p
        values, residuals = events.values(self.x, p, instant.after), events.values(instant.x, p, instant.after)
        if np.isnan(values).any():
            name = events.names[int(np.argmax(np.isnan(values)))]
            self.reason = self.reason or f"the event {name} is not a number"
        signs = np.where(values == 0, self.signs, np.sign(values))
        span = abs(self.problem.t1 - self.problem.t0)
        for number in (occurrence.number for occurrence in crossed):
            old = events.gradient(number, instant.x, p, instant.after).rate(before)
            new = events.gradient(number, self.x, p, instant.after).rate(self.slope)
            rounding = max(4 * abs(residuals[number]), AT_ROOT * span * max(abs(old), abs(new)))
            if abs(values[number]) > rounding:
                continue
            if abs(new) > STANDSTILL * abs(old):
                signs[number] = self.direction * np.sign(new)
            else:  # it rests at the root: as good as not having left, or through
                signs[number] = self.signs[number] if events.resets[number] is not None else -self.signs[number]
        return signs


def _agree(moves: Sequence[Move]) -> bool:
    """Whether all say the same about how the instant moves."""
    rows = np.array([np.concatenate([move.x, move.p]) for move in moves])
    return bool(np.abs(rows - rows[0]).max(initial=0.0) <= SAME * np.abs(rows[0]).max(initial=0.0))
