"""The oracle itself, on programs small enough to check by hand."""

import numpy as np
import pytest

from odead.execute.reference import ReferenceExecutable, run
from odead.tape import Program, Role, verify
from odead.views import View, broadcast


def scaled_difference() -> Program:
    """out[i] = 2 * (x[i + 1] - x[i]); x[0] = -x[0]."""
    p = Program("scaled_difference")
    x = p.bound("float64", (4,), Role.ARGUMENT, "x")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    difference = p.temp("float64", (3,))
    p.emit("sub", difference, (x._replace(offset=1, shape=(3,)), x._replace(shape=(3,))))
    p.emit("mul", out, (difference, p.constant(2.0, "float64", (3,))))
    first = x._replace(shape=(1,))
    p.emit("neg", first, (first,))
    return p


def test_values_and_mutation() -> None:
    x, out = np.array([1.0, 2.0, 4.0, 8.0]), np.empty(3)
    assert run(scaled_difference(), (x, out)) == -1
    assert out.tolist() == [2.0, 4.0, 8.0]
    assert x.tolist() == [-1.0, 2.0, 4.0, 8.0]


def test_arrays_of_any_layout_are_bound() -> None:
    base, out = np.zeros((4, 2)), np.empty(6)[::-2]
    base[:, 1] = [1.0, 2.0, 4.0, 8.0]
    assert run(scaled_difference(), (base[:, 1], out)) == -1
    assert out.tolist() == [2.0, 4.0, 8.0]
    assert base[:, 1].tolist() == [-1.0, 2.0, 4.0, 8.0]


def test_read_only_arguments_that_are_not_written() -> None:
    p = Program()
    x = p.bound("float64", (2,), Role.ARGUMENT, "x")
    out = p.bound("float64", (2,), Role.RESULT, "out")
    p.emit("exp", out, (x,))
    array, result = np.zeros(2), np.empty(2)
    array.flags.writeable = False
    assert run(p, (array, result)) == -1
    assert result.tolist() == [1.0, 1.0]


def test_numbers_are_bound_to_scalars() -> None:
    p = Program()
    a = p.bound("float64", (), Role.ARGUMENT, "a")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    p.emit("copy", out, (broadcast(a, (3,)),))
    result = np.empty(3)
    assert run(p, (2.5, result)) == -1
    assert result.tolist() == [2.5] * 3


def test_a_missed_guard_changes_nothing() -> None:
    p = Program()
    x = p.bound("float64", (3,), Role.ARGUMENT, "x")
    out = p.bound("float64", (3,), Role.RESULT, "out")
    flag = p.temp("bool", (3,))
    p.emit("neg", x, (x,))
    p.emit("copy", out, (x,))
    p.emit("less", flag, (x, p.constant(0.0, "float64", (3,))))
    p.emit("guard", None, (flag,), True)
    verify(p)
    array, result = np.array([1.0, 2.0, 3.0]), np.full(3, 7.0)
    assert run(p, (array, result)) == -1
    assert array.tolist() == [-1.0, -2.0, -3.0] == result.tolist()
    assert run(p, (array, result)) == 3
    assert array.tolist() == [-1.0, -2.0, -3.0] == result.tolist()


def test_undefined_storage_is_poisoned() -> None:
    p = Program()
    out = p.bound("float64", (2,), Role.RESULT, "out")
    p.emit("add", out, (p.temp("float64", (2,)), p.constant(1.0, "float64", (2,))))
    result = np.zeros(2)
    run(p, (result,))
    assert np.isnan(result).all()


def test_captured_arrays_are_read_at_every_run() -> None:
    table = np.arange(6.0)[::2]
    p = Program()
    captured = p.bound("float64", (3,), Role.CAPTURED, "table", table)
    out = p.bound("float64", (3,), Role.RESULT, "out")
    p.emit("copy", out, (captured,))
    result = np.empty(3)
    run(p, (result,))
    assert result.tolist() == [0.0, 2.0, 4.0]
    table[0] = 9.0
    run(p, (result,))
    assert result.tolist() == [9.0, 2.0, 4.0]


def square_and_its_adjoint() -> Program:
    """y = x * x, with x saved in a temporary for the reverse part; dx += 2 * x * dy, dy = 0."""
    p = Program()
    x = p.bound("float64", (2,), Role.ARGUMENT, "x")
    dx = p.bound("float64", (2,), Role.ARGUMENT, "d_x")
    dy = p.bound("float64", (2,), Role.ARGUMENT, "d_y")
    y = p.bound("float64", (2,), Role.RESULT, "y")
    saved, contribution = p.temp("float64", (2,)), p.temp("float64", (2,))
    p.emit("copy", saved, (x,))
    p.emit("square", y, (x,))
    p.split = len(p)
    p.emit("add", saved, (saved, saved))
    p.emit("mul", contribution, (saved, dy))
    p.emit("add", dx, (dx, contribution))
    p.emit("copy", dy, (p.constant(0.0, "float64", (2,)),))
    verify(p)
    return p


def test_the_reverse_part_may_be_repeated() -> None:
    executable = ReferenceExecutable(square_and_its_adjoint())
    x, dx, dy, y = np.array([3.0, 4.0]), np.zeros(2), np.ones(2), np.empty(2)
    assert executable.run((x, dx, dy, y), "forward") == -1
    assert y.tolist() == [9.0, 16.0]
    assert dx.tolist() == [0.0, 0.0]
    x[:] = 0.0
    for _ in range(2):
        dx[:], dy[:] = 0.0, 1.0
        assert executable.run((x, dx, dy, y), "reverse") == -1
        assert dx.tolist() == [6.0, 8.0]
        assert dy.tolist() == [0.0, 0.0]


def test_views_with_negative_and_zero_strides() -> None:
    p = Program()
    x = p.bound("int64", (2, 3), Role.ARGUMENT, "x")
    out = p.bound("int64", (3, 2), Role.RESULT, "out")
    backwards = View(x.buffer, 5, (3, 2), (-1, -3))
    p.emit("add", out, (backwards, View(x.buffer, 1, (3, 2), (0, 0))))
    verify(p)
    array, result = np.arange(6).reshape(2, 3), np.empty((3, 2), dtype=np.int64)
    run(p, (array, result))
    assert result.tolist() == (array[::-1, ::-1].T + 1).tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_copy_and_cast_between_all_dtypes(dtype: str) -> None:
    p = Program()
    x = p.bound("float64", (4,), Role.ARGUMENT, "x")
    out = p.bound(dtype, (4,), Role.RESULT, "out")
    p.emit("cast" if dtype != "float64" else "copy", out, (x,))
    array, result = np.array([0.0, -1.75, 2.5, 1.0]), np.empty(4, dtype=dtype)
    run(p, (array, result))
    assert result.tolist() == array.astype(dtype).tolist()
