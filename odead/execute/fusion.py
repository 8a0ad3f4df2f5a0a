"""Runs of elementwise instructions become blocks, which the sweep executes tile by tile.

A tile is a stretch of indices so short that what one instruction writes is still in the cache when the next one reads it. An
instruction may lag behind: at the tile from s to e it does the indices from s - lag to e - lag. Lags keep what the program
says, bit for bit: where index i of an instruction and index j of a later one touch the same element and one of them writes it,
i + lag <= j + lag' holds, so that i comes in the same tile or in an earlier one. Such lags always exist, for each is bounded
from below only (loop shifting: Kennedy and McKinley, "Maximizing loop parallelism and improving data locality via loop
fusion and distribution", 1993); where one gets long, a new block begins.

Instructions that are no part of a block and stand between those that are go before or after it, where nothing forbids that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final, NamedTuple

from ..ops import TABLE
from ..tape import Program
from ..views import View, overlap
from .access import Access, access, distance

__all__ = ["TILE", "Block", "Member", "fuse"]

TILE: Final = 640  # elements of an operand in a tile; 384 and 512 were slower by up to 11 %, 1024 no faster
_SHORT: Final = 128
_MOST_MEMBERS: Final = 64
_MOST_ASIDE: Final = 32
_SUM_LEAF: Final = 128  # elements that a pairwise sum adds without halving


class Member(NamedTuple):
    """An instruction of a block.

    Attributes
    ----------
    number : int
        In the program.
    lag : int
        Indices it stays behind.
    accesses : tuple of Access
        Of the result and the operands.
    """

    number: int
    lag: int
    accesses: tuple[Access, ...]

    @property
    def extent(self) -> int:
        return self.accesses[-1].extent


@dataclass
class Block:
    """Instructions that are executed tile by tile.

    Attributes
    ----------
    extent : int
        The largest number of indices of a member.
    width : int
        The most elements that a member visits at one index.
    inner : int
        Elements behind the axis that is cut, of the first member.
    tile : int
        Elements that a tile should have.
    members : list of Member
        In the order of the program.
    start : int
        Where the first one is in the program in its new order; the others follow it.
    has_sum : bool
        Whether one of them is a sum over all indices.
    """

    extent: int
    width: int
    inner: int
    tile: int
    members: list[Member] = field(default_factory=list)
    start: int = 0
    has_sum: bool = False

    @property
    def step(self) -> int:
        """Indices of a tile; rows of a lane are not cut shorter than `_SHORT`, for each costs as much as so many elements."""
        return max(1, self.tile // self.width, min(_SHORT, self.tile) // self.inner)


def fuse(
    program: Program, positions: Sequence[int], is_fixed: Callable[[Program, int], bool], tile: int = TILE
) -> tuple[Program, Sequence[int], list[Block]]:
    """Find the blocks of a program.

    Parameters
    ----------
    program : Program
    positions : sequence of int
        Of its instructions, somewhere else.
    is_fixed : callable
        Whether an instruction, given by its number, must keep its place among the others.
    tile : int
        Elements of an operand in a tile.

    Returns
    -------
    tuple of Program, sequence of int, list of Block
        The program with the members of each block side by side, the positions in the new order, and the blocks.
    """
    if not any(buffer.size >= 2 * tile for buffer in program.buffers):
        return program, positions, []
    order: list[int] = []
    blocks: list[Block] = []
    start = 0
    stops = {k for k in range(len(program)) if is_fixed(program, k)}
    for stop in sorted({*stops, len(program), *(() if program.split is None else (program.split,))}):
        _arrange(program, range(start, stop), tile, order, blocks)
        if stop in stops:
            order.append(stop)
        start = stop + (stop in stops)
    if not blocks:
        return program, positions, []
    instructions = list(program)
    return program.replaced([instructions[k] for k in order], program.split), [positions[k] for k in order], blocks


def _arrange(program: Program, numbers: Sequence[int], tile: int, order: list[int], blocks: list[Block]) -> None:
    """Append the instructions of a stretch in a new order, and the blocks in it."""
    todo = deque(numbers)
    while todo:
        number = todo.popleft()
        group = _Group.at(program, number, tile)
        if group is None:
            order.append(number)
            continue
        while todo and group.takes(todo[0]):
            todo.popleft()
        members = group.block.members
        if len(members) > 1:
            order += group.before
            group.block.start = len(order)
            order += [member.number for member in members]
            blocks.append(group.block)
            todo.extendleft(reversed(group.after))
        else:
            order.append(number)
            todo.extendleft(sorted(group.before + group.after, reverse=True))


_Touched = dict[int, list[tuple[View, bool]]]  # per buffer, what is touched, and whether it is written


class _Group:
    """A block under construction, and the instructions that go before and after it."""

    def __init__(self, program: Program, block: Block) -> None:
        self.block = block
        self.before: list[int] = []
        self.after: list[int] = []
        self._program = program
        self._accesses: dict[int, list[tuple[Access, int, bool]]] = {}  # with lags, and whether they write
        self._inside: _Touched = {}
        self._behind: _Touched = {}

    @classmethod
    def at(cls, program: Program, number: int, tile: int) -> _Group | None:
        """A block that begins with an instruction; None where that one cannot be cut."""
        out = program.out[number]
        if program.op[number] not in TABLE or out is None or not out.shape:
            return None
        axis, inner = _first_axis(out.shape, 2 * tile)
        if axis is None or out.shape[axis] * inner < 2 * tile:
            return None
        group = cls(program, Block(out.shape[axis], prod(out.shape) // out.shape[axis], inner, tile))
        return group if group._joins(number) else None

    def takes(self, number: int) -> bool:
        """Make an instruction a member, or let it go before or behind; False where the block must end."""
        if len(self.block.members) == _MOST_MEMBERS or len(self.before) + len(self.after) == _MOST_ASIDE:
            return False
        if self._joins(number):
            return True
        views = _touched(self._program, number)
        if _meets(views, self._inside) or _meets(views, self._behind):
            self.after.append(number)
            _note(views, self._behind)
        else:
            self.before.append(number)
        return True

    def _joins(self, number: int) -> bool:
        program, block = self._program, self.block
        out, ins, is_sum = program.out[number], program.ins[number], program.op[number] == "sum"
        if out is None or not ins[0].shape:
            return False
        axis = self._axis(ins[0].shape)
        if axis is None:
            return False
        count = ins[0].shape[axis]
        width = prod(ins[0].shape) // count
        accesses: tuple[Access, ...]
        if is_sum:
            # Tiles are then the leaves of a pairwise sum over all indices; see `_sweep.pyx`.
            is_plain = len(ins[0].shape) == 1 and not out.shape and program.dtype(out) == "float64"
            if not is_plain or count != block.extent or block.step < _SUM_LEAF:
                return False
            accesses = access(out, -1), access(ins[0], axis)
        elif program.op[number] in TABLE and out.strides[axis] > 0:
            if block.has_sum and (count > block.extent or width > block.width):
                return False
            accesses = tuple(access(view, axis) for view in (out, *ins))
        else:
            return False
        views = _touched(program, number)
        lag = None if _meets(views, self._behind) else self._lag(accesses)
        if lag is None or (is_sum and lag):
            return False
        block.members.append(Member(number, lag, accesses))
        block.extent, block.width = max(block.extent, count), max(block.width, width)
        block.has_sum |= is_sum
        _note(views, self._inside)
        for k, touched in enumerate(accesses):
            self._accesses.setdefault(touched.view.buffer, []).append((touched, lag, k == 0))
        return True

    def _axis(self, shape: tuple[int, ...]) -> int | None:
        """The axis along which an instruction of this shape can be cut with the others."""
        inner = 1
        for axis in range(len(shape) - 1, -1, -1):
            count = shape[axis]
            if _similar(count, self.block.extent) and _similar(inner, self.block.inner):
                return axis
            inner *= count
        return None

    def _lag(self, accesses: tuple[Access, ...]) -> int | None:
        """The least lag that respects the members so far; None where it would be too long."""
        lag = 0
        for k, touched in enumerate(accesses):
            for other, behind, writes in self._accesses.get(touched.view.buffer, ()):
                if k == 0 or writes:
                    apart = distance(other, touched)
                    if apart is not None:
                        lag = max(lag, behind + apart)
        return lag if lag * self.block.width <= max(1, self.block.tile // 2) or lag <= 2 else None


def _first_axis(shape: tuple[int, ...], most: int) -> tuple[int | None, int]:
    """The outermost axis with at most so many elements behind it, and their number."""
    inner = prod(shape)
    for axis, extent in enumerate(shape):
        if not extent:
            return None, 0
        inner //= extent
        if inner <= most and extent > 1:
            return axis, inner
    return None, 0


def _similar(a: int, b: int) -> bool:
    return a <= 2 * b and b <= 2 * a


def _touched(program: Program, number: int) -> list[tuple[View, bool]]:
    out = program.out[number]
    reads = [(view, False) for view in program.ins[number]]
    return reads if out is None else [(out, True), *reads]


def _note(views: list[tuple[View, bool]], touched: _Touched) -> None:
    for view, writes in views:
        touched.setdefault(view.buffer, []).append((view, writes))


def _meets(views: list[tuple[View, bool]], touched: _Touched) -> bool:
    """Whether the order between an instruction and others matters."""
    return any(
        (writes or other_writes) and overlap(view, other)
        for view, writes in views
        for other, other_writes in touched.get(view.buffer, ())
    )
