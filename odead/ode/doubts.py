"""What makes the derivatives of a solve doubtful: discontinuities that were met and not located."""

import numpy as np

from ..errors import warn
from .piecewise import Course
from .problem import Problem

__all__ = ["warn_of_branches", "warn_of_selects"]


def warn_of_branches(problem: Problem, flips: int) -> None:
    """Warn if branches were taken anew that nothing located."""
    if flips:
        warn(
            f"{problem.name} took another branch during the solve; the derivatives are right only where the "
            f"right-hand side is continuous across the branch, or switches at a time that does not depend on what is "
            f"differentiated",
        )


def warn_of_selects(problem: Problem, course: Course) -> None:
    """Warn if switches recorded as values flipped where their two sides differ."""
    if not problem.rhs.has_selects:
        return
    t, y = course.trajectory.t, course.trajectory.y[: problem.x0.size]
    lines: dict[str, None] = {}
    for inside in _columns_of_pieces(course):  # between two pieces there is a jump, if need be
        lines |= dict.fromkeys(problem.rhs.discontinuous_selects(t[inside], y[:, inside], problem.p))
    if lines:
        warn(
            f"{problem.name} switched during the solve at {'; '.join(lines)}, where the values on both sides differ; the "
            f"derivatives lack the jump of such a switch. Write it as a plain if on a number, which is located, or "
            f"give its time as tstops",
        )


def _columns_of_pieces(course: Course) -> list[np.ndarray]:
    """The numbers of the columns of a trajectory that belong to each piece."""
    t = course.trajectory.t
    if len(course.pieces) <= 1:
        return [np.arange(t.size)]
    sign = -1.0 if course.pieces[-1].until < course.pieces[0].problem.t0 else 1.0
    pieces = np.searchsorted(sign * np.array([piece.until for piece in course.pieces]), sign * t, side="left")
    return [np.flatnonzero(pieces == k) for k in range(len(course.pieces))]
