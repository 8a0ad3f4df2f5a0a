"""Loops whose end varies from element to element: one program for all of them, whatever their numbers of rounds."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead.derivatives.kernel import Kernel
from odead.tracing.branching.rounds import padded

N = 40


def newton(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        y = u[i]
        for _ in range(30):
            residual = y + c * y**3 - u[i]
            if abs(residual) < 1e-12:
                break
            y = y - residual / (1 + 3 * c * y * y)
        du[i] = y


def halved(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        x, steps = u[i], 0
        while x > 0.1:
            x = x * 0.5
            steps += 1
        du[i] = x * c + steps


def while_with_break_and_continue(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        x, k = 1 + u[i] ** 2, 0
        while True:
            k += 1
            if x < 1.1:
                break
            if x > 3:
                x = math.log(x)
                continue
            x = math.sqrt(x) * (1 + 0.001 * c)
            if k > 8 and x < 1.2:
                break
        du[i] = x


def root(y0: Any, c: Any) -> Any:
    y = y0
    for _ in range(30):
        residual = y + c * y**3 - y0
        if abs(residual) < 1e-12:
            return y
        y = y - residual / (1 + 3 * c * y * y)
    return y


def with_return_from_a_loop(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        du[i] = root(u[i], c)


def first_dry(u: Any, i: int, c: Any) -> Any:
    for j in range(i, len(u)):
        for k in (0, 1):
            if u[j] * (k + 1) < -1.5:
                return c * u[j] * (k + 1)
    return u[i]


def with_return_from_two_loops(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u) - 3, len(u)):
        du[i] += first_dry(u, i, c)
    for i in range(4):
        du[i] += first_dry(u[: i + 4], i, c)


def neighbours(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        total = 0.0
        for j in range(i, min(i + 4, len(u))):
            if u[j] < 0:
                break
            total += c * u[j]
        du[i] = total


def inside_a_side(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if u[i] > 0:
            w = 1 + u[i]
            while w > 1.05:
                w = math.sqrt(w)
            du[i] = w * c
        else:
            du[i] = c


FUNCTIONS = [newton, halved, while_with_break_and_continue, with_return_from_a_loop, with_return_from_two_loops, neighbours,
             inside_a_side]  # fmt: skip


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(N)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_other_values_take_the_same_program(f: Callable[..., None]) -> None:
    kernel = Kernel(f, (np.zeros(N), 1.5 * drawn(0), 1.3))
    for seed in range(1, 8):
        du, expected = np.zeros(N), np.zeros(N)
        f(expected, drawn(seed), 1.3)
        kernel(du, drawn(seed), 1.3)
        assert_allclose(du, expected, rtol=1e-13)
    assert len(kernel._variants) <= 2


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives(f: Callable[..., None]) -> None:
    odead.check_derivatives(f, np.zeros(N), drawn(3), 1.3)


@pytest.mark.parametrize("f", [newton, halved, with_return_from_a_loop, neighbours], ids=lambda f: f.__name__)
def test_the_loop_over_the_elements_becomes_array_operations(f: Callable[..., None]) -> None:
    u = np.random.default_rng(0).standard_normal(700)  # more inner loops than are tried
    assert len(Kernel(f, (np.zeros(700), u, 1.3)).program) < 250


def test_one_that_needs_more_rounds_is_recorded_again() -> None:
    kernel = Kernel(halved, (np.zeros(N), drawn(0), 1.3))
    for scale in (1.0, 100.0, 1e4):
        u, du, expected = scale * drawn(1), np.zeros(N), np.zeros(N)
        halved(expected, u, 1.3)
        kernel(du, u, 1.3)
        assert_allclose(du, expected, rtol=1e-15)
    assert 2 <= len(kernel._variants) <= 3


def test_an_iteration_of_the_whole_state_ends_where_it_ends() -> None:
    def fixed_point(x: Any) -> Any:
        y = x
        while np.abs(y - np.cos(y)).max() > 1e-9:
            y = np.cos(y)
        return y

    x = np.linspace(0.5, 0.9, 5)
    assert "where" not in Kernel(fixed_point, (x,)).trace.program.op
    odead.check_derivatives(fixed_point, x)


def test_a_loop_variable_that_is_read_behind_its_loop() -> None:
    def crossing(du: Any, u: Any) -> None:
        for i in range(len(u) - 6):
            for j in range(i, i + 6):
                if u[j] > 0.5:
                    break
            du[i] = j * u[i]

    def crossing_by_iterator(du: Any, u: Any) -> None:
        places = iter(range(len(u)))
        for k in range(4):
            for j in places:
                if u[j] > 0:
                    break
                du[j] += u[j] * k

    for f in (crossing, crossing_by_iterator):
        for seed in range(3):
            du, expected = np.zeros(12), np.zeros(12)
            f(expected, drawn(seed)[:12])
            Kernel(f, (du.copy(), drawn(9)[:12]))(du, drawn(seed)[:12])
            assert_allclose(du, expected, rtol=1e-15)


def test_rounds_are_padded() -> None:
    assert [padded(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17)] == [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 16, 24]
