"""Dead code elimination: an instruction stays only if a later reader, an exit value or a guard needs what it writes."""

from ...tape import Program, Role
from .elements import Marks
from .facts import select, updates_in_place, write_counts, written_once

__all__ = ["dce"]


def dce(program: Program) -> Program:
    """Drop instructions whose results nothing observable needs.

    One backward sweep keeps, for each element, whether its present value is read later. A fill of a scratch array that is
    then overwritten in pieces goes, a store that is overwritten before it is read too.
    """
    counts = write_counts(program)
    once = written_once(program, counts)
    live: list[Marks | None] = [
        None if once[b] or not counts[b] else Marks(buffer.size, buffer.role is not Role.TEMP)
        for b, buffer in enumerate(program.buffers)
    ]
    wanted = bytearray(len(program.buffers))  # of temporaries written once
    kept = []
    for k in range(len(program) - 1, -1, -1):
        out = program.out[k]
        if out is not None:
            marks = live[out.buffer]
            if marks is None:
                if not wanted[out.buffer]:
                    continue
            elif updates_in_place(program.op[k]):
                if not marks.any(out):
                    continue
            elif not marks.clear(out):
                continue
        kept.append(k)
        for view in program.ins[k]:
            marks = live[view.buffer]
            if marks is None:
                wanted[view.buffer] = 1
            else:
                marks.mark(view)
    kept.reverse()
    return select(program, kept)
