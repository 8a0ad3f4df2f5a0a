"""Pairs of instructions become one, where a temporary goes from the first to the second and nowhere else.

`x*y + z`, `(x - y)*z` and their like are single rows of the op table, so that the value in between needs no storage and no
second instruction. They round twice, exactly as the two instructions do: nothing changes in any bit.

A matrix product that is added to something is added to it where it is; its sums may then round differently, as those of any
matrix product may. A gradient by 10**4 weights would otherwise write, read and add as many numbers for each evaluation. In the
same way the sum of a batch of outer products is one product.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from .._passes import Merging
from .._scan import picked
from ..tape import Program
from ..views import View, overlap

__all__ = ["contract"]

# (consumer, which of its operands, producer): the operation that is both, and the order of its operands; 0 and 1 are those
# of the producer (of `neg`: 0), 2 and 3 the others of the consumer.
_PAIRS: Final[dict[tuple[str, int, str], tuple[str, tuple[int, ...]]]] = {
    ("add", 0, "mul"): ("muladd", (0, 1, 2)),
    ("add", 1, "mul"): ("muladd", (0, 1, 2)),
    ("sub", 0, "mul"): ("mulsub", (0, 1, 2)),
    ("sub", 1, "mul"): ("negmuladd", (0, 1, 2)),
    ("mul", 0, "add"): ("addmul", (0, 1, 2)),
    ("mul", 1, "add"): ("addmul", (0, 1, 2)),
    ("mul", 0, "sub"): ("submul", (0, 1, 2)),
    ("mul", 1, "sub"): ("submul", (0, 1, 2)),
    ("add", 0, "add"): ("addadd", (0, 1, 2)),
    ("add", 1, "add"): ("addadd", (0, 1, 2)),
    ("muladd", 0, "neg"): ("negmuladd", (0, 2, 3)),
    ("muladd", 1, "neg"): ("negmuladd", (2, 0, 3)),
}


def contract(program: Program, positions: Sequence[int]) -> tuple[Program, Sequence[int]]:
    """Merge pairs of instructions.

    Parameters
    ----------
    program : Program
    positions : sequence of int
        Of its instructions, somewhere else.

    Returns
    -------
    tuple of Program, sequence of int
        The program with fewer instructions, and their positions.
    """
    if "matmul" in program.op:
        program, positions = _Products(program).merged(positions)
    found = Merging(program)
    left = found.merge(_PAIRS)
    if len(left) == len(program):
        return program, positions
    new = program.empty_like()
    new.op, new.out, new.ins = picked(found.merged_op, left), picked(program.out, left), picked(found.merged_ins, left)
    new.params, new.line = picked(program.params, left), picked(program.line, left)
    new.split = None if program.split is None else bisect_left(left, program.split)
    return new, [positions[k] for k in left]


def _without(view: View, axis: int) -> View:
    """A view without an axis."""
    shape, strides = list(view.shape), list(view.strides)
    del shape[axis], strides[axis]
    return view._replace(shape=tuple(shape), strides=tuple(strides))


def _last(view: View, axis: int) -> View:
    """A view with an axis behind all others."""
    rest = _without(view, axis)
    return rest._replace(shape=(*rest.shape, view.shape[axis]), strides=(*rest.strides, view.strides[axis]))


class _Products:
    """Merges matrix products with sums, before other pairs: no other pair has a matrix product."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.op, self.ins = list(program.op), list(program.ins)
        self.gone: set[int] = set()
        self.first: dict[int, int] = {}  # by sum of two matrix products, the one that goes right before it, into its place
        self._merging = Merging(program)

    def merged(self, positions: Sequence[int]) -> tuple[Program, Sequence[int]]:
        for number, op in enumerate(self.program.op):
            if op == "sum":
                self._sum_outer_products(number)
            elif op == "add":
                self._accumulate(number)
        return self._result(positions) if self.gone else (self.program, positions)

    def _sum_outer_products(self, number: int) -> None:
        """Make the sum of outer products, over one axis of their batch, a product along that axis."""
        out, (view,) = self.program.out[number], self.ins[number]
        product = self._merging.producer(view)
        if out is None or product is None or self.op[product] != "matmul" or len(view.shape) != len(out.shape) + 1:
            return
        made, (x, y) = self.program.out[product], self.ins[product]
        assert made is not None, "a product has a result"
        axis = len(made.shape) - 3 if x.shape[-1] == 1 else -1
        if axis < 0 or view != _last(made, axis) or not self._can_wait(product, number):
            return
        factors = (_last(x._replace(shape=x.shape[:-1], strides=x.strides[:-1]), axis), _without(y, -2))
        if not any(overlap(factor, out) for factor in factors):
            self.op[number], self.ins[number] = "matmul", factors
            self.gone.add(product)

    def _accumulate(self, number: int) -> None:
        """Add a matrix product in place, where the sum is one with what is there or with another matrix product."""
        out, ins = self.program.out[number], self.ins[number]
        assert out is not None, "a sum has a result"
        factors = [self._product(view, number, out) for view in ins]
        for product, other, beside in ((factors[1], factors[0], ins[0]), (factors[0], factors[1], ins[1])):
            if product is None or not (beside == out or (other is not None and other != product)):
                continue
            if beside != out:
                assert other is not None
                self.first[number] = other
                self.gone.add(other)
            self.op[number], self.ins[number] = "matmul_add", (out, *self.ins[product])
            self.gone.add(product)
            return

    def _product(self, view: View, number: int, out: View) -> int | None:
        """The matrix product that an operand is, if it can as well be computed at `number` and go into `out`."""
        product = self._merging.producer(view)
        if product is None or self.op[product] != "matmul" or not self._feeds(product, view, number):
            return None
        return None if any(overlap(operand, out) for operand in self.ins[product]) else product

    def _feeds(self, producer: int, view: View, number: int) -> bool:
        """Whether an instruction can do what the producer of an operand does."""
        return self.program.out[producer] == view and self._can_wait(producer, number)

    def _can_wait(self, producer: int, number: int) -> bool:
        return self._merging.can_wait(self.ins[producer], producer, number)

    def _result(self, positions: Sequence[int]) -> tuple[Program, Sequence[int]]:
        program = self.program
        new = program.empty_like()
        at: list[int] = []
        for number in range(len(program)):
            if number == program.split:
                new.split = len(new)
            if number in self.first:
                product = self.first[number]
                new.emit("matmul", program.out[number], self.ins[product], None, program.line[product])
                at.append(positions[number])
            if number not in self.gone:
                new.emit(self.op[number], program.out[number], self.ins[number], program.params[number], program.line[number])
                at.append(positions[number])
        if program.split == len(program):
            new.split = len(new)
        return new, at
