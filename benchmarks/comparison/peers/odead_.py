"""odead: the right-hand sides in place, every mode."""

from collections.abc import Callable
from typing import Any

import numpy as np

import odead

from ..problem import Problem
from . import FORWARD_LIMIT, Variant

PACKAGES = ("odead",)
MODES = {"forward sensitivities": "forward", "discrete adjoint": "adjoint", "continuous adjoint": "continuous"}


def variants(problem: Problem) -> list[Variant]:
    if problem.members > 1:
        return [Variant("Tsit5", "solve"), Variant("Tsit5", "forward sensitivities"), Variant("Tsit5", "discrete adjoint")]
    chosen = [Variant(method, kind) for method in methods(problem) for kind in ("solve", *MODES)]
    if problem.stiff and problem.n < 150:
        chosen += [Variant("LSODA", "solve"), Variant("LSODA", "forward sensitivities")]
    return [variant for variant in chosen if is_worth_it(problem, variant)]


def methods(problem: Problem) -> list[str]:
    if problem.name.startswith("brusselator"):
        return ["Tsit5", "BDF", "Rodas5P"]
    if problem.stiff:
        return ["BDF", "Rodas5P"]
    return ["Tsit5", "DOP853"] if problem.n < 1000 else ["Tsit5"]


def is_worth_it(problem: Problem, variant: Variant) -> bool:
    kind, work = variant.kind, problem.n * problem.n_p
    if kind == "forward sensitivities":
        return work <= FORWARD_LIMIT
    if kind == "discrete adjoint":
        return not problem.doses
    if kind == "continuous adjoint":  # with every datum it starts anew
        return not problem.doses and work <= 20_000 and (not problem.stiff or problem.t_eval.size < 50)
    return True


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[Any, Any]]:
    method, kind = variant
    options: dict[str, Any] = {"method": method}
    if problem.members > 1:
        return of_ensemble(problem, kind, options)
    if problem.doses:
        return with_doses(problem, kind, options)
    options["t_eval"] = problem.t_eval

    def solve(rtol: float, atol: float) -> tuple[float, None]:
        result = odead.solve(problem.rhs_in_place, problem.x0, problem.p, problem.t_span, rtol=rtol, atol=atol, **options)
        return problem.loss.value(result.y), None

    def gradient(rtol: float, atol: float) -> tuple[float, np.ndarray]:
        result = odead.sensitivity(
            problem.rhs_in_place, problem.x0, problem.p, problem.t_span,
            loss=problem.loss.value, mode=MODES[kind], rtol=rtol, atol=atol, **options,
        )  # fmt: skip
        return result.loss, result.grad

    return solve if kind == "solve" else gradient


def of_ensemble(problem: Problem, kind: str, options: dict[str, Any]) -> Callable[[float, float], tuple[Any, Any]]:
    """All members by one call of `odead.ensemble`, in one thread as every peer."""
    options |= {"t_eval": problem.t_eval, "threads": 1}
    if kind != "solve":
        options |= {"loss": problem.loss.value, "mode": MODES[kind]}

    def run(rtol: float, atol: float) -> tuple[np.ndarray, np.ndarray | None]:
        results = odead.ensemble(problem.rhs_in_place, [problem.x0], problem.p, problem.t_span, rtol=rtol, atol=atol, **options)
        if kind == "solve":
            return np.array([problem.loss.value(result.y) for result in results]), None
        return np.array([result.loss for result in results]), np.array([result.grad for result in results])

    return run


def with_doses(problem: Problem, kind: str, options: dict[str, Any]) -> Callable[[float, float], tuple[Any, Any]]:
    """From dose to dose, the derivatives chained by hand: d x(t1) / d p = sens + sens_x0 @ d x(t0) / d p."""

    def solve(rtol: float, atol: float) -> tuple[float, None]:
        x, loss = problem.x0, 0.0
        for t0, t1, times, dose in problem.segments():
            result = odead.solve(problem.rhs_in_place, x, problem.p, (t0, t1), t_eval=times, rtol=rtol, atol=atol, **options)
            loss += problem.loss.value(result.y)
            if dose:
                x = result.y[:, -1].copy()
                x[dose.state] += dose.amount
        return loss, None

    def gradient(rtol: float, atol: float) -> tuple[float, np.ndarray]:
        x, x_by_p, loss, total = problem.x0, np.zeros((problem.n, problem.n_p)), 0.0, np.zeros(problem.n_p)
        for t0, t1, times, dose in problem.segments():
            result = odead.sensitivity(
                problem.rhs_in_place, x, problem.p, (t0, t1), t_eval=times, wrt=("p", "x0"), mode="forward",
                rtol=rtol, atol=atol, **options,
            )  # fmt: skip
            by_p = result.sens + result.sens_x0 @ x_by_p
            loss += problem.loss.value(result.y)
            total += np.tensordot(problem.loss.cotangent(result.y).T, by_p, 2)
            if dose:
                x, x_by_p = result.y[:, -1].copy(), by_p[-1]
                x[dose.state] += dose.amount
        return loss, total

    return solve if kind == "solve" else gradient
