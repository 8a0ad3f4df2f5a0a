"""Gradient over steps: a longer solve costs as much more as it has more steps."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .cases import stored
from .ratio import timed_pairs

HEAD = ["method", "until", "steps", "gradient", "per step"]
NOTE = "Lotka-Volterra over longer and longer spans."


def rows(quick: bool, seconds: float) -> Iterator[list[str]]:
    for method in ("Tsit5", "Rodas5P", "BDF"):
        for until in (10.0, 20.0) if quick else (10.0, 30.0, 100.0, 300.0, 1000.0):
            case = replace(stored("lotka_volterra"), t_eval=np.linspace(0, until, 101))
            result = case.gradient(method)
            pairs = timed_pairs(lambda: None, lambda case=case, method=method: case.gradient(method), seconds)
            spent = 1e6 * pairs[:, 1].min()
            yield [method, f"{until:.0f}", str(result.nsteps), f"{spent:.0f} us", f"{spent / result.nsteps:.2f} us"]
