"""What comes before the first run, by stage, and first calls."""

from functools import partial

import numpy as np

from odead.derivatives.kernel import Kernel
from odead.execute.compiled import Executable
from odead.tracing.trace import trace
from odead.transform.passes import optimise
from odead.transform.reverse import reverse

from .branches import upwind_grid
from .programs import chain
from .stencil import heat
from .table import Rows, Table
from .timing import Timer


def nested(dx, x, p, t):
    """250 products and sums of scalars that do not roll into a loop."""
    for k in range(125):
        dx[k % 5] = dx[(3 * k) % 5] * x[(k * k) % 7] + p[0] * x[(k + 3) % 7]


def measure(timer: Timer, quick: bool) -> Rows:
    x = np.linspace(0.1, 0.9, 7)
    side = 40 if quick else 300
    u = np.random.default_rng(0).standard_normal((side, side))
    functions = {
        "scalar code, 2000 operations": (chain, (x,), (0,)),
        "scalar code, 375 operations": (nested, (np.ones(5), x, x, 0.0), (0, 1, 2)),
        "heat stencil": (heat, (np.zeros(101), np.ones(101), np.ones(2), 0.0), (0, 1, 2)),
        f"a loop over {side} x {side} cells with an upwind `if`": (upwind_grid, (np.zeros((side, side)), u, 2.0), (0, 1, 2)),
    }
    rows: Rows = {}
    for name, (f, args, active) in functions.items():
        rows[name] = _stages(timer, f, args, active, 1 if side * side > 2000 and f is upwind_grid else 3)
    return rows


def _stages(timer: Timer, f, args, active, repeats: int) -> dict[str, float]:
    """Least time of each stage, the first run's imports aside."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        marks = [timer.now()]
        recorded = trace(f, args).program
        marks.append(timer.now())
        optimised = optimise(recorded)
        marks.append(timer.now())
        derived = optimise(reverse(optimised, active))
        marks.append(timer.now())
        Executable(derived)
        marks.append(timer.now())
        for stage, start, stop in zip(("record", "optimise", "derive", "lower"), marks, marks[1:], strict=False):
            found.setdefault(stage, []).append(stop - start)
        start = timer.now()
        Kernel(f, args, partial(reverse, active=active))
        found.setdefault("all of it", []).append(timer.now() - start)
    least = {stage: min(times) for stage, times in found.items()}
    return {"all of it": least.pop("all of it"), **least}


TABLE = Table(
    "Before the first run", "A vjp: recording, passes, derivation with passes again, lowering.", measure, compared=False
)
