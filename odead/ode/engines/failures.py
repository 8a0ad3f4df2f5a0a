"""What is said when a solve stops, or cannot start."""

from typing import Any, NoReturn

import numpy as np

from ...errors import ArgumentValueError, IntegrationError
from ...execute import reference
from ...tape import Program, Role
from ..methods import EXPLICIT, MULTISTEP
from .engine import Failure, System

__all__ = ["blame_start", "raise_failure"]


def raise_failure(
    failure: Failure, system: System, method: str, nsteps: int, names: list[str], result: Any, *, what: str = "the solve"
) -> NoReturn:
    """Raise IntegrationError with time, step, worst state, likely cause and what to try."""
    with np.errstate(all="ignore"):
        slope = system.fun(failure.t, failure.x)
    finite = np.isfinite(failure.x) & np.isfinite(slope)
    if finite.all():
        worst = int(np.argmax(np.abs(slope) / (1e-3 * np.abs(failure.x).max(initial=1e-300) + np.abs(failure.x))))
    else:
        worst = int(np.argmin(finite))
    cause, advice = failure.diagnosis or _diagnose(failure, finite.all() and _finite_ahead(system, failure, slope), method)
    raise IntegrationError(
        f"{what} with {method} stopped at t = {failure.t:.9g} on its way from {system.t0:.6g} to {system.t1:.6g}, "
        f"after {nsteps} steps, the last of size {abs(failure.step):.3g}: {failure.reason}. "
        f"Worst state: {names[worst]} = {failure.x[worst]:.6g}, its derivative {slope[worst]:.6g}. "
        f"Likely cause: {cause}. Try: {advice}. exc.result holds what was computed so far",
        result,
    )


def _finite_ahead(system: System, failure: Failure, slope: np.ndarray) -> bool:
    """Whether the right-hand side is finite one step further: steps shrink when they would leave its domain."""
    with np.errstate(all="ignore"):
        ahead = system.fun(failure.t + failure.step, failure.x + failure.step * slope)
    return bool(np.isfinite(ahead).all())


def _diagnose(failure: Failure, finite: bool, method: str) -> tuple[str, str]:
    if not finite:
        return (
            "the right-hand side left its domain (square root or logarithm of a negative number, division by zero, overflow)",
            "a smaller max_step, tighter tolerances, or a right-hand side that is finite for every state the solver may try",
        )
    if "max_steps" in failure.reason:
        if method in EXPLICIT:
            return "the problem is stiff for an explicit method", 'method="Rodas5P", "BDF" or "LSODA", or a larger max_steps'
        return "fast oscillations, or tolerances tighter than needed", "looser tolerances or a larger max_steps"
    if method in EXPLICIT:
        return (
            "a singularity, a discontinuity, or stiffness",
            'method="Rodas5P" or "BDF", or an end of tspan before the singularity',
        )
    if method in MULTISTEP:
        return (
            "a singularity or a discontinuity of the right-hand side, or tolerances so fine that rounding hides the errors",
            'an end of tspan before it, looser tolerances (atol too), or for fine ones method="Rodas5P" or "DOP853"',
        )
    return "a singularity or a discontinuity of the right-hand side", "an end of tspan before it, or other tolerances"


def blame_start(
    program: Program, name: str, state_names: list[str], x: np.ndarray, p: np.ndarray, t: float, dx: np.ndarray
) -> NoReturn:
    """Raise ArgumentValueError for a right-hand side that is not finite at the start, naming the line where that begins."""
    bad = int(np.flatnonzero(~np.isfinite(dx))[0])
    where = _first_bad(program, [np.empty(x.size), x, *((p,) if p.size else ()), t])
    raise ArgumentValueError(
        f"rhs: {name} is not finite at the start: the derivative of {state_names[bad]} is {dx[bad]} at t0 = {t:.6g}{where}; "
        f"check x0, p and tspan"
    )


def _first_bad(program: Program, arrays: list[Any]) -> str:
    """The first instruction with a result that is not finite from operands that are, as words."""
    probed = program.empty_like()
    probes: list[tuple[int, np.ndarray, list[np.ndarray]]] = []
    results: list[np.ndarray] = []

    def probe(view: Any) -> np.ndarray:
        found = np.zeros(view.shape)
        probed.emit("copy", probed.bound("float64", view.shape, Role.RESULT, f"probe{len(results)}"), (view,))
        results.append(found)
        return found

    for instruction in program:
        operands = [probe(view) for view in instruction.ins if program.dtype(view) == "float64"]
        probed.append(instruction)
        if instruction.out is not None and program.dtype(instruction.out) == "float64":
            probes.append((instruction.line, probe(instruction.out), operands))
    reference.run(probed, [*(np.array(a, dtype=float) for a in arrays), *results])
    for line, out, operands in probes:
        if not np.isfinite(out).all() and all(np.isfinite(operand).all() for operand in operands):
            values = ", ".join(
                f"{operand[np.unravel_index(np.argmin(np.isfinite(out)), out.shape)]:.6g}"
                for operand in operands
                if operand.shape == out.shape
            )
            at = f", first at {program.lines[line]}" if line >= 0 else ""
            return f"{at} (from {values})" if values else at
    return ""
