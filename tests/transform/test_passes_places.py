"""Where values live: destinations, renaming, pieces, coalescing; and sums."""

import numpy as np
import pytest

from odead.execute.reference import run
from odead.tape import verify
from odead.transform.passes import optimise
from odead.transform.passes.coalesce import coalesce
from odead.transform.passes.compact import compact
from odead.transform.passes.destinations import destinations
from odead.transform.passes.pieces import pieces
from odead.transform.passes.rename import rename
from odead.transform.passes.sums import sums
from odead.views import View, contiguous
from recorder import Recorder, at, without_lines


def body_of(program):
    verify(program)
    return [row.strip() for row in without_lines(compact(program))[1:]]


def arguments(n=4, names="xy"):
    r = Recorder()
    return r, *(r.argument(name, (n,)) for name in names)


# ---------------------------------------------------------------------------------------------------- destinations


def test_a_value_is_computed_where_it_is_stored():
    r, x, y = arguments()
    r.store(at(y, slice(0, 2)), r.op("exp", at(x, slice(2, 4))))
    r.store(y, r.op("mul", y, 2.0))
    assert body_of(destinations(r.program)) == ["y[0:2] = exp x[2:4]", "y = mul y 2.0"]


@pytest.mark.parametrize("between", ["read", "write", "overlap", "second reader"])
def test_a_store_stays_where_moving_it_would_show(between):
    r, x, y = arguments()
    value = r.op("exp", at(y, slice(0, 2)) if between == "overlap" else at(x, slice(0, 2)))
    match between:
        case "read":
            r.store(at(x, 0), at(y, 1))
        case "write":
            r.store(y, 0.0)
        case "second reader":
            r.store(at(x, slice(2, 4)), r.op("sin", value))
    r.store(at(y, slice(1, 3)), value)
    assert "y[1:3] = copy %2" in body_of(destinations(r.program))


def test_an_exchange_keeps_its_temporary():
    r, x = arguments(2, "x")
    first, second = r.load(x, 0), r.load(x, 1)
    r.store(at(x, 0), second)
    r.store(at(x, 1), first)
    program = optimise(r.program)
    values = np.array([1.0, 2.0])
    run(program, [values])
    np.testing.assert_array_equal(values, [2, 1])
    assert len(program) == 3


def test_stores_do_not_move_across_the_split():
    r, x, y = arguments()
    value = r.op("exp", x)
    r.program.split = 1
    r.store(y, value)
    assert destinations(r.program) is r.program


# ---------------------------------------------------------------------------------------------------------- rename


def test_scratch_use_of_an_argument_gets_a_temporary():
    r, x, y = arguments()
    r.store(at(y, slice(0, 2)), at(x, slice(0, 2)))
    r.store(at(y, slice(2, 4)), at(x, slice(0, 2)))
    r.program.emit("mul", y, (y, x))
    r.program.emit("exp", at(y, 0), (at(y, 0),))
    assert body_of(rename(r.program)) == ["%2[0:2] = copy x[0:2]", "%2[2:4] = copy x[0:2]", "y = mul %2 x", "y[0] = exp y[0]"]


def test_entry_values_stay_in_the_argument():
    r, x, y = arguments()
    r.store(at(y, 0), 0.0)  # the rest is read as it came in
    r.program.emit("mul", y, (y, x))
    assert rename(r.program) is r.program


def test_each_value_of_a_reused_temporary_is_its_own():
    r, x, y = arguments()
    scratch = r.program.temp("float64", (4,))
    for op in ("exp", "sin"):
        r.program.emit(op, scratch, (x,))
        r.program.emit("add", y, (y, scratch))
    assert body_of(rename(r.program)) == ["%2 = exp x", "%3 = add y %2", "%4 = sin x", "y = add %3 %4"]


def test_rows_that_are_dead_between_writes_are_not_values_of_the_whole():
    r, x, y = arguments()
    rows = r.program.temp("float64", (4,))
    for k in range(4):
        r.program.emit("exp", at(rows, k), (at(x, k),))
        r.program.emit("sin", at(y, k), (at(rows, k),))
    assert rename(r.program) is r.program


# ---------------------------------------------------------------------------------------------------------- pieces


def test_elements_used_on_their_own_become_values():
    r, x, y = arguments()
    rows = r.program.temp("float64", (4,))
    r.program.emit("exp", at(rows, slice(0, 2)), (at(x, slice(0, 2)),))
    r.program.emit("sin", at(rows, slice(2, 4)), (at(x, slice(0, 2)),))
    r.store(at(y, 0), at(rows, 1))
    r.store(at(y, slice(2, 4)), at(rows, slice(2, 4)))
    assert body_of(pieces(r.program)) == [
        "%2 = exp x[0:2]",
        "%3 = sin x[0:2]",
        "y[0] = copy %2[1]",
        "y[2:4] = copy %3",
    ]


def test_pieces_that_are_read_together_stay_together():
    r, x, y = arguments()
    rows = r.program.temp("float64", (4,))
    r.program.emit("exp", at(rows, slice(0, 2)), (at(x, slice(0, 2)),))
    r.program.emit("sin", at(rows, slice(2, 4)), (at(x, slice(0, 2)),))
    r.program.emit("neg", y, (rows,))
    assert pieces(r.program) is r.program


# -------------------------------------------------------------------------------------------------------- coalesce


def test_a_result_is_built_in_place():
    r, x = arguments(4, "x")
    out = r.result("out", (4,))
    scratch = r.program.temp("float64", (4,))
    r.store(at(scratch, slice(0, 2)), at(x, slice(2, 4)))
    r.store(at(scratch, slice(2, 4)), at(x, slice(0, 2)))
    r.store(out, scratch)
    assert body_of(coalesce(r.program)) == ["out[0:2] = copy x[2:4]", "out[2:4] = copy x[0:2]"]


def test_later_readers_read_the_place():
    r, x, y = arguments()
    value = r.op("exp", at(x, 0))
    r.store(at(y, 0), value)
    r.store(at(y, 1), value)
    r.program.emit("neg", at(y, 2), (value,))
    assert body_of(coalesce(r.program)) == ["y[0] = exp x[0]", "y[1] = copy y[0]", "y[2] = neg y[0]"]


@pytest.mark.parametrize("why", ["place read before", "place written later", "temporary written later"])
def test_a_temporary_stays_where_its_place_is_not_free(why):
    r, x, y = arguments()
    scratch = r.program.temp("float64", (4,))
    r.program.emit("exp", scratch, (x,))
    if why == "place read before":
        r.store(at(x, 0), at(y, 0))
    r.store(y, scratch)
    if why == "place written later":
        r.store(at(y, 0), 1.0)
    elif why == "temporary written later":
        r.program.emit("sin", scratch, (scratch,))
    r.store(x, scratch)
    assert "y = copy %2" in body_of(coalesce(r.program))


def test_a_transposed_place_takes_the_temporary():
    r = Recorder()
    x, y = r.argument("x", (2, 3)), r.argument("y", (3, 2))
    scratch = r.program.temp("float64", (2, 3))
    r.program.emit("exp", scratch, (x,))
    r.program.emit("neg", at(scratch, 0, slice(0, 3)), (at(scratch, 0, slice(0, 3)),))
    r.store(View(y.buffer, 0, (2, 3), (1, 2)), scratch)
    assert body_of(coalesce(r.program)) == ["y[0 + 2x3 by 1,2] = exp x", "y[0:6:2] = neg y[0:6:2]"]


# ------------------------------------------------------------------------------------------------------------ sums


def chain(n, step=1, swap=False):
    r = Recorder()
    x, out = r.argument("x", (100,)), r.result("out")
    total = r.op("exp", at(x, 0))
    for k in range(n):
        terms = (total, at(x, k * step))
        total = r.op("add", *(terms[::-1] if swap else terms))
    r.store(out, total)
    return r.program


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("step", [1, 4, 0])
def test_a_chain_of_additions_becomes_a_sum(step, swap):
    original = chain(20, step, swap)
    program = optimise(original)
    assert program.op == ["exp", "sum", "add"]
    x = np.random.default_rng(0).random(100)
    found, expected = np.empty(()), np.empty(())
    run(program, [x, found])
    run(original, [x, expected])
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_short_chains_keep_their_order():
    assert optimise(chain(15)).op.count("add") == 15


def test_partial_sums_that_are_read_stay():
    r = Recorder()
    x, y = r.argument("x", (40,)), r.argument("y", (40,))
    total = r.op("copy", 0.0)
    for k in range(40):
        total = r.op("add", total, at(x, k))
        r.store(at(y, k), total)
    assert sums(r.program) is r.program


def test_vectors_are_summed_over_a_last_axis():
    r = Recorder()
    n, m = 5, 20
    a, y = r.argument("a", (n, m)), r.argument("y", (n,))
    total = r.op("copy", at(a, slice(0, n), 0))
    for j in range(1, m):
        total = r.op("add", total, at(a, slice(0, n), j))
    r.store(y, total)
    program = optimise(r.program)
    assert body_of(program) == ["%2 = sum a[1 + 5x19 by 20,1]", "y = add a[0:100:20] %2"]
    assert contiguous((n, m)) == (20, 1)
