"""Dead code elimination: an instruction stays only if a later reader, an exit value or a guard needs what it writes."""

from collections.abc import Set

from ..._passes import needed
from ...tape import Program
from .facts import select

__all__ = ["dce"]


def dce(program: Program, unneeded: Set[int] = frozenset()) -> Program:
    """Drop instructions whose results nothing observable needs.

    One backward sweep keeps, for each element, whether its present value is read later. A fill of a scratch array that is
    then overwritten in pieces goes, a store that is overwritten before it is read too. What the buffers `unneeded` hold at the
    exit is not observed.
    """
    return select(program, needed(program, unneeded))
