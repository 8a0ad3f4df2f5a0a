"""The heat stencil, from 100 to a million points."""

from collections.abc import Callable
from functools import partial

import numpy as np

import odead
from odead import Duplicated, DuplicatedNoNeed
from odead.derivatives.kernel import Kernel
from odead.transform.forward import forward

from . import native, peers
from .groups import Calls, measured, merged
from .table import Rows, Table
from .timing import Timer

LANES = 8
DIFFUSIVITY = 3.0


def heat(dx, x, p, t):
    dx[1:-1] = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
    dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1]
    dx[-1] = 2 * p[0] * (x[-2] - x[-1])


def heat_known(dx, x, p):
    """The diffusivity is known: the value takes no part in the cotangents."""
    dx[1:-1] = DIFFUSIVITY * (x[:-2] - 2 * x[1:-1] + x[2:])
    dx[0] = 2 * DIFFUSIVITY * (x[1] - x[0]) + p[0]
    dx[-1] = 2 * DIFFUSIVITY * (x[-2] - x[-1])


IN_C_PLUS_PLUS = """
template<std::size_t N, std::size_t M>
void heat(enzyme::tensor<double, N>& dx, const enzyme::tensor<double, N>& x, const enzyme::tensor<double, M>& p) {
  const double k = 3.0;
  for (std::size_t i = 1; i < N - 1; i++) dx(i) = k * (x(i - 1) - 2 * x(i) + x(i + 1));
  dx(0) = 2 * k * (x(1) - x(0)) + p(0);
  dx(N - 1) = 2 * k * (x(N - 2) - x(N - 1));
}
"""


def measure(timer: Timer, quick: bool) -> Rows:
    rows: Rows = {}
    for n in (100, 10_000) if quick else (100, 1_000, 10_000, 100_000, 1_000_000):
        rows |= measured(timer, _calls(n) | _cotangents_alone(n), f"{n} points, ")
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


def _cotangents_alone(n: int) -> Calls:
    """A vjp without the value, of which nothing but the transposed stencil is left; Enzyme's example in C++."""
    rng = np.random.default_rng(0)
    x, p, v = rng.random(n), np.ones(1), rng.random(n)
    dx, d_dx, d_x, d_p = np.zeros(n), v.copy(), np.zeros(n), np.zeros(1)

    def pulled():
        odead.autodiff(heat_known, DuplicatedNoNeed(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p))

    calls: dict[str, Callable[[], object]] = {"odead": pulled}
    jax, enzyme = peers.jax(), peers.enzyme()
    if jax is not None:
        calls["JAX"] = _pulled_by(jax, partial(_functional_known, jax.numpy), x, p, v)
    if enzyme is not None:
        shapes = [jax.core.ShapedArray([n], jax.numpy.float64)]
        call = partial(enzyme.cpp_call, out_shapes=shapes, source=IN_C_PLUS_PLUS, fn="heat", argv=("-O3",))
        calls["Enzyme"] = _pulled_by(jax, lambda x, p: call(x, p)[0], x, p, v)
    by_hand = native.calls(n, {"cotangents": ("stencil_cotangents", (d_dx, d_x, d_p))})
    return merged({"cotangents": calls}, by_hand)


def _pulled_by(jax, f, *arrays: np.ndarray) -> Callable[[], object]:
    """The pullback of f alone, compiled."""
    pullback = jax.jit(lambda x, p, v: jax.vjp(f, x, p)[1](v))
    x, p, v = map(jax.numpy.asarray, arrays)
    return lambda: jax.block_until_ready(pullback(x, p, v))


def _functional_known(numpy, x, p):
    inner = DIFFUSIVITY * (x[:-2] - 2 * x[1:-1] + x[2:])
    first, last = 2 * DIFFUSIVITY * (x[1:2] - x[:1]) + p, 2 * DIFFUSIVITY * (x[-2:-1] - x[-1:])
    return numpy.concatenate([first, inner, last])


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
    'JAX, autograd: the form that returns a new array. "cotangents": of a known diffusivity, without the value, '
    "JAX and Enzyme into new arrays; Enzyme differentiates C++ for JAX.",
    measure,
)
