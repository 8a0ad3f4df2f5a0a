"""Common subexpressions: what has been computed is not computed again."""

from ..._passes import shared
from ...tape import Program
from .facts import rewritten, select

__all__ = ["cse"]


def cse(program: Program) -> Program:
    """Number values: an instruction with the operation and the operand values of an earlier one gives its temporary.

    Only temporaries that are written once and whole are shared. The value of an operand in memory that is written again is
    told by the last instruction that wrote into it.
    """
    kept, ins = shared(program)
    return program if len(kept) == len(program) else select(rewritten(program, ins=ins), kept)
