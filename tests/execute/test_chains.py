"""Scalar operations that take an operand from the one before, where its result still is in a register."""

import numpy as np
import pytest

from odead._core import OPCODES
from odead.execute import reference
from odead.execute.compiled import Executable
from odead.ops import TABLE
from odead.tape import Program, Role, verify
from odead.views import View
from recorder import at

CHAINED = sorted(name.split(".")[0] + "-" + name[-1] for name in OPCODES if ".after_" in name)


def numbers(*values: float) -> tuple[Program, View, list[np.ndarray]]:
    """A program that binds one array."""
    program = Program("chain")
    return program, program.bound("float64", (len(values),), Role.ARGUMENT, "x"), [np.array(values)]


def assert_as_recorded(program: Program, arrays: list[np.ndarray]) -> None:
    verify(program)
    expected, actual = [a.copy() for a in arrays], [a.copy() for a in arrays]
    reference.run(program, expected)
    assert Executable(program).run(actual) == -1
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CHAINED)
@pytest.mark.parametrize("twice", [False, True])
def test_each_operand_of_each_operation(name: str, twice: bool) -> None:
    op, place = name.split("-")
    arity = TABLE[op].arity
    program, x, arrays = numbers(0.3, 1.7, -2.1, 0.9, 0.0, 0.0)
    program.emit("mul", at(x, 4), (at(x, 1), at(x, 3)))
    operands = [at(x, 4) if twice or "xyz"[k] == place else at(x, k) for k in range(arity)]
    program.emit(op, at(x, 5), tuple(operands))
    assert_as_recorded(program, arrays)


def test_the_operations_of_every_day_are_among_them() -> None:
    assert {f"{op}-{place}" for op in ("add", "sub", "mul", "div") for place in "xy"} <= set(CHAINED)
    assert {f"{op}-{place}" for op in ("muladd", "mulsub", "negmuladd", "submul") for place in "xyz"} <= set(CHAINED)


def test_only_the_one_before_counts() -> None:
    """A result that something else follows is read from where it is stored: a number of another kind, a row, a structure."""
    program, x, arrays = numbers(0.3, 1.7, -2.1, 0.9, 0.0, 0.0)
    count = program.bound("int64", (2,), Role.ARGUMENT, "count")
    wide = program.bound("float64", (3,), Role.ARGUMENT, "wide")
    between = [
        ("add", at(count, 0), (at(count, 0), at(count, 1))),
        ("exp", wide, (wide,)),
        ("sum", at(x, 3), (wide,)),
        ("less", program.temp("bool", ()), (at(x, 0), at(x, 1))),
    ]
    for op, out, ins in between:
        program.emit("mul", at(x, 4), (at(x, 1), at(x, 3)))
        program.emit(op, out, ins)
        program.emit("sub", at(x, 5), (at(x, 4), at(x, 0)))
        program.emit("add", at(x, 0), (at(x, 5), at(x, 2)))
    assert_as_recorded(program, [*arrays, np.array([3, 4]), np.array([0.1, 0.2, 0.3])])


def test_the_reverse_part_starts_from_storage() -> None:
    """It runs without what stands before it."""
    program, x, arrays = numbers(2.0, 3.0, 0.0)
    kept = program.temp("float64", ())
    program.emit("mul", kept, (at(x, 0), at(x, 1)))
    program.split = len(program)
    program.emit("add", at(x, 2), (kept, at(x, 2)))
    verify(program)
    executable = Executable(program, in_parts=True)
    assert executable.run(arrays, "forward") == -1
    for expected in (6.0, 12.0):
        assert executable.run(arrays, "reverse") == -1
        assert arrays[0][2] == expected
