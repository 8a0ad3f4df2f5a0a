"""Loop rolling: an element loop, recorded as thousands of scalar instructions, becomes a few vector instructions.

Where the same instructions repeat, with operands that advance by fixed steps, R iterations of L instructions are replaced
by L instructions with one more leading axis of length R. Temporaries of an iteration become rows of a vector temporary.
What cannot be proven to give the same values stays as it was: a recurrence inside a loop stays a loop, in the order of its
iterations, between the vector instructions of the rest. Nested loops roll from the inside out, one level per round.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np

from ...tape import Instruction, Program, Role
from ...views import View
from .columns import Columns
from .compact import compact
from .region import ERRATIC, LEAST, STEPS, Loop, Region
from .repetition import periods, runs, stretches

__all__ = ["roll"]

_REGIONS: Final = 512  # looked at in one round: each costs about a millisecond, however short
_IN_VAIN: Final = 32  # regions of one period without a loop, one after the other: the next are of the same kind


def roll(program: Program) -> Program:
    """Roll loops, innermost first, until nothing rolls any more."""
    while True:
        if max(Counter(program.op).values(), default=0) < LEAST:  # spares most programs their columns: a quarter of the passes
            return program
        columns, loops = _find(program)
        if not loops:
            return program
        rolled = _Rolling(program, columns, loops).run()
        program = compact(rolled) if 2 * len(rolled) < len(program) else rolled  # most temporaries are gone, or few


def _find(program: Program) -> tuple[Columns, list[Loop]]:
    """Loops that can be rolled, in program order; none overlap."""
    columns = Columns(program)
    free = np.ones(len(program), dtype=bool)
    found: list[Loop] = []
    in_vain: Counter[int] = Counter()
    for start, stop, period in islice(_repetitions(columns, free, in_vain), _REGIONS):
        in_vain[period] += 1
        start = columns.aligned(start, period)
        count = (stop - start) // period
        if count >= LEAST and columns.may_roll(start, period, count, ERRATIC, STEPS, LEAST - 2):
            loops = Region(program, columns, start, period, count).loops()
            found += loops
            if loops:
                in_vain[period] = 0
            for loop in loops:
                free[loop.start : loop.stop] = False
    return columns, sorted(found, key=lambda loop: loop.start)


def _repetitions(columns: Columns, free: np.ndarray, in_vain: Counter[int]) -> Iterator[tuple[int, int, int]]:
    """Ranges (start, stop, period) of free instructions that repeat; `free` shrinks as their loops are taken.

    `in_vain` counts, for each period, the last ranges that gave no loop.
    """
    for period in periods(columns.signature, LEAST - 1):
        for start, stop in runs(columns.signature, free, period, LEAST):
            if in_vain[period] >= _IN_VAIN:
                break
            for begin, end in stretches(free[start:stop], LEAST * period):  # a run may share an iteration with its neighbour
                yield start + begin, start + end, period


class _Rolling:
    """Replaces loops by their vector instructions."""

    def __init__(self, program: Program, columns: Columns, loops: list[Loop]) -> None:
        self.old, self.columns, self.loops = program, columns, loops
        self.new = program.empty_like()
        # For a temporary of an iteration the vector temporary, else -1, and where it begins there; the last is for "no buffer".
        self.rows = np.full(len(program.buffers) + 1, -1, dtype=np.int64)
        self.shift = np.zeros(len(program.buffers), dtype=np.int64)

    def run(self) -> Program:
        for loop in self.loops:
            self.declare(loop)
        cursor = 0
        for loop in self.loops:
            self.keep(cursor, loop.start)
            for instruction in self.distributed(loop):
                self.new.append(instruction)
            cursor = loop.stop
        self.keep(cursor, len(self.old))
        return self.new

    def declare(self, loop: Loop) -> None:
        """Make a vector temporary for each slot that begins one, and note where each temporary goes."""
        for k in np.flatnonzero(loop.local).tolist():
            temporaries = self.columns.buffer[0, loop.start + k : loop.stop : loop.period]
            buffer = self.old.buffers[temporaries[0]]
            self.rows[temporaries] = self.new.temp(buffer.dtype, (loop.count, buffer.size)).buffer
            self.shift[temporaries] = np.arange(loop.count) * buffer.size

    def keep(self, start: int, stop: int) -> None:
        """Take over instructions that are not part of a loop."""
        old, new = self.old, self.new
        begin = len(new.op)
        if old.split is not None and start <= old.split <= stop:
            new.split = begin + old.split - start
        new.op += old.op[start:stop]
        new.out += old.out[start:stop]
        new.ins += old.ins[start:stop]
        new.params += old.params[start:stop]
        new.line += old.line[start:stop]
        touched = (self.rows[self.columns.buffer[:, start:stop]] >= 0).any(axis=0)
        for k in np.flatnonzero(touched).tolist():
            out = new.out[begin + k]
            new.out[begin + k] = None if out is None else self.placed(out)
            new.ins[begin + k] = tuple(map(self.placed, new.ins[begin + k]))

    def placed(self, view: View) -> View:
        rows = self.rows.item(view.buffer)
        return view if rows < 0 else View(rows, view.offset + self.shift.item(view.buffer), view.shape, view.strides)

    def distributed(self, loop: Loop) -> Iterator[Instruction]:
        blocks = loop.blocks
        for k in range(loop.period):
            if not blocks.inside[k]:
                yield self.vector(loop, k)
            elif blocks.group[k] == k:
                for first in range(loop.start + k, loop.stop, loop.period):
                    yield from map(self.scalar, range(first, first + int(blocks.end[k]) - k + 1))

    def scalar(self, at: int) -> Instruction:
        """An instruction that stays, on temporaries that have moved."""
        old = self.old
        out = old.out[at]
        placed = None if out is None else self.placed(out)
        return Instruction(old.op[at], placed, tuple(map(self.placed, old.ins[at])), old.params[at], old.line[at])

    def vector(self, loop: Loop, k: int) -> Instruction:
        """The instruction that does slot k of all iterations."""
        if k in loop.places:
            return self.scattered(loop, k)
        old = self.old
        at = loop.start + k
        following = at + loop.period
        op, out, next_out = old.op[at], old.out[at], old.out[following]
        rolled = None if out is None or next_out is None else self.rolled(loop.count, out, next_out)
        operands = [
            self.literals(loop, k, column) or self.rolled(loop.count, view, next_view)
            for column, (view, next_view) in enumerate(zip(old.ins[at], old.ins[following], strict=True))
        ]
        if op in ("take", "put", "put_add"):
            operands = _with_fixed_operand(op, operands)
        return Instruction(op, rolled, tuple(operands), old.params[at], old.line[at])

    def scattered(self, loop: Loop, k: int) -> Instruction:
        """The gather or scatter for loads or stores of single elements at places without a pattern."""
        old, at = self.old, loop.start + k
        column, offsets = loop.places[k]
        out, (source,) = old.out[at], old.ins[at]
        following = old.out[at + loop.period]
        assert out is not None and following is not None
        picked = out if column == 0 else source
        low = int(offsets.min())
        window = self.placed(View(picked.buffer, low, (int(offsets.max()) - low + 1,), (1,)))
        index = self.new.constant(offsets - low, "int64")
        if column == 0:
            values = self.literals(loop, k, 0) or self.rolled(loop.count, source, old.ins[at + loop.period][0])
            return Instruction("put", window, (window, values, index), None, old.line[at])
        return Instruction("take", self.rolled(loop.count, out, following), (window, index), None, old.line[at])

    def rolled(self, count: int, view: View, following: View) -> View:
        """The view whose row r is the view of iteration r, given those of the first two."""
        first, second = self.placed(view), self.placed(following)
        return View(first.buffer, first.offset, (count, *first.shape), (second.offset - first.offset, *first.strides))

    def literals(self, loop: Loop, k: int, column: int) -> View | None:
        """A constant vector, where an operand is a number that varies from iteration to iteration."""
        old, new = self.old, self.new
        view = old.ins[loop.start + k][column]
        first = old.buffers[view.buffer]
        if first.role is not Role.CONSTANT or first.size != 1:
            return None
        numbers = [ins[column].buffer for ins in old.ins[loop.start + k : loop.stop : loop.period]]
        if numbers.count(view.buffer) == len(numbers):
            return None
        values = [data.item() for number in numbers if (data := old.buffers[number].data) is not None]
        vector = new.constant(values, first.dtype)
        return vector._replace(shape=(len(numbers), *view.shape), strides=(1, *(0 for _ in view.shape)))


def _with_fixed_operand(op: str, operands: list[View]) -> list[View]:
    """Take the new axis off the index, or else off what is indexed: one of them is the same in each iteration."""
    index = len(operands) - 1
    fixed = index if op != "take" or operands[index].strides[0] == 0 else 0
    view = operands[fixed]
    operands[fixed] = view._replace(shape=view.shape[1:], strides=view.strides[1:])
    return operands
