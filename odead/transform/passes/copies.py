"""Copy forwarding: readers of a copy read its source, as long as the source has not changed."""

from ..._passes import forwarded
from ...tape import Program
from .compose import compose
from .facts import rewritten, select

__all__ = ["copies"]


def copies(program: Program) -> Program:
    """Replace operands that a `copy` has filled by views of what it copied; the copies may then be dead.

    Serves loads (`copy %t <- x[3]`), fills, vector temporaries read in parts, and stores that are read back.
    """
    found = forwarded(program, compose)
    if found is None:
        return program
    kept, ins = found
    return select(rewritten(program, ins=ins), kept)
