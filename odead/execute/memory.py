"""Where temporaries live: one arena per executable, shared by buffers that are never needed at the same time."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from ..tape import Program, Role

__all__ = ["MemoryPlan", "lifetimes", "plan_memory", "round_up"]

CACHE_LINE = 64


@dataclass(frozen=True)
class MemoryPlan:
    """Placement of the temporaries of a program.

    Attributes
    ----------
    offsets : dict
        Byte offset in the arena of each TEMP buffer that the program touches.
    size : int
        Bytes of the arena.
    """

    offsets: dict[int, int]
    size: int


def lifetimes(program: Program) -> dict[int, tuple[int, int]]:
    """Return the first and the last instruction at which each TEMP buffer must keep its contents.

    The reverse part may run several times after one forward part, so what crosses the split lives until the end.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    temporary = [buffer.role is Role.TEMP for buffer in program.buffers]
    for number, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
        for view in ins if out is None else (out, *ins):
            if temporary[view.buffer]:
                first.setdefault(view.buffer, number)
                last[view.buffer] = number
    split, end = program.split, len(program)
    if split is not None:
        last.update({b: end for b in first if first[b] < split <= last[b]})
    return {b: (first[b], last[b]) for b in first}


def plan_memory(
    program: Program, blocks: Sequence[tuple[int, int]] = (), elsewhere: Container[int] = frozenset()
) -> MemoryPlan:
    """Place the temporaries of a program but those that are `elsewhere`.

    The instructions of a block, given as the first and the last one, are executed at the same time.

    A buffer that dies leaves its block to the next one of the same size class, the last block freed first, since it is
    still in the cache. Linear in the length of the program: element loops have 10**5 temporaries.
    """
    lives = {b: life for b, life in lifetimes(program).items() if b not in elsewhere}
    if blocks:
        lives = _around_blocks(lives, blocks)
    dying: dict[int, list[int]] = {}
    for buffer, (_, last) in lives.items():
        dying.setdefault(last, []).append(buffer)
    free: dict[int, list[int]] = {}
    offsets: dict[int, int] = {}
    size = 0
    done = 0  # instructions whose dead buffers have been freed
    for buffer, (first, _) in lives.items():  # in the order of birth
        for number in range(done, first):
            for dead in dying.get(number, ()):
                free.setdefault(_block(program, dead), []).append(offsets[dead])
        done = first
        block = _block(program, buffer)
        if free.get(block):
            offsets[buffer] = free[block].pop()
        else:
            size = round_up(size, min(block, CACHE_LINE))
            offsets[buffer] = size
            size += block
    return MemoryPlan(offsets, size)


def _around_blocks(lives: dict[int, tuple[int, int]], blocks: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Let what is alive in a block live through all of it; in the order of birth."""
    first = {number: start for start, stop in blocks for number in range(start, stop + 1)}
    last = {number: stop for start, stop in blocks for number in range(start, stop + 1)}
    grown = {b: (first.get(birth, birth), last.get(death, death)) for b, (birth, death) in lives.items()}
    return dict(sorted(grown.items(), key=lambda life: life[1][0]))


def _block(program: Program, buffer: int) -> int:
    """Size class: 8 bytes for a scalar, else cache lines, with steps of at most an eighth, so that n and n - 2 can share."""
    b = program.buffers[buffer]
    size = b.size * np.dtype(b.dtype).itemsize
    if size <= 8:
        return 8
    step = max(CACHE_LINE, 1 << (size.bit_length() - 4))
    return round_up(size, step)


def round_up(size: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-size // step) * step
