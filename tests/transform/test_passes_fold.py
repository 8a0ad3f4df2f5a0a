"""Folding: each rewrite of the table, on all special values."""

import numpy as np
import pytest

from helpers import SPECIAL_VALUES
from odead.execute.reference import run, value
from odead.tape import Program, Role
from odead.transform.passes import optimise
from odead.transform.passes.fold import fold
from odead.views import broadcast
from recorder import Recorder, without_lines

VALUES = np.array([*SPECIAL_VALUES, 3.7, -0.3])


def result_of(build, values=VALUES, dtype="float64"):
    """The body of the optimised program `out = build(r, x)` and, for `values`, its result and that of the recorded one."""
    r = Recorder()
    x = r.program.bound(dtype, values.shape, Role.ARGUMENT, "x")
    last = build(r, x)
    out = r.program.bound(r.program.dtype(last), last.shape, Role.RESULT, "out")
    r.store(out, last)
    program = optimise(r.program)
    found, expected = (np.empty(out.shape, r.program.dtype(out)) for _ in range(2))
    assert run(program, [values.copy(), found]) == run(r.program, [values.copy(), expected]) == -1
    return [row.strip() for row in without_lines(program)[1:]], found, expected


EXACT = [
    (lambda r, x: r.op("mul", x, 1.0), "copy x"),
    (lambda r, x: r.op("mul", 1.0, x), "copy x"),
    (lambda r, x: r.op("mul", -1.0, x), "neg x"),
    (lambda r, x: r.op("div", x, 1.0), "copy x"),
    (lambda r, x: r.op("div", x, -1.0), "neg x"),
    (lambda r, x: r.op("neg", r.op("neg", x)), "copy x"),
    (lambda r, x: r.op("add", x, r.op("neg", x)), "sub x x"),
    (lambda r, x: r.op("add", r.op("neg", x), 2.0), "sub 2.0 x"),
    (lambda r, x: r.op("sub", 2.0, r.op("neg", x)), "add 2.0 x"),
    (lambda r, x: r.op("muladd", 1.0, x, 2.0), "add x 2.0"),
    (lambda r, x: r.op("muladd", x, -1.0, 2.0), "sub 2.0 x"),
    (lambda r, x: r.op("pow", x, 1.0), "copy x"),
    (lambda r, x: r.op("pow", x, 0.0), "copy 1.0"),
    (lambda r, x: r.op("zero_mul", 1.0, x), "copy x"),
    (lambda r, x: r.op("zero_mul", 2.5, x), "mul 2.5 x"),
    (lambda r, x: r.op("zero_mul", 0.0, x), "copy 0.0"),
    # what must stay, for it changes signed zeros, infinities or NaN
    (lambda r, x: r.op("add", x, 0.0), "add x 0.0"),
    (lambda r, x: r.op("sub", 0.0, x), "sub 0.0 x"),
    (lambda r, x: r.op("mul", x, 0.0), "mul x 0.0"),
    (lambda r, x: r.op("sub", x, x), "sub x x"),
    (lambda r, x: r.op("div", x, x), "div x x"),
]


@pytest.mark.parametrize(("build", "expected"), EXACT, ids=[expected for _, expected in EXACT])
def test_rewrites_are_exact(build, expected):
    body, found, recorded = result_of(build)
    assert body == [f"out = {expected}"]
    np.testing.assert_array_equal(found, recorded)
    numbers = ~np.isnan(recorded)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(recorded)[numbers])


@pytest.mark.parametrize(("exponent", "op"), [(2.0, "square"), (-1.0, "reciprocal"), (0.5, "sqrt")])
def test_powers_are_those_of_arrays(exponent, op):
    body, found, _ = result_of(lambda r, x: r.op("pow", x, exponent))
    assert body == [f"out = {op} x"]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, VALUES**exponent)


def test_square_root_of_a_scalar_stays_a_power():
    body, _, _ = result_of(lambda r, x: r.op("pow", x, 0.5), np.array(-0.0))
    assert body == ["out = pow x 0.5"]


@pytest.mark.parametrize("chosen", [True, False])
def test_where_with_a_known_condition(chosen):
    def build(r, x):
        condition = broadcast(r.program.constant(chosen, "bool"), x.shape)
        return r.op("where", condition, x, r.op("exp", x))

    body, _, _ = result_of(build)
    assert body == ["out = copy x" if chosen else "out = exp x"]


def test_where_with_equal_sides():
    body, _, _ = result_of(lambda r, x: r.op("where", r.op("greater", x, 0.0), x, x))
    assert body == ["out = copy x"]


def test_where_with_sides_that_turn_out_to_be_equal():
    body, _, _ = result_of(lambda r, x: r.op("where", r.op("greater", x, 0.0), r.op("exp", x), r.op("exp", x)))
    assert body == ["out = exp x"]


@pytest.mark.parametrize(("sides", "expected"), [((1.0, 0.0), "where %2 x 0.0"), ((0.0, 1.0), "where %2 0.0 x")])
def test_a_selected_partial_becomes_a_selection(sides, expected):
    def build(r, x):
        return r.op("zero_mul", r.op("where", r.op("greater", x, 0.0), *sides), x)

    body, found, recorded = result_of(build)
    assert body == ["%2 = greater x 0.0", f"out = {expected}"]
    np.testing.assert_array_equal(found, recorded)


def test_casts_between_equal_dtypes_go():
    body, _, _ = result_of(lambda r, x: r.op("cast", x))
    assert body == ["out = copy x"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_constants_are_computed_in_their_dtype(dtype):
    def build(r, x):
        ratio = r.op("div", r.program.constant(1.0, dtype), r.program.constant(3.0, dtype), dtype=dtype)
        root = r.op("sqrt", ratio, dtype=dtype)
        return r.op("mul", x, broadcast(root, x.shape), dtype=dtype)

    body, found, recorded = result_of(build, np.linspace(-1, 1, 7, dtype=dtype), dtype)
    assert len(body) == 1
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, recorded)


def test_constant_vectors_are_folded_too():
    p = Program("f")
    out = p.bound("float64", (4,), Role.RESULT, "out")
    grid, scaled = p.temp("float64", (4,)), p.temp("float64", (4,))
    p.emit("copy", grid, (p.constant(np.arange(4.0), "float64"),))
    p.emit("mul", scaled, (grid, p.constant(0.1, "float64", (4,))))
    p.emit("exp", out, (scaled,))
    program = optimise(p)
    assert (program.op, len(program.buffers)) == (["copy"], 2)
    found = np.empty(4)
    run(program, [found])
    np.testing.assert_array_equal(found, value("exp", value("mul", np.arange(4.0), np.full(4, 0.1))))


def test_an_operand_that_has_changed_since_is_not_used():
    r = Recorder()
    x, out = r.argument("x", (3,)), r.result("out", (3,))
    negated = r.op("neg", x)
    r.store(x, 5.0)
    r.store(out, r.op("neg", negated))
    assert fold(r.program).op.count("neg") == 2
