"""A stretch of repeating instructions, seen as iterations of a loop, and how much of it may become vector instructions."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ...structured import STRUCTURED
from ...tape import Program
from ...views import View, is_injective, overlap
from .columns import Columns
from .dependence import Accesses, Blocks
from .repetition import stretches

__all__ = ["ERRATIC", "LEAST", "STEPS", "Loop", "Region"]

LEAST: Final = 4  # iterations: a vector instruction of fewer elements takes longer than the scalar ones
ERRATIC: Final = 0.6  # part of the steps at which a slot's operands do not continue as before, above which it is left alone
STEPS: Final = 8  # between the places of a table, at most, for which it may be a nest of short loops, that roll on their own
_CUTS: Final = 2  # so few iterations in conflict with earlier ones split a loop; more make their slots a block
_ATTEMPTS: Final = 8


@dataclass(frozen=True)
class Loop:
    """Iterations whose slots, outside of `blocks`, each become one instruction.

    Attributes
    ----------
    start : int
        Position of the first instruction.
    period, count : int
        Slots and iterations.
    blocks : Blocks
        Slots that stay as they are.
    local : list of bool
        For each slot, whether its result is the first in a temporary that belongs to the iteration.
    places : dict of int to (int, ndarray)
        For each slot that picks elements without a pattern: the column, 0 for the result, and the offsets.
    """

    start: int
    period: int
    count: int
    blocks: Blocks
    local: list[bool]
    places: dict[int, tuple[int, np.ndarray]]

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count


class Region:
    """`count` iterations of `period` slots from `start`, with equal signatures.

    Attributes
    ----------
    buffer, offset : ndarray of int64, (OPERANDS, count, period)
        As in `Columns`.
    key : ndarray of int64, (OPERANDS, count, period)
        Equal in consecutive iterations where an operand is *the same thing*: -2 - k for a temporary that the same iteration
        first writes in slot k, one number for all literals, else the buffer.
    """

    def __init__(self, program: Program, columns: Columns, start: int, period: int, count: int) -> None:
        self.program, self.columns = program, columns
        self.start, self.period, self.count = start, period, count
        window = slice(start, start + period * count)
        shape = (len(columns.buffer), count, period)
        self.buffer = columns.buffer[:, window].reshape(shape)
        self.offset = columns.offset[:, window].reshape(shape)
        present = self.buffer >= 0
        self.first = columns.first[self.buffer] - start
        self.last = columns.last[self.buffer] - start
        iteration = np.arange(count)[:, None]
        self.temp = present & columns.is_temp[self.buffer]
        self.local = self.temp & (self.first >= 0) & (self.first // period == iteration) & (self.last // period == iteration)
        literal = present & columns.is_number[self.buffer]
        self.key = np.where(self.local, -2 - self.first % period, np.where(literal, len(program.buffers), self.buffer))
        place = np.where(literal, 0, self.offset)
        step = np.diff(place, axis=1)
        self.follows = (self.key[:, 1:] == self.key[:, :-1]).all(axis=0)  # (count - 1, period)
        regular = step[:, 1:] == step[:, :-1]
        self.steady = regular.all(axis=0)  # (count - 2, period)
        self.scattered = self._scattered(step)
        self.steady[:, self.scattered] = True

    def _scattered(self, step: np.ndarray) -> np.ndarray:
        """Slots that load or store an element of one array at places without a pattern, as a table of neighbours gives them.

        They become a gather or a scatter with a constant index; whether iterations meet at an element is seen as for any other.
        """
        found = np.zeros(self.period, dtype=bool)
        erratic = (step[:, 1:] != step[:, :-1]).mean(axis=1) > ERRATIC  # (OPERANDS, period)
        one = (self.buffer[:2] == self.buffer[:2, :1]).all(axis=1)
        for k in np.flatnonzero((erratic[0] != erratic[1]) & self.follows.all(axis=0)).tolist():
            column, position = int(erratic[1, k]), self.start + k
            out, ins = self.program.out[position], self.program.ins[position]
            if (
                self.program.op[position] == "copy" and out is not None and not out.shape and not ins[0].shape
                and one[column, k] and (self.buffer[0, :, k] != self.buffer[1, :, k]).all()
            ):  # fmt: skip
                found[k] = len(np.unique(step[column, :, k])) > STEPS
        return found

    def loops(self) -> list[Loop]:
        """What can be rolled, in program order."""
        continues = self.follows[1:] & self.follows[:-1] & self.steady
        erratic = np.flatnonzero(1 - continues.mean(axis=0) > ERRATIC)
        if len(erratic) == self.period:
            return []
        blocks = Blocks(self.period)
        self.block_erratic(blocks, erratic)
        self.block_guarded(blocks)
        straight = np.delete(continues, erratic, axis=1).all(axis=1)
        stretched = _apart([(start, stop + 2) for start, stop in stretches(straight, LEAST - 2)])
        self.block_unbatched(blocks, stretched)
        if not stretched or not self.may_be_worth_it(blocks):
            return []
        stretched = self.legal(blocks, stretched)
        for start, stop in stretched:
            self.block_unproven(blocks, start, stop)
        loops = [self.loop(start, stop, blocks) for start, stop in stretched]
        return loops if any(map(self.is_worth_it, loops)) else []

    def loop(self, start: int, stop: int, blocks: Blocks) -> Loop:
        local = (self.key[0, start:stop] == -2 - np.arange(self.period)).all(axis=0)
        return Loop(
            self.start + start * self.period, self.period, stop - start, blocks, local.tolist(), self.places(start, stop)
        )

    def places(self, start: int, stop: int) -> dict[int, tuple[int, np.ndarray]]:
        found = {}
        for k in np.flatnonzero(self.scattered).tolist():
            for column in (0, 1):
                offsets = self.offset[column, start:stop, k]
                if (np.diff(offsets, 2) != 0).any():
                    found[k] = (column, offsets)
        return found

    def may_be_worth_it(self, blocks: Blocks) -> bool:
        """Whether `is_worth_it` may hold; blocks only grow."""
        if not blocks.inside.any():
            return True
        ops = self.program.op[self.start : self.start + self.period]
        is_load = self.local[0].all(axis=0) & np.array([op == "copy" for op in ops])
        return not (blocks.inside | is_load).all()

    def is_worth_it(self, loop: Loop) -> bool:
        """Whether more than loads becomes vector instructions; loads alone go by copy forwarding, whether rolled or not."""
        ops = self.program.op[self.start : self.start + self.period]
        inside = loop.blocks.inside.tolist()
        return not any(inside) or any(
            not kept and (op != "copy" or not local) for op, kept, local in zip(ops, inside, loop.local, strict=True)
        )

    # ------------------------------------------------------------------------------------------ what stays a loop

    def block_erratic(self, blocks: Blocks, slots: np.ndarray) -> None:
        """Slots without a pattern, with all between them and the slots from whose earlier iterations they take values."""
        carried = self.temp[:, :, slots] & ~self.local[:, :, slots] & (self.first[:, :, slots] >= 0)
        writer = np.where(carried, self.last[:, :, slots] % self.period, -1).max(axis=(0, 1))
        for slot, last in zip(slots.tolist(), writer.tolist(), strict=True):
            blocks.add(slot, max(slot, last))

    def block_guarded(self, blocks: Blocks) -> None:
        """What a guard keeps from raising must not run for a later iteration before that guard.

        An index out of range is no such thing: it is a missed guard itself.
        """
        ops = self.program.op[self.start : self.start + self.period]
        guards = [k for k, op in enumerate(ops) if op == "guard"]
        guarded = [k for k, op in enumerate(ops) if op in STRUCTURED and STRUCTURED[op].can_fail]
        if guards and guarded and guarded[0] < guards[-1]:
            blocks.add(guarded[0], guards[-1])

    def block_unbatched(self, blocks: Blocks, stretched: list[tuple[int, int]]) -> None:
        """Structured operations that have no form with a leading axis."""
        for k, op in enumerate(self.program.op[self.start : self.start + self.period]):
            if op in STRUCTURED and not blocks.inside[k] and not all(self.is_batched(op, k, start) for start, _ in stretched):
                blocks.add(k, k)

    def is_batched(self, op: str, k: int, iteration: int) -> bool:
        if op not in ("take", "put", "put_add"):
            return STRUCTURED[op].batched
        index = 1 if op == "take" else 2
        if self.is_fixed(index, k, iteration):
            return True
        vector = len(self.program.ins[self.start + k][0].shape) == 1
        return op == "take" and vector and self.is_fixed(0, k, iteration)

    def is_fixed(self, operand: int, k: int, iteration: int) -> bool:
        """Whether an operand is the same view in each iteration."""
        column = operand + 1
        same_buffer = self.buffer[column, iteration, k] == self.buffer[column, iteration + 1, k]
        return bool(same_buffer and self.offset[column, iteration, k] == self.offset[column, iteration + 1, k])

    def legal(self, blocks: Blocks, stretched: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Stretches that may be distributed; blocks grow until that is so."""
        accesses = self.accesses(stretched)
        for _ in range(_ATTEMPTS):
            if accesses is None:
                return stretched
            iteration, slot, after = accesses.violations(blocks)
            if not len(iteration):
                return stretched
            cuts = np.unique(iteration)
            if len(cuts) <= _CUTS:
                stretched = _cut(stretched, cuts.tolist())
                if not stretched:
                    return []
                accesses = self.accesses(stretched)
                continue
            for first, last in np.unique(np.stack([slot, after]), axis=1).T.tolist():
                blocks.add(min(first, last), max(first, last))
            if not self.may_be_worth_it(blocks):
                return []
        return []

    def accesses(self, stretched: list[tuple[int, int]]) -> Accesses | None:
        """The accesses to memory that the region writes beyond the temporaries of one iteration."""
        stretch = np.full(self.count, -1)
        for number, (start, stop) in enumerate(stretched):
            stretch[start:stop] = number
        counted = (self.buffer >= 0) & ~self.local & (stretch >= 0)[:, None]
        written = np.zeros(len(self.program.buffers) + 1, dtype=bool)
        written[self.buffer[0][counted[0]]] = True
        if not written.any():
            return None
        sizes = np.where(written[:-1], self.columns.size, 0)
        base = np.append(np.cumsum(sizes) - sizes, 0)
        return Accesses(base[self.buffer] + self.offset, counted & written[self.buffer], stretch, self.layouts())

    def layouts(self) -> list[list[View | None]]:
        window = slice(self.start, self.start + self.period)
        ins = self.program.ins[window]
        operands = [[views[c] if c < len(views) else None for views in ins] for c in range(len(self.buffer) - 1)]
        return [self.program.out[window], *operands]

    def block_unproven(self, blocks: Blocks, start: int, stop: int) -> None:
        """Results whose rolled views the simple tests of `tape` cannot tell to be free of overlap."""
        apart = ~blocks.inside & ~self.scattered
        for k in np.flatnonzero(apart & ~self.local[0, start] & (self.buffer[0, start] >= 0)).tolist():
            position = self.start + start * self.period + k
            out = self.program.out[position]
            assert out is not None
            rolled = self.rolled(out, 0, start, stop, k)
            same_buffer = [(c, view) for c, view in enumerate(self.program.ins[position], 1) if view.buffer == out.buffer]
            others = [self.rolled(view, c, start, stop, k) for c, view in same_buffer]
            if not is_injective(rolled) or any(view != rolled and overlap(view, rolled) for view in others):
                blocks.add(k, k)

    def rolled(self, view: View, column: int, start: int, stop: int, k: int) -> View:
        step = int(self.offset[column, start + 1, k] - self.offset[column, start, k])
        return View(view.buffer, view.offset, (stop - start, *view.shape), (step, *view.strides))


def _apart(stretched: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbours share an iteration where the step changes; the earlier keeps it."""
    result: list[tuple[int, int]] = []
    end = 0
    for start, stop in stretched:
        start = max(start, end)
        if stop - start >= LEAST:
            result.append((start, stop))
            end = stop
    return result


def _cut(stretched: list[tuple[int, int]], cuts: list[int]) -> list[tuple[int, int]]:
    pieces = []
    for start, stop in stretched:
        edges = [start, *(cut for cut in cuts if start < cut < stop), stop]
        pieces += [(a, b) for a, b in pairwise(edges) if b - a >= LEAST]
    return pieces
