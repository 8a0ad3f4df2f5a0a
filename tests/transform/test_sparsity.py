"""The structural pattern against the Jacobian, on drawn programs and on those that must be fast."""

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_array, diags_array

import helpers
from odead.tape import Program, Role
from odead.transform.sparsity import pattern
from odead.views import View, broadcast
from structured import CASES, Case, program_of

CARRYING = ("copy", "neg", "add", "sub", "mul", "muladd", "sin", "tanh", "where", "maximum", "less", "floor", "expm1")


def float_views(program: Program, buffers: list[int]) -> list[View]:
    return [program.whole(b) for b in buffers if program.buffers[b].dtype == "float64"]


@given(helpers.smooth_programs(ops=CARRYING))
@settings(max_examples=150, deadline=None)
def test_every_nonzero_of_the_jacobian_is_in_the_pattern(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    outputs = float_views(program, [*program.arguments, *program.results])
    found = pattern(program, outputs, float_views(program, program.arguments))
    nonzero = helpers.jacobian(program, arrays, range(len(program.arguments))) != 0
    assert found.shape == nonzero.shape
    assert not (nonzero & ~found.toarray()).any()


LINEAR = {"ops": ("neg", "add", "sub", "muladd", "sin", "tanh"), "structured": ("sum", "take", "put", "put_add")}


@given(helpers.smooth_programs(guards="none", max_instructions=8, **LINEAR))
@settings(max_examples=60, deadline=None)
def test_pattern_is_tight_where_nothing_cancels(drawn: tuple[Program, list[np.ndarray]]) -> None:
    """All drawn indices are in constants or copies of constants; with those replaced the pattern is exact."""
    program, _ = drawn
    outputs = float_views(program, [*program.arguments, *program.results])
    found = pattern(constant_indices(program), outputs, float_views(program, program.arguments)).toarray()
    assert (found == by_sets(program, outputs)).all()


def constant_indices(program: Program) -> Program:
    """The program with the copies of constant indices read from the constants."""
    copies = [i for i in program if i.op == "copy"]
    source = {i.out.buffer: i.ins[0] for i in copies if i.out is not None and program.dtype(i.out) == "int64"}
    return program.replaced([i._replace(ins=tuple(source.get(v.buffer, v) for v in i.ins)) for i in program])


def by_sets(program: Program, outputs: list[View]) -> np.ndarray:
    """The same by a set for each element: the definition."""
    cells: list[list[frozenset[int]]] = [[frozenset()] * b.size for b in program.buffers]
    integers = {k: b.data.ravel() for k, b in enumerate(program.buffers) if b.data is not None and b.dtype == "int64"}
    column = 0
    for b in program.arguments:
        cells[b] = [frozenset([column + k]) for k in range(program.buffers[b].size)]
        column += program.buffers[b].size

    def read(view: View) -> np.ndarray:
        out = np.empty(view.shape, object)
        for at in np.ndindex(view.shape):
            out[at] = cells[view.buffer][view.indices()[at]]
        return out

    for op, out, ins, _, _ in program:
        assert out is not None
        if program.dtype(out) == "int64":
            integers[out.buffer] = integers[ins[0].buffer]
            continue
        result = read(out)
        for at in np.ndindex(out.shape):
            if op == "sum":
                result[at] = frozenset().union(*read(ins[0])[at].ravel())
            elif op == "take":
                lead = len(ins[0].shape) - 1
                result[at] = read(ins[0])[at[:lead]][integers[ins[1].buffer][ins[1].indices()[at[lead:]]]]
            elif op in ("put", "put_add"):
                index = integers[ins[2].buffer][ins[2].indices()]
                for j in np.flatnonzero(index == at[-1]):
                    value = read(ins[1])[(*at[:-1], j)]
                    result[at] = value if op == "put" else result[at] | value
            else:
                result[at] = frozenset().union(*(read(view)[at] for view in ins))
        for at in np.ndindex(out.shape):
            cells[out.buffer][out.indices()[at]] = result[at]
    rows = [row for view in outputs for row in read(view).ravel()]
    return np.array([[k in row for k in range(column)] for row in rows]).reshape(len(rows), column)


def one(op: str, dtype: str = "float64") -> Program:
    p = Program(op)
    x = p.bound(dtype, (3,), Role.ARGUMENT, "x")
    y = p.bound(dtype, (3,), Role.ARGUMENT, "y")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    p.emit(op, out, (x, y)[: len(helpers.TABLE[op].partials)])
    return p


def dense(program: Program) -> np.ndarray:
    results = [program.whole(b) for b in program.results]
    return pattern(program, results, [program.whole(b) for b in program.arguments]).toarray().astype(int)


def test_steps_and_conditions_carry_nothing() -> None:
    assert dense(one("floor")).tolist() == np.zeros((3, 6)).tolist()
    assert dense(one("sign")).tolist() == np.zeros((3, 6)).tolist()
    assert dense(one("heaviside")).tolist() == np.hstack([np.zeros((3, 3)), np.eye(3)]).tolist()
    p = Program()
    x = p.bound("float64", (3,), Role.ARGUMENT, "x")
    y = p.bound("float64", (3,), Role.ARGUMENT, "y")
    z = p.bound("float64", (), Role.ARGUMENT, "z")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    condition = p.temp("bool", (3,))
    p.emit("less", condition, (x, x))
    p.emit("where", out, (condition, y, broadcast(z, (3,))))
    assert dense(p).tolist() == np.hstack([np.zeros((3, 3)), np.eye(3), np.ones((3, 1))]).tolist()


def test_integers_carry_nothing() -> None:
    p = Program()
    x = p.bound("float64", (3,), Role.ARGUMENT, "x")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    whole = p.temp("int64", (3,))
    p.emit("cast", whole, (x,))
    p.emit("cast", out, (whole,))
    assert not dense(p).any()


def test_the_last_write_counts() -> None:
    p = Program()
    x = p.bound("float64", (3,), Role.ARGUMENT, "x")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    p.emit("copy", out, (x,))
    p.emit("copy", out._replace(offset=1, shape=(2,)), (p.constant(1.0, "float64", (2,)),))
    p.emit("copy", x, (p.constant(1.0, "float64", (3,)),))
    assert dense(p).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert not pattern(p, [p.whole(0)], [p.whole(0)]).nnz


def test_indices_known_only_at_run_time_reach_everything() -> None:
    p = Program()
    x = p.bound("float64", (2, 3), Role.ARGUMENT, "x")
    index = p.bound("int64", (2,), Role.ARGUMENT, "index")
    gathered = p.bound("float64", (2, 2), Role.RESULT, "gathered")
    scattered = p.bound("float64", (4,), Role.RESULT, "scattered")
    p.emit("take", gathered, (x, index))
    p.emit("copy", scattered, (p.constant(0.0, "float64", (4,)),))
    p.emit("put", scattered, (scattered, View(gathered.buffer, 0, (2,), (1,)), index))
    found = pattern(p, [gathered, scattered], [x]).toarray().astype(int)
    assert found.tolist() == [[1, 1, 1, 0, 0, 0]] * 2 + [[0, 0, 0, 1, 1, 1]] * 2 + [[1, 1, 1, 0, 0, 0]] * 4


def test_matmul_joins_a_row_and_a_column() -> None:
    p = Program()
    a = p.bound("float64", (2, 2), Role.ARGUMENT, "a")
    b = p.bound("float64", (2, 2), Role.ARGUMENT, "b")
    out = p.bound("float64", (2, 2), Role.RESULT, "out")
    p.emit("matmul", out, (a, b))
    first, second = [1, 1, 0, 0], [0, 0, 1, 1]
    left, right = [1, 0, 1, 0], [0, 1, 0, 1]
    assert dense(p).tolist() == [first + left, first + right, second + left, second + right]


def test_nothing_in_nothing_out() -> None:
    p = one("add")
    assert pattern(p, [], []).shape == (0, 0)
    assert pattern(p, [p.whole(2)], []).shape == (3, 0)
    assert pattern(p, [], [p.whole(0)]).shape == (0, 3)


@pytest.mark.parametrize("case", [case for case in CASES if case.is_active], ids=str)
def test_covers_every_structured_operation(case: Case) -> None:
    program, arrays = program_of(case)
    views = float_views(program, program.arguments)
    found = pattern(program, views, views).toarray()
    columns = []
    for k, array in enumerate(arrays):
        for place in np.ndindex(array.shape):
            seed = np.zeros(array.shape)
            seed[place] = 1.0
            exits = helpers.finite_difference(program, arrays, {k: seed})
            columns.append(np.concatenate([np.ravel(x) for x in exits]))
    if columns:
        assert not ((np.abs(np.stack(columns, axis=1)) > 1e-6) & ~found).any()


def test_a_running_sum_is_lower_triangular() -> None:
    p = Program()
    x, out = p.bound("float64", (5,), Role.ARGUMENT, "x"), p.bound("float64", (5,), Role.RESULT, "out")
    p.emit("recurrence", out, (p.constant(1.0, "float64", (4,)), x))
    assert (pattern(p, [out], [x]).toarray() == np.tri(5, dtype=bool)).all()


def tridiagonal(n: int) -> csr_array:
    found = diags_array([np.ones(n - 1), np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1], format="csr")
    return found.astype(bool)


@pytest.mark.parametrize("program", [helpers.banded_stencil(200_000), helpers.element_loop_stencil(4000)], ids=lambda p: p.name)
def test_stencils_are_tridiagonal_and_quick(program: Program) -> None:
    dx, x = (program.whole(b) for b in program.arguments)
    start = perf_counter()
    found = pattern(program, [dx], [x])
    assert perf_counter() - start < 3.0  # 0.1 s here; quadratic work would take minutes
    assert (found != tridiagonal(x.size)).nnz == 0


def test_a_long_chain_is_linear() -> None:
    """s += x[i] in an element loop: nothing of length n is built for each of the n partial sums."""
    n = 20_000
    p = Program()
    x = p.bound("float64", (n,), Role.ARGUMENT, "x")
    out = p.bound("float64", (), Role.RESULT, "out")
    total = View(x.buffer, 0, (), ())
    for k in range(1, n):
        following = p.temp("float64", ())
        p.emit("add", following, (total, View(x.buffer, k, (), ())))
        total = following
    p.emit("copy", out, (total,))
    start = perf_counter()
    found = pattern(p, [out], [x])
    assert perf_counter() - start < 10.0  # 0.9 s here
    assert found.nnz == n
