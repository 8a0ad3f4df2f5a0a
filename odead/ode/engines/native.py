"""The compiled loop: methods that call compiled right-hand sides without the GIL."""

import warnings
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ..._bdf import BDF, Formulas
from ..._rosenbrock import Rosenbrock, RosenbrockMethod, Step
from ..._steppers import Explicit, Method, Record
from ..._system import Callback, Recorded, Tangents
from ...errors import ArgumentValueError, OdeadWarning
from ..engine import AbstractEngine, Controls, Crossing, Failure, System, Trajectory
from ..interpolant import Interpolant
from ..linearised import PatternGrewError
from ..methods import EXPLICIT, MULTISTEP, NATIVE, ROSENBROCK

__all__ = ["NativeEngine", "compiled_method", "interpolant", "run_loop"]

_METHODS: Final = {name: Method(tableau) for name, tableau in EXPLICIT.items()}
_ROSENBROCK: Final = {name: RosenbrockMethod(tableau) for name, tableau in ROSENBROCK.items()}
_BDF: Final = {name: Formulas(formulas) for name, formulas in MULTISTEP.items()}
_COMPILED: Final[dict[str, Method]] = {**_METHODS, **_ROSENBROCK, **_BDF}
_ELSEWHERE: Final = ("Kvaerno5", "Radau", "LSODA")
_FINEST: Final = 100 * float(np.finfo(float).eps)  # rtol below which round-off decides; SciPy's limit


class NativeEngine(AbstractEngine):
    """Explicit and Rosenbrock methods and BDF, compiled. "auto" is Tsit5.

    Where `System.compiled` is given, no Python runs in the loop. The state of a `Tangents` system is judged block by block: the
    largest of the errors of the states and of each sensitivity counts.
    """

    name = "native"

    def choose_method(self, method: str) -> str:
        if method == "auto":
            return "Tsit5"
        if method in _ELSEWHERE:
            raise NotImplementedError(
                f'method="{method}" is not available with engine="native"; use engine="scipy" or one of {", ".join(NATIVE)}'
            )
        if method not in NATIVE:
            raise ArgumentValueError(f'method={method!r} is unknown; use "auto" or one of {", ".join(NATIVE)}')
        return method

    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        record = None
        if dense or times is None:
            record = Record(system.x0.size, NATIVE[controls.method].all_stages if dense else 0)
        trajectory = run_loop(system, controls, times, record)
        if dense and record is not None:
            trajectory = replace(trajectory, sol=interpolant(controls.method, record))
        return trajectory


def interpolant(method: str, record: Record) -> Interpolant:
    """The solution as a function of time, from a record with all stages."""
    return Interpolant(NATIVE[method], record.times, record.states, record.slopes)


def compiled_method(name: str) -> Method:
    """The method in the form that the compiled loop reads."""
    return _COMPILED[name]


def run_loop(
    system: System, controls: Controls, times: np.ndarray | None, record: Record | None, rtol: np.ndarray | None = None
) -> Trajectory:
    """Run the compiled loop.

    Parameters
    ----------
    system, controls, times
        As in `AbstractEngine.integrate`.
    record : Record or None
        Filled step by step; needed where `times` is None.
    rtol : array, shape (blocks,), optional
        Relative tolerance of each block of the state: the states, then each sensitivity. None: that of `controls` for all.

    Returns
    -------
    Trajectory
        Without `sol`.
    """
    n = system.x0.size
    compiled = Callback(system.fun, n) if system.compiled is None else system.compiled()
    if rtol is None:
        rtol = np.full(compiled.width + 1 if isinstance(compiled, Tangents) else 1, controls.rtol)
    if rtol.min() < _FINEST:
        warnings.warn(f"rtol={rtol.min():.3g} is below round-off; {_FINEST:.3g} is used", OdeadWarning, stacklevel=4)
        rtol = np.maximum(rtol, _FINEST)
    while True:
        loop = _make_loop(system, compiled, controls, rtol, times, record)
        if system.side is not None:
            loop.watch = system.side.watch()
        try:
            outcome = loop.run()
            break
        except PatternGrewError:
            continue
    failure = None if outcome == "flipped" else describe_failure(loop, outcome, controls)
    if times is not None:
        t, y = times[: loop.delivered], loop.y[: loop.delivered].T
    else:
        assert record is not None
        t, y = record.times, record.states.T
    message = "the end was reached" if failure is None else failure.reason
    flips = compiled.flips if isinstance(compiled, Recorded) else 0
    nfev, njev, nlu = compiled.calls, 0, 0
    if isinstance(loop, Rosenbrock):
        step = loop.attempted
        flips += step.linearised.flips
        nfev, njev, nlu = nfev + step.linearised.calls, step.njev, step.nlu
    elif isinstance(loop, BDF):
        flips += loop.linearised.flips
        nfev, njev, nlu = nfev + (loop.states.calls if loop.states is not compiled else 0), loop.njev, loop.nlu
    crossing = _crossing(loop, controls.method) if outcome == "flipped" else None
    return Trajectory(t, y, None, nfev, njev, nlu, loop.nsteps, loop.nrejected, message, failure, flips, crossing)


def _crossing(loop: Explicit, method: str) -> Crossing:
    end, stages = loop.last_step()
    times = np.array([loop.t, loop.t + loop.h])
    return Crossing(loop.t, loop.flipped, Interpolant(NATIVE[method], times, np.array([loop.state, end]), stages[None]))


def _make_loop(
    system: System, compiled: Any, controls: Controls, rtol: np.ndarray, times: np.ndarray | None, record: Record | None
) -> Explicit:
    options: dict[str, Any] = {
        "t0": system.t0, "t1": system.t1, "x0": system.x0,
        "rtol": rtol, "atol": np.broadcast_to(controls.atol, system.x0.shape),
        "first_step": controls.first_step, "max_step": controls.max_step, "max_steps": controls.max_steps,
        "times": () if times is None else times, "record": record,
    }  # fmt: skip
    if controls.method in _METHODS:
        return Explicit(compiled, _METHODS[controls.method], **options)
    states = system.states or system
    if states.linearised is None or states.compiled is None or system.linearised is None:
        raise ArgumentValueError(
            f'method="{controls.method}" with engine="native" does not solve for a continuous adjoint; use mode="adjoint", '
            f'mode="forward" or engine="scipy"'
        )
    if controls.method in _BDF:
        alone = states.compiled() if isinstance(compiled, Tangents) else compiled
        return BDF(compiled, alone, *states.linearised(), _BDF[controls.method], **options)
    step = Step(compiled, _ROSENBROCK[controls.method], *system.linearised())
    return Rosenbrock(step, **options)


def describe_failure(loop: Explicit, outcome: str, controls: Controls) -> Failure | None:
    """What stopped the loop."""
    if outcome == "done":
        return None
    reasons: dict[str, str] = {
        "too small": "the step that the error asks for is below the spacing of floating-point numbers",
        "not finite": "the state is no longer finite",
        "too many": f"max_steps={controls.max_steps} steps were taken",
    }
    if outcome not in reasons:
        raise MemoryError(f"no memory for the steps of a solve, after {loop.nsteps} of them")
    return Failure(loop.t, loop.state.copy(), loop.h, reasons[outcome])
