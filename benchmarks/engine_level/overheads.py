"""What a call costs around the program: a stencil of four points."""

from functools import partial

import numpy as np

import odead
from odead import Const, Duplicated, Forward, autodiff

from . import peers
from .groups import Calls, measured
from .stencil import heat
from .table import Rows, Table
from .timing import Timer

POINTS = 4


def measure(timer: Timer, quick: bool) -> Rows:
    return measured(timer, _calls())


def energy(x):
    return (x * x).sum()


def _calls() -> Calls:
    dx, x, p = np.zeros(POINTS), np.ones(POINTS), np.array([1.0, 2.0])
    d_dx, d_x, d_p = np.zeros(POINTS), np.zeros(POINTS), np.zeros(2)
    args, shadows = (dx, x, p, 0.0), (d_dx, d_x, d_p, None)
    compiled = odead.compile(heat, *args)
    calls: Calls = {
        "compiled.primal": {"odead": lambda: compiled.primal(dx, x, p, 0.0), "NumPy": lambda: heat(dx, x, p, 0.0)},
        "compiled.jvp": {"odead": lambda: compiled.jvp(args, shadows)},
        "compiled.vjp": {"odead": lambda: compiled.vjp(args, None, out=shadows)},
        "autodiff, reverse": {
            "odead": lambda: autodiff(heat, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p), Const(0.0)),
        },
        "autodiff, forward": {
            "odead": lambda: autodiff(Forward, heat, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p), Const(0.0)),
        },
        "gradient of a sum of squares": {"odead": lambda: odead.gradient(energy, x)},
    }
    jax, autograd = peers.jax(), peers.autograd()
    if autograd is not None:
        calls["gradient of a sum of squares"]["autograd"] = partial(autograd.grad(energy), x)
    if jax is not None:
        grad, traced = jax.jit(jax.grad(energy)), jax.numpy.asarray(x)
        calls["gradient of a sum of squares"]["JAX"] = lambda: jax.block_until_ready(grad(traced))
    return calls


TABLE = Table("Calls", f"Warm calls of functions of {POINTS} points: nearly all of it is what a call costs.", measure)
