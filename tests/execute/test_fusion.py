"""Blocks that are executed tile by tile give what the instructions give one after the other, bit for bit."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odead._core import OPCODES
from odead.execute import reference
from odead.execute.access import access, distance
from odead.execute.compiled import Executable
from odead.execute.fusion import fuse
from odead.execute.lowering import lower
from odead.tape import Program, Role, verify
from odead.views import View, overlap
from recorder import at

NEVER = 10**9  # a tile that no array fills


def blocks_of(program: Program, tile: int) -> list[list[str]]:
    """The operations of each block."""
    new, _, blocks = fuse(program, range(len(program)), lambda program, k: program.op[k] == "guard", tile)
    verify(new)
    return [new.op[block.start : block.start + len(block.members)] for block in blocks]


def assert_same_in_tiles(program: Program, arrays: Sequence[np.ndarray], tiles: Sequence[int] = (2, 3, 8, 128)) -> None:
    verify(program)
    plain = [x.copy() for x in arrays]
    Executable(program, tile=NEVER).run(plain)
    expected = [x.copy() for x in arrays]
    reference.run(program, expected)
    for a, b in zip(plain, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    for tile in tiles:
        actual = [x.copy() for x in arrays]
        executable = Executable(program, tile=tile)
        assert executable.run(actual) == -1
        for a, b in zip(actual, plain, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"tile {tile}\n{program}")


# ------------------------------------------------------------------------------------------------- random programs


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[Program, list[np.ndarray]]:
    """Shifted reads, writes and accumulations on a few arrays and temporaries, as stencils and their adjoints have them."""
    lanes = draw(st.sampled_from([(), (3,)]))
    inner = draw(st.sampled_from([(), (), (4,)]))
    n = draw(st.integers(8, 40))
    shape = (*lanes, n, *inner)
    axis = len(lanes)
    program = Program("drawn")
    arrays = [program.bound("float64", shape, Role.ARGUMENT, name) for name in "abc"]
    places = list(arrays)
    for _ in range(draw(st.integers(2, 14))):
        width = draw(st.integers(max(1, n - 5), n))
        behind = draw(st.integers(1, inner[0])) if inner else 0

        def window(whole: View, width: int = width, behind: int = behind) -> View:
            index = [slice(None)] * len(whole.shape)
            start = draw(st.integers(0, whole.shape[axis] - width))
            index[axis] = slice(start, start + width)
            if inner:
                start = draw(st.integers(0, whole.shape[-1] - behind))
                index[-1] = slice(start, start + behind)
            return at(whole, *index)

        wide = [view for view in places if view.shape[axis] >= width and (not inner or view.shape[-1] >= behind)]
        op = draw(st.sampled_from(["add", "sub", "mul", "muladd", "neg", "copy", "exp"]))
        ins = [window(draw(st.sampled_from(wide))) for _ in range({"muladd": 3, "neg": 1, "copy": 1, "exp": 1}.get(op, 2))]
        if op == "exp":  # stays bounded
            program.emit("sign", program.temp("float64", ins[0].shape), (ins[0],))
            ins = [program.out[-1]]
        kind = draw(st.sampled_from(["temp", "write", "accumulate"]))
        if kind == "temp":
            out = program.temp("float64", ins[0].shape)
        else:
            out = window(draw(st.sampled_from([view for view in wide if view.buffer < 3] or wide[:1])))
            if kind == "accumulate" and op == "add":
                ins[0] = out
        ins = [view if view == out or not overlap(view, out) else _copied(program, view) for view in ins]
        program.emit(op, out, tuple(ins))
        if kind == "temp":
            places.append(out)
        elif not lanes and not inner and draw(st.integers(0, 3)) == 0:
            total = program.temp("float64", ())
            program.emit("sum", total, (ins[0],))
            program.emit("add", at(arrays[2], 0), (at(arrays[2], 0), total))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return program, [rng.standard_normal(shape) for _ in arrays]


def _copied(program: Program, view: View) -> View:
    copy = program.temp("float64", view.shape)
    program.emit("copy", copy, (view,))
    return copy


@given(neighbourhoods())
def test_random_neighbourhoods(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    with np.errstate(all="ignore"):
        assert_same_in_tiles(program, arrays)


@given(st.data())
def test_the_distance_bounds_every_meeting(data: st.DataObject) -> None:
    def draw() -> View:
        shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=2)))
        strides = data.draw(st.sampled_from([(6, 1), (1, 6), (12, 2), (6, -1), (7, 1), (6, 0), (0, 1)]))
        return View(0, data.draw(st.integers(10, 30)), shape, strides)

    a, b = draw(), draw()
    axis = data.draw(st.integers(0, 1))
    found = distance(access(a, axis), access(b, axis))
    along_a, along_b = np.moveaxis(a.indices(), axis, 0), np.moveaxis(b.indices(), axis, 0)
    met = [i - j for i, x in enumerate(along_a) for j, y in enumerate(along_b) if np.isin(x, y).any()]
    assert not met or (found is not None and found >= max(met))


# ------------------------------------------------------------------------------------------------------------ traps


def vector(program: Program, name: str, n: int) -> View:
    return program.bound("float64", (n,), Role.ARGUMENT, name)


@pytest.mark.parametrize("shift", [-3, -1, 1, 3])
def test_reads_beside_what_the_block_writes(shift: int) -> None:
    """y = 2 x; x[i] = y[i + shift], where tiles without lags would read too early or too late."""
    n = 50
    program = Program("shift")
    x, y = vector(program, "x", n), vector(program, "y", n)
    program.emit("add", y, (x, x))
    here, there = slice(max(0, -shift), n - max(0, shift)), slice(max(0, shift), n + min(0, shift))
    program.emit("copy", at(x, here), (at(y, there),))
    program.emit("add", at(y, here), (at(x, there), at(x, there)))
    assert blocks_of(program, 16) == [["add", "copy", "add"]]
    assert_same_in_tiles(program, [np.arange(50.0), np.zeros(50)], (2, 8, 16))


def test_a_long_reach_ends_the_block() -> None:
    program = Program("far")
    x, y = vector(program, "x", 60), vector(program, "y", 60)
    program.emit("add", y, (x, x))
    program.emit("copy", at(x, slice(0, 40)), (at(y, slice(20, 60)),))
    assert blocks_of(program, 8) == []
    assert_same_in_tiles(program, [np.arange(60.0), np.zeros(60)])


def test_the_other_direction_ends_the_block() -> None:
    program = Program("reversed")
    x, y = vector(program, "x", 60), vector(program, "y", 60)
    program.emit("add", y, (x, x))
    program.emit("mul", x, (at(y, slice(None, None, -1)), y))
    assert blocks_of(program, 8) == []
    assert_same_in_tiles(program, [np.arange(60.0), np.zeros(60)])


def test_a_number_the_block_computes_ends_it() -> None:
    """y = x * x[0]; then x[0] is written, and read again by the next instruction."""
    program = Program("number")
    x, y = vector(program, "x", 60), vector(program, "y", 60)
    first = View(x.buffer, 0, (60,), (0,))
    program.emit("mul", y, (x, first))
    program.emit("add", at(x, 0), (at(x, 0), at(y, 1)))
    program.emit("mul", y, (y, first))
    assert blocks_of(program, 8) == []
    assert_same_in_tiles(program, [np.arange(1.0, 61.0), np.zeros(60)])


def test_numbers_step_aside() -> None:
    """What stands between goes before the block or behind it."""
    program = Program("aside")
    x, y, z, p = vector(program, "x", 60), vector(program, "y", 60), vector(program, "z", 60), vector(program, "p", 3)
    total = program.temp("float64", ())
    program.emit("mul", y, (x, x))
    program.emit("sum", total, (y,))
    program.emit("add", at(p, 0), (at(p, 0), total))
    program.emit("add", at(p, 1), (at(p, 2), at(p, 2)))
    program.emit("add", z, (y, View(p.buffer, 1, (60,), (0,))))
    assert blocks_of(program, 8) == [["mul", "add"]]
    assert_same_in_tiles(program, [np.arange(60.0), np.zeros(60), np.zeros(60), np.ones(3)])


def test_a_sum_inside_a_block_has_the_bits_of_one_outside() -> None:
    rng = np.random.default_rng(0)
    for n in (513, 1000, 4099, 10_000):
        program = Program("dot")
        x, y, p = vector(program, "x", n), vector(program, "y", n), vector(program, "p", 1)
        product = program.temp("float64", (n,))
        program.emit("mul", product, (x, y))
        program.emit("sum", at(p, 0), (product,))
        assert blocks_of(program, 256) == [["mul", "sum"]]
        arrays = [rng.standard_normal(n), rng.standard_normal(n), np.zeros(1)]
        assert_same_in_tiles(program, arrays, (128, 256))
        Executable(program, tile=256).run(arrays)
        assert arrays[2][0] == (arrays[0] * arrays[1]).sum()


@pytest.mark.parametrize("n", [300, 1000, 3001])
def test_a_product_that_is_summed_has_the_bits_of_both(n: int) -> None:
    """It needs no storage, also where its operands are overwritten before the sum; x[k] * y[k + 1] and x . x as well."""
    program = Program("dot")
    x, y, total = vector(program, "x", n), vector(program, "y", n), vector(program, "total", 3)
    pairs = [(x, y, at(y, slice(0, n))), (at(x, slice(0, n - 1)), at(y, slice(1, n)), None), (x, x, None)]
    sums = []
    for a, b, overwritten in reversed(pairs):
        product = program.temp("float64", a.shape)
        program.emit("mul", product, (a, b))
        if overwritten is not None:
            program.emit("copy", overwritten, (program.constant(0.0, "float64", overwritten.shape),))
        sums.append(program.temp("float64", ()))
        program.emit("sum", sums[-1], (product,))
    for k, each in enumerate(sums):
        program.emit("copy", at(total, k), (each,))
    rng = np.random.default_rng(n)
    assert_same_in_tiles(program, [rng.standard_normal(n), rng.standard_normal(n), np.zeros(3)], (128, 130, 250))
    names = {number: name for name, number in OPCODES.items()}
    used = [names[code] for code in lower(program, OPCODES, 130).rows[:, 0]]
    assert used.count("dot") == 2
    assert used.count("mul.float64.vv") == used.count("sum.float64") == 1  # the one of n - 1 elements


def test_lanes_and_what_they_share() -> None:
    """Instructions on (n,) and on (lanes, n) go through the same tiles."""
    n, lanes = 40, 3
    program = Program("lanes")
    x, d = vector(program, "x", n), program.bound("float64", (lanes, n), Role.ARGUMENT, "d")
    square, wide = program.temp("float64", (n,)), program.temp("float64", (lanes, n))
    program.emit("mul", square, (x, x))
    program.emit("mul", wide, (View(square.buffer, 0, (lanes, n), (0, 1)), d))
    program.emit("add", d, (wide, d))
    assert blocks_of(program, 8) == [["mul", "mul", "add"]]
    assert_same_in_tiles(program, [np.arange(40.0), np.ones((lanes, n))])


def test_guards_keep_their_place() -> None:
    program = Program("guarded")
    x, y = vector(program, "x", 40), vector(program, "y", 40)
    flag = program.temp("bool", ())
    program.emit("less", flag, (at(x, 0), at(x, 1)))
    program.emit("add", y, (x, x))
    program.emit("guard", None, (flag,), 1)
    program.emit("mul", x, (x, y))
    assert blocks_of(program, 8) == []
    arrays = [np.zeros(40), np.zeros(40)]
    assert Executable(program, tile=8).run(arrays) == 2
    assert_same_in_tiles(program, [np.arange(40.0), np.zeros(40)])


def test_blocks_end_at_the_split() -> None:
    program = Program("parts")
    x, y = vector(program, "x", 40), vector(program, "y", 40)
    kept = program.temp("float64", (40,))
    program.emit("mul", kept, (x, x))
    program.emit("add", y, (kept, x))
    program.split = 2
    program.emit("add", x, (kept, kept))
    program.emit("mul", y, (kept, x))
    assert blocks_of(program, 8) == [["mul", "add"], ["add", "mul"]]
    assert_same_in_tiles(program, [np.arange(40.0), np.zeros(40)])


def test_a_grid_is_cut_into_rows() -> None:
    """A five-point stencil and its adjoint, whose temporaries never are in memory."""
    n = 12
    program = Program("grid")
    u, du, back = (program.bound("float64", (n, n), Role.ARGUMENT, name) for name in ("u", "du", "back"))
    middle = slice(1, -1)
    sides = [(slice(2, None), middle), (slice(None, -2), middle), (middle, slice(2, None)), (middle, slice(None, -2))]
    total = program.temp("float64", (n - 2, n - 2))
    program.emit("add", total, (at(u, *sides[0]), at(u, *sides[1])))
    for side in sides[2:]:
        more = program.temp("float64", (n - 2, n - 2))
        program.emit("add", more, (total, at(u, *side)))
        total = more
    program.emit("copy", at(du, middle, middle), (total,))
    for side in sides:
        program.emit("add", at(back, *side), (at(back, *side), total))
    assert [len(block) for block in blocks_of(program, 24)] == [8]
    rng = np.random.default_rng(0)
    assert_same_in_tiles(program, [rng.standard_normal((n, n)) for _ in range(3)], (2, 24, 40))
