"""Compute references.json: loss and gradient of every problem to about ten digits, checked by a second method.

    python benchmarks/references.py [problem ...]

First method, the complex step: the derivative by p_k is the imaginary part of the solution for p_k + 1e-30 i, exact to
rounding for a given sequence of steps. Non-stiff problems by SciPy's DOP853 at its tightest tolerance, stiff ones by the
five-stage Radau IIA method (order 9) on two fixed grids, which must agree. Second method: diffrax at tight tolerances. Where
there are many parameters or states, diffrax's adjoint is stored, and complex steps along random directions check it.
"""

import json
import sys

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from comparison import problems
from comparison.peers.diffrax_ import solution
from comparison.problem import REFERENCES, Problem
from comparison.radau import radau_iia

TINY = 1e-30
FIXED_GRIDS = ("heat_101", "heat_1001", "robertson", "pollution")


def grid(problem: Problem, refinement: int) -> np.ndarray:
    """Geometric from a first step far below the fastest time scale, then even where the data are even."""
    t1, data = problem.t_span[1], problem.t_eval
    if problem.name == "robertson":
        return np.unique(np.concatenate([[0.0], np.geomspace(1e-7, t1, 150 * refinement), data]))
    even = data[1] / (4 * refinement)
    start = np.geomspace(1e-13 * t1, even, 60 * refinement)
    return np.unique(np.round(np.concatenate([[0.0], start, np.arange(2, t1 / even + 0.5) * even, data]), 14))


def complex_solution(problem: Problem, p: np.ndarray, refinement: int) -> np.ndarray:
    if problem.name in FIXED_GRIDS:
        points = grid(problem, refinement)
        y = radau_iia(problem, p, points)
        return y[:, [np.argmin(np.abs(points - t)) for t in problem.t_eval]]
    x, pieces = problem.x0.astype(complex), []
    for t0, t1, times, dose in problem.segments():
        accuracy = {"rtol": 3e-14 * refinement, "atol": 1e-15 * refinement, "max_step": max_step(problem)}
        pieces.append(solve_ivp(problem.rhs, (t0, t1), x, "DOP853", times, args=(p,), **accuracy).y)
        if dose:
            x = pieces[-1][:, -1].copy()
            x[dose.state] += dose.amount
    return np.hstack(pieces)


def max_step(problem: Problem) -> float:
    """Well inside the stability limit of an explicit method of order 8 on the Brusselator's diffusion.

    Without it the steps creep up to that limit, and modes that vanish in the solution by symmetry, but not in its
    derivatives, grow unseen by the error estimate.
    """
    if not problem.name.startswith("brusselator"):
        return np.inf
    return float(3 / abs(10 * problem.data["laplacian"]).sum(axis=0).max())


def along(problem: Problem, p: np.ndarray, direction: np.ndarray, refinement: int = 1) -> tuple[float, float]:
    """The loss, and its derivative along a direction."""
    value = problem.loss.value(complex_solution(problem, p + TINY * 1j * direction, refinement))
    return value.real, value.imag / TINY


def by_complex_steps(problem: Problem, p: np.ndarray, refinement: int = 1) -> tuple[float, np.ndarray]:
    scale = np.where(p == 0, 1.0, p)
    pairs = [along(problem, p, e, refinement) for e in np.diag(scale)]
    return pairs[0][0], np.array([g for _, g in pairs]) / scale


def by_diffrax(problem: Problem, p: np.ndarray, tolerance: float = 1e-11) -> tuple[float, np.ndarray]:
    few = problem.n_p <= 25 and problem.n < 1000
    stiff = problem.name in FIXED_GRIDS and not problem.name.startswith("heat")
    solver, atol = ("Kvaerno5", 1e-6 * tolerance) if stiff else ("Dopri8", 0.1 * tolerance)
    adjoint = diffrax.ForwardMode() if few else diffrax.RecursiveCheckpointAdjoint()
    longest = max_step(problem) if np.isfinite(max_step(problem)) else None

    def loss(p):
        return problem.loss.value(solution(problem, p, solver, adjoint, tolerance, atol, longest, 2**17))

    p = jnp.asarray(p)
    return float(jax.jit(loss)(p)), np.asarray(jax.jit((jax.jacfwd if few else jax.grad)(loss))(p))


def difference(problem: Problem, a: np.ndarray, b: np.ndarray) -> float:
    scale = np.abs(problem.p) if problem.relative_gradient else 1.0
    return float(np.abs(scale * (a - b)).max() / np.abs(scale * b).max())


def reference(problem: Problem) -> dict[str, object]:
    """Loss, gradient and source, printing how well independent computations agree."""
    if problem.referenced is not None:
        pairs = [by_complex_steps(problem, p) for p in problem.p[problem.referenced]]
        other = np.array([by_diffrax(problem, p)[1] for p in problem.p[problem.referenced][:2]])
        gradient = np.array([g for _, g in pairs])
        print(f"{problem.name:16s} diffrax {np.abs(other - gradient[:2]).max() / np.abs(gradient).max():.1e}", flush=True)
        source = "complex step with DOP853, rtol 3e-14; diffrax at rtol 1e-11"
        return {"loss": sum(loss for loss, _ in pairs), "source": source, "gradient": gradient.tolist()}
    if problem.name == "heat_1001":
        (loss, gradient), (_, coarse) = by_complex_steps(problem, problem.p, 2), by_complex_steps(problem, problem.p)
        print(f"{problem.name:16s} second grid {difference(problem, coarse, gradient):.1e}", flush=True)
        return {"loss": loss, "source": "complex step with Radau IIA order 9, two grids", "gradient": gradient.tolist()}
    other_loss, other = by_diffrax(problem, problem.p)
    if problem.n_p > 300 or problem.n > 10_000:
        for seed in range(3 if problem.n < 10_000 else 1):
            v = problem.p * np.random.default_rng(seed).standard_normal(problem.n_p)
            loss, slope = along(problem, problem.p, v)
            error = abs(slope - other @ v) / np.linalg.norm(other * problem.p)
            print(f"{problem.name:16s} loss {abs(loss / other_loss - 1):.1e}  direction {seed}: {error:.1e}", flush=True)
        source = "diffrax Dopri8 adjoint, rtol 1e-11; complex steps with DOP853 along random directions"
        return {"loss": other_loss, "source": source, "gradient": other.tolist()}
    loss, gradient = by_complex_steps(problem, problem.p)
    if problem.name in FIXED_GRIDS:
        coarse, (loss, gradient) = gradient, by_complex_steps(problem, problem.p, 2)
        print(f"{problem.name:16s} second grid {difference(problem, coarse, gradient):.1e}")
    print(f"{problem.name:16s} loss {abs(loss / other_loss - 1):.1e}  diffrax {difference(problem, other, gradient):.1e}")
    method = "Radau IIA order 9" if problem.name in FIXED_GRIDS else "DOP853, rtol 3e-14"
    source = f"complex step with {method}; diffrax at rtol 1e-11"
    return {"loss": loss, "source": source, "gradient": gradient.tolist()}


def main() -> None:
    stored = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}
    for name in sys.argv[1:] or problems.BUILDERS:
        stored[name] = reference(problems.load(name))
        REFERENCES.write_text(json.dumps(stored, indent=0) + "\n")


if __name__ == "__main__":
    main()
