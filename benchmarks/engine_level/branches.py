"""An `if` per cell beside its `np.where` form, and sums over edges beside `np.add.at`."""

import math
from functools import partial

import numpy as np

from odead.derivatives.kernel import Kernel
from odead.transform.reverse import reverse

from .groups import Calls, measured
from .table import Rows, Table
from .timing import Timer

CELLS = 1000
ROUNDS = 8  # of Newton's iteration, at most


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


def superbee_loop(du, u, c):
    for i in range(1, len(u) - 1):
        a, b = u[i] - u[i - 1], u[i + 1] - u[i]
        if b == 0:
            phi = 0.0
        else:
            phi = max(0.0, min(2 * a / b, 1.0), min(a / b, 2.0))
        du[i] = c * phi * b


def superbee_where(du, u, c):
    a, b = u[1:-1] - u[:-2], u[2:] - u[1:-1]
    ratio = a / np.where(b == 0, 1.0, b)
    phi = np.maximum(np.maximum(0.0, np.minimum(2 * ratio, 1.0)), np.minimum(ratio, 2.0))
    du[1:-1] = c * np.where(b == 0, 0.0, phi) * b


def dry_loop(du, u, c):
    for i in range(1, len(u) - 1):
        if u[i] <= 0:
            du[i] = 0.0
            continue
        du[i] = -c * math.sqrt(u[i])
        if u[i - 1] > 0:
            du[i] += c * math.sqrt(u[i - 1])


def dry_where(du, u, c):
    wet, left = u[1:-1] > 0, u[:-2] > 0
    inflow = np.where(left, c * np.sqrt(np.where(left, u[:-2], 1.0)), 0.0)
    du[1:-1] = np.where(wet, inflow - c * np.sqrt(np.where(wet, u[1:-1], 1.0)), 0.0)


def newton_loop(du, u, c):
    for i in range(len(u)):
        y = u[i]
        for _ in range(ROUNDS):
            residual = y + c * y**3 - u[i]
            if abs(residual) < 1e-9:
                break
            y = y - residual / (1 + 3 * c * y * y)
        du[i] = y


def newton_where(du, u, c):
    y, going = u.copy(), np.ones(len(u), bool)
    for _ in range(ROUNDS):
        residual = y + c * y**3 - u
        going = going & (abs(residual) >= 1e-9)
        y = np.where(going, y - residual / (1 + 3 * c * y * y), y)
    du[:] = y


def upwind_grid(du, u, c):
    n, m = u.shape
    for i in range(1, n - 1):
        for j in range(1, m - 1):
            if u[i, j] > 0:
                du[i, j] = -c * (u[i, j] - u[i - 1, j])
            else:
                du[i, j] = -c * (u[i + 1, j] - u[i, j])


LEFT, RIGHT = np.random.default_rng(1).integers(0, CELLS, (2, CELLS))
EDGES = list(zip(LEFT.tolist(), RIGHT.tolist(), strict=True))


def network_loop(du, u, c):
    for i, j in EDGES:
        flow = c * (u[j] - u[i])
        du[i] += flow
        du[j] -= flow


def network_at_once(du, u, c):
    flow = c * (u[RIGHT] - u[LEFT])
    np.add.at(du, LEFT, flow)
    np.add.at(du, RIGHT, -flow)


FORMS = (
    ("upwind", upwind_loop, upwind_where), ("minmod", minmod_loop, minmod_where), ("superbee", superbee_loop, superbee_where),
    ("dry or wet", dry_loop, dry_where), ("Newton's iteration", newton_loop, newton_where),
    ("network", network_loop, network_at_once),
)  # fmt: skip


def measure(timer: Timer, quick: bool) -> Rows:
    calls: Calls = {}
    u = np.random.default_rng(0).standard_normal(CELLS)
    for name, loop, where in FORMS:
        for part, derive in (("primal", None), ("vjp", partial(reverse, active=(0, 1, 2)))):
            shadows = [] if derive is None else [np.ones(CELLS), np.zeros(CELLS), np.zeros(())]
            calls[f"{name}, {part}"] = {
                form: partial(Kernel(f, (np.zeros(CELLS), u, 2.0), derive), np.zeros(CELLS), u, 2.0, *shadows)
                for form, f in (("loop", loop), ("at once", where))
            }
    return measured(timer, calls)


TABLE = Table(
    "Branches per cell", f"A loop over {CELLS} cells with an `if` or `break`, or over edges; and the same at once.", measure
)
