"""Two threads, each with a program of its own."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

import odead

from .stencil import heat
from .table import Rows, Table
from .timing import Call, Timer

CALLS = 20


def measure(timer: Timer, quick: bool) -> Rows:
    timer = replace(timer, shared=False)  # two threads take the time of two processors
    rows: Rows = {}
    with ThreadPoolExecutor(2) as pool:
        for n in (10_000,) if quick else (10_000, 100_000):
            one, two = _vjps(n), _vjps(n)
            found = timer.medians(
                {
                    "2 threads": lambda one=one, two=two: list(pool.map(_run, (one, two))),
                    "1 thread": lambda one=one, two=two: list(map(_run, (one, two))),
                }
            )
            rows[f"{2 * CALLS} vjps of {n} points"] = found
    return rows


def _vjps(n: int) -> Call:
    args = (np.zeros(n), np.linspace(0.0, 1.0, n), np.array([3.0, 1.0]), 0.0)
    shadows = (np.ones(n), np.zeros(n), np.zeros(2), None)
    compiled = odead.compile(heat, *args)
    return lambda: compiled.vjp(args, None, out=shadows)


def _run(call: Call) -> None:
    for _ in range(CALLS):
        call()


TABLE = Table("Threads", "Compiled vjps of the heat stencil; a run of so many elements releases the GIL.", measure)
