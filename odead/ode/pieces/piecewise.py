"""Solutions with switches, stops and events: solved piece by piece, each piece on one side of all of them.

On a piece the right-hand side is what it is on that side, continued smoothly beyond the switches, so that steppers see nothing
of them. At some times inside each step and at its end they ask whether it is on the same side. If not, the instant is located
on the step's interpolant, the piece ends there, and the next one begins on the other side. What passes through all those
times unseen, twice within one step, is missed: `max_step` bounds it. Events that change nothing end no piece (`passive`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from ..._system import Keys
from ...errors import TracingError
from ..engines.engine import AbstractEngine, Controls, Crossing, Failure, System, Trajectory
from ..engines.interpolant import Joined, join
from ..engines.native import FINEST
from ..engines.path import Path, at_point
from ..methods import EXPLICIT
from ..problem.problem import Problem
from ..rhs.jumps import Jump, PassedReset, Transition
from ..rhs.sides import Branch
from .chattering import REPEATING, SLIDING, Held, Rhythm
from .instants import TOGETHER, Happening, Instant, Occurrence, first_signs, happen, starting
from .overlooked import Caution, Sightings
from .passive import passed
from .timed import known_resets, solve_through

__all__ = ["Course", "FirstRows", "Happened", "Piece", "integrate"]

NO_PROGRESS: Final = 20  # pieces without one after which to give up
INSTANT: Final = 1e-12  # of the span: a shorter piece is no progress
LATELY: Final = 8  # events
# Of the shortest of so many pieces before: a longer step at the start might pass the next two instants unseen. Of 76 flips of
# sin(40 t) DOP853 saw 14, and was wrong in the first digit.
REACH: Final = 2.0
SHARE: Final = 0.25  # of the time that was seen between two flips: a step that passes none of them
SHORTEST: Final = (1e-2, 1e-3)  # of the span: such a step at least, also after some were missed
RECENT: Final = 3
# Each piece adds its errors. As much as the tolerance allows on each, a problem with 100 resets was off by 120 tolerances; with
# the tolerances divided by 1 + k / 10 on the piece after k events the sum grows with the logarithm of their number.
CALM: Final = 10
# BDF begins each piece at order 1, with many short steps: 59 tolerances after 3 kinks at 10. Kvaerno5 leaves more of an error
# than its estimate says: after 72 resets an adjoint was off by 93 tolerances at 10, by 59 at 4, for 3 % more steps.
CALMS: Final = {"BDF": 2, "Kvaerno5": 4}


class Piece(NamedTuple):
    """A part of a solution on one side.

    Attributes
    ----------
    problem : Problem
        With the right-hand side of this side, from the start of the piece to its end.
    sol : callable or None
        As in `Trajectory`.
    end : Transition or None
        None where nothing jumps.
    until : float
        The last time that belongs to it, at most a few floating-point numbers after its end.
    steps : Steps or None
        For a discrete adjoint; the last one goes on beyond the end, where there is a switch or an event.
    passed : range
        Which of the events of the course happened on it: those that changed nothing, and resets inside the loop.
    happened : range
        Which ones happened at its end.
    path : Path or None
        As in `Trajectory`, up to its end.
    resets : sequence of PassedReset
        Those inside the loop, where derivatives are wanted.
    """

    problem: Problem
    sol: Any
    end: Transition | None
    until: float
    steps: Any = None
    passed: range = range(0)
    happened: range = range(0)
    path: Path | None = None
    resets: Sequence[PassedReset] = ()


class Happened(NamedTuple):
    """An event that happened.

    Attributes
    ----------
    occurrence : Occurrence
    tangents : array, shape (W, N), or None
        Of the state at this instant, before all resets.
    dt : array, shape (W,), or None
        How the instant changes with them; None also where the event is only touched.
    """

    occurrence: Occurrence
    tangents: np.ndarray | None
    dt: np.ndarray | None


class Course(NamedTuple):
    """A solve.

    Attributes
    ----------
    trajectory : Trajectory
        If an event ended the solve, the last column is for its time, besides that of a time asked for.
    pieces : list of Piece
        The last one ends at the end of the solve.
    events : list of Happened
    ending : Jump or None
        How the end of the solve moves, where a terminal event is the end; its gap is the slope there.
    terminated : Occurrence or None
        That event.
    """

    trajectory: Trajectory
    pieces: list[Piece]
    events: list[Happened]
    ending: Jump | None = None
    terminated: Occurrence | None = None

    def velocity(self, x: np.ndarray, t: float) -> np.ndarray:
        """The velocity of the solution at one of its points; where a piece ends, that before the end."""
        sign = -1.0 if self.pieces[-1].until < self.pieces[0].problem.t0 else 1.0
        piece = next((piece for piece in self.pieces if sign * (t - piece.until) <= 0), self.pieces[-1])
        return piece.problem.velocity(np.ascontiguousarray(x), t)


def integrate(
    engine: AbstractEngine,
    problem: Problem,
    make: Callable[[Problem], System],
    controls: Controls,
    times: np.ndarray | None,
    dense: bool,
    directions: np.ndarray | None = None,
    *,
    differentiated: bool = False,
    path: bool = False,
    stops_at_all: bool = False,
) -> Course:
    """Integrate, with stops at the switches, the stops and the events.

    Parameters
    ----------
    engine, controls, times, dense
        As in `AbstractEngine.integrate`.
    problem : Problem
    make : callable
        From a problem to the system to integrate: the states, perhaps followed by W tangents of them.
    directions : array, shape (W, n_p), optional
        Of p, for these tangents.
    differentiated : bool
        Whether the transitions are wanted, for these tangents or for an adjoint.
    path : bool
        Whether `Piece.path` is wanted, where the right-hand side has switches recorded as values.
    stops_at_all : bool
        Whether events that change nothing are stepped onto too: to look for them on the solution takes all of its steps.
    """
    if problem.is_smooth:
        kept = problem.x0.size if path and problem.rhs.has_selects else 0
        system = make(problem)._replace(path=kept, kinks=_kinks(problem), slides=Held(problem) if kept else None)
        trajectory = engine.integrate(system, controls, times, dense)
        piece = Piece(problem, trajectory.sol, None, problem.t1, trajectory.steps, path=trajectory.path)
        return Course(trajectory, [piece], [])
    resets = None
    if engine.resets_inside(controls.method) and not (path and problem.rhs.has_selects):
        resets = known_resets(problem, times)
    if resets is not None:
        smooth, trajectory, happened, maps = solve_through(
            resets, engine, problem, make, controls, times, directions, dense=dense, differentiated=differentiated
        )
        piece = Piece(smooth, trajectory.sol, None, problem.t1, trajectory.steps, passed=range(len(happened)), resets=maps)
        return Course(trajectory, [piece], [Happened(*each) for each in happened])
    course, caution = None, None
    while course is None:
        walk = _Walk(engine, problem, make, controls, times, dense, directions, differentiated, path, stops_at_all, caution)
        course, caution = walk.run(), walk.sightings.caution
    return course


@dataclass(frozen=True)
class _Side:
    """`engine.Side` of a branch and of signs of root functions, at the parameters of the problem."""

    problem: Problem
    branch: Branch | None
    signs: np.ndarray

    def holds(self, x: np.ndarray, t: float) -> bool:
        problem = self.problem
        x = x[: problem.x0.size].copy()
        if self.branch is not None and not self.branch.holds(x, problem.p, t):
            return False
        return problem.events is None or not self.crossed(x, t).size

    def crossed(self, x: np.ndarray, t: float) -> np.ndarray:
        """Numbers of the root functions that have another sign there."""
        if self.problem.events is None:
            return np.zeros(0, dtype=int)
        values = self.problem.events.values(x, self.problem.p, t)
        return np.flatnonzero((self.signs != 0) & ~(self.signs * values > 0))

    def watch(self) -> Any:
        problem = self.problem
        also = None if self.branch is None else self.branch.watch(problem.p)
        if problem.events is None:
            return also
        return problem.events.watch(problem.x0.copy(), problem.p, problem.t0, self.signs, also)


class _Walk:
    """From piece to piece."""

    def __init__(self, engine: AbstractEngine, problem: Problem, make: Callable[[Problem], System], controls: Controls,
                 times: np.ndarray | None, dense: bool, directions: np.ndarray | None,
                 differentiated: bool, path: bool, stops_at_all: bool, caution: Caution | None) -> None:  # fmt: skip
        self.engine = engine
        self.problem = problem
        self.make = make
        self.controls = controls
        self.times = times
        self.passive = np.zeros(0, dtype=bool) if problem.events is None else problem.events.passive & (not stops_at_all)
        self.asked, self.dense = dense, dense or bool(self.passive.any())
        self.directions = directions
        self.differentiated, self.path = differentiated, path
        self.sign = -1.0 if problem.t1 < problem.t0 else 1.0
        self.n = problem.x0.size
        self.stops = np.zeros(0) if problem.stops is None else problem.stops.times
        self.passed = 0  # stops
        self.counts = np.zeros(0 if problem.events is None else len(problem.events), dtype=int)
        self.parts: list[Trajectory] = []
        self.pieces: list[Piece] = []
        self.events: list[Happened] = []
        self.ended = range(0)  # of the events, those on the pieces before and so far on this one
        self.stuck = 0
        self.located = 0  # instants that depend on the solution
        self.lengths: list[float] = []  # of the pieces between them
        self.rhythm = Rhythm()
        self.sightings = Sightings(problem.t0, caution)

    def run(self) -> Course | None:
        """The course, or None if it is to be done anew because flips may have been stepped over."""
        problem = self.problem
        t, z = problem.t0, self.make(problem).x0
        branch = problem.rhs.branch(problem.x0, problem.p, t) if problem.rhs.branches else None
        signs = first_signs(problem, problem.x0, t)
        fired = starting(problem, signs)
        if fired.size:
            here, part = self._rest(z, branch)
            x = z[: self.n].copy()
            signs = np.where(np.isin(np.arange(signs.size), fired), -signs, signs)
            instant = Instant(t, t, x, x.copy(), np.zeros(0, dtype=int), fired)
            after = self._pass_instant(part, here, instant, z, branch, signs, t)
            if after is None or isinstance(after, Course):
                return after
            t, z, branch, signs = after
        while True:
            here, part = self._solve_piece(t, z, branch, signs)
            if part.failure is not None or (part.crossing is None and here.t1 == problem.t1):
                self._pass(part, here, signs, here.t1 if part.failure is None else part.failure.t)
                return self._finish(part, here, None)
            part, instant, z, signs = self._end_piece(part, here, branch, signs)
            after = self._pass_instant(part, here, instant, z, branch, signs, t)
            if after is None or isinstance(after, Course):
                return after
            t, z, branch, signs = after

    def _pass_instant(
        self, part: Trajectory, here: Problem, instant: Instant, z: np.ndarray, branch: Branch | None, signs: np.ndarray,
        since: float,
    ) -> Course | tuple[float, np.ndarray, Branch | None, np.ndarray] | None:  # fmt: skip
        """What happens where a piece ends: with what the next one begins, or the end of `run` if it was the last one."""
        problem = self.problem
        happening = happen(problem, branch, instant, signs, self.sign, differentiated=self.differentiated)
        end = None if part.crossing is None else instant.after
        here = here if end is None else here._replace(t1=end)
        tangents = None if self.directions is None else z[self.n :].reshape(-1, self.n)
        ending = self._count(happening, tangents)
        if ending is not None and not happening.reason:
            return self._terminate(part, here, instant, z, ending, happening.slope)
        self.stuck = self.stuck + 1 if abs(instant.after - since) <= INSTANT * abs(problem.t1 - problem.t0) else 0
        reason, diagnosis = self._why_not_on(happening, abs(instant.after - since))
        if reason:
            step = 0.0 if part.crossing is None else part.crossing.t1 - part.crossing.t0
            return self._finish(part._replace(failure=Failure(instant.after, z, step, reason, diagnosis)), here, instant)
        if self.sign * (problem.t1 - instant.after) <= 0:
            return self._finish(part, here, instant)
        if part.crossing is not None:
            self.located += 1
            if not self.stuck:
                width, length = abs(part.crossing.t1 - part.crossing.t0), abs(instant.after - since)
                flips = branch is not happening.branch
                if flips and self.sightings.overlooked(instant.after, width, length, happening):
                    return None
                self.lengths.append(length)
        # The crossing holds the loop and all that it works in.
        self.parts.append(part._replace(crossing=None, sol=part.sol if self.asked else None))
        self._keep_piece(here, part, happening.transition, instant.after)
        return instant.after, self._state_after(happening, z), happening.branch, happening.signs

    def _why_not_on(self, happening: Happening, length: float) -> tuple[str, tuple[str, str] | None]:
        """Why the solve cannot go on after a piece of this length, if it cannot, with a diagnosis if it cannot for good."""
        if happening.chatters:
            return happening.reason, SLIDING
        if self._rebounds(happening):
            return "events happen again and again at the same instant (chattering)", REPEATING
        if self.stuck >= NO_PROGRESS:
            return "it switches, or events happen, again and again at the same instant (chattering)", (
                REPEATING if happening.rate or happening.events else None
            )
        if happening.rate and not happening.reason:
            self.rhythm.beat(length, happening.rate)
            last = self.pieces[-1].until if self.pieces else self.problem.t0
            left = abs(self.problem.t1 - last)
            if self.rhythm.cannot_end(left, self.controls.max_steps - sum(part.nsteps for part in self.parts)):
                return (
                    f"it switches ever faster at {happening.lines()}, now after {length:.3g}, so that "
                    f"max_steps={self.controls.max_steps} steps would not be enough (chattering)"
                ), SLIDING
        return happening.reason, None

    def _rebounds(self, happening: Happening) -> bool:
        """Whether an event with a reset happens again although its root function goes the other way.

        So end the bounces of a ball when they are lower than the errors of steps: once more, and it falls through the floor.
        """
        events = self.problem.events
        if events is None:
            return False
        before = self.events[: len(self.events) - len(happening.events)]
        lately = {happened.occurrence.number for happened in before[-LATELY:]}
        return any(
            occurrence.move is None and events.resets[occurrence.number] is not None and occurrence.number in lately
            for occurrence in happening.events
        )

    def _keep_piece(self, here: Problem, part: Trajectory, end: Transition | None, until: float) -> None:
        self.pieces.append(
            Piece(here, part.sol if self.asked else None, end, until, part.steps, *self._new_events(), part.path)
        )

    def _solve_piece(self, t: float, z: np.ndarray, branch: Branch | None, signs: np.ndarray) -> tuple[Problem, Trajectory]:
        problem = self.problem
        rhs = problem.rhs if branch is None else branch.rhs
        end = problem.t1
        if self.passed < self.stops.size:
            end = float(np.nextafter(self.stops[self.passed], problem.t0))
        here = problem._replace(rhs=rhs, t0=t, t1=end, x0=z[: self.n].copy(), events=None, stops=None)
        side = None if branch is None and self.passive.all() else self._side(here, branch, signs)
        system = self.make(here)._replace(x0=z, side=side, path=self.n if self.path and rhs.has_selects else 0)
        system = system._replace(
            kinks=_kinks(here),
            reach=REACH * min(self.lengths[-RECENT:], default=0.0),
            slides=Held(here) if system.path else None,
        )
        if system.slopes is not None and self.directions is not None:
            system = system._replace(slopes=here.slopes_with(z[self.n :].reshape(-1, self.n), self.directions))
        controls = self._tightened(t)
        if self.parts:
            left = controls.max_steps - sum(part.nsteps for part in self.parts)
            stiff = bool(set(self.parts[-1].methods[-1:]) - EXPLICIT.keys())  # a restart need not find out again
            controls = controls._replace(first_step=None, max_steps=max(left, 1), stiff=stiff)
        elif controls.first_step is not None:
            controls = controls._replace(first_step=min(controls.first_step, abs(end - t)))
        times = self.times
        if times is not None:
            after = self.sign * (times - t)
            times = times[((after > 0) | (not self.parts)) & (self.sign * (times - end) <= 0)]
            if end != problem.t1 and not (times.size and times[-1] == end):
                times = np.append(times, end)  # to know the state there; `_end_piece` takes it out
        return here, self.engine.integrate(system, controls, times, self.dense)

    def _tightened(self, t: float) -> Controls:
        """With tolerances for a piece from t, so that the errors of all pieces together remain about those of one."""
        share = 1 / (1 + self.located / CALMS.get(self.controls.method, CALM))
        rtol = max(share * self.controls.rtol, min(FINEST, self.controls.rtol))
        rhs, span = self.problem.rhs, abs(self.problem.t1 - self.problem.t0)
        longest = min(self.controls.max_step, self.sightings.longest(t), max(SHARE * rhs.apart, SHORTEST[rhs.missed] * span))
        atol = rtol / self.controls.rtol * self.controls.atol
        return self.controls._replace(rtol=rtol, atol=atol, max_step=longest)

    def _rest(self, z: np.ndarray, branch: Branch | None) -> tuple[Problem, Trajectory]:
        """The piece that ends where it begins, with an event at the start."""
        problem = self.problem
        rhs = problem.rhs if branch is None else branch.rhs
        here = problem._replace(rhs=rhs, t1=problem.t0, events=None, stops=None)
        times = None if self.times is None else self.times[self.times == problem.t0]
        return here, self.engine.integrate(self.make(here)._replace(x0=z), self.controls, times, self.dense)

    def _side(self, here: Problem, branch: Branch | None, signs: np.ndarray) -> _Side:
        """Where the stepper goes on: passive events do not stop it."""
        return _Side(here._replace(events=self.problem.events), branch, np.where(self.passive, 0.0, signs))

    def _pass(self, part: Trajectory, here: Problem, signs: np.ndarray, until: float) -> np.ndarray:
        """Keep the passive events on a piece; the signs of the root functions after them."""
        if part.sol is None or not self.passive.any() or until == here.t0:
            return signs
        found, signs = passed(here._replace(events=self.problem.events), part.sol, until, signs)
        for occurrence in found:
            rows = part.sol(occurrence.t)
            tangents = None if self.directions is None or rows.size == self.n else rows[self.n :].reshape(-1, self.n)
            self._keep(occurrence, tangents)
        self.ended = range(self.ended.start, len(self.events))
        return signs

    def _end_piece(
        self, part: Trajectory, here: Problem, branch: Branch | None, signs: np.ndarray
    ) -> tuple[Trajectory, Instant, np.ndarray, np.ndarray]:
        """The part of the solution up to the instant at which the piece ends, this instant, the state there, and the signs."""
        crossing, n = part.crossing, self.n
        if crossing is None:
            z = part.y[:, -1].copy()
            before, after = here.t1, float(np.nextafter(self.stops[self.passed], self.problem.t1))
            part = self._with_times(part, here.t0, after, lambda times: np.repeat(z[:, None], times.size, axis=1), here.t1)
            x_before = x = z[:n]
        else:
            before, after = crossing.locate() if crossing.locate else _locate(crossing, self._side(here, branch, signs))
            after = self._after_data(self._through(branch, crossing, after))
            z = np.array(crossing.at(after))
            part = self._extend(part, crossing, here.t0, after)
            x_before, x = np.array(crossing.at(before)[:n]), z[:n]
            if part.path is not None:
                part = part._replace(path=part.path.then(at_point(before, x_before)))
        signs = self._pass(part, here, signs, before)
        crossed = self._crossed(here, branch, signs, crossing, after, x)
        return part, Instant(before, after, x.copy(), x_before, self._due(after), crossed), z, signs

    def _through(self, branch: Branch | None, crossing: Crossing, after: float) -> float:
        """The instant, or a little later where the solution would be for no time on a side of its own, as that of sign(0)."""
        if branch is None:
            return after
        later = after + self.sign * TOGETHER * np.spacing(abs(after))
        rhs, p = self.problem.rhs, self.problem.p
        try:
            first, second = (rhs.branch(np.array(crossing.at(t)[: self.n]), p, t) for t in (after, later))
        except TracingError:  # NumPy rounds to another side than the compiled guard; see `instants`
            return after
        return later if len({branch, first, second}) == 3 else after

    def _crossed(
        self, here: Problem, branch: Branch | None, signs: np.ndarray, crossing: Crossing | None, after: float, x: np.ndarray
    ) -> np.ndarray:
        """The events that happen at this instant: also those of which rounding says that they do in another."""
        if self.problem.events is None:
            return np.zeros(0, dtype=int)
        side = _Side(here._replace(events=self.problem.events), branch, signs)
        found = side.crossed(x, after)
        if crossing is None:
            return found
        a_little_later = after + self.sign * TOGETHER * np.spacing(abs(after))
        return np.union1d(found, side.crossed(np.array(crossing.at(a_little_later)[: self.n]), a_little_later))

    def _due(self, after: float) -> np.ndarray:
        """The stops at this instant."""
        first = self.passed
        near = TOGETHER * np.spacing(abs(after))
        while self.passed < self.stops.size and self.sign * (self.stops[self.passed] - after) <= near:
            self.passed += 1
        return np.arange(first, self.passed)

    def _after_data(self, after: float) -> float:
        """The instant, or a datum which only rounding keeps from being at the same instant."""
        if self.times is None:
            return after
        later = self.sign * (self.times - after)
        near = self.times[(later > 0) & (later <= TOGETHER * np.spacing(abs(after)))]
        return float(near[-1]) if near.size else after

    def _extend(self, part: Trajectory, crossing: Crossing, start: float, end: float) -> Trajectory:
        """The trajectory with the part of the last step that is before the instant."""
        if self.times is None:
            extended = part._replace(t=np.append(part.t, end), y=np.column_stack([part.y, crossing.sol(end)]))
        else:
            extended = self._with_times(part, start, end, crossing.sol, None)
        sol = part.sol
        if self.dense:
            taken = [part.sol] if part.sol is not None and part.nsteps else []
            inside = crossing.sol if part.steps is None else FirstRows(crossing.sol, self.n)
            sol = Joined([*taken, inside], np.append(part.sol.ts if taken else [crossing.t0], end))
        return extended._replace(sol=sol, nsteps=part.nsteps + 1)

    def _with_times(
        self, part: Trajectory, start: float, end: float, sol: Callable[[np.ndarray], np.ndarray], extra: float | None
    ) -> Trajectory:
        """The trajectory with the times asked for up to `end` that it lacks, and without one that was not asked for."""
        if self.times is None:
            return part
        t, y = part.t, part.y
        if extra is not None and extra not in self.times:
            t, y = t[:-1], y[:, :-1]
        ahead = self.sign * (self.times - (t[-1] if t.size else start))
        # A piece that ends in its first step has not even given the start, which belongs to the first one.
        missing = (ahead > 0 if t.size or self.parts else ahead >= 0) & (self.sign * (self.times - end) <= 0)
        if not missing.any():
            return part._replace(t=t, y=y)
        return part._replace(t=np.append(t, self.times[missing]), y=np.hstack([y, sol(self.times[missing])]))

    def _count(self, happening: Happening, tangents: np.ndarray | None) -> Occurrence | None:
        """Keep the events that happened; the first one that ends the solve."""
        events, ending = self.problem.events, None
        for occurrence in happening.events:
            self._keep(occurrence, tangents)
            self.counts[occurrence.number] += 1
            if ending is None and events is not None and self.counts[occurrence.number] == events.terminal[occurrence.number]:
                ending = occurrence
        return ending

    def _keep(self, occurrence: Occurrence, tangents: np.ndarray | None) -> None:
        dt = None
        if tangents is not None and self.directions is not None and occurrence.move is not None:
            dt = occurrence.move.along(tangents, self.directions)
        self.events.append(Happened(occurrence, tangents, dt))

    def _new_events(self) -> tuple[range, range]:
        """Those on a piece, and those of the instant at which it ends."""
        on_it, at_end = self.ended, range(self.ended.stop, len(self.events))
        self.ended = range(at_end.stop, at_end.stop)
        return on_it, at_end

    def _state_after(self, happening: Happening, z: np.ndarray) -> np.ndarray:
        if self.directions is None:
            return happening.x
        tangents = z[self.n :].reshape(len(self.directions), self.n)
        if happening.transition is not None:
            tangents = happening.transition.push(tangents, self.directions)
        return np.concatenate([happening.x, tangents.ravel()])

    def _terminate(
        self, part: Trajectory, here: Problem, instant: Instant, z: np.ndarray, event: Occurrence, slope: np.ndarray
    ) -> Course:
        """End the solve at an event."""
        if event.move is None and self.differentiated:
            reason = "the event that ends the solve is only touched, and its instant has no derivative"
            return self._finish(part._replace(failure=Failure(instant.after, z, 0.0, reason)), here, instant)
        if self.times is not None:
            part = part._replace(t=np.append(part.t, instant.after), y=np.column_stack([part.y, z]))
        ending = None if event.move is None else Jump(event.move, slope)
        return self._finish(part, here, instant)._replace(ending=ending, terminated=event)

    def _finish(self, part: Trajectory, here: Problem, instant: Instant | None) -> Course:
        if self.parts and part.failure is not None and part.failure.reason.startswith("max_steps="):
            reason = (
                f"max_steps={self.controls.max_steps} steps were taken, with {len(self.parts)} stops at switches and events"
            )
            part = part._replace(failure=part.failure._replace(reason=reason))
        self.parts.append(part)
        until = here.t1 if instant is None else instant.after
        self._keep_piece(here, part, None, until)
        return Course(self._joined(), self.pieces, self.events)

    def _joined(self) -> Trajectory:
        parts, last = self.parts, self.parts[-1]
        if len(parts) == 1:
            return last._replace(crossing=None, sol=last.sol if self.asked else None)
        t = [part.t[1:] if k and self.times is None else part.t for k, part in enumerate(parts)]
        y = [part.y[:, 1:] if k and self.times is None else part.y for k, part in enumerate(parts)]
        counts = {name: sum(getattr(part, name) for part in parts) for name in ("nfev", "njev", "nlu", "nsteps", "flips")}
        rejected = None if last.nrejected is None else sum(part.nrejected or 0 for part in parts)
        methods = tuple(method for part in parts for method in part.methods)
        errors = np.sum([part.errors for part in parts], axis=0)
        sol = None
        if self.asked:
            sols = [part.sol for part in parts if part.sol is not None and part.sol.ts.size > 1]
            sol = join(sols) if sols else last.sol
        return last._replace(t=np.concatenate(t), y=np.hstack(y), sol=sol, nrejected=rejected, crossing=None, methods=methods,
                             errors=errors, **counts)  # fmt: skip


def _kinks(problem: Problem) -> Keys | None:
    rhs = problem.rhs
    return rhs.steady(problem.p) if rhs.steps_over_kinks else None


def _locate(crossing: Crossing, side: _Side) -> tuple[float, float]:
    """Neighbouring times of which the second is the first on another side, by bisection."""
    before, after = crossing.t0, crossing.t1
    while True:
        middle = before + (after - before) / 2
        if middle in (before, after):
            return before, after
        if side.holds(np.asarray(crossing.at(middle)), middle):
            before = middle
        else:
            after = middle


class FirstRows:
    """The first n rows of a solution as a function of time."""

    def __init__(self, sol: Any, n: int) -> None:
        self._sol = sol
        self._n = n
        self.ts, self.t_min, self.t_max = sol.ts, sol.t_min, sol.t_max

    def __call__(self, t: Any) -> np.ndarray:
        return np.asarray(self._sol(t)[: self._n])
