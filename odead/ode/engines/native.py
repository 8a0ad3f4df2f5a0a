"""The compiled loop: explicit methods that call compiled right-hand sides without the GIL."""

import warnings
from typing import Final

import numpy as np

from ..._steppers import Explicit, Method, Record
from ..._system import Callback, Tangents
from ...errors import ArgumentValueError, OdeadWarning
from ..engine import AbstractEngine, Controls, Failure, System, Trajectory
from ..interpolant import Interpolant
from ..methods import EXPLICIT

__all__ = ["NativeEngine"]

_METHODS: Final = {name: Method(tableau) for name, tableau in EXPLICIT.items()}
_IMPLICIT: Final = ("Kvaerno5", "Rodas5P", "BDF", "Radau", "LSODA")
_FINEST: Final = 100 * float(np.finfo(float).eps)  # rtol below which round-off decides; SciPy's limit


class NativeEngine(AbstractEngine):
    """Explicit methods, compiled. "auto" is Tsit5.

    Where `System.compiled` is given, no Python runs in the loop. The state of a `Tangents` system is judged block by block: the
    largest of the errors of the states and of each sensitivity counts.
    """

    name = "native"

    def choose_method(self, method: str) -> str:
        if method == "auto":
            return "Tsit5"
        if method in _IMPLICIT:
            raise NotImplementedError(
                f'method="{method}" is not available with engine="native"; use engine="scipy" or one of {", ".join(EXPLICIT)}'
            )
        if method not in EXPLICIT:
            raise ArgumentValueError(f'method={method!r} is unknown; use "auto" or one of {", ".join(EXPLICIT)}')
        return method

    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        tableau = EXPLICIT[controls.method]
        rows = tableau.all_stages if dense else 0
        record = Record(system.x0.size, rows) if dense or times is None else None
        loop = make_loop(system, controls, times, record)
        outcome = loop.run()
        t, y = loop_output(loop, times, record)
        sol = Interpolant(tableau, record.times, record.states, record.slopes) if dense and record is not None else None
        failure = describe_failure(loop, outcome, controls)
        message = "the end was reached" if failure is None else failure.reason
        return Trajectory(t, y, sol, loop.system.calls, 0, 0, loop.nsteps, loop.nrejected, message, failure)


def make_loop(system: System, controls: Controls, times: np.ndarray | None, record: Record | None) -> Explicit:
    """The loop, ready to run."""
    n = system.x0.size
    compiled = system.compiled if system.compiled is not None else Callback(system.fun, n)
    blocks = compiled.width + 1 if isinstance(compiled, Tangents) else 1
    rtol = controls.rtol
    if rtol < _FINEST:
        warnings.warn(f"rtol={rtol:.3g} is below round-off; {_FINEST:.3g} is used", OdeadWarning, stacklevel=4)
        rtol = _FINEST
    return Explicit(
        compiled, _METHODS[controls.method], system.t0, system.t1, system.x0, np.full(blocks, rtol),
        np.broadcast_to(controls.atol, (n,)), controls.first_step, controls.max_step, controls.max_steps,
        () if times is None else times, record,
    )  # fmt: skip


def loop_output(loop: Explicit, times: np.ndarray | None, record: Record | None) -> tuple[np.ndarray, np.ndarray]:
    """Times and states, (m,) and (n, m): those asked for, as far as the loop came, or those of all steps."""
    if times is not None:
        return times[: loop.delivered], loop.y[: loop.delivered].T
    assert record is not None
    return record.times, record.states.T


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
