"""A widened program does in each lane what the program itself does with the values of this lane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers
from odead._core import OPCODES
from odead._lanes_batch import WIDTH
from odead.execute.compiled import Executable
from odead.ops import Op
from odead.structured import STRUCTURED
from odead.tape import Program, Role, verify
from odead.transform.forward import forward
from odead.transform.lanes import NoLanesError, widen
from odead.transform.passes import optimise
from odead.transform.reverse import reverse
from odead.views import View
from structured import CASES, LAYOUTS, Case, program_of

LANES = WIDTH  # of which there are kernels
WITH_LANES = {
    "sum", "prod", "amax", "amin", "recurrence", "cumprod", "matmul", "matmul_add", "take", "put", "put_add", "take_along",
    "put_along_add", "searchsorted",
}  # fmt: skip
REARRANGED = {"sum", "prod", "matmul", "matmul_add"}  # what is added or multiplied in another order


def run_both(program: Program, lanes: list[list[np.ndarray]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the widened program leaves, and the program in one lane after the other."""
    wide = widen(program, len(lanes))
    verify(wide)
    found = [np.stack(arrays, axis=-1) for arrays in zip(*lanes, strict=True)]
    assert Executable(wide).run(found) == -1
    executable = Executable(program)
    for arrays in lanes:
        assert executable.run(arrays) == -1
    return found, [np.stack(arrays, axis=-1) for arrays in zip(*lanes, strict=True)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray], exactly: bool = True) -> None:
    for a, b in zip(found, expected, strict=True):
        if exactly:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", helpers.ALL_OPS, ids=lambda op: op.name)
@pytest.mark.parametrize("shape", [(), (3,)], ids=["number", "array"])
def test_every_row_of_the_table(op: Op, shape: tuple[int, ...]) -> None:
    """One operand is a constant, which all lanes share."""
    dtype = helpers.DTYPES[op.kinds[0]][0]
    count = int(np.prod(shape))
    drawn = [x.reshape(*shape, LANES) for x in helpers.operands(op, count * LANES, dtype)]
    p = Program(op.name)
    views = []
    for k, x in enumerate(drawn):
        if k == 1:
            x[...] = x[..., :1]
            views.append(p.constant(x[..., 0], x.dtype.name))
        else:
            views.append(p.bound(x.dtype.name, shape, Role.ARGUMENT, f"x{k}"))
    result = op.result or ("int64" if op.name == "cast" else drawn[-1].dtype.name)
    p.emit(op.name, p.bound(result, shape, Role.RESULT, "out"), tuple(views))
    bound = [x for k, x in enumerate(drawn) if k != 1]
    lanes = [[*(x[..., lane].copy() for x in bound), np.zeros(shape, result)] for lane in range(LANES)]
    found, expected = run_both(p, lanes)
    if op.name == "cast" or f"{op.name}.{dtype}.{'v' * op.arity}" in OPCODES:
        assert_same(found, expected)
    else:  # NumPy's loops for several elements and the C library's functions for one
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_max_ulp(a, b, 4)


@pytest.mark.parametrize("case", [case for case in CASES if case.op in WITH_LANES], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_structured_operation_that_has_lanes(case: Case, layout: str) -> None:
    program, _ = program_of(case, layout)
    lanes = [program_of(case, layout, seed)[1] for seed in range(LANES)]
    assert_same(*run_both(program, lanes), exactly=case.op not in REARRANGED)


@pytest.mark.parametrize("name", sorted({*STRUCTURED} - WITH_LANES - {"call", "guard"}))
def test_the_others_are_refused(name: str) -> None:
    case = next(case for case in CASES if case.op == name)
    with pytest.raises(NoLanesError, match="lu" if name == "solve" else name):
        widen(program_of(case)[0], LANES)


def test_branches_are_refused() -> None:
    p = Program("branch")
    x = p.bound("bool", (), Role.ARGUMENT, "x")
    p.emit("guard", None, (x,), True)
    with pytest.raises(NoLanesError, match="guard"):
        widen(p, LANES)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=["number", "vector", "matrix"])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["vector", "rows"])
def test_indices_of_its_own_in_each_lane(lead: tuple[int, ...], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    p = Program("take")
    x = p.bound("float64", (*lead, 5), Role.ARGUMENT, "x")
    index = p.bound("int64", shape, Role.ARGUMENT, "index")
    taken = p.bound("float64", (*lead, *shape), Role.RESULT, "taken")
    p.emit("take", taken, (x, index))
    if len(shape) < 2:
        p.emit("put_add", x, (x, p.bound("float64", (*lead, *shape), Role.ARGUMENT, "values"), index))
    lanes = []
    for _ in range(LANES):
        given = [rng.standard_normal((*lead, 5)), rng.integers(0, 5, shape)]
        if len(shape) < 2:
            given.append(rng.standard_normal((*lead, *shape)))
        lanes.append([*(np.asarray(each) for each in given), np.zeros((*lead, *shape))])
    assert_same(*run_both(p, lanes))


def test_a_product_that_is_its_own_factor() -> None:
    p = Program("square")
    x = p.bound("float64", (3, 3), Role.ARGUMENT, "x")
    p.emit("matmul", x, (x, x))
    p.emit("matmul", x, (View(x.buffer, 0, (3, 3), (1, 3)), p.constant(np.eye(3)[::-1], "float64")))
    lanes = [[x] for x in np.random.default_rng(0).standard_normal((LANES, 3, 3))]
    with pytest.raises(AssertionError, match="overlap"):  # the transposed is another view of the same memory
        verify(p)
    del p.op[1:], p.out[1:], p.ins[1:], p.params[1:], p.line[1:]
    assert_same(*run_both(p, lanes), exactly=False)


def test_captured_arrays_serve_all_lanes() -> None:
    table = np.arange(4.0)
    p = Program("captured")
    x = p.bound("float64", (4,), Role.ARGUMENT, "x")
    p.emit("mul", x, (x, p.bound("float64", (4,), Role.CAPTURED, "table", table)))
    lanes = [[x] for x in np.random.default_rng(0).standard_normal((LANES, 4))]
    assert_same(*run_both(p, lanes))


@given(st.data())
def test_any_program_and_its_derivatives(data: st.DataObject) -> None:
    program, arrays = data.draw(helpers.smooth_programs(guards="none"))
    floats = [k for k, b in enumerate(program.arguments) if program.buffers[b].dtype == "float64"]
    rng = np.random.default_rng(len(program))
    for derive in (None, forward, reverse):
        derived = program if derive is None else optimise(derive(program, floats))
        shapes = [derived.buffers[b].shape or () for b in (*derived.arguments, *derived.results)]
        lanes = [[x.copy() for x in arrays[: len(program.arguments)]] for _ in range(LANES)]
        for lane in lanes:
            lane += [rng.standard_normal(shape) for shape in shapes[len(lane) :]]
        expected = [[x.copy() for x in lane] for lane in lanes]
        try:
            found, separate = run_both(derived, expected)
        except NoLanesError:
            continue
        assert_same(found, separate, exactly=False)
