"""Loop rolling: loops written out, and what they become."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from odead.execute.compiled import Executable
from odead.execute.reference import run
from odead.tape import verify
from odead.transform.passes import optimise
from odead.transform.passes.roll import roll
from odead.views import View
from recorder import Recorder, at, without_lines

SIZE = 120


def exits(program, arrays):
    verify(program)
    copies = [np.array(x) for x in arrays]
    return run(program, copies) < 0, copies


def assert_same(program, original, arrays):
    (met, found), (expected_met, expected) = exits(program, arrays), exits(original, arrays)
    assert met == expected_met
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12 if "sum" in program.op else 0)  # a long chain of additions may be a sum


def body_of(program):
    return [row.strip() for row in without_lines(program)[1:]]


def arguments(n=20, names="xy"):
    r = Recorder()
    return r, *(r.argument(name, (n,)) for name in names)


def checked(r, n=20):
    """The optimised program, after it has been compared with the recorded one."""
    program = optimise(r.program)
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 1.5, r.program.buffers[b].shape) for b in r.program.arguments]
    assert_same(roll(r.program), r.program, arrays)
    assert_same(program, r.program, arrays)
    return program


# ------------------------------------------------------------------------------------------------- what rolls


def test_constants_that_vary_become_a_vector():
    r, x, y = arguments()
    for i in range(20):
        r.store(at(y, i), r.op("mul", r.load(x, i), float(max(i, 3))))
    program = checked(r)
    (row,) = body_of(program)
    assert row.startswith("y = mul x c")


@pytest.mark.parametrize("odd", [0, 7, 19])
def test_an_iteration_that_differs_splits_the_loop(odd):
    r, x, y = arguments()
    for i in range(20):
        r.line = 1
        value = r.load(x, i)
        if i == odd:
            r.line = 2
            value = r.op("exp", value)
        r.line = 3
        r.store(at(y, i), r.op("neg", value))
    assert len(checked(r)) == (4 if odd == 7 else 3)


def test_temporaries_are_found_after_the_loop():
    r, x, y = arguments()
    values = []
    for i in range(20):
        r.line = 1
        values.append(r.op("exp", r.load(x, i)))
    r.line = 2
    r.store(at(y, 3), r.op("add", values[-1], values[4]))
    assert body_of(checked(r)) == ["%2 = exp x", "y[3] = add %2[19] %2[4]"]


def test_a_list_made_in_one_loop_is_read_backwards_in_another():
    r, x, y = arguments()
    values = []
    for r.line in [1] * 20:
        values.append(r.op("exp", r.load(x, len(values))))
    for i in range(20):
        r.line = 2
        r.store(at(y, i), r.op("sin", values[19 - i]))
    assert body_of(checked(r)) == ["%2 = exp x", "y = sin %2[19:-1:-1]"]


def test_a_flux_that_is_used_twice_is_computed_once():
    r, x, y = arguments()
    left = r.op("copy", 0.0)
    for i in range(19):
        r.line = 1
        right = r.op("mul", r.load(x, i), r.load(x, i + 1))
        r.line = 2
        r.store(at(y, i), r.op("sub", right, left))
        left = right
    assert body_of(checked(r)) == [
        "%2 = mul x[0:19] x[1:20]",
        "y[0] = sub %2[0] 0.0",
        "y[1:19] = sub %2[1:19] %2[0:18]",
    ]


def test_scratch_elements_reused_in_each_iteration_do_not_hinder():
    r, x, y = arguments()
    scratch = r.zeros((2,))
    for i in range(19):
        r.line = 1
        r.store(at(scratch, 0), r.op("exp", r.load(x, i)))
        r.line = 2
        r.store(at(scratch, 1), r.op("sin", r.load(x, i + 1)))
        r.line = 3
        r.store(at(y, i), r.op("add", r.load(scratch, 0), r.load(scratch, 1)))
    assert body_of(checked(r)) == ["%2 = exp x[0:19]", "%3 = sin x[1:20]", "y[0:19] = add %2 %3"]


def test_arrays_made_in_each_iteration_belong_to_it():
    r, x, y = arguments()
    for i in range(0, 20, 2):
        r.line = 1
        pair = r.zeros((2,))
        r.store(at(pair, 0), r.op("exp", r.load(x, i)))
        r.line = 2
        r.store(at(pair, 1), r.op("sin", r.load(x, i + 1)))
        r.line = 3
        r.store(at(y, slice(i, i + 2)), r.op("mul", 2.0, pair))
    assert len(checked(r)) == 3


def test_interleaved_states():
    r, x, y = arguments(40)
    for i in range(1, 19):
        r.line = 1
        u, v = r.load(x, 2 * i), r.load(x, 2 * i + 1)
        uv = r.op("mul", u, v)
        r.line = 2
        r.store(at(y, 2 * i), r.op("sub", uv, u))
        r.line = 3
        r.store(at(y, 2 * i + 1), r.op("neg", uv))
    assert body_of(checked(r)) == ["%2 = mul x[2:38:2] x[3:39:2]", "y[2:38:2] = sub %2 x[2:38:2]", "y[3:39:2] = neg %2"]


def test_guards_become_one():
    r, x, y = arguments()
    for i in range(20):
        r.guard(r.op("greater", r.load(x, i), 0.0), True)
        r.store(at(y, i), r.op("exp", r.load(x, i)))
    program = checked(r)
    assert body_of(program) == ["%2 = greater x 0.0", "guard %2 True", "y = exp x"]
    x_values = np.ones(20)
    x_values[7] = -1
    untouched = np.full(20, 5.0)
    assert run(program, [x_values, untouched]) == 1
    assert (untouched == 5).all()


def test_table_lookup():
    r, x, y = arguments()
    table = r.program.constant(np.arange(7.0), "float64")
    for i in range(20):
        index = r.program.temp("int64", ())
        r.program.emit("cast", index, (r.load(x, i),))
        value = r.program.temp("float64", ())
        r.program.emit("take", value, (table, index))
        r.store(at(y, i), value)
    assert body_of(checked(r)) == ["%2 = cast x", "y = take c3 %2"]


def test_a_lookup_rolls_beside_guards_for_it_is_itself_one():
    r, x, y = arguments()
    table = r.program.constant(np.arange(7.0), "float64")
    good = True
    for i in range(20):
        r.line = 1
        if i:
            r.guard(good, True)
        r.line = 2
        index = r.program.temp("int64", ())
        r.program.emit("cast", index, (r.load(x, i),))
        value = r.program.temp("float64", ())
        r.program.emit("take", value, (table, index))
        r.line = 3
        good = r.op("less", r.load(x, (i + 1) % 20), 7.0)
        r.store(at(y, i), value)
    program = optimise(r.program)
    assert sum(op == "take" for op in program.op) <= 2
    y = np.zeros(20)
    assert Executable(program).run([np.linspace(0.0, 6.9, 20), y]) < 0
    assert_array_equal(y, np.floor(np.linspace(0.0, 6.9, 20)))
    assert Executable(program).run([np.linspace(0.0, 9.0, 20), y]) >= 0
    assert_array_equal(y, np.floor(np.linspace(0.0, 6.9, 20)))


def test_matrix_vector_product_by_a_double_loop():
    r = Recorder()
    n, m = 20, 18
    a, x, y = r.argument("a", (n, m)), r.argument("x", (m,)), r.argument("y", (n,))
    for i in range(n):
        r.line = 1
        total = r.op("copy", 0.0)
        for j in range(m):
            r.line = 2
            total = r.op("add", total, r.op("mul", r.load(a, i, j), r.load(x, j)))
        r.line = 3
        r.store(at(y, i), total)
    program = optimise(r.program)
    assert body_of(program) == ["%3 = mul a x[0 + 20x18 by 0,1]", "%4 = sum %3", "y = add 0.0 %4"]
    rng = np.random.default_rng(0)
    values = [rng.random((n, m)), rng.random(m), np.zeros(n)]
    run(program, values)
    np.testing.assert_allclose(values[2], values[0] @ values[1], rtol=1e-14)


@pytest.mark.parametrize("op", ["sum", "matmul", "take", "put", "put_add"])
def test_structured_operations_get_a_batch_axis(op):
    r = Recorder()
    n, m = 6, 4
    a, b, y = r.argument("a", (n, m)), r.argument("b", (m, m)), r.argument("y", (n, m))
    index = r.program.constant([2, 0, 3, 1], "int64")
    for i in range(n):
        row, target = at(a, i, slice(0, m)), at(y, i, slice(0, m))
        match op:
            case "sum":
                r.program.emit("sum", at(y, i, 0), (row,))
            case "matmul":
                r.program.emit("matmul", at(y, slice(i, i + 1), slice(0, m)), (at(a, slice(i, i + 1), slice(0, m)), b))
            case "take":
                r.program.emit("take", target, (row, index))
            case _:
                r.program.emit(op, target, (target, row, index))
    assert checked(r).op == [op]


def test_a_scatter_with_a_varying_index_stays():
    r = Recorder()
    y, x = r.argument("y", (4,)), r.argument("x", (6,))
    index = r.program.constant([0, 1, 0, 2, 2, 3], "int64")
    for i in range(6):
        r.program.emit("put_add", y, (y, at(x, slice(i, i + 1)), at(index, slice(i, i + 1))))
    assert len(checked(r)) == 6


# -------------------------------------------------------------------------------------------- what does not roll


@pytest.mark.parametrize("lag", [1, 2])
def test_recurrences_stay(lag):
    r, x = arguments(30, "x")
    for i in range(lag, 30):
        r.store(at(x, i), r.op("mul", 0.5, r.load(x, i - lag)))
    assert len(checked(r, 30)) == 30 - lag


def test_reading_ahead_of_an_update_in_place_rolls():
    r, x = arguments(30, "x")
    for i in range(29):
        r.store(at(x, i), r.op("mul", 0.5, r.load(x, i + 1)))
    assert len(checked(r, 30)) == 2  # by a copy: the result may not overlap the operand


def test_a_running_product_stays_between_vector_instructions():
    r, x, y = arguments()
    product = r.op("copy", 1.0)
    for i in range(20):
        r.line = 1
        factor = r.op("exp", r.load(x, i))
        r.line = 2
        product = r.op("mul", product, factor)
        r.line = 3
        r.store(at(y, i), r.op("sin", product))
    program = checked(r)
    assert program.op.count("exp") == program.op.count("sin") == 1
    assert program.op.count("mul") in (18, 19)  # 1 * x is x


def test_the_legal_part_of_a_loop_rolls():
    r, x = arguments(40, "x")
    for i in range(30):
        r.store(at(x, i), r.op("exp", r.load(x, i if i < 15 else 14)))
    assert len(checked(r, 40)) <= 4


def test_three_iterations_are_not_a_loop():
    r, x, y = arguments()
    for i in range(3):
        r.store(at(y, i), r.op("exp", r.load(x, i)))
    assert len(checked(r)) == 3


def test_lines_are_kept_apart():
    r, x, y = arguments()
    for i in range(8):
        r.line = i
        r.store(at(y, i), r.op("exp", r.load(x, i)))
    assert roll(r.program) is r.program


def test_nothing_rolls_across_the_split():
    r, x, y = arguments()
    for i in range(20):
        r.store(at(y, i), r.op("exp", r.load(x, i)))
    r.program.split = 30  # after ten iterations of three instructions
    program = optimise(r.program)
    assert (len(program), program.split) == (2, 1)


# ------------------------------------------------------------------------------------------------ random loops


@st.composite
def loops(draw):
    """Single and double loops written out, with strides, carried values, scratch storage, updates in place and conditions."""
    r = Recorder()
    arrays = [r.argument(name, (SIZE,)) for name in "abc"]
    r.line = 1
    arrays.append(r.zeros((SIZE,)))
    nested = draw(st.booleans())
    inner, outer = (draw(st.integers(1, 9)), draw(st.integers(1, 7))) if nested else (draw(st.integers(3, 14)), 1)
    index = st.tuples(st.integers(0, 12), st.sampled_from([1, 1, 1, 2, 0, -1]), st.sampled_from([inner, 10, 0, 1, -3]))
    operand = st.one_of(
        st.tuples(st.just("load"), st.integers(0, 3), index),
        st.tuples(st.just("carried"), st.integers(0, 2)),
        st.tuples(st.just("number"), st.floats(-2, 2)),
        st.tuples(st.just("counter")),
        st.tuples(st.just("scratch"), st.integers(0, 1)),
    )
    kinds = st.sampled_from(["store", "store", "carry", "carry", "guard", "update", "scratch"])
    conditions = st.sampled_from([None] * 6 + ["first", "last", "middle", "odd"])
    ops = st.sampled_from(["add", "mul", "sub", "maximum"])
    statement = st.tuples(kinds, st.integers(0, 3), index, ops, operand, operand, conditions)
    body = draw(st.lists(statement, min_size=1, max_size=5))
    after = draw(st.lists(statement, max_size=2))
    one_line = draw(st.booleans())
    carried = [r.op("copy", float(k)) for k in range(3)]

    def element(array, where, i, j):
        base, first, second = where
        return at(arrays[array], (base + first * i + second * j) % SIZE)

    def value(kind, *details, i, j, scratch):
        match kind:
            case "load":
                array, where = details
                return r.load(element(array, where, i, j))
            case "carried":
                return carried[details[0]]
            case "number":
                return details[0]
            case "counter":
                return float(i)
            case _:
                return r.load(scratch, details[0])

    def record(statements, base, i, j, scratch):
        skipped = {"first": i == 0, "last": i == inner - 1, "middle": i == inner // 2, "odd": i % 2 == 1, None: False}
        for number, (kind, array, where, op, left, right, condition) in enumerate(statements):
            if skipped[condition]:
                continue
            r.line = base if one_line else base + number
            result = r.op(op, value(*left, i=i, j=j, scratch=scratch), value(*right, i=i, j=j, scratch=scratch))
            match kind:
                case "store":
                    r.store(element(array, where, i, j), result)
                case "carry":
                    carried[array % 3] = result
                case "scratch":
                    r.store(at(scratch, array % 2), result)
                case "guard":
                    r.guard(r.op("less", result, 1e3), True)
                case _:
                    place = element(array, where, i, j)
                    r.program.emit(op, place, (place, result), None, r.line)

    for j in range(outer):
        for i in range(inner):
            r.line = 5
            scratch = r.zeros((2,))
            record(body, 10, i, j, scratch)
    record(after, 30, 1, 1, scratch)
    return r.program


@settings(max_examples=150)
@given(loops())
def test_random_loops_keep_their_values(program):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-1, 1, SIZE) for _ in range(3)]
    assert_same(roll(program), program, arrays)
    assert_same(optimise(program), program, arrays)


def test_at_selects_like_numpy():
    view = View(0, 0, (4, 5), (5, 1))
    numbers = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(at(view, slice(1, 4, 2), 3).indices(), numbers[1:4:2, 3])
