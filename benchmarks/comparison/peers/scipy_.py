"""SciPy's `solve_ivp`: forward solves and finite differences, the baseline without derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from ..problem import Problem
from . import Variant

PACKAGES = ("scipy",)
STEP = 1e-4  # relative; an adaptive solver has noise near its tolerance: with one-sided steps the error on heat was 15 %
MOST_PARAMETERS = 30


def variants(problem: Problem) -> list[Variant]:
    if problem.members > 1:
        return []  # minutes
    kinds = ["solve", "central differences"] if problem.n_p <= MOST_PARAMETERS and problem.n <= 10_000 else ["solve"]
    return [Variant(method(problem), kind) for kind in kinds]


def method(problem: Problem) -> str:
    if not problem.stiff:
        return "RK45"
    return "LSODA" if problem.name.startswith(("heat", "robertson")) else "BDF"  # LSODA gives up on pollution


def structure(problem: Problem) -> dict[str, Any]:
    """The pattern of the Jacobian, in the words of the method."""
    if problem.name.startswith("heat"):
        return {"lband": 1, "uband": 1}
    if problem.sparsity is not None and method(problem) == "BDF":
        return {"jac_sparsity": problem.sparsity}
    return {}


def solution(problem: Problem, p: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    x, pieces = problem.x0, []
    for t0, t1, times, dose in problem.segments():
        found = solve_ivp(
            problem.rhs, (t0, t1), x, method(problem), times, args=(p,), rtol=rtol, atol=atol, **structure(problem)
        )
        if not found.success:
            raise RuntimeError(found.message)
        pieces.append(found.y)
        if dose:
            x = found.y[:, -1].copy()
            x[dose.state] += dose.amount
    return np.hstack(pieces)


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[float, np.ndarray | None]]:
    def loss(p: np.ndarray, rtol: float, atol: float) -> float:
        return problem.loss.value(solution(problem, p, rtol, atol))

    def gradient(rtol: float, atol: float) -> tuple[float, np.ndarray]:
        value, found = loss(problem.p, rtol, atol), np.empty(problem.n_p)
        for k, at in enumerate(problem.p):
            step = np.zeros(problem.n_p)
            step[k] = h = STEP * (abs(at) or 1.0)
            found[k] = (loss(problem.p + step, rtol, atol) - loss(problem.p - step, rtol, atol)) / (2 * h)
        return value, found

    return (lambda rtol, atol: (loss(problem.p, rtol, atol), None)) if variant.kind == "solve" else gradient
