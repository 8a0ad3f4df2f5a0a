"""Solves that locate switches recorded as values where they jump or bend (`selects`), once a solve has met such a place.

Which switches do, a solve shows; then it is done anew with these as branches. The right-hand side remembers them, so that the
next solve begins with them.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from ...errors import warn
from ..engines.engine import Trajectory
from ..problem.problem import Problem
from ..rhs.selects import Flips
from .chattering import SLIDING
from .piecewise import Course

__all__ = ["solve_with_switches"]

ENOUGH: Final = 5000  # steps of a solve that failed, to look for what stopped it

Rest = TypeVar("Rest")


def solve_with_switches(
    problem: Problem, solve: Callable[[Problem], tuple[Course, Rest]], *, differentiated: bool = True, adjoint: bool = False
) -> tuple[Course, Rest]:
    """Solve, with the switches located that jump, or bend now and then.

    Warns of those that jump and could not be located, if derivatives are wanted: the steps alone pass them, as in SciPy.

    Parameters
    ----------
    problem : Problem
    solve : callable
        Of a problem with this right-hand side, or another form of it: the course, perhaps with a failure, and anything else.
    differentiated, adjoint : bool
        Whether derivatives are wanted, and whether the steps do not see each of them.

    Returns
    -------
    tuple
        What `solve` returned in the end.
    """
    attempt: _Attempt | None = _Attempt(problem._replace(rhs=problem.rhs.located), differentiated=differentiated, by_p=adjoint)
    while attempt is not None:
        solved = solve(attempt.problem)
        attempt = attempt.after(solved[0])
    return solved


class _Attempt(NamedTuple):
    """A solve.

    Attributes
    ----------
    problem : Problem
    locates : bool
        Whether switches that jump are to be located.
    reason : str
        Why not.
    insists : bool
        Whether there is nothing else to try: without them as branches the solve fails too, and says less about the cause.
    differentiated, by_p : bool
        Whether derivatives are wanted, and whether kinks of those by p are to be located too.
    seen : int
        Steps of the solve before, in which one of those flipped that are located now.
    """

    problem: Problem
    locates: bool = True
    reason: str = ""
    insists: bool = False
    differentiated: bool = True
    by_p: bool = False
    seen: int = 0

    def after(self, course: Course) -> "_Attempt | None":
        """The one to follow, where switches jumped and are to be located, or could not be located."""
        failure = course.trajectory.failure
        if failure is not None:
            is_final = failure.diagnosis is SLIDING or (failure.diagnosis and self.differentiated)
            return None if is_final else self._after_failure(course, failure.reason)
        if sum(not piece.happened for piece in course.pieces[:-1]) < self.seen:
            return self._with_shorter_steps()
        found, rhs, reason = _flipping(course, self.by_p), self.problem.rhs, self.reason
        if found and self.locates:
            few = {line: flips for line, flips in found.items() if self._locates(flips, course.trajectory.nsteps)}
            if few and self._can_locate:
                slides = any(flips.slides for flips in found.values())
                seen = max(flips.steps for flips in few.values())
                problem = self.problem._replace(rhs=rhs.locating(few, _apart(few)))
                return self._replace(problem=problem, insists=slides, seen=seen)
            if not rhs.heeds_kinks and _are_kinks(found, course.trajectory):
                return self._replace(problem=self.problem._replace(rhs=rhs.locating((), heeds_kinks=True)))
            reason = "mass_matrix is large and regular" if few else "it switches too often"
        jumping = [line for line, flips in found.items() if flips.jumps]
        if jumping and self.differentiated:
            _warn(self.problem, jumping, reason)
        return None

    def _with_shorter_steps(self) -> "_Attempt":
        """Where fewer flips were located than seen before, twice within one step, as if nothing had happened.

        Of a relay on for 0.9 of 5.8, which a continuation of the other side reached for less, DOP853 at 1e-6 saw nothing.
        """
        return self._replace(problem=self.problem._replace(rhs=self.problem.rhs.locating((), missed=True)), seen=0)

    def _locates(self, flips: Flips, nsteps: int) -> bool:
        """Whether switches that flip so are to be located; without derivatives it is enough that steps heed kinks."""
        heeded = self.problem.rhs.heeds_kinks and not (flips.jumps or self.differentiated)
        return not heeded and flips.are_few(nsteps, differentiated=self.differentiated)

    def _after_failure(self, course: Course, reason: str) -> "_Attempt | None":
        problem, rhs = self.problem, self.problem.rhs
        if self.insists or any(flips.slides for flips in _flipping(course, self.by_p).values()):
            return self._with_others(course)
        if rhs.frozen or rhs.heeds_kinks:
            return self._replace(problem=problem._replace(rhs=rhs.origin), locates=False, reason=reason)
        if not self.locates:
            return self._replace(problem=problem._replace(rhs=rhs.located), locates=True, reason="", insists=True)
        return self._with_others(course)

    def _with_others(self, course: Course) -> "_Attempt | None":
        """The one with those located, too, that jumped before the solve failed, if there are any."""
        found = {line: flips for line, flips in _flipping(course, self.by_p).items() if flips.jumps}
        if not (found and self._can_locate):
            return None
        rhs = self.problem.rhs.locating(found, _apart(found))
        return self._replace(problem=self.problem._replace(rhs=rhs), insists=True)

    @property
    def _can_locate(self) -> bool:
        mass = self.problem.rhs.mass
        return mass is None or mass.is_singular


def _flipping(course: Course, by_p: bool) -> dict[str, Flips]:
    """The switches recorded as values that flipped where their two sides, or the slopes of these, differ, by source line.

    Of a solve that failed, perhaps because it took too many steps, only some of them are looked at.
    """
    found: dict[str, Flips] = {}
    failure = course.trajectory.failure
    most = None if failure is None else ENOUGH
    for piece in course.pieces:  # between two pieces there is a jump, if need be
        if piece.path is not None:
            here = piece.problem
            selects = here.rhs.selects(here.x0, here.p, here.t0, by_p=by_p)
            selects.see(piece.path.chunks(most), found)
            if failure is not None and piece is course.pieces[-1]:
                n = here.x0.size
                selects.see_ahead(failure.t, np.ascontiguousarray(failure.x[:n]), failure.step, found)
    return {line: flips for line, flips in found.items() if flips.jumps or flips.bends}


def _apart(found: dict[str, Flips]) -> float:
    return min((flips.apart for flips in found.values() if flips.jumps), default=np.inf)


def _are_kinks(found: dict[str, Flips], trajectory: Trajectory) -> bool:
    """Whether kinks are all that was found, less often than in each step, by an engine that can heed them.

    Over 73 kinks a solve with Tsit5 was off by 292 tolerances.
    """
    total = sum(int(flips.counts.sum()) for flips in found.values())
    return bool(trajectory.methods) and total <= trajectory.nsteps and not any(flips.jumps for flips in found.values())


def _warn(problem: Problem, lines: Sequence[str], reason: str) -> None:
    warn(
        f"{problem.name} switched during the solve at {'; '.join(lines)}, where the values on both sides differ; the "
        f"derivatives lack the jump of such a switch, which could not be located ({reason}). Make the right-hand side "
        f"continuous there, or give the time of the switch as tstops",
    )
