"""odead: the right-hand sides in place, every mode."""

from collections.abc import Callable
from typing import Any

import numpy as np

import odead

from ..problem import Dose, Problem
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
    options["t_eval"] = problem.t_eval
    if problem.doses:
        options["events"] = doses_of(problem)

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


def doses_of(problem: Problem) -> list[Callable[..., Any]]:
    """An event for each dose, which adds it to its state."""

    def event_of(dose: Dose) -> Callable[..., Any]:
        def event(x, p, t):
            return t - dose.t

        def reset(x, p, t):
            x[dose.state] += dose.amount

        event.reset = reset  # type: ignore[attr-defined]
        return event

    return [event_of(dose) for dose in problem.doses]
