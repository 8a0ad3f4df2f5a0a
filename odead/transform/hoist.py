"""What a program computes from inputs that stay as they are, apart: it runs once, and the rest again and again.

In a solve, p is fixed. A table looked up with it, a power of two parameters, or the tangents of these along fixed directions
are the same at every evaluation of the right-hand side.
"""

from collections.abc import Iterable

from ..structured import STRUCTURED
from ..tape import Program, Role

__all__ = ["early", "hoist"]


def hoist(program: Program, fixed: Iterable[int]) -> Program:
    """The program with what depends on fixed arguments alone in front, `split` after that; itself where there is nothing.

    The part before the split fills temporaries only. Nothing is reordered otherwise. Guards, what may fail in another way, and
    calls stay where they are.

    Parameters
    ----------
    program : Program
    fixed : iterable of int
        Positions of arguments. One that is written to is not taken for fixed.
    """
    if "call" in program.op:  # their rules keep pullbacks for the part behind a split
        return program
    alone = early(program, fixed)
    if not any(alone):
        return program
    order = sorted(range(len(program)), key=lambda number: not alone[number])
    instructions = list(program)
    return program.replaced([instructions[number] for number in order], sum(alone))


def early(program: Program, fixed: Iterable[int]) -> list[bool]:
    """Per instruction, whether it may run in front."""
    given = {program.arguments[position] for position in fixed}
    given |= {number for number, buffer in enumerate(program.buffers) if buffer.role in (Role.CONSTANT, Role.CAPTURED)}
    last_write = {out.buffer: number for number, out in enumerate(program.out) if out is not None}
    given -= last_write.keys()
    known = {number for number, buffer in enumerate(program.buffers) if buffer.role is Role.TEMP}  # at the split, and for good
    alone = [not _may_stop(program, number) for number in range(len(program))]
    before = -1
    while before != len(known):  # more than once only where memory is written again
        before = len(known)
        for number, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
            alone[number] &= (
                out is not None and out.buffer in known and all(v.buffer in known or v.buffer in given for v in ins)
            )
            if not alone[number]:
                known -= {view.buffer for view in ins if last_write.get(view.buffer, -1) > number}
                known -= set() if out is None else {out.buffer}
    return alone


def _may_stop(program: Program, number: int) -> bool:
    """Whether an instruction may end a run: at a guard, or at an index that is out of bounds."""
    op = program.op[number]
    if op not in STRUCTURED:
        return False
    indices = (view.buffer for view in program.ins[number] if program.dtype(view) == "int64")
    return STRUCTURED[op].can_fail or any(program.buffers[b].role is not Role.CONSTANT for b in indices)
