"""What several passes ask about a program."""

from bisect import bisect_left

from ..._scan import picked
from ...structured import STRUCTURED
from ...tape import Program
from ...views import View, contiguous

__all__ = ["is_whole", "rewritten", "select", "updates_in_place"]


def is_whole(program: Program, view: View) -> bool:
    """Whether a view is all of its buffer, in order."""
    if not view.shape:  # scalar code asks this of every instruction
        return program.buffers[view.buffer].size == 1
    return view.offset == 0 and view.strides == contiguous(view.shape) and view.size == program.buffers[view.buffer].size


def updates_in_place(op: str) -> bool:
    """Whether the first operand of `op` is its result before, of which only a part may be overwritten."""
    return op in STRUCTURED and STRUCTURED[op].in_place


def rewritten(
    program: Program,
    op: list[str] | None = None,
    out: list[View | None] | None = None,
    ins: list[tuple[View, ...]] | None = None,
) -> Program:
    """The same instructions with other columns; the other columns and the buffers are those of `program`."""
    new = program.empty_like()
    new.op = program.op if op is None else op
    new.out = program.out if out is None else out
    new.ins = program.ins if ins is None else ins
    new.params, new.line, new.split = program.params, program.line, program.split
    return new


def select(program: Program, kept: list[int]) -> Program:
    """The instructions at these positions, in this order; none moves across the split."""
    if len(kept) == len(program):
        return program
    new = program.empty_like()
    new.op = picked(program.op, kept)
    new.out = picked(program.out, kept)
    new.ins = picked(program.ins, kept)
    new.params = picked(program.params, kept)
    new.line = picked(program.line, kept)
    if program.split is not None:
        new.split = bisect_left(kept, program.split)
    return new
