"""CasADi with SUNDIALS CVODES: adjoint and forward sensitivities of SX graphs with exact sparse Jacobians."""

from collections.abc import Callable
from functools import cache
from typing import Any

import casadi as ca
import numpy as np
import scipy.sparse as sp

from ..problem import Problem
from . import FORWARD_LIMIT, Variant

PACKAGES = ("casadi",)


def variants(problem: Problem) -> list[Variant]:
    if problem.members > 1:
        return []  # its `map` would run them one after another, too
    kinds = ["solve", "adjoint"]
    if problem.n * problem.n_p <= FORWARD_LIMIT and problem.n < 500:
        kinds.append("forward sensitivities")
    if problem.n > 1000 and not problem.stiff:
        methods = ["adams"]  # the sparse factors of a plane grid fill up
    else:
        methods = ["bdf"] if problem.stiff else ["adams"]
    return [Variant(method, kind) for method in methods for kind in kinds]


# ------------------------------------------------------------------------------------------------- models


def lotka_volterra(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    return ca.vertcat(p[0] * x[0] - p[1] * x[0] * x[1], -p[2] * x[1] + p[3] * x[0] * x[1])


def heat(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    diffusion, inflow, duration, width = (problem.data[k] for k in ("diffusion", "inflow", "T", "width"))
    pulse = ca.exp(p[0] - (p[1] * width * (t / duration - 1 / p[1])) ** 2)
    left = diffusion * 2 * (x[1] - x[0]) + inflow * pulse
    return ca.vertcat(left, diffusion * (x[:-2] - 2 * x[1:-1] + x[2:]), diffusion * 2 * (x[-2] - x[-1]))


def robertson(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    slow, back, fast = p[0] * x[0], p[1] * x[1] * x[2], p[2] * x[1] ** 2
    return ca.vertcat(-slow + back, slow - back - fast, fast)


def pollution(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    extended = ca.vertcat(x, 1)
    first, second = problem.data["reactants"].tolist()
    return sparse(problem.data["stoichiometry"]) @ (p * extended[first] * extended[second])


def pkpd(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    ka, cl, vc, q, vp, kin, kout, ic50, imax, gamma, vmax, km, q2, vp2 = ca.vertsplit(p)
    depot, centre, peri, peri2, response = ca.vertsplit(x)
    conc = centre / vc
    effect = imax * conc**gamma / (ic50**gamma + conc**gamma)
    return ca.vertcat(
        -ka * depot,
        ka * depot - (cl + vmax / (km + conc) + q) * conc + q * peri / vp - q2 * conc + q2 * peri2 / vp2,
        q * conc - q * peri / vp,
        q2 * conc - q2 * peri2 / vp2,
        kin * (1 - effect) - kout * response,
    )


def brusselator(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    cells, laplacian = problem.data["cells"], sparse(problem.data["laplacian"])
    u, v = ca.vertsplit(x, cells)
    a, b, alpha_u, alpha_v = ca.vertsplit(p, cells)
    uuv = u * u * v
    return ca.vertcat(alpha_u * (laplacian @ u) + b + uuv - (a + 1) * u, alpha_v * (laplacian @ v) + a * u - uuv)


def neural_ode(problem: Problem, t: Any, u: Any, p: Any) -> Any:
    hidden = problem.data["hidden"]
    first, bias, second, offset = ca.vertsplit(p, [0, 2 * hidden, 3 * hidden, 5 * hidden, 5 * hidden + 2])
    first, second = ca.reshape(first, hidden, 2), ca.reshape(second, hidden, 2).T  # CasADi reshapes by columns
    return second @ ca.tanh(first @ (u * u * u) + bias) + offset


def diffusion(problem: Problem, t: Any, x: Any, p: Any) -> Any:
    return p[:9][problem.data["patch"].tolist()] * (sparse(problem.data["laplacian"]) @ x) - p[9] * x


def sparse(matrix: Any) -> Any:
    return ca.DM(sp.csc_matrix(matrix))


MODELS = {
    "lotka_volterra": lotka_volterra, "heat": heat, "robertson": robertson, "pollution": pollution, "pkpd": pkpd,
    "brusselator": brusselator, "neural_ode": neural_ode, "diffusion": diffusion,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ solving


def model_of(problem: Problem) -> Callable[..., Any]:
    return MODELS[problem.name] if problem.name in MODELS else MODELS[problem.name.rsplit("_", 1)[0]]


def solution(problem: Problem, parameters: Any, method: str, rtol: float, atol: float) -> Any:
    """The solution at the data, (n, m), as an expression of the parameters."""
    t, x, p = ca.SX.sym("t"), ca.SX.sym("x", problem.n), ca.SX.sym("p", problem.n_p)
    dae = {"t": t, "x": x, "p": p, "ode": model_of(problem)(problem, t, x, p)}
    options = {"reltol": rtol, "abstol": atol, "max_num_steps": 1_000_000}
    if method == "adams":
        options |= {"linear_multistep_method": "adams", "nonlinear_solver_iteration": "functional"}
    start, pieces = ca.MX(ca.DM(problem.x0)), []
    for k, (t0, _, times, dose) in enumerate(problem.segments()):
        if times[0] == t0:
            pieces.append(start)
            times = times[1:]
        integrator = ca.integrator(f"solve{k}", "cvodes", dae, t0, times.tolist(), options)
        pieces.append(integrator(x0=start, p=parameters)["xf"])
        if dose:
            start = pieces[-1][:, -1] + ca.DM(dose.amount * (np.arange(problem.n) == dose.state))
    return ca.horzcat(*pieces)


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[float, np.ndarray | None]]:
    @cache
    def compiled(rtol: float, atol: float) -> Any:
        p = ca.MX.sym("p", problem.n_p)
        observed = solution(problem, p, variant.method, rtol, atol)[problem.loss.states, :] - problem.loss.target
        loss = problem.loss.weight * ca.sumsqr(observed)
        if variant.kind == "solve":
            return ca.Function("loss", [p], [loss])
        adjoint = variant.kind == "adjoint"
        gradient = ca.gradient(loss, p) if adjoint else ca.jtimes(loss, p, ca.DM.eye(problem.n_p)).T
        return ca.Function("value_and_gradient", [p], [loss, gradient])

    def run(rtol: float, atol: float) -> tuple[float, np.ndarray | None]:
        found = compiled(rtol, atol)(problem.p)
        return (float(found), None) if variant.kind == "solve" else (float(found[0]), np.array(found[1]).ravel())

    return run
