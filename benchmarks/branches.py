"""An `if` per cell beside its `np.where` form: time of the value and of the vjp, as ratios.

    python benchmarks/branches.py [--cells 1000] [--grid 300]

Medians of interleaved repeats in one process. Then the recording of a grid with an upwind `if` per cell.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from odead.derivatives.kernel import Kernel
from odead.tracing.trace import trace
from odead.transform.passes import optimise
from odead.transform.reverse import reverse

REPEATS = 200


def upwind_loop(du, u, c):
    for i in range(1, len(u) - 1):
        if u[i] > 0:
            du[i] = -c * u[i] * (u[i] - u[i - 1])
        else:
            du[i] = -c * u[i] * (u[i + 1] - u[i])


def upwind_where(du, u, c):
    v = u[1:-1]
    du[1:-1] = np.where(v > 0, -c * v * (v - u[:-2]), -c * v * (u[2:] - v))


def minmod_loop(du, u, c):
    for i in range(1, len(u) - 1):
        a = u[i] - u[i - 1]
        b = u[i + 1] - u[i]
        if a * b <= 0:
            s = 0.0
        elif abs(a) < abs(b):
            s = a
        else:
            s = b
        du[i] = c * s


def minmod_where(du, u, c):
    a, b = u[1:-1] - u[:-2], u[2:] - u[1:-1]
    du[1:-1] = c * np.where(a * b <= 0, 0.0, np.where(abs(a) < abs(b), a, b))


def upwind_grid(du, u, c):
    n, m = u.shape
    for i in range(1, n - 1):
        for j in range(1, m - 1):
            if u[i, j] > 0:
                du[i, j] = -c * (u[i, j] - u[i - 1, j])
            else:
                du[i, j] = -c * (u[i + 1, j] - u[i, j])


def medians(calls: list[Callable[[], Any]]) -> list[float]:
    """Seconds of each call, measured in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            for _ in range(10):
                call()
            taken.append((time.perf_counter() - start) / 10)
    return [statistics.median(taken) for taken in times]


def compare(name: str, loop: Callable[..., None], where: Callable[..., None], cells: int) -> None:
    rng = np.random.default_rng(0)
    u = rng.standard_normal(cells)
    for part, derive in (("value", None), ("vjp", partial(reverse, active=(0, 1, 2)))):
        kernels = [Kernel(f, (np.zeros(cells), u, 2.0), derive) for f in (loop, where)]
        shadows = [] if derive is None else [np.ones(cells), np.zeros(cells), np.zeros(())]
        calls = [partial(kernel, np.zeros(cells), u, 2.0, *shadows) for kernel in kernels]
        first, second = medians(calls)
        counts = " and ".join(str(len(kernel.program)) for kernel in kernels)
        print(f"{name:8} {part:6} {first * 1e6:8.2f} us  np.where {second * 1e6:8.2f} us  ratio {first / second:5.2f}  "
              f"({counts} instructions)")  # fmt: skip


def record(n: int) -> None:
    u = np.random.default_rng(0).standard_normal((n, n))
    marks = [time.perf_counter()]
    program = trace(upwind_grid, (np.zeros((n, n)), u, 2.0)).program
    marks.append(time.perf_counter())
    optimised = optimise(program)
    marks.append(time.perf_counter())
    derived = optimise(reverse(optimised, (0, 1, 2)))
    marks.append(time.perf_counter())
    traced, rolled, differentiated = (b - a for a, b in pairwise(marks))
    print(f"grid of {n} x {n}: {len(program)} instructions recorded in {traced:.2f} s, {len(optimised)} left after "
          f"{rolled:.2f} s, {len(derived)} of value and vjp after {differentiated:.2f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--grid", type=int, default=300)
    options = parser.parse_args()
    compare("upwind", upwind_loop, upwind_where, options.cells)
    compare("minmod", minmod_loop, minmod_where, options.cells)
    record(options.grid)


if __name__ == "__main__":
    main()
