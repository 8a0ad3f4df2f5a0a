"""Early `return` and `continue` in a branch per element: one program for all outcomes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from odead import Const, Duplicated, autodiff, gradient, hessian
from odead.derivatives.kernel import Kernel

N = 14


def minmod(a: Any, b: Any) -> Any:
    if a * b <= 0:
        return 0.0
    if abs(a) < abs(b):
        return a
    return b


def with_early_returns(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        du[i] = c * minmod(u[i] - u[i - 1], u[i + 1] - u[i])


def with_continue(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        if u[i] < 0:
            continue
        du[i] = c * u[i] * (u[i + 1] - u[i - 1])


def with_nested_continues(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if u[i] > 0:
            if u[i] > 1:
                du[i] = u[i] ** 3
                continue
            du[i] = c * u[i]
        elif u[i] < -1:
            continue
        du[i] += np.sin(u[i])


def from_both_sides(x: Any, y: Any) -> Any:
    if x > y:
        d = x - y
        if d > 0.5:
            return d * d
        d = 2 * d
    else:
        d = y - x
        if d > 0.5:
            return np.sqrt(d)
    return d + x * y


def with_falls_through(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u)):
        du[i] += from_both_sides(u[i], c * u[i - 1])


def double_loop(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        for j in range(len(u)):
            if i == j:
                continue
            r = u[i] - u[j]
            if abs(r) > c:
                continue
            du[i] += r * (c - abs(r))


def while_loop(du: Any, u: Any, c: Any) -> None:
    i = 0
    while i < len(u):
        i += 1
        if u[i - 1] < 0:
            continue
        du[i - 1] = c * u[i - 1] ** 2


FUNCTIONS = [with_early_returns, with_continue, with_nested_continues, with_falls_through, double_loop, while_loop]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_one_program_for_all_outcomes(f: Callable[..., None]) -> None:
    rng = np.random.default_rng(0)
    kernel = Kernel(f, (np.zeros(N), rng.standard_normal(N), 1.3))
    first = kernel.variant
    for _ in range(5):
        u, du, expected = rng.standard_normal(N), np.full(N, 0.25), np.full(N, 0.25)
        f(expected, u, 1.3)
        assert kernel(du, u, 1.3) is first
        assert_allclose(du, expected, rtol=1e-13)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives(f: Callable[..., None]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        u, w = rng.standard_normal(N), rng.standard_normal(N)
        du, shadow, d_u = np.full(N, 0.25), w.copy(), np.zeros(N)
        autodiff(f, Duplicated(du, shadow), Duplicated(u, d_u), Const(1.3))
        for k, e in enumerate(np.eye(N) * 1e-6):
            ends = [np.full(N, 0.25), np.full(N, 0.25)]
            f(ends[0], u + e, 1.3)
            f(ends[1], u - e, 1.3)
            assert_allclose(d_u[k], w @ (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6)


def test_a_loop_with_exits_becomes_array_operations() -> None:
    u = np.random.default_rng(0).standard_normal(1000)
    for f in (with_early_returns, with_continue):
        assert len(Kernel(f, (np.zeros(1000), u, 1.3)).program) < 12


def test_the_side_not_chosen_never_mixes_in_nan() -> None:
    def root(x: Any) -> Any:
        if x <= 0:
            return 0.0
        return np.sqrt(x)

    def f(x: Any) -> Any:
        total = 0.0
        for v in x:
            total += root(v)
        return total

    def by_where(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.where(x <= 0, 0.0, np.exp(-1 / x) * np.sqrt(x)).sum()

    def by_ifs(x: Any) -> Any:
        total = 0.0
        for v in x:
            total += 0.0 if v <= 0 else np.exp(-1 / v) * np.sqrt(v)
        return total

    x = np.array([1.0, 0.0, -4.0, 4.0, 9.0, -1.0])
    inside = np.where(x > 0, x, 1.0)
    assert_array_equal(gradient(f, x), np.where(x > 0, 0.5 / np.sqrt(inside), 0.0))
    curvature = np.where(x > 0, -0.25 / inside**1.5, 0.0)
    assert_allclose(hessian(f, x), np.diag(curvature), rtol=1e-14)
    value = np.exp(-1 / inside) * np.sqrt(inside)
    expected = np.where(x > 0, value * (1 / inside**2 + 0.5 / inside), 0.0)
    for g in (by_where, by_ifs):
        assert_allclose(gradient(g, x), expected, rtol=1e-14)
        assert np.isfinite(hessian(g, x)).all()


def test_exits_that_stay_are_right() -> None:
    """`break`, a return inside a loop, and one under `with` are guards."""

    def first_above(x: Any, limit: Any) -> Any:
        for k in range(len(x)):
            if x[k] > limit:
                return x[k] * k
        return 0.0 * limit

    def until(x: Any) -> Any:
        total = 0.0
        for v in x:
            if v < 0:
                break
            total += v**2
        return total

    def under_with(v: Any) -> Any:
        with np.errstate(all="ignore"):
            if v > 0:
                return v**2
        return v

    x = np.array([0.5, 1.5, 2.5, 3.5, 4.5, -1.0, 2.0])
    for limit in (0.0, 1.0, 4.0, 9.0):
        found = gradient(first_above, x, limit)
        k = next((k for k in range(7) if x[k] > limit), None)
        assert_array_equal(found, np.zeros(7) if k is None else k * np.eye(7)[k])
    assert_array_equal(gradient(until, x), np.where(np.arange(7) < 5, 2 * x, 0.0))
    assert_array_equal(gradient(lambda x: sum(under_with(v) for v in x), x), np.where(x > 0, 2 * x, 1.0))


def test_what_a_function_without_a_final_return_gives() -> None:
    def clipped(x: Any) -> Any:
        if x > 1:
            return 1.0
        if x < 0:
            return None
        return x**2

    def f(x: Any) -> Any:
        return sum(0.0 if (y := clipped(v)) is None else y for v in x)

    x = np.linspace(-0.5, 1.5, 9)
    assert_array_equal(gradient(f, x), np.where((x >= 0) & (x <= 1), 2 * x, 0.0))
