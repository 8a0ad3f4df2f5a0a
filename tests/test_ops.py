"""The op table against NumPy: every partial of every row, its conventions at kinks, and its form."""

import ast
from functools import partial

import numpy as np
import pytest

import helpers
from odead.execute import reference
from odead.execute.reference import value
from odead.ops import OPERANDS, TABLE, UFUNCS, Op, parse_partial
from odead.tape import Program, Role, verify
from odead.transform.forward import forward


def evaluate(expression: str, op: Op, xs: tuple[np.ndarray, ...]) -> np.ndarray:
    """A partial as the table writes it, with the names of rows being their NumPy values."""
    names = {name: partial(value, name) for name in TABLE}
    operands = dict(zip(OPERANDS, xs, strict=False))
    code = compile(ast.Expression(parse_partial(expression)), op.name, "eval")
    with np.errstate(all="ignore"):
        return np.broadcast_to(eval(code, {**names, **operands, "out": value(op.name, *xs)}), xs[-1].shape)


def partials_at(name: str, *xs: float) -> list[float]:
    op = TABLE[name]
    return [float(evaluate(p, op, tuple(np.array([x]) for x in xs))[0]) for p in op.partials if p is not None]


@pytest.mark.parametrize("op", helpers.DIFFERENTIABLE_OPS, ids=lambda op: op.name)
def test_partials(op: Op) -> None:
    xs = helpers.operands(op, 200)
    for k, (expression, exact) in enumerate(zip(op.partials, helpers.complex_partials(op, xs), strict=True)):
        assert (expression is None) == (exact is None)
        if expression is not None:
            np.testing.assert_allclose(evaluate(expression, op, xs), exact, rtol=2e-13, atol=1e-14, err_msg=f"operand {k}")


@pytest.mark.parametrize("op", helpers.DIFFERENTIABLE_OPS, ids=lambda op: op.name)
def test_partials_against_finite_differences(op: Op) -> None:
    """The complex step shares a formula with the table here and there; differences of NumPy's values share nothing."""
    xs = helpers.operands(op, 50)
    if op.name == "stop":
        return  # its derivative is 0 by decree
    h = 1e-4
    for k, expression in enumerate(op.partials):
        if expression is None:
            continue
        plus, minus = (value(op.name, *(x + s * h if j == k else x for j, x in enumerate(xs))) for s in (1, -1))
        slope = (plus - minus) / (2 * h)
        np.testing.assert_allclose(evaluate(expression, op, xs), slope, rtol=2e-5, atol=2e-6, err_msg=f"operand {k}")


@pytest.mark.parametrize("op", helpers.DIFFERENTIABLE_OPS, ids=lambda op: op.name)
def test_partials_as_instructions(op: Op) -> None:
    xs = helpers.operands(op, 50)
    program = Program(op.name)
    views = tuple(program.bound(str(x.dtype), x.shape, Role.ARGUMENT, name) for x, name in zip(xs, OPERANDS, strict=False))
    program.emit(op.name, program.bound("float64", (50,), Role.RESULT, "out"), views)
    for k, exact in enumerate(helpers.complex_partials(op, xs)):
        if exact is not None:
            derived = forward(program, [k])
            verify(derived)
            tangent = np.empty(50)
            assert reference.run(derived, [*xs, np.ones(50), np.empty(50), tangent]) == -1
            np.testing.assert_allclose(tangent, exact, rtol=2e-13, atol=1e-14, err_msg=f"operand {k}")


@pytest.mark.parametrize(
    ("name", "xs", "expected"),
    [
        ("abs", (0.0,), [0]),
        ("sign", (0.0,), [0]),
        ("maximum", (1.0, 1.0), [0.5, 0.5]),
        ("minimum", (1.0, 1.0), [0.5, 0.5]),
        ("fmax", (1.0, 1.0), [0.5, 0.5]),
        ("fmin", (1.0, 1.0), [0.5, 0.5]),
        ("fmax", (1.0, np.nan), [1, 0]),
        ("fmin", (np.nan, 1.0), [0, 1]),
        ("maximum", (2.0, 1.0), [1, 0]),
        ("minimum", (2.0, 1.0), [0, 1]),
        ("pow", (3.0, 0.0), [0, np.log(3.0)]),
        ("pow", (0.0, 0.0), [0, 0]),
        ("pow", (0.0, 1.0), [1, 0]),
        ("pow", (0.0, 2.0), [0, 0]),
        ("hypot", (0.0, 0.0), [0, 0]),
        ("hypot", (0.0, 2.0), [0, 1]),
        ("copysign", (0.0, 2.0), [0, 0]),
        ("copysign", (-3.0, 2.0), [-1, 0]),
        ("heaviside", (0.0, 0.5), [0, 1]),
        ("where", (True, 1.0, 2.0), [1, 0]),
        ("where", (False, 1.0, 2.0), [0, 1]),
        ("floor", (2.0,), [0]),
        ("zero_mul", (0.0, np.nan), [np.nan, 0]),
        ("sqrt", (0.0,), [np.inf]),
    ],
)
def test_conventions(name: str, xs: tuple[float, ...], expected: list[float]) -> None:
    np.testing.assert_array_equal(partials_at(name, *xs), expected)


@pytest.mark.parametrize("op", helpers.ALL_OPS, ids=lambda op: op.name)
def test_form(op: Op) -> None:
    assert not op.numpy or callable(getattr(np, op.numpy))
    assert op.kinds in ("f", "i", "b", "fi", "fib")
    assert op.result in ("", "bool")
    for expression in op.partials:
        for node in ast.walk(parse_partial(expression or "0")):
            if isinstance(node, ast.Call):
                assert isinstance(node.func, ast.Name)
                assert len(node.args) == TABLE[node.func.id].arity
    used = set().union(*op.mentions)
    assert used <= {*op.operands, "out"}


@pytest.mark.parametrize("op", helpers.ALL_OPS, ids=lambda op: op.name)
def test_values_have_the_dtype_of_the_row(op: Op) -> None:
    for dtype in (d for kind in op.kinds for d in helpers.DTYPES[kind]):
        assert value(op.name, *helpers.operands(op, 5, dtype)).dtype == (op.result or dtype)


def test_each_numpy_function_has_one_row() -> None:
    assert len(UFUNCS) == sum(bool(op.numpy) for op in helpers.ALL_OPS)


def test_what_the_adjoint_must_keep_is_read_off_the_row() -> None:
    assert TABLE["add"].mentions == (frozenset(), frozenset())
    assert TABLE["mul"].mentions == ({"y"}, {"x"})
    assert TABLE["exp"].mentions == ({"out"},)
    assert TABLE["where"].mentions == (frozenset(), {"x"}, {"x"})
