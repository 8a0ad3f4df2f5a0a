"""The heat stencil, from 100 to a million points."""

from functools import partial

import numpy as np

import odead
from odead.derivatives.kernel import Kernel
from odead.transform.forward import forward

from . import native, peers
from .groups import Calls, measured, merged
from .table import Rows, Table
from .timing import Timer

LANES = 8


def heat(dx, x, p, t):
    dx[1:-1] = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
    dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1]
    dx[-1] = 2 * p[0] * (x[-2] - x[-1])


def measure(timer: Timer, quick: bool) -> Rows:
    rows: Rows = {}
    for n in (100, 10_000) if quick else (100, 1_000, 10_000, 100_000, 1_000_000):
        rows |= measured(timer, _calls(n), f"{n} points, ")
    return rows


def _calls(n: int) -> Calls:
    rng = np.random.default_rng(0)
    dx, x, p = np.zeros(n), rng.random(n), np.array([3.0, 1.0])
    d_dx, d_x, d_p = rng.random(n), np.zeros(n), np.zeros(2)
    args, shadows = (dx, x, p, 0.0), (d_dx, d_x, d_p, None)
    compiled = odead.compile(heat, *args)
    batch = Kernel(heat, args, partial(forward, active=(0, 1, 2), width=LANES))
    lanes = np.zeros((LANES, n)), rng.random((LANES, n)), rng.random((LANES, 2))
    ours: Calls = {
        "primal": {"odead": lambda: compiled.primal(*args), "NumPy": lambda: heat(*args)},
        "jvp": {"odead": lambda: compiled.jvp(args, shadows)},
        "vjp": {"odead": lambda: compiled.vjp(args, None, out=shadows)},
        f"jvp, {LANES} lanes": {"odead": lambda: batch(*args, *lanes)},
    }
    by_hand = native.calls(
        n,
        {
            "primal": ("stencil_primal", (dx, x, p)),
            "jvp": ("stencil_jvp", (dx, d_dx, x, d_x, p, d_p)),
            "vjp": ("stencil_vjp", (dx, d_dx, x, d_x, p, d_p)),
        },
    )
    return merged(ours, _jax(x, p, d_dx, *lanes[1:]), _autograd(x, p, d_dx), by_hand)


def _functional(numpy, x, p):
    """The same without writing into an array."""
    inner = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
    return numpy.concatenate([2 * p[0] * (x[1:2] - x[:1]) + p[1], inner, 2 * p[0] * (x[-2:-1] - x[-1:])])


def _jax(*arrays: np.ndarray) -> Calls:
    jax = peers.jax()
    if jax is None:
        return {}
    f = partial(_functional, jax.numpy)

    def pulled(x, p, v):
        y, pull = jax.vjp(f, x, p)
        return y, pull(v)

    primal, vjp = jax.jit(f), jax.jit(pulled)
    jvp = jax.jit(lambda x, p, d_x, d_p: jax.jvp(f, (x, p), (d_x, d_p)))
    batch = jax.jit(jax.vmap(lambda x, p, d_x, d_p: jax.jvp(f, (x, p), (d_x, d_p)), (None, None, 0, 0)))
    x, p, v, x_lanes, p_lanes = map(jax.numpy.asarray, arrays)
    wait = jax.block_until_ready
    x_tangent, p_tangent = x_lanes[0], p_lanes[0]
    return {
        "primal": {"JAX": lambda: wait(primal(x, p))},
        "jvp": {"JAX": lambda: wait(jvp(x, p, x_tangent, p_tangent))},
        "vjp": {"JAX": lambda: wait(vjp(x, p, v))},
        f"jvp, {LANES} lanes": {"JAX": lambda: wait(batch(x, p, x_lanes, p_lanes))},
    }


def _autograd(x: np.ndarray, p: np.ndarray, v: np.ndarray) -> Calls:
    autograd = peers.autograd()
    if autograd is None:
        return {}
    f = partial(_functional, autograd.numpy)

    def pulled():
        pull, y = autograd.make_vjp(lambda arguments: f(*arguments))((x, p))
        return y, pull(v)

    return {"vjp": {"autograd": pulled}}


TABLE = Table(
    "Heat stencil",
    "Right-hand side and its derivatives with respect to states and two parameters, value included, into given arrays. "
    "JAX, autograd: the form that returns a new array.",
    measure,
)
