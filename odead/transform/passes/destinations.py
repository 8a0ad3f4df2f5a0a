"""Destination forwarding: what is computed only to be stored is computed in its place."""

from ...ops import TABLE
from ...structured import STRUCTURED
from ...tape import Program
from ...views import View, overlap
from .elements import Stamps
from .facts import rewritten, select, write_counts, written_once

__all__ = ["destinations"]


def destinations(program: Program) -> Program:
    """Turn `%t = op ...; copy dx[1:-1] <- %t` into `dx[1:-1] = op ...`.

    `%t` has no other reader, and between the two instructions nothing reads or writes there.
    """
    once = written_once(program, write_counts(program))
    reads = [0] * len(program.buffers)
    for ins in program.ins:
        for view in ins:
            reads[view.buffer] += 1
    once = [o and reads[b] == 1 for b, o in enumerate(once)]
    stores = {
        k: out for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True))
        if op == "copy" and out is not None and once[ins[0].buffer]
    }  # fmt: skip
    if not stores:
        return program
    touched = {out.buffer: Stamps(program.buffers[out.buffer].size) for out in stores.values()}
    origin = [-1] * len(program.buffers)
    outs = list(program.out)
    split = 0 if program.split is None else program.split
    moved = set()
    for k, out in enumerate(program.out):
        store = stores.get(k)
        if store is not None:
            source = program.ins[k][0]
            i = origin[source.buffer]
            same_side = (i < split) == (k < split)
            if same_side and outs[i] == source and touched[store.buffer].latest(store) <= i and _fits(program, i, store):
                outs[i] = store
                origin[store.buffer] = i
                touched[store.buffer].stamp(store, i)
                moved.add(k)
                continue
        for view in program.ins[k]:
            if view.buffer in touched:
                touched[view.buffer].stamp(view, k)
        if out is not None:
            origin[out.buffer] = k
            if out.buffer in touched:
                touched[out.buffer].stamp(out, k)
    if not moved:
        return program
    return select(rewritten(program, out=outs), [k for k in range(len(program)) if k not in moved])


def _fits(program: Program, i: int, store: View) -> bool:
    """Whether instruction i may write `store` beside what it reads."""
    op = program.op[i]
    if op in STRUCTURED and STRUCTURED[op].in_place:
        return False
    operands = [view for view in program.ins[i] if view.buffer == store.buffer]
    return all((view == store and op in TABLE) or not overlap(view, store) for view in operands)
