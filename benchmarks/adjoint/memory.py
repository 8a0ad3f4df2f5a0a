"""Peak memory against the budget: each gradient in a process of its own."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .cases import Case

HEAD = ["method", "steps", "budget", "peak", "peak / budget"]
NOTE = (
    "A ring of 2000 states. The peak is that of the resident memory of the process over what it had after the gradient of a "
    "short span; it includes all that does not belong to the steps: states at the data, stages, factors."
)
STATES = 2000


def ring(dx, x, p, t):
    dx[:] = p[0] * np.tanh(x) - p[1] * x
    dx[1:] += p[2] * x[:-1]
    dx[0] += p[3] * x[-1] + np.sin(3 * t)


def case(until: float) -> Case:
    start = np.sin(np.arange(STATES))
    return Case("ring", ring, start, np.array([0.7, 1.0, 0.3, 0.2]), np.array([until]), 1e-8, 1e-10)


def rows(quick: bool, seconds: float) -> Iterator[list[str]]:
    """One per method and budget; `seconds` does not matter, and there are none where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return
    for method in ("Tsit5",) if quick else ("Tsit5", "Rodas5P"):
        for budget in (16e6,) if quick else (16e6, 64e6, 256e6):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                steps, peak = pool.apply(increase, (method, budget, 20.0 if quick else 400.0))
            yield [method, str(steps), f"{budget / 1e6:.0f} MB", f"{peak / 1e6:.0f} MB", f"{peak / budget:.2f}"]


def increase(method: str, budget: float, until: float) -> tuple[int, float]:
    """Steps, and by how much the peak of a gradient is above what the process had before, in bytes."""
    case(1.0).gradient(method, checkpoints=budget)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    result = case(until).gradient(method, checkpoints=budget)
    return result.nsteps, _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith(name))
