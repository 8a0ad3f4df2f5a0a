"""Compaction: unused buffers go, the others are numbered in the order of their first use."""

from ..._places import renumbered, uses
from ...tape import Program, Role

__all__ = ["compact"]


def compact(program: Program) -> Program:
    """Drop unused buffers and number the rest canonically, so that two equal programs print equal."""
    used = uses(program)
    roles = [buffer.role for buffer in program.buffers]
    order = [b for b in used if roles[b] is not Role.CONSTANT]
    order += [b for b in used if roles[b] is Role.CONSTANT]  # numbers print as such: last, they leave no gaps
    if order == list(range(len(program.buffers))):
        return program
    new = Program(program.name)
    new.lines, new.split = program.lines, program.split
    new.op, new.params, new.line = program.op, program.params, program.line
    numbers = [-1] * len(program.buffers)
    for old in order:
        buffer = program.buffers[old]
        if buffer.role is Role.CONSTANT:
            assert buffer.data is not None
            numbers[old] = new.constant(buffer.data, buffer.dtype).buffer
        else:
            numbers[old] = len(new.buffers)
            new.buffers.append(buffer)
    new.arguments = [numbers[b] for b in program.arguments]
    new.results = [numbers[b] for b in program.results]

    new.out, new.ins = renumbered(program, numbers)
    return new
