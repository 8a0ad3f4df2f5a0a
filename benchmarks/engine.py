"""How fast the engine is: calls, instructions, the heat stencil, recording; beside NumPy, hand-written C and JAX.

    python benchmarks/engine.py [--quick] [--json FILE]

Every figure is the median of interleaved repeats in one process; ratios within one run are what counts. C needs a compiler
named `cc`; JAX is used where it is installed.
"""

import argparse
import ctypes
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

import odead
from odead.derivatives.kernel import Kernel
from odead.transform.forward import forward
from odead.transform.reverse import reverse

C_SOURCE = """
void primal(long n, double* dx, const double* x, const double* p) {
  for (long i = 1; i < n - 1; i++) dx[i] = p[0] * (x[i - 1] - 2 * x[i] + x[i + 1]);
  dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1];
  dx[n - 1] = 2 * p[0] * (x[n - 2] - x[n - 1]);
}
void vjp(long n, double* ddx, const double* x, double* gx, const double* p, double* gp) {
  double s = 0;
  for (long i = 1; i < n - 1; i++) s += ddx[i] * (x[i - 1] - 2 * x[i] + x[i + 1]);
  gp[0] += s + 2 * ddx[0] * (x[1] - x[0]) + 2 * ddx[n - 1] * (x[n - 2] - x[n - 1]);
  gp[1] += ddx[0];
  for (long i = 2; i < n - 2; i++) gx[i] += p[0] * (ddx[i - 1] - 2 * ddx[i] + ddx[i + 1]);
  gx[0] += p[0] * (ddx[1] - 2 * ddx[0]);
  gx[1] += p[0] * (2 * ddx[0] - 2 * ddx[1] + ddx[2]);
  gx[n - 2] += p[0] * (ddx[n - 3] - 2 * ddx[n - 2] + 2 * ddx[n - 1]);
  gx[n - 1] += p[0] * (ddx[n - 2] - 2 * ddx[n - 1]);
  for (long i = 0; i < n; i++) ddx[i] = 0;
}
"""


def stencil(dx, x, p, t):
    dx[1:-1] = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
    dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1]
    dx[-1] = 2 * p[0] * (x[-2] - x[-1])


def chain(x):
    s = x[0]
    for k in range(1000):
        s = s * x[k % 7] + x[(k + 3) % 7]
    return s


def medians(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median time of each call, in seconds, the calls taking turns."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(2e-4 / (time.perf_counter() - start + 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            times[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(values) for name, values in times.items()}


@contextmanager
def compiled_c() -> Iterator[ctypes.CDLL | None]:
    """The C functions above at -O3 for this machine, None without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "stencil.c")
        source.write_text(C_SOURCE)
        library = source.with_suffix(".so")
        try:
            subprocess.run(["cc", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", source, "-o", library], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no C beside odead: {error}")
            yield None
            return
        yield ctypes.CDLL(str(library))


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def stencil_calls(n: int, c: ctypes.CDLL | None) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    dx, x, p = np.zeros(n), rng.random(n), np.array([3.0, 1.0])
    d_dx, d_x, d_p = rng.random(n), np.zeros(n), np.zeros(2)
    args = (dx, x, p, 0.0)
    primal = Kernel(stencil, args)
    pullback = Kernel(stencil, args, partial(reverse, active=(0, 1, 2)))
    tangent = Kernel(stencil, args, partial(forward, active=(0, 1, 2)))
    lanes = [np.zeros((8, n)), rng.random((8, n)), rng.random((8, 2))]
    batch = Kernel(stencil, args, partial(forward, active=(0, 1, 2), width=8))
    calls: dict[str, Callable[[], object]] = {
        "odead primal": lambda: primal(dx, x, p, 0.0),
        "odead jvp": lambda: tangent(dx, x, p, 0.0, d_dx, d_x, d_p),
        "odead vjp": lambda: pullback(dx, x, p, 0.0, d_dx, d_x, d_p),
        "odead jvp, 8 lanes": lambda: batch(dx, x, p, 0.0, *lanes),
        "NumPy primal": lambda: stencil(dx, x, p, 0.0),
    }
    if c is not None:
        length = ctypes.c_long(n)
        pointers = {name: address(a) for name, a in {"dx": dx, "x": x, "p": p, "d_dx": d_dx, "d_x": d_x, "d_p": d_p}.items()}
        run_primal = partial(c.primal, length, *(pointers[k] for k in ("dx", "x", "p")))
        run_vjp = partial(c.vjp, length, *(pointers[k] for k in ("d_dx", "x", "d_x", "p", "d_p")))
        calls |= {"C primal": run_primal, "C primal and vjp": lambda: (run_primal(), run_vjp())}
    return calls | jax_calls(n, x, p, d_dx)


def jax_calls(n: int, x: np.ndarray, p: np.ndarray, v: np.ndarray) -> dict[str, Callable[[], object]]:
    try:
        import jax
    except ImportError:
        return {}
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def f(x, p):
        inner = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
        return jnp.concatenate([2 * p[0] * (x[1:2] - x[:1]) + p[1], inner, 2 * p[0] * (x[-2:-1] - x[-1:])])

    primal, pull = jax.jit(f), jax.jit(lambda x, p, v: jax.vjp(f, x, p)[1](v))
    x, p, v = jnp.asarray(x), jnp.asarray(p), jnp.asarray(v)
    return {
        "JAX primal": lambda: primal(x, p).block_until_ready(),
        "JAX vjp": lambda: jax.block_until_ready(pull(x, p, v)),
    }


def overhead_calls() -> dict[str, Callable[[], object]]:
    n = 4
    dx, x, p = np.zeros(n), np.ones(n), np.array([1.0, 2.0])
    d_dx, d_x, d_p = np.zeros(n), np.zeros(n), np.zeros(2)
    compiled = odead.compile(stencil, dx, x, p, 0.0)
    from odead import Const, Duplicated, autodiff

    return {
        "compiled call": lambda: compiled.primal(dx, x, p, 0.0),
        "autodiff call": lambda: autodiff(stencil, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p), Const(0.0)),
        "the NumPy function itself": lambda: stencil(dx, x, p, 0.0),
    }


def first_calls() -> dict[str, float]:
    """Seconds of calls that include recording."""
    found = {}
    x = np.linspace(0.1, 0.9, 7)
    start = time.perf_counter()
    Kernel(lambda x: chain(x), (x,), partial(reverse, active=(0,)))
    found["first gradient of 2000 scalar operations"] = time.perf_counter() - start
    n = 101
    start = time.perf_counter()
    Kernel(stencil, (np.zeros(n), np.ones(n), np.ones(2), 0.0), partial(reverse, active=(0, 1, 2)))
    found["first vjp of the stencil"] = time.perf_counter() - start
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    seconds = 0.05 if options.quick else 1.0
    report: dict[str, dict[str, float]] = {}
    with compiled_c() as c:
        for n in (100, 10_000) if options.quick else (100, 10_000, 1_000_000):
            report[f"heat stencil, {n} points"] = medians(stencil_calls(n, c), seconds)
    report["calls of a function of 4 points"] = medians(overhead_calls(), seconds)
    x = np.linspace(0.1, 0.9, 7)
    scalar = Kernel(chain, (x,))
    result = np.zeros(())
    timed = medians({"all": lambda: scalar(x, result)}, seconds)["all"]
    report["scalar code"] = {"per instruction": timed / len(scalar.program)}
    report["first calls"] = first_calls()
    for title, rows in report.items():
        print(f"\n{title}")
        least = min(rows.values())
        for name, value in rows.items():
            print(f"  {name:<42}{duration(value):>12}{value / least:>9.1f}x")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def duration(seconds: float) -> str:
    digits = 3 * math.floor(math.log10(seconds) / 3)
    return f"{seconds / 10.0**digits:.3g} {({0: 's', -3: 'ms', -6: 'us', -9: 'ns'})[digits]}"


if __name__ == "__main__":
    main()
