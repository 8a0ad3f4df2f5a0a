"""diffrax: discrete adjoint with binomial checkpoints, and forward mode; everything under one `jax.jit`."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp

from ..problem import Problem
from . import FORWARD_LIMIT, Variant

PACKAGES = ("diffrax",)
jax.config.update("jax_enable_x64", True)


def variants(problem: Problem) -> list[Variant]:
    kinds = ["solve", "adjoint"]
    if problem.n * problem.n_p <= FORWARD_LIMIT and problem.n_p < problem.n + 20 and problem.n < 500:
        kinds.append("forward mode")
    return [Variant(solver, kind) for solver in solvers(problem) for kind in kinds]


def solvers(problem: Problem) -> list[str]:
    if problem.name.startswith("brusselator"):
        return ["Kvaerno5", "Tsit5"]  # mildly stiff: the explicit method avoids the dense linear algebra
    if problem.stiff:
        return ["Kvaerno5"]
    return ["Tsit5", "Dopri5"] if problem.n < 1000 and problem.members == 1 else ["Tsit5"]


def solution(problem: Problem, p: Any, solver: str, adjoint: Any, rtol: Any, atol: Any, dtmax: float | None = None,
             max_steps: int = 16384) -> Any:  # fmt: skip
    """The solution at the data, shape (n, m)."""
    term = diffrax.ODETerm(lambda t, x, p: problem.rhs(t, x, p, jnp))
    controller = diffrax.PIDController(rtol=rtol, atol=atol, dtmax=dtmax)
    x, pieces = jnp.asarray(problem.x0), []
    for t0, t1, times, dose in problem.segments():
        found = diffrax.diffeqsolve(
            term, getattr(diffrax, solver)(), t0, t1, None, x, p, saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=controller, adjoint=adjoint, max_steps=max_steps,
        )  # fmt: skip
        pieces.append(found.ys)
        if dose:
            x = found.ys[-1].at[dose.state].add(dose.amount)
    return jnp.concatenate(pieces).T


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[Any, Any]]:
    solver, kind = variant
    adjoint = diffrax.ForwardMode() if kind == "forward mode" else diffrax.RecursiveCheckpointAdjoint()

    def loss(p: Any, rtol: Any, atol: Any) -> Any:
        return problem.loss.value(solution(problem, p, solver, adjoint, rtol, atol))

    def by_forward_mode(p: Any, rtol: Any, atol: Any) -> Any:
        return jax.jacfwd(lambda p: (loss(p, rtol, atol),) * 2, has_aux=True)(p)[::-1]

    functions = {
        "solve": lambda p, rtol, atol: (loss(p, rtol, atol), None),
        "adjoint": jax.value_and_grad(loss),
        "forward mode": by_forward_mode,
    }
    function = functions[kind]
    if problem.members > 1:
        function = jax.vmap(function, in_axes=(0, None, None))
    compiled = jax.jit(function)
    p = jnp.asarray(problem.p)
    return lambda rtol, atol: jax.block_until_ready(compiled(p, rtol, atol))
