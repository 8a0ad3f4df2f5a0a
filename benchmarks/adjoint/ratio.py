"""Gradient over solve, by problem, method and number of parameters."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from .cases import Case, cases

HEAD = ["problem", "parameters", "method", "solve", "gradient", "ratio", "10 to 90 %", "steps"]
NOTE = "Times are the least, ratios the median and spread of pairs that follow each other."


def rows(quick: bool, seconds: float) -> Iterator[list[str]]:
    for case, methods in cases(quick):
        for method in methods:
            yield row(case, method, seconds)


def row(case: Case, method: str, seconds: float) -> list[str]:
    solution, result = case.solve(method), case.gradient(method)
    pairs = timed_pairs(lambda: case.solve(method), lambda: case.gradient(method), seconds)
    ratios, (forward, gradient) = pairs[:, 1] / pairs[:, 0], 1e6 * pairs.min(axis=0)
    low, middle, high = np.quantile(ratios, (0.1, 0.5, 0.9))
    shown = f"**{middle:.1f}**" if middle > 4 else f"{middle:.1f}"
    taken = result.method if isinstance(result.method, str) else ", ".join(result.method)
    name = method if method != "auto" else f"auto ({taken})"
    spread, steps = f"{low:.1f} to {high:.1f}", f"{solution.nsteps}, {result.nsteps}"
    return [case.name, str(case.p.size), name, f"{forward:.0f} us", f"{gradient:.0f} us", shown, spread, steps]


def timed_pairs(first: Callable[[], object], second: Callable[[], object], seconds: float) -> np.ndarray:
    """Processor time of two calls that take turns, in seconds, shape (pairs, 2); at least seven pairs."""
    found: list[tuple[float, float]] = []
    for _ in range(2):
        first(), second()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < 7:
        start = time.process_time()
        first()
        between = time.process_time()
        second()
        found.append((between - start, time.process_time() - between))
    return np.array(found)
