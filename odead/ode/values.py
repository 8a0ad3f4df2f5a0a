"""Derived programs that leave out what nobody asks for."""

from collections.abc import Sequence

from ..tape import Program, Role

__all__ = ["without_values"]


def without_values(program: Program, positions: Sequence[int] = (0,)) -> Program:
    """The program with these arguments as scratch: what only they need is dead then, a third of a small right-hand side.

    The positions come last first.
    """
    for position in positions:
        buffer = program.arguments.pop(position)
        program.buffers[buffer] = program.buffers[buffer]._replace(role=Role.TEMP, shape=None)
    return program
