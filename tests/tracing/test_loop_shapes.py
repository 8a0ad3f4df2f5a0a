"""Loops with exits of all shapes, also those that cannot be one program: values and derivatives are those of the plain call."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead.derivatives.kernel import Kernel

N = 12
NEIGHBOURS = [(0, 1), (1, 2, 3), (2,), (3, 4, 5, 0)]


def name_bound_in_the_loop(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        for k in range(6):
            last = u[i] * k
            if last > 1:
                break
        du[i] = last * c


def array_written_in_the_loop(du: Any, u: Any, c: Any) -> None:
    work = np.zeros(len(u))
    for i in range(len(u)):
        for _ in range(5):
            work[i] += u[i] * c
            if work[i] > 1 or work[i] < -2:
                break
        du[i] = work[i] + (work[i - 1] if i else 0.0)


def breaks_at_two_levels(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        total = 0.0
        for j in range(4):
            s = u[i]
            for _ in range(4):
                s = s * 0.7 + 0.1 * j
                if s < 0.3:
                    break
            total += s
            if total > 2:
                break
        du[i] = total * c


def scaled(x: Any, c: Any) -> Any:
    n = 0
    while True:
        if x > 1:
            x = x / 2
        elif x < -1:
            return x * c
        else:
            break
        n += 1
    if n > 0:
        return x + n
    return -x


def exits_of_two_kinds(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        du[i] = scaled(u[i], c)


def pair_over_neighbours(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        best = (0.0, 1.0)
        for j in NEIGHBOURS[i % 4]:
            if u[j] > best[0]:
                best = (u[j], best[1] * 2)
            if best[1] > 3:
                break
        du[i] = best[0] * best[1]


def count_over_all_elements(du: Any, u: Any, c: Any) -> None:
    total = 0
    for i in range(len(u)):
        x = abs(u[i])
        while x > 0.5:
            x -= 0.3
            total += 1
        du[i] = x
    du[0] += total * c


def break_and_continue_over_zip(du: Any, u: Any, c: Any) -> None:
    for i, x in enumerate(u):
        total = 0.0
        for weight, v in zip((1.0, 2.0, 3.0), (u[0], u[1], x), strict=True):
            if v < 0:
                continue
            total += weight * v
            if total > 2:
                break
        du[i] = total


def loop_with_else(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        for k in range(3):
            if u[i] * k > 1:
                break
        else:
            du[i] = -1.0
            continue
        du[i] = k * u[i]


def return_from_the_loop_over_cells(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        for k in range(3):
            if u[i] > 1.2 + k:
                return
            du[i] += u[i] * c


def counter_as_index(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        k = 0
        while k < 3 and u[(i + k) % len(u)] > 0:
            k += 1
        du[i] = u[(i + k) % len(u)] * c


def leaves_before_its_domain_ends(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        x, total = u[i], 0.0
        for _ in range(5):
            if x <= 0:
                break
            total += math.log(x) / math.sqrt(x)
            x -= 0.4
        du[i] = total


def list_that_grows(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        items = []
        for k in range(4):
            if u[i] * k > 1:
                break
            items.append(u[i] * k)
        du[i] = sum(items) * c


@pytest.mark.filterwarnings("ignore::odead.OdeadWarning")
@pytest.mark.parametrize("f", [
    name_bound_in_the_loop, array_written_in_the_loop, breaks_at_two_levels, exits_of_two_kinds, pair_over_neighbours,
    count_over_all_elements, break_and_continue_over_zip, loop_with_else, return_from_the_loop_over_cells, counter_as_index,
    leaves_before_its_domain_ends, list_that_grows,
], ids=lambda f: f.__name__)  # fmt: skip
def test_as_the_plain_call(f: Callable[..., None]) -> None:
    kernel = Kernel(f, (np.zeros(N), np.random.default_rng(0).standard_normal(N), 1.3))
    for seed in range(6):
        u = np.random.default_rng(seed).standard_normal(N) * (1 + seed % 3)
        du, expected = np.zeros(N), np.zeros(N)
        f(expected, u.copy(), 1.3)
        kernel(du, u.copy(), 1.3)
        assert_allclose(du, expected, rtol=1e-12, atol=1e-13)
    odead.check_derivatives(f, np.zeros(N), np.random.default_rng(5).standard_normal(N), 1.3)
