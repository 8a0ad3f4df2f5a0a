"""Where temporaries live: one arena per executable, shared by buffers that are never needed at the same time."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from .._storage import lifetimes as scan_lifetimes
from .._storage import placements
from ..tape import DTYPES, Program

__all__ = ["MemoryPlan", "lifetimes", "plan_memory", "round_up"]

CACHE_LINE = 64
_ITEM = {dtype: np.dtype(dtype).itemsize for dtype in DTYPES}


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
    return scan_lifetimes(program)


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
    return MemoryPlan(*placements(lives, program.buffers, _ITEM))


def _around_blocks(lives: dict[int, tuple[int, int]], blocks: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Let what is alive in a block live through all of it; in the order of birth."""
    first = {number: start for start, stop in blocks for number in range(start, stop + 1)}
    last = {number: stop for start, stop in blocks for number in range(start, stop + 1)}
    grown = {b: (first.get(birth, birth), last.get(death, death)) for b, (birth, death) in lives.items()}
    return dict(sorted(grown.items(), key=lambda life: life[1][0]))


def round_up(size: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-size // step) * step
