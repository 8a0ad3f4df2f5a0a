"""`scipy.integrate.solve_ivp` itself, with compiled callbacks.

SciPy's solver classes are given to `solve_ivp` in subclasses that only watch: they count the accepted steps, stop after too
many, and notice a state that is no longer finite. The numbers are SciPy's, bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.integrate import BDF, DOP853, LSODA, RK23, RK45, OdeSolution, Radau, solve_ivp

from ...errors import ArgumentValueError
from ..results.progress import following
from ..rhs.jacobian import Jacobian
from .engine import AbstractEngine, Controls, Crossing, Failure, Side, System, Trajectory
from .estimate import accumulated
from .path import Path, of_solution

__all__ = ["COMPILED_ONLY", "METHODS", "ScipyEngine"]

COMPILED_ONLY: Final = ("Tsit5", "Kvaerno5", "Rodas5P")
# Measured with BDF on tridiagonal systems: at n = 100 a step with SuperLU and one with dense LAPACK take the same time.
DENSE_BELOW: Final = 100
LSODA_DENSE_UP_TO: Final = 128  # its own LU takes a millisecond for a dense matrix of this size
LOOKS: Final = 4  # per step, as in the compiled loop, for what may change its sign twice within one
SHORT: Final = 1e-2  # of the longest step: what is shorter may be held up by a switch
HARDLY: Final = 1e-12  # of the time; what is less, LSODA takes for no step
SPARSE_UP_TO: Final = 0.25  # density above which SuperLU loses to LAPACK at any size


_LINEAR_ALGEBRA: Final = ("exactly singular", "infs or NaNs")  # how SuperLU and SciPy's LAPACK wrappers complain


class _Watch:
    """Counts of one solve, and where it failed."""

    def __init__(self, system: System, controls: Controls) -> None:
        self.max_steps, self.max_step, self.pace = controls.max_steps, controls.max_step, system.pace
        self.nsteps = 0
        self.ndense = 0
        self.failure: Failure | None = None
        self.side = system.side
        self.crossing: Crossing | None = None
        self.slides, self.longest = system.slides, 0.0

    def is_held_up(self, t: float, x: np.ndarray, step: float) -> bool:
        """Whether a switch holds the solution up in this step."""
        self.longest = max(self.longest, abs(step))
        return self.slides is not None and abs(step) < SHORT * self.longest and self.slides(t, x, step)


def _first_flipped(side: Side, start: float, end: float, sol: Any, x: np.ndarray) -> float | None:
    """The first time, of some inside a step and its end, that is not on this side."""
    for k in range(1, LOOKS):
        t = start + k * (end - start) / LOOKS
        if not side.holds(np.asarray(sol(t)), t):
            return t
    return None if side.holds(x, end) else end


class _Watched:
    """Mixin for SciPy's solver classes."""

    t: Any
    y: Any
    status: Any
    h_abs: float
    max_step: float

    def __init__(self, *args: Any, watch: _Watch, **options: Any) -> None:
        self._watch = watch
        self._last_step = 0.0
        super().__init__(*args, **options)

    def limit_step(self, longest: float) -> None:
        """Make the next step no longer than that."""
        self.max_step = longest

    def step(self) -> str | None:
        watch, t = self._watch, self.t
        x = self.y
        if watch.pace is not None:
            self.limit_step(min(watch.max_step, watch.pace.limit(t)))
        try:
            message: str | None = super().step()  # type: ignore[misc]
        except (RuntimeError, ValueError) as error:
            if not any(phrase in str(error) for phrase in _LINEAR_ALGEBRA):
                raise
            self.status, message = "failed", f"the iteration matrix is singular or not finite ({error})"
        if self.status == "failed":
            watch.failure = Failure(t, x, self._last_step, message or "the step failed")
            return message
        if watch.side is not None:
            inside = super().dense_output()  # type: ignore[misc]
            watch.ndense += 1
            flipped = _first_flipped(watch.side, t, self.t, inside, self.y)
            if flipped is not None:
                watch.crossing = Crossing(t, flipped, inside, inside)
                self.status = "failed"
                return "a branch of the right-hand side flipped, or an event happened"
        watch.nsteps += 1
        self._last_step = self.t - t
        reason = None
        if watch.is_held_up(t, x, self._last_step):
            reason = "a switch holds the solution up"
        elif self.t == t and self.status == "running":  # LSODA goes on like that until there are too many steps
            reason = "the step that the error asks for is below the spacing of floating-point numbers"
        elif not np.isfinite(self.y).all():
            reason = "the state is no longer finite"
        elif watch.nsteps >= watch.max_steps and self.status == "running":
            reason = f"max_steps={watch.max_steps} steps were taken"
        if reason is not None:
            self.status = "failed"
            watch.failure = Failure(self.t, self.y, self._last_step, reason)
            return reason
        return message

    def dense_output(self) -> Any:
        self._watch.ndense += 1
        return super().dense_output()  # type: ignore[misc]


class _WatchedRK23(_Watched, RK23):
    pass


class _WatchedRK45(_Watched, RK45):
    pass


class _WatchedDOP853(_Watched, DOP853):
    pass


class _WatchedRadau(_Watched, Radau):
    def limit_step(self, longest: float) -> None:
        if self.h_abs > longest:  # the factors are those of the longer step, and SciPy keeps them
            self.LU_real = self.LU_complex = None  # type: ignore[assignment]
        super().limit_step(longest)


class _WatchedBDF(_Watched, BDF):
    def limit_step(self, longest: float) -> None:
        if self.h_abs > longest:
            self.LU = None
        super().limit_step(longest)


class _WatchedLSODA(_Watched, LSODA):
    t_bound: float
    _lsoda_solver: Any

    def limit_step(self, longest: float) -> None:
        """By the time that no step may pass: what hmax becomes, LSODA reads at its first step only."""
        self._lsoda_solver._integrator.rwork[0] = min(self.t + max(longest, HARDLY * self.t), self.t_bound)

    def _step_impl(self) -> Any:
        bound = self.t_bound
        self.t_bound = float(self._lsoda_solver._integrator.rwork[0])  # the two must be the same at the first step
        try:
            return super()._step_impl()  # type: ignore[misc]
        finally:
            self.t_bound = bound


@dataclass(frozen=True)
class _Method:
    """What distinguishes a SciPy method here.

    Attributes
    ----------
    solver : type
    stages : int
        Evaluations per attempted step of an explicit method, 0 for an implicit one.
    dense_stages : int
        Evaluations per dense output.
    multistep : bool
        Whether its interpolant belongs to the end of a step, which decides the segment at a step's boundary.
    """

    solver: type
    stages: int = 0
    dense_stages: int = 0
    multistep: bool = False

    def attempts(self, evaluations: int, dense_outputs: int) -> int:
        """Steps tried, of an explicit method, from the evaluations after the start."""
        return (evaluations - self.dense_stages * dense_outputs) // self.stages


METHODS: Final = {
    "RK23": _Method(_WatchedRK23, stages=3),
    "RK45": _Method(_WatchedRK45, stages=6),
    "DOP853": _Method(_WatchedDOP853, stages=12, dense_stages=3),
    "Radau": _Method(_WatchedRadau),
    "BDF": _Method(_WatchedBDF, multistep=True),
    "LSODA": _Method(_WatchedLSODA, multistep=True),
}


class ScipyEngine(AbstractEngine):
    """SciPy's steppers. "auto" is LSODA, which switches between a non-stiff and a stiff method by itself."""

    name = "scipy"

    def choose_method(self, method: str) -> str:
        if method == "auto":
            return "LSODA"
        if method in COMPILED_ONLY:
            raise ArgumentValueError(
                f'method="{method}" is not available with engine="scipy"; use engine="native" or one of {", ".join(METHODS)}'
            )
        if method not in METHODS:
            raise ArgumentValueError(f'method={method!r} is unknown; use "auto" or one of {", ".join(METHODS)}')
        return method

    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        method, watch = METHODS[controls.method], _Watch(system, controls)
        options: dict[str, Any] = {} if method.stages else _jacobian_options(system, controls.method)
        options |= {"rtol": controls.rtol, "atol": controls.atol}
        options |= {"first_step": controls.first_step, "max_step": controls.max_step, "watch": watch}
        no_time = system.t0 == system.t1
        asked = None if no_time else times  # where no time passes, SciPy would return none of the times asked for
        span = (system.t0, system.t1)
        fun, seen = _noting_time(system) if controls.progress is not None else (system.fun, [system.t0])
        with following(controls.progress, lambda: seen[0]):
            found = solve_ivp(
                fun, span, system.x0, method=method.solver, t_eval=asked, dense_output=dense or system.path > 0, **options
            )
        t, sol = np.asarray(found.t, dtype=float), found.sol
        y = np.asarray(found.y, dtype=float).reshape(system.x0.size, -1)
        if no_time and times is not None:
            t, y = times, np.repeat(system.x0[:, None], times.size, axis=1)
        if sol is not None and method.multistep:
            sol = OdeSolution(sol.ts, sol.interpolants, alt_segment=True)  # SciPy does so for its own classes only
        starting = 1 + (controls.first_step is None and not no_time)
        rejected = method.attempts(found.nfev - starting, watch.ndense) - watch.nsteps if method.stages else None
        counts = (found.nfev, found.njev, found.nlu, watch.nsteps, rejected)
        errors = accumulated(controls.method, controls.rtol, watch.nsteps, None)
        path = None
        if system.path and sol is not None and sol.ts.size > 1:
            path = Path(system.path, [of_solution(sol, system.path)])
        return Trajectory(
            t,
            y,
            sol if dense else None,
            *counts,
            found.message,
            watch.failure,
            crossing=watch.crossing,
            errors=errors,
            path=path,
        )


def _noting_time(system: System) -> tuple[Callable[[float, np.ndarray], np.ndarray], list[float]]:
    """The right-hand side, and a list whose item is the time at which it was evaluated last."""
    seen = [system.t0]

    def fun(t: float, x: np.ndarray) -> np.ndarray:
        seen[0] = t
        return system.fun(t, x)

    return fun, seen


def _jacobian_options(system: System, method: str) -> dict[str, Any]:
    """The Jacobian in the form that SciPy's solver takes: dense, banded (LSODA) or sparse (BDF, Radau)."""
    if method == "LSODA":
        return _lsoda_options(system)
    first = system.jacobian(system.t0, system.x0).pattern
    form = Jacobian.sparse if first.n >= DENSE_BELOW and first.density <= SPARSE_UP_TO else Jacobian.dense
    return {"jac": lambda t, x: form(system.jacobian(t, x))}


def _lsoda_options(system: System) -> dict[str, Any]:
    jacobian = system.jacobian
    if system.narrow_jacobian is not None and system.x0.size > LSODA_DENSE_UP_TO:
        jacobian = system.narrow_jacobian
    first = jacobian(system.t0, system.x0).pattern
    lower, upper = first.lower, first.upper
    if not system.fixed_pattern or lower + upper + 1 >= first.n:
        return {"jac": lambda t, x: jacobian(t, x).dense()}
    return {"jac": lambda t, x: jacobian(t, x).banded(lower, upper), "lband": lower, "uband": upper}
