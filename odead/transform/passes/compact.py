"""Compaction: unused buffers go, the others are numbered in the order of their first use."""

from ...tape import Program, Role
from ...views import View

__all__ = ["compact"]


def compact(program: Program) -> Program:
    """Drop unused buffers and number the rest canonically, so that two equal programs print equal."""
    order = dict.fromkeys((*program.arguments, *program.results))
    for out, ins in zip(program.out, program.ins, strict=True):
        for view in ins:
            order[view.buffer] = None
        if out is not None:
            order[out.buffer] = None
    roles = [buffer.role for buffer in program.buffers]
    literals = [b for b in order if roles[b] is Role.CONSTANT]  # numbers print as such: last, they leave no gaps
    order = dict.fromkeys([b for b in order if roles[b] is not Role.CONSTANT] + literals)
    if list(order) == list(range(len(program.buffers))):
        return program
    new = Program(program.name)
    new.lines, new.split = program.lines, program.split
    new.op, new.params, new.line = program.op, program.params, program.line
    numbers: dict[int, int] = {}
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

    def numbered(view: View) -> View:
        number = numbers[view.buffer]
        return view if number == view.buffer else View(number, view.offset, view.shape, view.strides)

    new.out = [None if out is None else numbered(out) for out in program.out]
    new.ins = [tuple([numbered(view) for view in ins]) for ins in program.ins]
    return new
