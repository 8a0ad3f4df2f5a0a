"""diffsol through pydiffsol: forward sensitivities and adjoints, inside and outside the error control.

The library leaves sensitivities out of the step-size control unless `sens_rtol` and `sens_atol` are set, so both settings are
shown; "controlled" gives them the tolerances of the solve.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydiffsol

from ..problem import Problem
from . import FORWARD_LIMIT, Variant
from .diffsol_models import MODELS

PACKAGES = ("pydiffsol",)


def variants(problem: Problem) -> list[Variant]:
    if problem.members > 1 or problem.n > 10_000:
        return []  # no ensembles; 1e5 states do not compile within minutes
    kinds = ["solve", "adjoint", "adjoint, controlled"]
    if problem.n * problem.n_p <= FORWARD_LIMIT:
        kinds += ["forward sensitivities", "forward sensitivities, controlled"]
    methods = ["bdf"] if problem.stiff else ["tsit45"]
    if problem.name in ("pollution", "brusselator_17"):
        methods = ["esdirk34"]  # the faster one there
    if problem.name.startswith("brusselator"):
        methods.append("tsit45")  # mildly stiff: the explicit method avoids the linear algebra
    return [Variant(method, kind) for method in methods for kind in kinds]


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[float, np.ndarray | None]]:
    method, kind = variant
    name = problem.name if problem.name in MODELS else problem.name.rsplit("_", 1)[0]
    matrix_type = pydiffsol.nalgebra_dense if problem.sparsity is None else pydiffsol.faer_sparse
    ode = pydiffsol.Ode(MODELS[name](problem), matrix_type=matrix_type, ode_solver=getattr(pydiffsol, method))
    t_eval, scale = problem.t_eval, np.abs(problem.p) if problem.relative_gradient else 1.0
    p = problem.p / scale
    loss = replace(problem.loss, states=slice(None))  # the models put out the observed states only

    def set_tolerances(rtol: float, atol: float) -> None:
        ode.rtol, ode.atol = rtol, atol
        if kind.endswith("controlled"):
            ode.sens_rtol, ode.sens_atol = rtol, atol
        if kind == "adjoint, controlled":
            ode.param_rtol, ode.param_atol = rtol, atol

    def solve(rtol: float, atol: float) -> tuple[float, None]:
        set_tolerances(rtol, atol)
        return loss.value(ode.solve_dense(p, t_eval).ys), None

    def forward_sensitivities(rtol: float, atol: float) -> tuple[float, np.ndarray]:
        set_tolerances(rtol, atol)
        found = ode.solve_fwd_sens(p, t_eval)
        return loss.value(found.ys), np.tensordot(found.sens, loss.cotangent(found.ys), 2) / scale

    def adjoint(rtol: float, atol: float) -> tuple[float, np.ndarray]:
        set_tolerances(rtol, atol)
        found, checkpoint = ode.solve_adjoint_fwd(p, t_eval)
        gradient = ode.solve_adjoint_bkwd(found, checkpoint, loss.cotangent(found.ys))
        return loss.value(found.ys), np.ravel(gradient) / scale

    if kind == "solve":
        return solve
    return adjoint if kind.startswith("adjoint") else forward_sensitivities
