"""A dense layer, and scalar code."""

from functools import partial

import numpy as np

import odead

from . import native, peers
from .groups import Calls, measured, merged
from .table import Rows, Table
from .timing import Timer

SIZE = 64
STEPS = 1000


def layer(y, w, x, b):
    y[:] = np.tanh(w @ x + b)


def chain(x):
    s = x[0]
    for k in range(STEPS):
        s = s * x[k % 7] + x[(k + 3) % 7]
    return s


def measure(timer: Timer, quick: bool) -> Rows:
    return measured(timer, merged(_layer(), _layer_of_jax(), _layer_of_autograd())) | measured(timer, _chain(quick))


def _arrays() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((SIZE, SIZE)) / 8, rng.standard_normal(SIZE), rng.standard_normal(SIZE)


def _layer() -> Calls:
    args = (np.zeros(SIZE), *_arrays())
    shadows = tuple(map(np.zeros_like, args))
    compiled = odead.compile(layer, *args)
    pairs = [array for pair in zip(args, shadows, strict=True) for array in pair]
    ours: Calls = {
        f"layer of {SIZE}, primal": {"odead": lambda: compiled.primal(*args), "NumPy": lambda: layer(*args)},
        f"layer of {SIZE}, vjp": {"odead": lambda: compiled.vjp(args, None, out=shadows)},
    }
    functions = {f"layer of {SIZE}, primal": ("layer_primal", args), f"layer of {SIZE}, vjp": ("layer_vjp", tuple(pairs))}
    return merged(ours, native.calls(SIZE, functions))


def _layer_of_jax() -> Calls:
    jax = peers.jax()
    if jax is None:
        return {}

    def f(w, x, b):
        return jax.numpy.tanh(w @ x + b)

    def pulled(v, *arrays):
        y, pull = jax.vjp(f, *arrays)
        return y, pull(v)

    primal, vjp = jax.jit(f), jax.jit(pulled)
    arrays = tuple(map(jax.numpy.asarray, _arrays()))
    return {
        f"layer of {SIZE}, primal": {"JAX": lambda: jax.block_until_ready(primal(*arrays))},
        f"layer of {SIZE}, vjp": {"JAX": lambda: jax.block_until_ready(vjp(arrays[-1], *arrays))},
    }


def _layer_of_autograd() -> Calls:
    autograd = peers.autograd()
    if autograd is None:
        return {}
    arrays = _arrays()

    def pulled():
        pull, y = autograd.make_vjp(lambda wxb: autograd.numpy.tanh(wxb[0] @ wxb[1] + wxb[2]))(arrays)
        return y, pull(arrays[-1])

    return {f"layer of {SIZE}, vjp": {"autograd": pulled}}


def _chain(quick: bool) -> Calls:
    x = np.linspace(0.1, 0.9, 7)
    value, seed, shadow = np.zeros(()), 1.0, np.zeros(7)
    compiled = odead.compile(chain, x)
    name = f"scalar code, {2 * STEPS} operations, "
    calls: Calls = {
        name + "primal": {"odead": lambda: compiled.primal(x, out=value), "NumPy": lambda: chain(x)},
        name + "vjp": {"odead": lambda: compiled.vjp((x,), seed, out=(shadow,))},
    }
    autograd, jax = peers.autograd(), peers.jax()
    if autograd is not None:
        calls[name + "vjp"]["autograd"] = partial(autograd.value_and_grad(chain), x)
    if jax is not None and not quick:  # unrolled, it takes seconds to compile
        traced, primal, vjp = jax.numpy.asarray(x), jax.jit(chain), jax.jit(jax.value_and_grad(chain))
        calls[name + "primal"]["JAX"] = lambda: jax.block_until_ready(primal(traced))
        calls[name + "vjp"]["JAX"] = lambda: jax.block_until_ready(vjp(traced))
    return merged(calls, native.calls(None, {name + "primal": ("chain_primal", (x,))}))


TABLE = Table(
    "A dense layer, and scalar code", "The layer is tanh(W x + b), differentiated with respect to W, x and b.", measure
)
