"""The structured kernels against the oracle and, where the order of the additions is NumPy's, bit for bit."""

from itertools import product

import numpy as np
import pytest

from odead._core import OPCODES
from odead.execute import reference
from odead.execute.compiled import Executable
from odead.execute.lowering import lower
from odead.structured import STRUCTURED
from odead.tape import Program, Role, verify
from odead.transform.forward import forward
from odead.transform.passes import optimise
from odead.transform.reverse import reverse
from odead.views import View, broadcast, contiguous
from structured import CASES, LAYOUTS, Case, program_of


def run_both(program: Program, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    verify(program)
    actual, expected = [x.copy() for x in arrays], [x.copy() for x in arrays]
    assert Executable(program).run(actual) == reference.run(program, expected)
    return actual, expected


def permuted(p: Program, role: Role, name: str, shape: tuple[int, ...], order: tuple[int, ...], dtype: str = "float64") -> View:
    """A view of the given shape of an array whose axes lie in memory in another order."""
    stored = tuple(shape[k] for k in order)
    whole = p.bound(dtype, stored, role, name)
    strides = [0] * len(shape)
    for k, stride in zip(order, whole.strides, strict=True):
        strides[k] = stride
    return View(whole.buffer, 0, shape, tuple(strides))


# ---------------------------------------------------------------------------------------------------------------- sum


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 16, 127, 128, 129, 1000, 5001])
@pytest.mark.parametrize("step", [1, 3, -1])
def test_sums_have_numpys_bits(dtype: str, n: int, step: int) -> None:
    x = np.random.default_rng(n).standard_normal((n, abs(step)))[:, 0].astype(dtype)
    p = Program("sum")
    source = p.bound(dtype, (n * abs(step),), Role.ARGUMENT, "x")
    out = p.bound(dtype, (), Role.RESULT, "out")
    p.emit("sum", out, (View(source.buffer, 0 if step > 0 else max(n - 1, 0), (n,), (step,)),))
    array, result = np.zeros(n * abs(step), dtype), np.full((), 7.0, dtype)
    view = array[::step] if step > 0 else array[::-1]
    view[:] = x
    assert Executable(p).run((array, result)) == -1
    assert result == view.sum()


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 130), (130, 4), (2, 3, 4, 5), (1, 4, 1, 3), (3, 0, 2), (0, 3)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_sums_over_any_axes(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    for kept in range(len(shape) + 1):
        for turn in range(len(shape)):
            order = tuple(range(turn, len(shape))) + tuple(range(turn))
            p = Program("sum")
            x = permuted(p, Role.ARGUMENT, "x", shape, order, dtype)
            out = p.bound(dtype, shape[:kept], Role.RESULT, "out")
            p.emit("sum", out, (x,))
            values = rng.integers(-9, 9, tuple(shape[k] for k in order)).astype(dtype) / (7 if dtype[0] == "f" else 1)
            arrays = [values.astype(dtype), np.full(shape[:kept], 5, dtype)]
            actual, expected = run_both(p, arrays)
            np.testing.assert_allclose(
                actual[1], expected[1], rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5 * (dtype[0] == "f")
            )


def test_sum_of_columns_has_numpys_bits() -> None:
    """Rows are added one after the other, as NumPy does for a contiguous matrix."""
    x = np.random.default_rng(0).standard_normal((200, 30))
    p = Program("sum")
    source = p.bound("float64", x.shape, Role.ARGUMENT, "x")
    out = p.bound("float64", (30,), Role.RESULT, "out")
    p.emit("sum", out, (source._replace(shape=(30, 200), strides=(1, 30)),))
    result = np.empty(30)
    assert Executable(p).run((x, result)) == -1
    np.testing.assert_array_equal(result, x.sum(axis=0))


# ------------------------------------------------------------------------------------------------------------- matmul


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("m", [1, 2, 4, 17])
@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("k", [0, 1, 2, 7, 19])
@pytest.mark.parametrize("op", ["matmul", "matmul_add"])
def test_products(dtype: str, m: int, n: int, k: int, op: str) -> None:
    rng = np.random.default_rng(0)
    for orders in product([(0, 1), (1, 0)], repeat=3):
        p = Program(op)
        shapes = ((m, n), (m, k), (k, n))
        adds = op == "matmul_add"
        x = permuted(p, Role.ARGUMENT, "x", shapes[1], orders[1], dtype)
        y = permuted(p, Role.ARGUMENT, "y", shapes[2], orders[2], dtype)
        out = permuted(p, Role.ARGUMENT if adds else Role.RESULT, "out", shapes[0], orders[0], dtype)
        p.emit(op, out, (out, x, y) if adds else (x, y))
        arrays = [rng.integers(-9, 9, p.buffers[v.buffer].shape).astype(dtype) for v in (x, y)]
        before = 77 if adds or dtype == "int64" else np.nan
        actual, expected = run_both(p, [*arrays, np.full(p.buffers[out.buffer].shape, before, dtype)])
        np.testing.assert_array_equal(actual[2], expected[2])  # small integers: exact in any order


NARROW = [(2, 600, 1), (30, 3, 1), (4, 1, 30), (30, 1, 2), (2, 1, 75), (4, 1, 130), (30, 2, 8), (3, 40, 5)]


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize(("m", "n", "k"), [(2, 2, 2), (8, 8, 8), (30, 1, 30), (1, 30, 30), (1, 1, 300), *NARROW])
@pytest.mark.parametrize("step", [1, 2, -1])
@pytest.mark.parametrize("op", ["matmul", "matmul_add"])
def test_batches_of_products(shape: tuple[int, ...], m: int, n: int, k: int, step: int, op: str) -> None:
    """One matrix for the whole batch (strides 0), and matrices with gaps or backwards in memory."""
    rng = np.random.default_rng(0)
    p = Program(op)
    adds = op == "matmul_add"
    x = p.bound("float64", (m, k), Role.ARGUMENT, "x")
    y = p.bound("float64", (*shape, k, n, abs(step)), Role.ARGUMENT, "y")
    out = p.bound("float64", (*shape, m, n), Role.ARGUMENT if adds else Role.RESULT, "out")
    x = x._replace(shape=(*shape, m, k), strides=(*(0,) * len(shape), *x.strides))
    inner = tuple(s * (-1 if step < 0 else 1) for s in y.strides[-3:-1])
    start = (k - 1) * y.strides[-3] + (n - 1) * y.strides[-2] if step < 0 else 0
    y = View(y.buffer, start, (*shape, k, n), (*y.strides[:-3], *inner))
    p.emit(op, out, (out, x, y) if adds else (x, y))
    arrays = [rng.standard_normal(p.buffers[b].shape) for b in (x.buffer, y.buffer)]
    actual, expected = run_both(p, [*arrays, np.full((*shape, m, n), 0.5 if adds else np.nan)])
    np.testing.assert_allclose(actual[2], expected[2], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [3, 12])
def test_a_product_over_its_own_operand(n: int) -> None:
    p = Program("matmul")
    x = p.bound("float64", (n, n), Role.ARGUMENT, "x")
    y = p.bound("float64", (n, n), Role.ARGUMENT, "y")
    p.emit("matmul", y, (x, y))
    p.emit("matmul", y, (y, y))
    rng = np.random.default_rng(0)
    actual, expected = run_both(p, [rng.standard_normal((n, n)), rng.standard_normal((n, n))])
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-10)


@pytest.mark.parametrize(("m", "k"), [(2, 75), (4, 130), (1, 40), (40, 3), (41, 8), (40, 1), (3, 40)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("op", ["matmul", "matmul_add"])
def test_narrow_matrices_times_vectors(m: int, k: int, turned: bool, op: str) -> None:
    """Inside larger matrices, by rows and by columns, on either side."""
    rng = np.random.default_rng(0)
    for left in (False, True):
        p = Program(op)
        big = p.bound("float64", (k + 2, m + 3) if turned else (m + 2, k + 3), Role.ARGUMENT, "big")
        y = p.bound("float64", (k, 1), Role.ARGUMENT, "y")
        out = p.bound("float64", (m, 1), Role.ARGUMENT, "out")
        ld = big.shape[1]
        x = View(big.buffer, 1, (m, k), (1, ld) if turned else (ld, 1))
        operands, target = (x, y), out
        if left:
            operands = tuple(v._replace(shape=v.shape[::-1], strides=v.strides[::-1]) for v in (y, x))
            target = out._replace(shape=(1, m), strides=out.strides[::-1])
        p.emit(op, target, (target, *operands) if op == "matmul_add" else operands)
        actual, expected = run_both(p, [rng.standard_normal(p.buffers[v.buffer].shape) for v in (big, y, out)])
        np.testing.assert_allclose(actual[2], expected[2], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("m", "n"), [(4, 8), (5, 9), (7, 15), (12, 8), (70, 70), (33, 100), (130, 17)])
@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
@pytest.mark.parametrize("op", ["matmul", "matmul_add"])
def test_a_matrix_times_several_vectors(m: int, n: int, lanes: int, op: str) -> None:
    """Inside a larger matrix, and by its transpose."""
    rng = np.random.default_rng(0)
    for turned in (False, True):
        p = Program(op)
        big = p.bound("float64", (m + 1, n + 3), Role.ARGUMENT, "big")
        size, height = (m, n) if turned else (n, m)
        y = p.bound("float64", (lanes, size, 1), Role.ARGUMENT, "y")
        out = p.bound("float64", (lanes, height, 1), Role.ARGUMENT, "out")
        x = View(big.buffer, 1, (lanes, m, n), (0, n + 3, 1))
        if turned:
            x = x._replace(shape=(lanes, n, m), strides=(0, 1, n + 3))
        p.emit(op, out, (out, x, y) if op == "matmul_add" else (x, y))
        actual, expected = run_both(p, [rng.standard_normal(p.buffers[v.buffer].shape) for v in (big, y, out)])
        np.testing.assert_allclose(actual[2], expected[2], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("onto", ["apart", "the first vector", "the second vector", "the same"])
def test_products_in_one_pass(onto: str) -> None:
    """Two products with one matrix that follow each other; one may write what the other reads or writes."""
    rng, n = np.random.default_rng(0), 20
    p = Program("matmul")
    x = p.bound("float64", (n, n), Role.ARGUMENT, "x")
    vectors = p.bound("float64", (4, n, 1), Role.ARGUMENT, "vectors")
    first, second, out, other = (View(vectors.buffer, k * n, (n, 1), (1, 1)) for k in range(4))
    one = second if onto == "the second vector" else out
    two = {"the first vector": first, "the same": out}.get(onto, other)
    p.emit("matmul", one, (x, first))
    p.emit("matmul", two, (x, second))
    if onto == "the second vector":
        p.emit("matmul", out, (x, other))
    actual, expected = run_both(p, [rng.standard_normal(p.buffers[v.buffer].shape) for v in (x, vectors)])
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", [2, 9, 32, 33])
@pytest.mark.parametrize(("m", "n"), [(9, 9), (16, 32), (70, 21), (13, 100)])
@pytest.mark.parametrize("op", ["matmul", "matmul_add"])
def test_sums_of_outer_products(m: int, n: int, terms: int, op: str) -> None:
    """Of the rows of two matrices, into a part of a larger one, and into its transpose."""
    rng = np.random.default_rng(0)
    for turned in (False, True):
        p = Program(op)
        x, y = (p.bound("float64", (terms, size + 3), Role.ARGUMENT, name) for size, name in ((m, "x"), (n, "y")))
        big = p.bound("float64", (m + 1, n + 2), Role.ARGUMENT, "big")
        left = View(x.buffer, 1, (m, terms), (1, m + 3))
        right = View(y.buffer, 2, (terms, n), (n + 3, 1))
        out = View(big.buffer, 1, (m, n), (n + 2, 1))
        operands = (left, right)
        if turned:
            left, right, out = (v._replace(shape=v.shape[::-1], strides=v.strides[::-1]) for v in (left, right, out))
            operands = (right, left)
        p.emit(op, out, (out, *operands) if op == "matmul_add" else operands)
        actual, expected = run_both(p, [rng.standard_normal(p.buffers[v.buffer].shape) for v in (x, y, big)])
        np.testing.assert_allclose(actual[2], expected[2], rtol=1e-12, atol=1e-12)


def test_infinite_elements_of_a_matrix_stay_in_their_rows() -> None:
    p = Program("matmul")
    x, y, out = (p.bound("float64", shape, Role.ARGUMENT, "a") for shape in ((10, 11), (11, 1), (10, 1)))
    matrix = np.ones((10, 11))
    matrix[3, 9], matrix[8, 0] = np.inf, np.nan
    p.emit("matmul", out, (x, y))
    result = np.zeros((10, 1))
    assert Executable(p).run([matrix, np.ones((11, 1)), result]) == -1
    np.testing.assert_array_equal(result, matrix @ np.ones((11, 1)))


# --------------------------------------------------------------------------------------------------- gather and scatter

INDICES = {(): 2, (1,): [3], (4,): [3, 0, 0, 2], (2, 3): [[0, 1, 2], [3, 3, 1]], (0,): []}


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("index", INDICES.values(), ids=str)
@pytest.mark.parametrize("constant", [True, False])
def test_take_and_put(dtype: str, batch: tuple[int, ...], index: object, constant: bool) -> None:
    rng = np.random.default_rng(0)
    where = np.array(index, dtype=np.int64)
    for name in ("take", "put", "put_add"):
        if name == "put_add" and dtype == "bool":
            continue
        if name == "put" and np.unique(where).size != where.size:
            continue
        for order in (tuple(range(len(batch) + 1)), tuple(range(len(batch) + 1))[::-1]):
            p = Program(name)
            x = permuted(p, Role.ARGUMENT, "x", (*batch, 4), order, dtype)
            values = p.bound(dtype, (*batch, *where.shape), Role.ARGUMENT, "values")
            position = p.constant(where, "int64") if constant else p.bound("int64", where.shape, Role.ARGUMENT, "index")
            if name == "take":
                p.emit("take", values, (x, position))
            else:
                p.emit(name, x, (x, values, position))
            arrays = [rng.integers(-9, 9, p.buffers[v.buffer].shape).astype(dtype) for v in (x, values)]
            actual, expected = run_both(p, arrays if constant else [*arrays, where])
            for a, b in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_repeated_indices_are_added_in_order() -> None:
    rng = np.random.default_rng(0)
    values, index = rng.standard_normal(1000) * 10.0 ** rng.integers(-8, 8, 1000), rng.integers(0, 3, 1000)
    p = Program("put_add")
    total = p.bound("float64", (3,), Role.ARGUMENT, "total")
    added = p.bound("float64", (1000,), Role.ARGUMENT, "added")
    p.emit("put_add", total, (total, added, p.constant(index, "int64")))
    actual, expected = run_both(p, [np.zeros(3), values])
    np.testing.assert_array_equal(actual[0], expected[0])


def test_a_permutation_in_place() -> None:
    p = Program("take")
    x = p.bound("float64", (4,), Role.ARGUMENT, "x")
    p.emit("take", x, (x, p.constant([3, 2, 1, 0], "int64")))
    p.emit("put", x, (x, x, p.constant([1, 2, 3, 0], "int64")))
    actual, expected = run_both(p, [np.arange(4.0)])
    assert actual[0].tolist() == expected[0].tolist() == [0, 3, 2, 1]


def test_a_constant_index_is_checked_when_lowered() -> None:
    p = Program("take")
    x = p.bound("float64", (4,), Role.ARGUMENT, "x")
    out = p.bound("float64", (2,), Role.RESULT, "out")
    p.emit("take", out, (x, p.constant([0, 4], "int64")))
    with pytest.raises(AssertionError, match=r"outside of 0\.\.3"):
        Executable(p)


def test_a_matrix_of_an_empty_shape() -> None:
    p = Program("matmul")
    x = p.bound("float64", (0, 3), Role.ARGUMENT, "x")
    y = p.bound("float64", (3, 2), Role.ARGUMENT, "y")
    out = p.bound("float64", (0, 2), Role.RESULT, "out")
    assert contiguous((0, 2)) == out.strides
    p.emit("matmul", out, (x, y))
    assert Executable(p).run((np.ones((0, 3)), np.ones((3, 2)), np.ones((0, 2)))) == -1


# ------------------------------------------------------------------------------------------------------- the registry


def nearly(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operation_is_the_oracles(case: Case, layout: str) -> None:
    nearly(*run_both(*program_of(case, layout)))


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("case", [case for case in CASES if case.is_active], ids=str)
def test_every_derivative_is_the_oracles(case: Case, width: int | None) -> None:
    rng = np.random.default_rng(0)
    program, arrays = program_of(case)
    for derive in (forward, reverse):
        derived = optimise(derive(optimise(program), range(len(arrays)), width))
        shadows = [rng.standard_normal(derived.buffers[b].shape) for b in derived.arguments[len(arrays) :]]
        nearly(*run_both(derived, [*arrays, *shadows]))


def test_each_tape_calls_on_its_own_memory() -> None:
    """Arrays that move from run to run, and a clone."""
    p = Program("expm")
    x, out = p.bound("float64", (2, 2), Role.ARGUMENT, "x"), p.bound("float64", (2, 2), Role.RESULT, "out")
    doubled = p.temp("float64", (2, 2))
    p.emit("add", doubled, (x, x))
    p.emit("expm", out, (doubled,))
    executable = Executable(p)
    for run in (executable.run, executable.clone().run):
        for scale in (1.0, 2.0):
            result = np.empty((2, 2))
            assert run((scale * np.eye(2), result)) == -1
            np.testing.assert_allclose(result, np.exp(2 * scale) * np.eye(2), atol=1e-15)


def test_a_decomposition_that_does_not_exist_stops_the_run() -> None:
    p = Program("cholesky")
    x, y = (p.bound("float64", (2, 2), Role.ARGUMENT, name) for name in "xy")
    p.emit("add", y, (y, y))
    p.emit("cholesky", x, (x,))
    arrays = [-np.eye(2), np.ones((2, 2))]
    for run in (Executable(p).run, lambda arrays: reference.run(p, arrays)):
        assert run(arrays) == 1
        assert (arrays[0] == -np.eye(2)).all()
        assert (arrays[1] == 1).all()
    assert Executable(p).run([np.eye(2), arrays[1]]) == -1
    assert (arrays[1] == 2).all()


def test_what_a_call_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(STRUCTURED["expm"]), "value", interrupted)
    p = Program("expm")
    x, out = p.bound("float64", (2, 2), Role.ARGUMENT, "x"), p.bound("float64", (2, 2), Role.RESULT, "out")
    p.emit("expm", out, (x,))
    executable = Executable(p)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            executable.run((np.eye(2), np.empty((2, 2))))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lu_of_nan_and_of_a_singular_matrix(dtype: str) -> None:
    p = Program("lu")
    x, out = p.bound(dtype, (3, 3), Role.ARGUMENT, "x"), p.bound(dtype, (15,), Role.RESULT, "out")
    p.emit("lu", out, (x,))
    for values in (np.full((3, 3), np.nan), np.ones((3, 3)), np.zeros((3, 3))):
        result = np.empty(15, dtype)
        assert Executable(p).run((values.astype(dtype), result)) == -1
        assert sorted(result[12:]) == [0, 1, 2]


@pytest.mark.parametrize("op", ["amax", "amin"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_extrema_with_nan(op: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for shape, axes in (((40,), 1), ((3, 17), 1), ((17, 3), 1), ((5, 4, 6), 2)):
        x = rng.integers(-9, 9, shape).astype(dtype)
        if dtype != "int64":
            x[rng.random(shape) < 0.02] = np.nan
        for order in (tuple(range(len(shape))), tuple(range(len(shape)))[::-1]):
            p = Program(op)
            source = permuted(p, Role.ARGUMENT, "x", shape, order, dtype)
            out = p.bound(dtype, shape[: len(shape) - axes], Role.RESULT, "out")
            p.emit(op, out, (source,))
            stored = np.ascontiguousarray(np.transpose(x, order))
            actual, expected = run_both(p, [stored, np.full(out.shape, 7, dtype)])
            np.testing.assert_array_equal(actual[1], expected[1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_with_nan(side: str) -> None:
    grid = np.array([-1.0, 0.0, 0.0, 2.0, np.inf, np.nan, np.nan])
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, np.inf, np.nan, -np.inf])
    p = Program("searchsorted")
    x, v = p.bound("float64", grid.shape, Role.ARGUMENT, "x"), p.bound("float64", values.shape, Role.ARGUMENT, "v")
    out = p.bound("int64", values.shape, Role.RESULT, "out")
    p.emit("searchsorted", out, (x, v), side)
    actual, expected = run_both(p, [grid, values, np.zeros(8, np.int64)])
    np.testing.assert_array_equal(actual[2], expected[2])


def test_scans_and_products_have_numpys_bits() -> None:
    x = np.random.default_rng(0).uniform(0.9, 1.1, 1000)
    p = Program("scans")
    source = p.bound("float64", (1000,), Role.ARGUMENT, "x")
    sums, products = (p.bound("float64", (1000,), Role.RESULT, name) for name in ("sums", "products"))
    p.emit("recurrence", sums, (p.constant(1.0, "float64", (999,)), source))
    p.emit("cumprod", products, (source,))
    results = np.empty(1000), np.empty(1000)
    assert Executable(p).run((x, *results)) == -1
    np.testing.assert_array_equal(results[0], np.cumsum(x))
    np.testing.assert_array_equal(results[1], np.cumprod(x))


@pytest.mark.parametrize(("shared", "columns"), [(0, 1), (0, 6), (1, 1), (1, 6)])
@pytest.mark.parametrize("lanes", [8, 14])
def test_a_batch_over_one_matrix_is_one_product(shared: int, columns: int, lanes: int) -> None:
    """Lanes of a tangent: gathered into one call of BLAS where they lie side by side, and are not just a few vectors."""
    rng = np.random.default_rng(0)
    p = Program("matmul")
    n = 12
    shapes = [(n, n), (lanes, n, columns)] if shared == 0 else [(lanes, columns, n), (n, n)]
    views = [p.bound("float64", shape, Role.ARGUMENT, name) for shape, name in zip(shapes, "xy", strict=True)]
    views[shared] = broadcast(views[shared], (lanes, n, n))
    out = p.bound("float64", (lanes, n, columns) if shared == 0 else (lanes, columns, n), Role.RESULT, "out")
    p.emit("matmul", out, (views[0], views[1]))
    actual, expected = run_both(p, [*(rng.standard_normal(shape) for shape in shapes), np.full(out.shape, np.nan)])
    np.testing.assert_allclose(actual[2], expected[2], rtol=1e-12, atol=1e-13)
    extra = lower(p, OPCODES).words
    gathered = (columns == 1 or shared == 1) and (columns > 1 or lanes > 12)
    assert (extra[4] == 0) == gathered  # axes around the product
