"""Derived programs that leave out what nobody asks for."""

from collections.abc import Sequence

import numpy as np

from ...tape import Program, Role
from ...transform.passes.facts import select

__all__ = ["without_exit", "without_values"]


def without_values(program: Program, positions: Sequence[int] = (0,)) -> Program:
    """The program with these arguments as scratch: what only they need is dead then, a third of a small right-hand side.

    The positions come last first.
    """
    for position in positions:
        buffer = program.arguments.pop(position)
        program.buffers[buffer] = program.buffers[buffer]._replace(role=Role.TEMP, shape=None)
    return program


def without_exit(program: Program, position: int) -> Program:
    """The program, after which nobody reads this argument: without the instructions that only leave something in it.

    A cotangent that is used up is set to 0 at last, which is a quarter of the instructions of a small right-hand side.
    """
    buffer = program.arguments[position]
    needed = np.zeros(program.buffers[buffer].size, dtype=bool)
    kept = []
    for number in range(len(program) - 1, -1, -1):
        out = program.out[number]
        if out is None or out.buffer != buffer or needed[out.indices()].any():
            kept.append(number)
            for view in program.ins[number]:
                if view.buffer == buffer:
                    needed[view.indices()] = True
    return select(program, kept[::-1])
