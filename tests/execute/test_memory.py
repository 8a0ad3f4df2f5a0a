"""The memory plan: no two buffers that are needed at the same time share a byte."""

from itertools import combinations

import numpy as np
from hypothesis import given

from helpers import programs
from odead.execute.memory import CACHE_LINE, lifetimes, plan_memory
from odead.tape import Program, Role


def nbytes(program: Program, buffer: int) -> int:
    return program.buffers[buffer].size * np.dtype(program.buffers[buffer].dtype).itemsize


def check(program: Program) -> None:
    plan, lives = plan_memory(program), lifetimes(program)
    assert plan.offsets.keys() == lives.keys()
    for buffer, offset in plan.offsets.items():
        assert 0 <= offset <= plan.size - nbytes(program, buffer)
        assert offset % (CACHE_LINE if nbytes(program, buffer) > 8 else 8) == 0
    for a, b in combinations(plan.offsets, 2):
        together = lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
        apart = (
            plan.offsets[a] + nbytes(program, a) <= plan.offsets[b] or plan.offsets[b] + nbytes(program, b) <= plan.offsets[a]
        )
        assert apart or not together


@given(programs(max_instructions=40))
def test_buffers_that_live_together_do_not_overlap(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, _ = drawn
    for split in (None, 0, len(program) // 2, len(program)):
        program.split = split
        check(program)


def chain(links: int, sizes: tuple[int, ...] = (100,)) -> Program:
    """A chain of temporaries, of which two are alive at any time."""
    p = Program("chain")
    x = p.bound("float64", (max(sizes),), Role.ARGUMENT, "x")
    last = x
    for k in range(links):
        n = min(sizes[k % len(sizes)], last.shape[0])
        short = last._replace(shape=(n,))
        last = p.temp("float64", (n,))
        p.emit("neg", last, (short,))
    p.emit("copy", x._replace(shape=last.shape), (last,))
    return p


def test_a_chain_needs_two_blocks() -> None:
    check(chain(50))
    assert plan_memory(chain(50)).size == 2 * plan_memory(chain(1)).size


def test_nearly_equal_sizes_share() -> None:
    assert plan_memory(chain(50, (101, 100, 99))).size <= 2 * plan_memory(chain(1, (104,))).size


def test_scalars_lie_side_by_side() -> None:
    p = Program()
    out = p.bound("float64", (), Role.RESULT, "out")
    temps = [p.temp("float64", ()) for _ in range(10)]
    for temp in temps:
        p.emit("copy", temp, (p.constant(1.0, "float64"),))
    for temp in temps:
        p.emit("copy", out, (temp,))
    check(p)
    assert plan_memory(p).size == 80


def test_what_crosses_the_split_lives_until_the_end() -> None:
    p = chain(6)
    p.split = 3
    crossing = p.ins[3][0].buffer
    lives = lifetimes(p)
    assert lives[crossing] == (2, len(p))
    assert [b for b in lives if lives[b][1] == len(p)] == [crossing]
    check(p)


def test_the_plan_is_linear_in_the_length() -> None:
    """10**5 instructions in well under the second that a quadratic algorithm would exceed a hundred times."""
    p = chain(100_000, (1,))
    assert plan_memory(p).size == 16
