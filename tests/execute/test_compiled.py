"""The compiled executor against the oracle: every row, dtype and layout, and what a caller may bind."""

import pickle
import threading
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given

from helpers import ALL_OPS, DTYPES, SPECIAL_VALUES, operands, programs
from odead.execute import reference
from odead.execute.compiled import Executable
from odead.ops import Op
from odead.tape import Program, Role, verify
from odead.views import View, broadcast, contiguous

ROWS = [pytest.param(op, dtype, id=f"{op.name}-{dtype}") for op in ALL_OPS for kind in op.kinds for dtype in DTYPES[kind]]

# Rounded once by IEEE 754, so every executor must agree in every bit; the others may differ by a few units in the last place.
EXACT = {
    "copy", "cast", "neg", "add", "sub", "mul", "div", "muladd", "mulsub", "negmuladd", "addmul",
    "submul", "addadd", "zero_mul", "reciprocal", "square", "floor_divide",
    "remainder", "fmod", "sqrt", "abs", "sign", "copysign", "heaviside", "maximum", "minimum", "fmax", "fmin", "where",
    "floor", "ceil", "trunc", "rint",
}  # fmt: skip
TIES = {"maximum", "minimum", "fmax", "fmin"}  # of -0.0 and 0.0: NumPy itself answers differently from loop to loop


def assert_same(op: str, actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    if actual.dtype.kind != "f" or op in EXACT:
        np.testing.assert_array_equal(actual, expected)
        if actual.dtype.kind == "f" and op not in TIES:
            ordered = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(actual[ordered]), np.signbit(expected[ordered]))
    else:
        np.testing.assert_allclose(actual, expected, rtol=8 * np.finfo(actual.dtype).eps, atol=0)


def run_both(program: Program, arrays: list[np.ndarray], op: str = "copy") -> list[np.ndarray]:
    """Run the oracle and the compiled program on copies, compare, and return the exit values."""
    verify(program)
    expected, actual = [x.copy() for x in arrays], [x.copy() for x in arrays]
    status = reference.run(program, expected)
    assert Executable(program).run(actual) == status
    for a, b in zip(actual, expected, strict=True):
        assert_same(op, a, b)
    return actual


# ------------------------------------------------------------------------------------------------- layouts of views

SHAPES: dict[str, tuple[int, ...]] = {
    "vector": (37,), "short": (3,), "scalar": (), "empty": (0,), "matrix": (5, 7), "cube": (3, 2, 5), "flat cube": (4, 1, 3)
}  # fmt: skip
LAYOUTS: dict[str, Callable[[tuple[int, ...]], tuple[int, tuple[int, ...], int]]] = {}


def layout(function: Callable[[tuple[int, ...]], tuple[int, tuple[int, ...], int]]) -> Callable[..., object]:
    LAYOUTS[function.__name__] = function
    return function


@layout
def dense(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    """Offset and strides of a view, and the size of its buffer."""
    return 0, contiguous(shape), int(np.prod(shape))


@layout
def strided(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    return 1, tuple(3 * s for s in contiguous(shape)), 3 * int(np.prod(shape)) + 1


@layout
def reversed_(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    size = int(np.prod(shape))
    return max(size - 1, 0), tuple(-s for s in contiguous(shape)), size


@layout
def transposed(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    return 0, contiguous(shape[::-1])[::-1], int(np.prod(shape))


@layout
def padded(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    wide = tuple(n + 2 for n in shape)
    return 0, contiguous(wide), int(np.prod(wide))


@layout
def repeated(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    """One element for all: not for results."""
    return 0, (0,) * len(shape), 1


@layout
def rows_repeated(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    return 0, tuple(0 if k < len(shape) - 1 else 1 for k in range(len(shape))), shape[-1] if shape else 1


WRITABLE = [name for name in LAYOUTS if "repeated" not in name]


def program_of(
    op: Op, dtype: str, shape: tuple[int, ...], names: list[str], in_place: int | None = None
) -> tuple[Program, list[np.ndarray]]:
    """A program of one instruction; names[0] is the layout of the result, the others those of the operands."""
    p = Program(op.name)
    arrays, views = [], []
    kinds = ["bool" if op.name == "where" and k == 0 else dtype for k in range(op.arity)]
    for k, (kind, name) in enumerate(zip(kinds, names[1:], strict=True)):
        offset, strides, size = LAYOUTS[name](shape)
        whole = p.bound(kind, (size,), Role.ARGUMENT, f"x{k}")
        views.append(View(whole.buffer, offset, shape, strides))
        with np.errstate(over="ignore"):  # 1e300 in float32
            arrays.append(operands(op, size, dtype, seed=k)[k])
    if in_place is not None:
        out = views[in_place]
    else:
        offset, strides, size = LAYOUTS[names[0]](shape)
        result = op.result or dtype
        whole = p.bound(result, (size,), Role.ARGUMENT, "out")
        out = View(whole.buffer, offset, shape, strides)
        arrays.append(np.full(size, 77, result))
    p.emit(op.name, out, tuple(views))
    return p, arrays


@pytest.mark.parametrize(("op", "dtype"), ROWS)
def test_every_layout(op: Op, dtype: str) -> None:
    for shape in SHAPES.values():
        for out in WRITABLE:
            for k, name in enumerate(LAYOUTS):
                others = list(LAYOUTS)[k:] + list(LAYOUTS)[:k]
                for names in {(name,) * op.arity, tuple(others[: op.arity]), ("dense", "repeated", "dense")[: op.arity]}:
                    program, arrays = program_of(op, dtype, shape, [out, *names])
                    run_both(program, arrays, op.name)


@pytest.mark.parametrize(("op", "dtype"), ROWS)
def test_result_in_place_of_an_operand(op: Op, dtype: str) -> None:
    for shape in SHAPES.values():
        for name in WRITABLE:
            for k in range(op.arity):
                if (op.result or dtype) == dtype and not (op.name == "where" and k == 0):
                    program, arrays = program_of(op, dtype, shape, [name] * (1 + op.arity), in_place=k)
                    run_both(program, arrays, op.name)


@pytest.mark.parametrize(("op", "dtype"), [row for row in ROWS if row.values[1] in ("float64", "float32")])
@pytest.mark.parametrize("scalar", [True, False], ids=["scalar", "vector"])
def test_special_values(op: Op, dtype: str, scalar: bool) -> None:
    """Infinities, NaN, signed zeros and halves, in all combinations, through the scalar switch and through the loops."""
    chosen = [v for v in SPECIAL_VALUES if op.name != "pow" or v != 0.5]  # NumPy takes the root: nan for -inf, where C has inf
    if op.name == "zeta":  # SciPy has nan where the value is 0
        chosen = [v for v in chosen if abs(v) < 1e300]
    with np.errstate(over="ignore"):
        values = np.array((*chosen, 2.5, -2.5, 3.0)).astype(dtype)
    arrays = [g.ravel() for g in np.meshgrid(*[values] * op.arity)]
    if op.name == "where":
        arrays[0] = arrays[0] > 0
    n = len(arrays[0])
    p = Program(op.name)
    ins = [p.bound(str(x.dtype), (n,), Role.ARGUMENT, f"x{k}") for k, x in enumerate(arrays)]
    out = p.bound(op.result or dtype, (n,), Role.RESULT, "out")
    shapes = [View(0, k, (), ()) for k in range(n)] if scalar else [View(0, 0, (n,), (1,))]
    for view in shapes:
        p.emit(op.name, view._replace(buffer=out.buffer), tuple(view._replace(buffer=x.buffer) for x in ins))
    run_both(p, [*arrays, np.zeros(n, op.result or dtype)], op.name)


@pytest.mark.parametrize("source", ["float64", "float32", "int64", "bool"])
@pytest.mark.parametrize("target", ["float64", "float32", "int64", "bool"])
def test_casts(source: str, target: str) -> None:
    values = np.array([0.0, 1.0, -1.0, 2.75, -2.75, 0.25, 1e6]).astype(source)
    for shape in [(), (7,)]:
        p = Program("cast")
        x = p.bound(source, shape, Role.ARGUMENT, "x")
        out = p.bound(target, shape, Role.RESULT, "out")
        p.emit("cast", out, (x,))
        for value in values:
            run_both(p, [np.full(shape, value, source), np.zeros(shape, target)])


@given(programs(guards="any"))
def test_random_programs(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    expected, actual, strided_arrays = [x.copy() for x in arrays], [x.copy() for x in arrays], [spread(x) for x in arrays]
    status = reference.run(program, expected)
    executable = Executable(program)
    assert executable.run(actual) == status
    assert executable.clone().run(strided_arrays) == status
    in_tiles = [x.copy() for x in arrays]
    assert Executable(program, tile=2).run(in_tiles) == status
    for a, b, c, d in zip(actual, expected, strided_arrays, in_tiles, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11 if a.dtype == np.float64 else 1e-5, atol=0)
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(a, d)


def spread(x: np.ndarray) -> np.ndarray:
    """An equal array that is not contiguous."""
    wide = np.repeat(x[..., np.newaxis], 2, axis=-1)
    return wide[..., 0]


# ----------------------------------------------------------------------------------------------------- what is bound


def axpy(n: int = 4) -> Program:
    """y = a * x + y; twice = 2 * y, by way of a captured array of twos."""
    p = Program("axpy")
    a = p.bound("float64", (), Role.ARGUMENT, "a")
    x = p.bound("float64", (n,), Role.ARGUMENT, "x")
    y = p.bound("float64", (n,), Role.ARGUMENT, "y")
    twice = p.bound("float64", (n,), Role.RESULT, "twice")
    p.emit("muladd", y, (broadcast(a, (n,)), x, y))
    p.emit("add", twice, (y, y))
    return p


@pytest.mark.parametrize(
    "number", [3, 3.0, np.float64(3), np.float32(3), np.int64(3), np.array(3.0)], ids=lambda v: type(v).__name__
)
def test_numbers(number: float) -> None:
    x, y, twice = np.arange(4.0), np.ones(4), np.empty(4)
    assert Executable(axpy()).run((number, x, y, twice)) == -1
    assert y.tolist() == [1, 4, 7, 10]
    assert twice.tolist() == [2, 8, 14, 20]


def test_a_written_scalar_array_is_updated() -> None:
    p = Program()
    a = p.bound("float64", (), Role.ARGUMENT, "a")
    p.emit("square", a, (a,))
    executable, array = Executable(p), np.array(3.0)
    assert executable.run((array,)) == -1
    assert array == 9
    assert executable.run((2.0,)) == -1  # nobody sees the outcome
    assert executable.run((array,)) == -1
    assert array == 81


ANY_LAYOUT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": np.copy,
    "strided": spread,
    "reversed": lambda x: x[::-1].copy()[::-1],
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": lambda x: np.frombuffer(b"." + x.tobytes(), dtype=np.uint8).copy()[1:].view(x.dtype),
}


@pytest.mark.parametrize("name", ANY_LAYOUT)
def test_arrays_of_any_layout(name: str) -> None:
    executable = Executable(axpy())
    for _ in range(2):  # the second time with what the first one has set up
        x, y, twice = (ANY_LAYOUT[name](v) for v in (np.arange(4.0), np.ones(4), np.full(4, np.nan)))
        assert executable.run((3.0, x, y, twice)) == -1
        assert y.tolist() == [1, 4, 7, 10]
        assert twice.tolist() == [2, 8, 14, 20]
        x, y, twice = np.arange(4.0), np.zeros(4), np.empty(4)
        assert executable.run((1.0, x, y, twice)) == -1
        assert y.tolist() == [0, 1, 2, 3]


def test_other_addresses_at_each_run() -> None:
    executable = Executable(axpy())
    for k in range(20):
        arrays = [np.full(4, float(k)) for _ in range(3)]
        assert executable.run((2.0, *arrays)) == -1
        assert arrays[1].tolist() == [3 * k] * 4
        assert arrays[2].tolist() == [6 * k] * 4


def test_an_array_that_moved() -> None:
    executable, y, twice = Executable(axpy()), np.zeros(4), np.empty(4)
    x = np.arange(4.0)
    executable.run((1.0, x, y, twice))
    x.resize(100_000, refcheck=False)
    x.resize(4, refcheck=False)
    x[:] = 5
    executable.run((1.0, x, y, twice))
    assert y.tolist() == [5, 6, 7, 8]


def test_captured_arrays_are_read_at_each_run() -> None:
    base = np.zeros((3, 2))
    p = Program()
    out = p.bound("float64", (3,), Role.RESULT, "out")
    dense_copy = np.zeros(3)
    strided_one = p.bound("float64", (3,), Role.CAPTURED, "table", base[:, 1])
    dense_one = p.bound("float64", (3,), Role.CAPTURED, "other", dense_copy)
    p.emit("add", out, (strided_one, dense_one))
    executable, result = Executable(p), np.empty(3)
    for k in range(3):
        base[:, 1], dense_copy[:] = k, 10 * k
        executable.run((result,))
        assert result.tolist() == [11 * k] * 3


def test_read_only_arrays() -> None:
    x, y, twice = np.arange(4.0), np.ones(4), np.empty(4)
    x.flags.writeable = False
    executable = Executable(axpy())
    assert executable.run((3.0, x, y, twice)) == -1
    y.flags.writeable = False
    with pytest.raises(ValueError, match="y: the array is read-only"):
        executable.run((3.0, x, y, twice))


@pytest.mark.parametrize(
    ("arrays", "error", "match"),
    [
        ((1.0, np.ones(4), np.ones(4)), TypeError, "4 arrays expected, got 3"),
        ((1.0, np.ones(4, dtype=int), np.ones(4), np.ones(4)), ValueError, "x: an array of int64"),
        ((1.0, np.ones(4), np.ones(5), np.ones(4)), ValueError, "y: an array of float64 with 5 elements"),
        ((1.0, 2.0, np.ones(4), np.ones(4)), TypeError, "x: an array is expected, not float"),
        (("one", np.ones(4), np.ones(4), np.ones(4)), TypeError, "real number"),
    ],
)
def test_unusable_arrays(arrays: tuple[object, ...], error: type[Exception], match: str) -> None:
    executable = Executable(axpy())
    with pytest.raises(error, match=match):
        executable.run(arrays)  # type: ignore[arg-type]
    assert executable.run((1.0, np.ones(4), np.ones(4), np.ones(4))) == -1


def test_results_equal_numpy_bit_for_bit() -> None:
    """No contraction: the product is rounded before the addition."""
    rng = np.random.default_rng(1)
    a, x, y = rng.random(), rng.random(101), rng.random(101)
    expected = a * x + y
    Executable(axpy(101)).run((a, x, y, np.empty(101)))
    np.testing.assert_array_equal(y, expected)


def test_pickle_and_repr() -> None:
    executable = pickle.loads(pickle.dumps(Executable(axpy())))
    y = np.ones(4)
    assert executable.run((3.0, np.arange(4.0), y, np.empty(4))) == -1
    assert y.tolist() == [1, 4, 7, 10]
    assert repr(executable) == "<Executable of <Program axpy: 2 instructions, 4 buffers>>"


# ------------------------------------------------------------------------------------------------------------- guards


def guarded() -> Program:
    """y = 2 * x; out = x; guard that x[0] > 0; y += x; all of this overwrites before it knows."""
    p = Program("guarded")
    x = p.bound("float64", (3,), Role.ARGUMENT, "x")
    y = p.bound("float64", (3,), Role.ARGUMENT, "y")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    positive = p.temp("bool", ())
    p.emit("add", y, (x, x))
    p.emit("copy", out, (x,))
    p.emit("greater", positive, (x._replace(shape=(), strides=()), p.constant(0.0, "float64")))
    p.emit("guard", None, (positive,), True)
    p.emit("add", y, (y, x))
    return p


@pytest.mark.parametrize("name", ANY_LAYOUT)
def test_a_missed_guard_changes_nothing(name: str) -> None:
    executable = Executable(guarded())
    x, y, out = (ANY_LAYOUT[name](np.array(v)) for v in ([-1.0, 2.0, 3.0], [7.0] * 3, [8.0] * 3))
    assert executable.run((x, y, out)) == 3
    assert y.tolist() == [7] * 3
    assert out.tolist() == [8] * 3
    x[0] = 1
    assert executable.run((x, y, out)) == -1
    assert y.tolist() == [3, 6, 9]
    assert out.tolist() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_guards_compare_every_element(shape: tuple[int, ...], dtype: str) -> None:
    p = Program()
    x = p.bound(dtype, shape, Role.ARGUMENT, "x")
    p.emit("guard", None, (x._replace(shape=shape[::-1], strides=x.strides[::-1]),), 1)
    executable, array = Executable(p), np.ones(shape, dtype)
    assert executable.run((array,)) == -1
    for k in range(array.size):
        array[...] = 1
        array.reshape(-1)[k] = 0
        assert executable.run((array,)) == 0


def test_an_index_out_of_bounds_is_like_a_missed_guard() -> None:
    p = Program()
    table = p.bound("float64", (3,), Role.ARGUMENT, "table")
    index = p.bound("int64", (2,), Role.ARGUMENT, "index")
    out = p.bound("float64", (2,), Role.RESULT, "out")
    p.emit("neg", table, (table,))
    p.emit("take", out, (table, index))
    executable, x, result = Executable(p), np.arange(3.0), np.full(2, 9.0)
    for wrong in ([0, 3], [-1, 0]):
        assert executable.run((x, np.array(wrong), result)) == 1
        assert x.tolist() == [0, 1, 2]
        assert result.tolist() == [9, 9]
    assert executable.run((x, np.array([2, 1]), result)) == -1
    assert result.tolist() == [-2, -1]


# -------------------------------------------------------------------------------------------------------------- parts


def split_program() -> Program:
    """y = exp(x) in the forward part; x = 3 * y, by way of temporaries of the reverse part, after the split."""
    p = Program("split")
    x = p.bound("float64", (5,), Role.ARGUMENT, "x")
    out = p.bound("float64", (5,), Role.ARGUMENT, "out")
    y, local = p.temp("float64", (5,)), p.temp("float64", (5,))
    p.emit("neg", local, (x,))
    p.emit("neg", local, (local,))
    p.emit("exp", y, (local,))
    p.split = len(p)
    for _ in range(3):
        a, b = p.temp("float64", (5,)), p.temp("float64", (5,))
        p.emit("add", a, (y, y))
        p.emit("add", b, (a, y))
        p.emit("copy", out, (b,))
    return p


def test_the_reverse_part_runs_again() -> None:
    executable = Executable(split_program(), in_parts=True)
    x, out = np.linspace(0, 1, 5), np.full(5, np.nan)
    assert executable.run((x, out), "forward") == -1
    assert np.isnan(out).all()
    expected = np.exp(x) + np.exp(x) + np.exp(x)
    x[:] = 100  # not read after the split
    for _ in range(3):
        out[:] = np.nan
        assert executable.run((x, out), "reverse") == -1
        np.testing.assert_allclose(out, expected, rtol=1e-15)


def test_parts_woven_into_each_other_do_not_run_apart() -> None:
    executable = Executable(split_program())
    x, out = np.linspace(0, 1, 5), np.zeros(5)
    with pytest.raises(RuntimeError, match="split: its parts are woven into each other"):
        executable.run((x, out), "forward")
    assert executable.run((x, out)) == -1
    expected = out.copy()
    for apart in (executable.apart(), pickle.loads(pickle.dumps(executable.apart()))):
        out[:] = 0
        apart.run((x, out), "forward")
        assert not out.any()
        apart.run((x, out), "reverse")
        np.testing.assert_array_equal(out, expected)


def test_a_temporary_of_both_parts_is_restored() -> None:
    """The reverse part updates what the forward part left; a second reverse part must not see that."""
    p = Program()
    x = p.bound("float64", (2,), Role.ARGUMENT, "x")
    out = p.bound("float64", (2,), Role.ARGUMENT, "out")
    total = p.temp("float64", (2,))
    p.emit("copy", total, (x,))
    p.split = len(p)
    p.emit("add", total, (total, total))
    p.emit("copy", out, (total,))
    executable, oracle = Executable(p, in_parts=True), reference.ReferenceExecutable(p)
    for e in (executable, oracle):
        x_, out_ = np.array([1.0, 2.0]), np.zeros(2)
        e.run((x_, out_), "forward")
        for _ in range(3):
            e.run((x_, out_), "reverse")
            assert out_.tolist() == [2, 4]
        e.run((x_, out_))
        assert out_.tolist() == [2, 4]


@given(programs(guards="none", dtypes=("float64",)))
def test_parts_of_random_programs(drawn: tuple[Program, list[np.ndarray]]) -> None:
    program, arrays = drawn
    for split, tile in product({0, len(program) // 2, len(program)}, (2, 512)):
        program.split = split
        executable, oracle = Executable(program, tile, in_parts=True), reference.ReferenceExecutable(program)
        actual, expected = [x.copy() for x in arrays], [x.copy() for x in arrays]
        for part in ("forward", "reverse", "reverse"):
            assert executable.run(actual, part) == oracle.run(expected, part) == -1
            for k, (a, b) in enumerate(zip(actual, expected, strict=True)):
                compared = np.isfinite(b) if k >= len(program.arguments) else ...  # the oracle poisons unwritten results
                np.testing.assert_allclose(a[compared], b[compared], rtol=1e-10)
            actual = [x.copy() for x in expected]


# ------------------------------------------------------------------------------------------------------------ threads


def iteration(n: int, steps: int) -> Program:
    p = Program("iteration")
    x = p.bound("float64", (n,), Role.ARGUMENT, "x")
    for _ in range(steps):
        half, root = p.temp("float64", (n,)), p.temp("float64", (n,))
        p.emit("mul", half, (x, p.constant(0.5, "float64", (n,))))
        p.emit("sqrt", root, (half,))
        p.emit("add", x, (half, root))
    return p


@pytest.mark.parametrize("cloned", [True, False])
def test_threads(cloned: bool) -> None:
    executable = Executable(iteration(1000, 50))
    starts = [np.full(1000, 1.0 + k) for k in range(8)]
    expected = [x.copy() for x in starts]
    for x in expected:
        for _ in range(20):
            executable.run((x,))

    def work(e: Executable, x: np.ndarray) -> None:
        for _ in range(20):
            assert e.run((x,)) == -1

    threads = [threading.Thread(target=work, args=(executable.clone() if cloned else executable, x)) for x in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(starts, expected, strict=True):
        np.testing.assert_array_equal(a, b)
