"""Common subexpressions: what has been computed is not computed again."""

from collections.abc import Hashable

from ...tape import Program
from ...views import View
from .elements import Stamps
from .facts import is_whole, rewritten, select, write_counts, written_once

__all__ = ["cse"]

_COMMUTATIVE = frozenset({"add", "mul"})


def cse(program: Program) -> Program:
    """Number values: an instruction with the operation and the operand values of an earlier one gives its temporary.

    Only temporaries that are written once and whole are shared. The value of an operand in memory that is written again is
    told by the last instruction that wrote into it.
    """
    counts = write_counts(program)
    once = written_once(program, counts)
    stamps = [Stamps(buffer.size) if counts[b] and not once[b] else None for b, buffer in enumerate(program.buffers)]
    seen: dict[Hashable, int] = {}
    same: dict[int, int] = {}
    new_ins = list(program.ins)
    kept = []
    for k, (op, out, ins, params) in enumerate(zip(program.op, program.out, program.ins, program.params, strict=True)):
        if same and not same.keys().isdisjoint([view.buffer for view in ins]):
            ins = new_ins[k] = tuple([_replaced(view, same) for view in ins])
        if out is not None:
            writes = stamps[out.buffer]
            if writes is not None:
                writes.stamp(out, k)
            elif is_whole(program, out):
                versions = [written.latest(view) for view in ins if (written := stamps[view.buffer]) is not None]
                key = (op, params, program.buffers[out.buffer].dtype, out.shape, _ordered(op, ins), *versions)
                first = seen.setdefault(key, out.buffer)
                if first != out.buffer:
                    same[out.buffer] = first
                    continue
        kept.append(k)
    return program if len(kept) == len(program) else select(rewritten(program, ins=new_ins), kept)


def _replaced(view: View, same: dict[int, int]) -> View:
    number = same.get(view.buffer)
    return view if number is None else View(number, view.offset, view.shape, view.strides)


def _ordered(op: str, ins: tuple[View, ...]) -> tuple[View, ...]:
    return (ins[1], ins[0]) if op in _COMMUTATIVE and ins[1] < ins[0] else ins
