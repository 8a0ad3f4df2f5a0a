"""Integers that vary: as indices they are operands, elsewhere they are guarded where Python needs the number itself."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import odead
from odead.derivatives.kernel import Kernel

TABLE = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 7.0, 6.0, 9.0])


def one(t: Any, table: Any) -> Any:
    return table[int(t / 0.5)] * t


def linear(t: Any, table: Any) -> Any:
    k = int(t / 0.5)
    w = t / 0.5 - k
    return (1 - w) * table[k] + w * table[k + 1]


def periodic(t: Any, table: Any) -> Any:
    k = int(t / 0.1)
    return table[k % 8] + table[(k // 8) - 8] * t


def clamped(t: Any, table: Any) -> Any:
    k = min(max(int(t / 0.1), 0), len(table) - 1)
    return table[k] * t


def rounded(t: Any, table: Any) -> Any:
    return table[math.floor(t)] + table[math.ceil(t)] * table[round(t)]


def rows(t: Any, table: Any) -> Any:
    grid = table.reshape(4, 2)
    return grid[int(t)].sum() * t + grid[1, int(t) // 2] + grid[int(t), int(t) // 2] + grid[int(t), ::-1][0]


def each(t: Any, table: Any) -> Any:
    total = 0.0
    for i in range(6):
        total = total + table[int(table[i] * t / 9)] * (i + 1)
    return total


def captured(t: Any, table: Any) -> Any:
    return TABLE[int(t)] * table[0]


def constant(t: Any, table: Any) -> Any:
    return np.array([1.0, 4.0, 9.0, 16.0])[int(t)] * table[0] * t


def counted(t: Any, table: Any) -> Any:
    bins = np.zeros(8)
    for i in range(8):
        bins[int(table[i] * t / 9)] += t * (i + 1)
    return bins[1] * table[0] + bins[2]


def branched(t: Any, table: Any) -> Any:
    total = 0.0
    for i in range(6):
        x = table[i] * t
        if x < 7:
            total = total + table[int(x)]
        else:
            total = total + x
    return total


FUNCTIONS: list[Callable[[Any, Any], Any]] = [
    one, linear, periodic, clamped, rounded, rows, each, captured, constant, counted, branched,
]  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS)
def test_one_program_serves_all_indices(f: Callable[[Any, Any], Any]) -> None:
    kernel = Kernel(f, (0.3, TABLE.copy()))
    out = np.empty(())
    for t in np.linspace(0.01, 2.9, 40):
        kernel(float(t), TABLE.copy(), out)
        assert out == pytest.approx(f(float(t), TABLE), rel=1e-14)
    assert len(kernel._variants) == 1


@pytest.mark.parametrize("f", FUNCTIONS)
def test_derivatives(f: Callable[[Any, Any], Any]) -> None:
    for t in (0.33, 1.57, 2.71):
        d_t, d_table = odead.gradient(f, t, TABLE.copy(), wrt=(0, 1))
        h = 1e-7
        assert d_t == pytest.approx((f(t + h, TABLE) - f(t - h, TABLE)) / (2 * h), rel=1e-5, abs=1e-6)
        for k in range(8):
            step = np.zeros(8)
            step[k] = h
            assert d_table[k] == pytest.approx((f(t, TABLE + step) - f(t, TABLE - step)) / (2 * h), rel=1e-5, abs=1e-6)
        _, tangent = odead.jvp(f, (t, TABLE), (1.0, np.zeros(8)))
        assert tangent == pytest.approx(d_t)


def test_an_index_out_of_range_raises_as_the_plain_call_does() -> None:
    compiled = odead.compile(one, 0.3, TABLE.copy())
    assert compiled.primal(3.9, TABLE) == one(3.9, TABLE)
    with pytest.raises(IndexError):
        compiled.primal(4.1, TABLE)
    assert compiled.primal(-0.6, TABLE) == one(-0.6, TABLE)
    with pytest.raises(ValueError, match="NaN"):
        compiled.primal(math.nan, TABLE)
    with pytest.raises(OverflowError):
        compiled.primal(math.inf, TABLE)


def as_count(x: Any) -> Any:
    total = 0.0
    for k in range(int(x)):
        total = total + x * k
    return total


def as_shape(x: Any) -> Any:
    return np.full(int(x), x).sum()


def as_entry_of_list(x: Any) -> Any:
    return [1.0, 2.0, 3.0, 4.0][int(x)] * x


def as_key(x: Any) -> Any:
    return {0: 1.0, 1: 2.0, 2: 5.0, 3: 7.0}[int(x)] * x


def as_repeat(x: Any) -> Any:
    return sum([x] * int(x)) + (int(x) << 1) + (int(x) & 1)


def as_number(x: Any) -> Any:
    k = int(x)
    return k * x + (k + 1) / 2 + k**2 + (2 if k == 1 else 3) + (10 if isinstance(k, int) and type(k) is int else 0)


@pytest.mark.parametrize("f", [as_count, as_shape, as_entry_of_list, as_key, as_repeat, as_number])
def test_where_python_needs_the_number_it_is_guarded(f: Callable[[Any], Any]) -> None:
    compiled = odead.compile(f, 2.5)
    for x in (1.5, 2.5, 3.25, 1.75):
        assert compiled.primal(x) == pytest.approx(f(x))


# -------------------------------------------------------------------------------------------- tables of neighbours


def test_two_lookups_in_one_loop_roll():
    def f(du: Any, u: Any) -> None:
        for i in range(len(u)):
            a = int(u[i] / 0.5)
            v = TABLE[a]
            b = int(u[i] / 0.3)
            du[i] = u[i] * (v + TABLE[b])

    u = np.random.default_rng(0).uniform(0.0, 2.3, 300)
    kernel = Kernel(f, (np.zeros(300), u))
    assert len(kernel.program) < 25
    for shift in (0.0, 0.05):
        du, expected = np.zeros(300), np.zeros(300)
        kernel(du, u + shift)
        f(expected, u + shift)
        np.testing.assert_allclose(du, expected, rtol=1e-14)
    with pytest.raises(IndexError):
        kernel(du, u + 9)


def test_captured_tables_of_indices_keep_jacobians_sparse():
    rng = np.random.default_rng(0)
    n = 200
    neighbours = rng.integers(0, n, (n, 3))

    def sliced(x: Any) -> Any:
        return x[neighbours].sum(axis=1) - 3 * x

    def looped(x: Any) -> Any:
        out = np.zeros(n)
        for k in range(n):
            for j in neighbours[k]:
                out[k] += x[j] - x[k]
        return out

    def indexed(x: Any) -> Any:
        out = np.zeros(n)
        for k in range(n):
            for j in range(3):
                out[k] += x[neighbours[k, j]] - x[k]
        return out

    x = rng.normal(size=n)
    for _ in range(2):
        expected = -3.0 * np.eye(n)
        np.add.at(expected, (np.arange(n)[:, None], neighbours), 1.0)
        for f in (sliced, looped, indexed):
            assert odead.sparsity(f, x).nnz <= 4 * n
            np.testing.assert_allclose(odead.jacobian(f, x, sparse=True).toarray(), expected, rtol=1e-13, atol=1e-13)
        neighbours[:] = rng.integers(0, n, (n, 3))  # noticed, and recorded anew
