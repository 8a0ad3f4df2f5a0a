"""Destination forwarding: what is computed only to be stored is computed in its place."""

from ..._passes import placed
from ...tape import Program
from .facts import rewritten, select

__all__ = ["destinations"]


def destinations(program: Program) -> Program:
    """Turn `%t = op ...; copy dx[1:-1] <- %t` into `dx[1:-1] = op ...`.

    `%t` has no other reader, and between the two instructions nothing reads or writes there.
    """
    found = placed(program)
    if found is None:
        return program
    kept, out = found
    return select(rewritten(program, out=out), kept)
