"""What makes the derivatives of a solve doubtful: discontinuities that were met and not located."""

from ...errors import warn
from ..problem.problem import Problem

__all__ = ["warn_of_branches"]


def warn_of_branches(problem: Problem, flips: int) -> None:
    """Warn if branches were taken anew that nothing located."""
    if flips:
        warn(
            f"{problem.name} took another branch during the solve; the derivatives are right only where the "
            f"right-hand side is continuous across the branch, or switches at a time that does not depend on what is "
            f"differentiated",
        )
