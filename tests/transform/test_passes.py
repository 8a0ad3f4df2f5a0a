"""What holds for every pass and for all of them together: same values, valid programs, nothing left to do."""

import gc
import math
import time

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from helpers import programs
from odead.execute.reference import ReferenceExecutable, run
from odead.tape import Program, Role, verify
from odead.transform.forward import forward
from odead.transform.passes import CLEANING, PLACING, optimise
from odead.transform.passes.compact import compact
from odead.transform.reverse import reverse
from odead.views import View, contiguous
from recorder import Recorder, at, without_lines

ALL_PASSES = (*CLEANING, *PLACING, compact, optimise)


def outcome(program, arrays):
    """How many guards were met, and the exit values."""
    copies = [np.array(x) for x in arrays]
    position = run(program, copies)
    return program.op[:position].count("guard") if position >= 0 else None, copies


def assert_same_outcome(program, original, arrays):
    verify(program)
    (missed, found), (expected_missed, expected) = outcome(program, arrays), outcome(original, arrays)
    assert missed == expected_missed
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y, strict=True)
        if x.dtype.kind == "f":
            numbers = ~np.isnan(y)
            np.testing.assert_array_equal(np.signbit(x)[numbers], np.signbit(y)[numbers])


# ------------------------------------------------------------------------------------------------ any program


@settings(max_examples=100)
@given(programs(guards="any", special=True, max_instructions=30))
def test_values_are_kept_bit_for_bit(drawn):
    program, arrays = drawn
    before, buffers = str(program), len(program.buffers)
    for improve in ALL_PASSES:
        note(improve.__name__)
        assert_same_outcome(improve(program), program, arrays)
        assert (str(program), len(program.buffers)) == (before, buffers), "the program given has been changed"


@given(programs(guards="any", special=True, max_instructions=30))
def test_optimising_twice_changes_nothing(drawn):
    once = optimise(drawn[0])
    assert str(optimise(once)) == str(once)


def all_floats(program):
    return [k for k, b in enumerate(program.arguments) if program.buffers[b].dtype.startswith("float")]


def entry_values(program, arrays):
    """Arrays for a derived program: those of the primal, then random ones of the shapes that follow."""
    rng = np.random.default_rng(0)
    rest = [program.buffers[b] for b in (*program.arguments, *program.results)][len(arrays) :]
    return [*arrays, *(rng.uniform(-1, 1, b.shape).astype(b.dtype) for b in rest)]


@given(programs(guards="none"), st.sampled_from([None, 2]))
def test_tangent_programs_keep_their_values(drawn, width):
    program, arrays = drawn
    tangent = forward(program, all_floats(program), width)
    known = arrays[: len(program.arguments)]
    assert_same_outcome(optimise(tangent), tangent, entry_values(tangent, known))


def parts(program, arrays):
    """The bound arrays after the forward part, and after the reverse part."""
    executable, bound = ReferenceExecutable(program), [np.array(x) for x in arrays]
    executable.run(bound, "forward")
    between = [x.copy() for x in bound]
    executable.run(bound, "reverse")
    return [*between, *bound]


@given(programs(guards="none"))
def test_parts_of_reverse_programs_keep_their_values(drawn):
    program, arrays = drawn
    adjoint = reverse(program, all_floats(program))
    known = entry_values(adjoint, arrays[: len(program.arguments)])
    expected = parts(adjoint, known)
    for improve in ALL_PASSES:
        note(improve.__name__)
        improved = improve(adjoint)
        verify(improved)
        for x, y in zip(parts(improved, known), expected, strict=True):
            np.testing.assert_array_equal(x, y)


# ---------------------------------------------------------------------------------------- one program, three ways


def heat_equation(form, n=101):
    """The right-hand side of a heated rod: interior by an element loop or by slices, into dx or into a scratch array."""
    r = Recorder("heat")
    dx, x, p, t = r.argument("dx", (n,)), r.argument("x", (n,)), r.argument("p", (2,)), r.argument("t")
    alpha, lam, duration = 1e-5, 50.0, 6000.0
    h = 0.1 / (n - 1)
    target = r.zeros((n,)) if form == "scratch" else dx
    r.line = 1
    if form == "sliced":
        middle = r.op("mul", 2.0, at(x, slice(1, n - 1)))
        total = r.op("add", r.op("sub", at(x, slice(0, n - 2)), middle), at(x, slice(2, n)))
        r.store(at(target, slice(1, n - 1)), r.op("div", total, h**2))
    else:
        for i in range(1, n - 1):
            left = r.load(x, i - 1)
            difference = r.op("sub", left, r.op("mul", 2.0, r.load(x, i)))
            r.store(at(target, i), r.op("div", r.op("add", difference, r.load(x, i + 1)), h**2))
    for r.line, end, inner in ((2, 0, 1), (3, n - 1, n - 2)):
        slope = r.op("sub", r.load(x, inner), r.load(x, end))
        r.store(at(target, end), r.op("div", r.op("mul", 2.0, slope), h**2))
    r.line = 4
    r.store(dx, r.op("mul", alpha, target))
    r.line = 5
    a, b = r.load(p, 0), r.load(p, 1)
    c = r.op("mul", b, math.sqrt(-math.log(1e-6)))
    shape = r.op("mul", c, r.op("sub", r.op("div", t, duration), r.op("div", 1.0, b)))
    u = r.op("exp", r.op("sub", a, r.op("pow", shape, 2.0)))
    r.line = 6
    r.store(at(dx, 0), r.op("add", r.load(dx, 0), r.op("mul", alpha / (lam * h), u)))
    verify(r.program)
    return r.program


def heat_values(n=101):
    i = np.arange(n)
    return [np.full(n, np.nan), 300 + 50 * np.sin(0.1 * i) + 0.01 * i**2, np.array([15.0, 10.0]), np.array(300.0)]


def test_loop_slices_and_scratch_give_the_same_program():
    loop, sliced, scratch = (without_lines(optimise(heat_equation(form))) for form in ("loop", "sliced", "scratch"))
    assert loop == sliced == scratch
    assert len(loop) == 22


@pytest.mark.parametrize("form", ["loop", "sliced", "scratch"])
def test_heat_equation_keeps_its_values(form):
    program = heat_equation(form)
    assert_same_outcome(optimise(program), program, heat_values())


def five_point(n, m, sliced):
    """du = neighbours - 4 u in the interior of an n x m grid."""
    r = Recorder("five_point")
    du, u = r.argument("du", (n, m)), r.argument("u", (n, m))

    def cell(here):
        down, up, left, right, middle = (here(*s) for s in ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)))
        total = r.op("add", r.op("add", r.op("add", down, up), left), right)
        return r.op("sub", total, r.op("mul", 4.0, middle))

    if sliced:
        inside = (slice(1, n - 1), slice(1, m - 1))
        r.store(at(du, *inside), cell(lambda a, b: at(u, slice(1 + a, n - 1 + a), slice(1 + b, m - 1 + b))))
    else:
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                r.store(at(du, i, j), cell(lambda a, b, i=i, j=j: r.load(u, i + a, j + b)))
    return r.program


@pytest.mark.parametrize("shape", [(6, 6), (7, 30), (30, 7), (40, 40)])
def test_double_loop_gives_the_sliced_program(shape):
    assert without_lines(optimise(five_point(*shape, False))) == without_lines(optimise(five_point(*shape, True)))


# ------------------------------------------------------------------------------------------------------ budgets


def scalar_code(count, seed=0, elements=1000):
    """Loads, arithmetic and stores in no order."""
    rng = np.random.default_rng(seed)
    r = Recorder("scalar")
    dx, x = r.argument("dx", (elements,)), r.argument("x", (elements,))
    values = [r.load(x, k) for k in range(10)]
    while len(r.program) < count:
        r.line = int(rng.integers(100))
        kind = rng.random()
        if kind < 0.3:
            values.append(r.load(x if rng.random() < 0.7 else dx, int(rng.integers(elements))))
        elif kind < 0.45:
            r.store(at(dx, int(rng.integers(elements))), values[-int(rng.integers(1, 10))])
        else:
            a, b = (values[-int(rng.integers(1, 10))] for _ in range(2))
            values.append(r.op(("add", "sub", "mul", "div")[int(rng.integers(4))], a, b))
    return r.program


def seconds_per_instruction(program):
    """The processor's; the least of some runs, without collections of the garbage that other tests have left."""
    times = []
    gc.disable()
    try:
        for _ in range(3):
            start = time.process_time()
            optimise(program)
            times.append(time.process_time() - start)
    finally:
        gc.enable()
    return min(times) / len(program)


def test_scalar_code_keeps_its_values():
    program = scalar_code(600, elements=20)
    rng = np.random.default_rng(0)
    assert_same_outcome(optimise(program), program, [rng.random(20), rng.random(20)])


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (lambda: scalar_code(1500), lambda: scalar_code(24_000)),
        (lambda: heat_equation("loop", 600), lambda: heat_equation("loop", 9600)),
        (lambda: five_point(20, 20, False), lambda: five_point(80, 80, False)),
    ],
    ids=["scalar", "loop", "five_point"],
)
def test_time_grows_with_the_number_of_instructions(few, many):
    """Sixteen times as many take no more than four times as long each: squares of their number would take sixteen times."""
    assert seconds_per_instruction(many()) < 4 * seconds_per_instruction(few())


def test_a_pass_with_nothing_to_do_returns_its_argument():
    program = optimise(heat_equation("sliced"))
    assert all(improve(program) is program for improve in (*CLEANING, *PLACING))


def test_empty_program():
    assert len(optimise(Program("empty"))) == 0


def test_buffers_are_numbered_by_first_use():
    p = Program("f")
    y = p.bound("float64", (2,), Role.RESULT, "y")
    x = p.bound("float64", (2,), Role.ARGUMENT, "x")
    unused, late, early = (p.temp("float64", (2,)) for _ in range(3))
    p.emit("exp", early, (x,))
    p.emit("sin", late, (early,))
    p.emit("add", y, (late, p.constant(1.0, "float64", (2,))))
    new = compact(p)
    assert str(new).splitlines()[1:] == ["  %2 = exp x", "  %3 = sin %2", "  y = add %3 1.0"]
    assert len(new.buffers) == len(p.buffers) - 1
    assert unused.buffer == 2
    assert new.whole(new.results[0]) == View(new.results[0], 0, (2,), contiguous((2,)))
