"""What makes the derivatives of a solve doubtful: discontinuities that were met and not located."""

from collections.abc import Sequence
from typing import Final

from ..errors import warn
from .piecewise import Course
from .problem import Problem
from .selects import Flips

__all__ = ["jumping_selects", "warn_of_branches", "warn_of_selects"]


ENOUGH: Final = 5000  # steps of a solve that failed, to look for what stopped it


def warn_of_branches(problem: Problem, flips: int) -> None:
    """Warn if branches were taken anew that nothing located."""
    if flips:
        warn(
            f"{problem.name} took another branch during the solve; the derivatives are right only where the "
            f"right-hand side is continuous across the branch, or switches at a time that does not depend on what is "
            f"differentiated",
        )


def jumping_selects(course: Course) -> dict[str, Flips]:
    """The switches recorded as values that flipped where their two sides differ, by their source lines.

    Of a solve that failed, perhaps because it took too many steps, only some of them are looked at.
    """
    found: dict[str, Flips] = {}
    most = None if course.trajectory.failure is None else ENOUGH
    for piece in course.pieces:  # between two pieces there is a jump, if need be
        if piece.path is not None:
            here = piece.problem
            here.rhs.selects(here.x0, here.p, here.t0).see(piece.path.chunks(most), found)
    return {line: flips for line, flips in found.items() if flips.jumps}


def warn_of_selects(problem: Problem, lines: Sequence[str], reason: str) -> None:
    """Warn of switches recorded as values that jumped and could not be located, for this reason."""
    warn(
        f"{problem.name} switched during the solve at {'; '.join(lines)}, where the values on both sides differ; the "
        f"derivatives lack the jump of such a switch, which could not be located ({reason}). Make the right-hand side "
        f"continuous there, or give the time of the switch as tstops",
    )
