"""Pieces: a part of a temporary that is written and read on its own becomes a temporary of its own."""

from ..._elements import Stamps
from ..._places import in_parts
from ...tape import Program
from ...views import View
from .compose import compose
from .facts import rewritten, updates_in_place

__all__ = ["pieces"]


def pieces(program: Program) -> Program:
    """Give the result of an instruction its own contiguous temporary, if all readers of any of it read nothing else.

    Scratch arrays that are used element by element, and the rows of rolled loops of which only some are left, become plain
    values, which other passes handle best.
    """
    stamps = {b: Stamps(program.buffers[b].size) for b in in_parts(program)}
    if not stamps:
        return program
    readers: dict[int, list[tuple[int, int]]] = {}  # by writer: instruction and operand
    for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True)):
        for operand, view in enumerate(ins):
            if view.buffer in stamps:
                updated = operand == 0 and updates_in_place(op)
                _note_reader(readers, stamps[view.buffer], view, None if updated else (k, operand))
        if out is not None and out.buffer in stamps:
            if not updates_in_place(op):
                readers[k] = []
            stamps[out.buffer].stamp(out, k)
    return _moved(program, readers)


def _note_reader(readers: dict[int, list[tuple[int, int]]], stamps: Stamps, view: View, where: tuple[int, int] | None) -> None:
    """Append to the readers of the one writer of `view`; writers that share a reader, or are updated, stay where they are."""
    writer = stamps.common(view)
    if writer < 0 or where is None:
        for each in stamps.all(view):
            readers.pop(each, None)
    elif writer in readers:
        readers[writer].append(where)


def _moved(program: Program, readers: dict[int, list[tuple[int, int]]]) -> Program:
    new = rewritten(program, out=list(program.out), ins=list(program.ins))
    changed = False
    for writer, reads in readers.items():
        place = program.out[writer]
        assert place is not None
        value = new.temp(program.dtype(place), place.shape)
        parts = [compose(place, value, program.ins[k][operand]) for k, operand in reads]
        if None in parts:
            new.buffers.pop()
            continue
        changed = True
        new.out[writer] = value
        for (k, operand), part in zip(reads, parts, strict=True):
            assert part is not None
            new.ins[k] = (*new.ins[k][:operand], part, *new.ins[k][operand + 1 :])
    return new if changed else program
