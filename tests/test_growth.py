"""Memory does not grow from call to call."""

import gc
import resource
import sys

import numpy as np
import pytest

import odead
from odead import Active, Const, Duplicated, autodiff

CALLS = 100_000
MOST = 4096  # KiB: a leak of 41 bytes per call shows


def heat(dx, x, p):
    dx[1:-1] = p[0] * (x[2:] - 2 * x[1:-1] + x[:-2])
    dx[0] = dx[-1] = 0.0


def shift(a, b):
    a[:5] = 0.5 * b[:5]


def peak() -> int:
    """Resident memory at its largest, in KiB."""
    unit = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def calls():
    x, p, dx, work = np.linspace(0.0, 1.0, 50), np.array([2.0]), np.zeros(50), np.zeros(50)
    d_x, d_p, d_dx = np.zeros(50), np.zeros(1), np.ones(50)
    compiled = odead.compile(heat, dx, x, p)

    def energy(x, scale):
        work[:] = x * scale
        return (work * x).sum()

    return {
        "autodiff": (lambda: autodiff(heat, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p)), CALLS),
        "number": (lambda: autodiff(energy, Active, Duplicated(x, d_x), Const(2.0)), CALLS),
        "function": (lambda: autodiff(Const(energy), Active, Duplicated(x, d_x), Const(2.0)), CALLS // 10),
        "gradient": (lambda: odead.gradient(energy, x, 2.0), CALLS // 10),
        "compile": (lambda: compiled.primal(dx, x, p), CALLS),
        "overlap": (lambda: autodiff(shift, Duplicated(x[:40], d_x[:40]), Duplicated(x[10:], d_x[10:])), CALLS // 20),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="resource is not there")
@pytest.mark.parametrize("kind", calls())
def test_no_growth(kind):
    call, count = calls()[kind]
    for _ in range(max(count // 20, 50)):
        call()
    gc.collect()
    before = peak()
    for _ in range(count):
        call()
    assert peak() - before < MOST
