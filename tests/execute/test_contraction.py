"""Pairs of instructions that become one give the same bits, and become one only where nothing else is touched."""

from collections.abc import Callable

import numpy as np
import pytest

from odead.execute.compiled import Executable
from odead.execute.contraction import contract
from odead.tape import Program, Role, verify
from odead.views import View, contiguous

SHAPE = (50,)


def program_of(build: Callable[[Program, list[View]], None], dtype: str = "float64") -> Program:
    """A program of four arrays, which `build` fills."""
    program = Program("built")
    build(program, [program.bound(dtype, SHAPE, Role.ARGUMENT, name) for name in "abcd"])
    verify(program)
    return program


def contracted(program: Program) -> list[str]:
    new, positions = contract(program, range(len(program)))
    verify(new)
    assert [program.out[k] for k in positions] == new.out
    return new.op


def emit(program: Program, op: str, *ins: View, out: View | None = None) -> View:
    out = program.temp(program.dtype(ins[0]), ins[0].shape) if out is None else out
    program.emit(op, out, ins)
    return out


PAIRS = {
    ("mul", "add", 0): ("muladd", lambda a, b, c: a * b + c),
    ("mul", "add", 1): ("muladd", lambda a, b, c: c + a * b),
    ("mul", "sub", 0): ("mulsub", lambda a, b, c: a * b - c),
    ("mul", "sub", 1): ("negmuladd", lambda a, b, c: c - a * b),
    ("add", "mul", 0): ("addmul", lambda a, b, c: (a + b) * c),
    ("add", "mul", 1): ("addmul", lambda a, b, c: c * (a + b)),
    ("sub", "mul", 0): ("submul", lambda a, b, c: (a - b) * c),
    ("sub", "mul", 1): ("submul", lambda a, b, c: c * (a - b)),
    ("add", "add", 0): ("addadd", lambda a, b, c: (a + b) + c),
    ("add", "add", 1): ("addadd", lambda a, b, c: c + (a + b)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(map(str, pair)))
def test_a_pair_becomes_one_instruction_of_the_same_bits(pair, dtype):
    first, second, place = pair
    name, formula = PAIRS[pair]

    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, d = arrays
        inner = emit(program, first, a, b)
        emit(program, second, *((inner, c) if place == 0 else (c, inner)), out=d)

    program = program_of(build, dtype)
    assert contracted(program) == [name]
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(SHAPE).astype(dtype) * 10.0 ** rng.integers(-9, 9) for _ in range(4)]
    values = [x.astype(dtype) for x in values]
    expected = formula(*values[:3])
    Executable(program).run(values)
    np.testing.assert_array_equal(values[3].view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("place", [0, 1])
def test_a_sign_goes_into_the_sum_with_a_product(place):
    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, d = arrays
        minus = emit(program, "neg", a)
        emit(program, "muladd", *((minus, b) if place == 0 else (b, minus)), c, out=d)

    program = program_of(build)
    assert contracted(program) == ["negmuladd"]
    values = [np.random.default_rng(k).standard_normal(SHAPE) for k in range(4)]
    expected = values[2] - values[0] * values[1]
    Executable(program).run(values)
    np.testing.assert_array_equal(values[3], expected)


def test_a_chain_becomes_pairs():
    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, d = arrays
        s = emit(program, "mul", a, b)
        s = emit(program, "sub", c, s)
        s = emit(program, "add", s, b)
        emit(program, "mul", a, s, out=d)

    assert contracted(program_of(build)) == ["negmuladd", "addmul"]


def test_a_pair_may_update_in_place():
    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, _ = arrays
        emit(program, "add", emit(program, "mul", a, b), c, out=a)

    assert contracted(program_of(build)) == ["muladd"]


def _read_twice(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    product = emit(program, "mul", a, b)
    emit(program, "add", product, c, out=d)
    emit(program, "sin", product, out=c)


def _squared(program: Program, arrays: list[View]) -> None:
    a, b, _, d = arrays
    total = emit(program, "add", a, b)
    emit(program, "mul", total, total, out=d)


def _overwritten_before(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    product = emit(program, "mul", a, b)
    emit(program, "sin", c, out=b)
    emit(program, "add", product, c, out=d)


def _overwritten_by_itself(program: Program, arrays: list[View]) -> None:
    a, b, c, _ = arrays
    n = SHAPE[0] - 1
    low, high = (a._replace(offset=k, shape=(n,), strides=contiguous((n,))) for k in (0, 1))
    b, c = (x._replace(shape=(n,)) for x in (b, c))
    emit(program, "add", emit(program, "mul", low, b), c, out=high)


def _across_the_split(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    product = emit(program, "mul", a, b)
    program.split = len(program)
    emit(program, "add", product, c, out=d)


def _partly_read(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    product = emit(program, "mul", a, b)
    part, c, d = (x._replace(shape=(10,)) for x in (product, c, d))
    emit(program, "add", part, c, out=d)


def _repeated(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    one = emit(program, "mul", *(x._replace(shape=(1,)) for x in (a, b)))
    emit(program, "add", one._replace(shape=SHAPE, strides=(0,)), c, out=d)


def _visible(program: Program, arrays: list[View]) -> None:
    a, b, c, d = arrays
    emit(program, "mul", a, b, out=d)
    emit(program, "add", d, c, out=c)


@pytest.mark.parametrize(
    "build",
    [_read_twice, _squared, _overwritten_before, _overwritten_by_itself, _across_the_split, _partly_read, _repeated, _visible],
)
def test_what_somebody_else_sees_stays(build):
    program = program_of(build)
    assert contracted(program) == program.op


def test_integers_stay():
    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, d = arrays
        emit(program, "add", emit(program, "mul", a, b), c, out=d)

    assert contracted(program_of(build, "int64")) == ["mul", "add"]


def test_the_split_stays_where_it_was():
    def build(program: Program, arrays: list[View]) -> None:
        a, b, c, d = arrays
        emit(program, "add", emit(program, "mul", a, b), c, out=d)
        program.split = len(program)
        emit(program, "sub", emit(program, "mul", a, b), d, out=c)
        emit(program, "sin", a, out=a)

    new, positions = contract(program_of(build), range(5))
    assert (new.op, new.split, list(positions)) == (["muladd", "mulsub", "sin"], 1, [1, 3, 4])


# ------------------------------------------------------------------------------------------------------ matrix products


def matrices(program: Program, *shapes: tuple[int, int]) -> list[View]:
    return [program.bound("float64", shape, Role.ARGUMENT, name) for name, shape in zip("abcde", shapes, strict=False)]


def product(program: Program, a: View, b: View) -> View:
    out = program.temp("float64", (a.shape[0], b.shape[1]))
    program.emit("matmul", out, (a, b))
    return out


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("m", "n", "k"), [(3, 2, 1), (30, 20, 1), (30, 1, 2), (2, 1, 30), (9, 8, 7), (1, 1, 1)])
def test_a_product_is_added_in_place(place, m, n, k):
    program = Program("built")
    a, b, c = matrices(program, (m, k), (k, n), (m, n))
    inner = product(program, a, b)
    program.emit("add", c, (inner, c) if place == 0 else (c, inner))
    assert contracted(program) == ["matmul_add"]
    values = [np.random.default_rng(k).standard_normal(shape) for shape in ((m, k), (k, n), (m, n))]
    expected = values[2] + values[0] @ values[1]
    Executable(program).run(values)
    np.testing.assert_allclose(values[2], expected, rtol=1e-13, atol=1e-13)


def test_two_products_are_added_in_one_place():
    program = Program("built")
    a, b, c, d, out = matrices(program, (5, 3), (3, 4), (5, 2), (2, 4), (5, 4))
    program.split = 0
    first, second = product(program, a, b), product(program, c, d)
    program.emit("sin", c, (c,))
    program.emit("cos", a, (a,))
    program.emit("add", out, (first, second))
    assert contracted(program) == program.op  # c and a have changed by then
    program = Program("built")
    a, b, c, d, out = matrices(program, (5, 3), (3, 4), (5, 2), (2, 4), (5, 4))
    program.emit("add", out, (product(program, a, b), product(program, c, d)))
    new, positions = contract(program, range(3))
    verify(new)
    assert (new.op, list(positions)) == (["matmul", "matmul_add"], [2, 2])
    values = [np.random.default_rng(1).standard_normal(view.shape) for view in (a, b, c, d, out)]
    expected = values[0] @ values[1] + values[2] @ values[3]
    Executable(program).run(values)
    np.testing.assert_allclose(values[4], expected, rtol=1e-13, atol=1e-13)


def _of_itself(program: Program) -> None:
    a, b = matrices(program, (4, 4), (4, 4))
    program.emit("add", a, (a, product(program, a, b)))


def _elsewhere(program: Program) -> None:
    a, b, c, d = matrices(program, (4, 4), (4, 4), (4, 4), (4, 4))
    program.emit("add", d, (c, product(program, a, b)))


def _used_twice(program: Program) -> None:
    a, b, c = matrices(program, (4, 4), (4, 4), (4, 4))
    inner = product(program, a, b)
    program.emit("add", c, (c, inner))
    program.emit("add", a, (a, inner))


def _over_a_factor(program: Program) -> None:
    a, b, c = matrices(program, (4, 4), (4, 4), (4, 4))
    program.emit("add", c, (product(program, a, c), product(program, a, b)))


@pytest.mark.parametrize("build", [_of_itself, _elsewhere, _used_twice, _over_a_factor])
def test_other_sums_with_products_stay(build):
    program = Program("built")
    build(program)
    verify(program)
    assert contracted(program) == program.op


@pytest.mark.parametrize(("lanes", "m", "n"), [(8, 200, 2), (8, 2, 200), (3, 30, 20), (2, 1, 5), (12, 3, 3)])
@pytest.mark.parametrize("adds", [False, True])
def test_the_sum_of_outer_products_is_a_product(lanes, m, n, adds):
    program = Program("built")
    a, b, out = (
        program.bound("float64", shape, Role.ARGUMENT, name)
        for name, shape in (("a", (lanes, m, 1)), ("b", (lanes, 1, n)), ("out", (m, n)))
    )
    inner = program.temp("float64", (lanes, m, n))
    program.emit("matmul", inner, (a, b))
    total = program.temp("float64", (m, n)) if adds else out
    program.emit("sum", total, (inner._replace(shape=(m, n, lanes), strides=(n, 1, m * n)),))
    if adds:
        program.emit("add", out, (out, total))
    verify(program)
    assert contracted(program) == (["matmul_add"] if adds else ["matmul"])
    values = [np.random.default_rng(k).standard_normal(view.shape) for k, view in enumerate((a, b, out))]
    expected = adds * values[2] + (values[0] @ values[1]).sum(axis=0)
    Executable(program).run(values)
    np.testing.assert_allclose(values[2], expected, rtol=1e-12, atol=1e-13)


def test_a_sum_within_outer_products_stays():
    program = Program("built")
    a, b, out = (
        program.bound("float64", shape, Role.ARGUMENT, name)
        for name, shape in (("a", (4, 3, 1)), ("b", (4, 1, 3)), ("out", (4, 3)))
    )
    inner = program.temp("float64", (4, 3, 3))
    program.emit("matmul", inner, (a, b))
    program.emit("sum", out, (inner,))
    assert contracted(program) == program.op
