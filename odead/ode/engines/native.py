"""The compiled loop: methods that call compiled right-hand sides without the GIL."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..._bdf import BDF, Formulas
from ..._diagonal import DiagonalMethod, DiagonalStep
from ..._implicit import Implicit
from ..._record import Record
from ..._rosenbrock import RosenbrockMethod, RosenbrockStep
from ..._steppers import Explicit, Method
from ..._system import Callback, Recorded, Tangents
from ...errors import ArgumentValueError, OdeadWarning
from ..methods import DIAGONAL, EXPLICIT, MULTISTEP, NATIVE, ROSENBROCK
from ..results.progress import following
from ..rhs.linearised import PatternGrewError
from .engine import AbstractEngine, Controls, Crossing, Failure, System, Trajectory
from .estimate import accumulated
from .interpolant import Interpolant, join
from .path import Path, of_record

__all__ = [
    "AUTO",
    "AUTO_IF_DEAR",
    "FINEST",
    "STIFF_STEPS",
    "Leg",
    "NativeEngine",
    "compiled_method",
    "interpolant",
    "make_loop",
    "run_loop",
]

AUTO: Final = ("Tsit5", "Rodas5P")  # by turns
AUTO_IF_DEAR: Final = "BDF"  # and no way back: it factors seldom, and solves by iteration (n = 1500, full: 0.3 s, not 23)
STIFF_STEPS: Final = 15  # that show stiffness until the method changes, as in Hairer's codes
_CALM_STEPS: Final = 10

_METHODS: Final = {name: Method(tableau) for name, tableau in EXPLICIT.items()}
_ROSENBROCK: Final = {name: RosenbrockMethod(tableau) for name, tableau in ROSENBROCK.items()}
_DIAGONAL: Final = {name: DiagonalMethod(tableau) for name, tableau in DIAGONAL.items()}
_BDF: Final = {name: Formulas(formulas) for name, formulas in MULTISTEP.items()}
_COMPILED: Final[dict[str, Method]] = {**_METHODS, **_ROSENBROCK, **_DIAGONAL, **_BDF}
_ELSEWHERE: Final = ("Radau", "LSODA")
_NOWHERE: Final = np.zeros((0, 0))
_PATH_BUDGET: Final = 1e8  # bytes for states at steps that the result does not have; of more, only some are kept
FINEST: Final = 100 * float(np.finfo(float).eps)  # rtol below which round-off decides; SciPy's limit


class Leg(NamedTuple):
    """A part of a solve by one method.

    Attributes
    ----------
    method : str
    record : Record or None
    times : array, shape (m,)
        Of the outputs in it.
    rtol : array, shape (blocks,)
        Of the states, then of each sensitivity.
    atol : array, shape (n,) or more
        Of the states first.
    """

    method: str
    record: Record | None
    times: np.ndarray
    rtol: np.ndarray
    atol: np.ndarray


class NativeEngine(AbstractEngine):
    """Explicit, Rosenbrock and diagonally implicit methods and BDF, compiled.

    "auto" begins with Tsit5, changes to Rodas5P where stability and not accuracy limits the steps, and back where it no longer
    would. Where matrices are dear to factor it changes to BDF, and stays with it.

    Where `System.compiled` is given, no Python runs in the loop. The state of a `Tangents` system is judged block by block: the
    largest of the errors of the states and of each sensitivity counts.
    """

    name = "native"

    def choose_method(self, method: str) -> str:
        if method in _ELSEWHERE:
            raise ArgumentValueError(
                f'method="{method}" is not available with engine="native"; use engine="scipy" or one of {", ".join(NATIVE)}'
            )
        if method != "auto" and method not in NATIVE:
            raise ArgumentValueError(f'method={method!r} is unknown; use "auto" or one of {", ".join(NATIVE)}')
        return method

    def resets_inside(self, method: str) -> bool:
        return True

    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        keep = None
        if dense or times is None:

            def keep(method: str) -> Record:
                return Record(system.x0.size, NATIVE[method].all_stages if dense else 0)

        elif system.path:

            def keep(method: str) -> Record:
                return Record(system.path, 0, _PATH_BUDGET)

        trajectory, legs = run_loop(system, controls, times, keep)
        return trajectory._replace(sol=interpolant(legs)) if dense else trajectory


def interpolant(legs: Sequence[Leg], beyond: int = 0) -> Any:
    """The solution as a function of time, from records with all stages, without so many steps at the end."""
    parts = []
    for leg in legs:
        record = leg.record
        assert record is not None
        count = record.count - (beyond if leg is legs[-1] else 0)
        parts.append(
            Interpolant(NATIVE[leg.method], record.times[: count + 1], record.states[: count + 1], record.slopes[:count])
        )
    return parts[0] if len(parts) == 1 else join(parts)


def compiled_method(name: str) -> Method:
    """The method in the form that the compiled loop reads."""
    return _COMPILED[name]


def run_loop(
    system: System,
    controls: Controls,
    times: np.ndarray | None,
    keep: Callable[[str], Record] | None,
    rtol: np.ndarray | None = None,
    *,
    keep_crossing: bool = False,
) -> tuple[Trajectory, list[Leg]]:
    """Run the compiled loop.

    Parameters
    ----------
    system, controls, times
        As in `AbstractEngine.integrate`.
    keep : callable or None
        From a method to the record that its loop fills step by step; needed where `times` is None.
    rtol : array, shape (blocks,), optional
        Relative tolerance of each block of the state: the states, then each sensitivity. None: that of `controls` for all.
    keep_crossing : bool
        Whether a step that was not taken, because it ends on another side, is the last one of the record.

    Returns
    -------
    trajectory : Trajectory
        Without `sol`.
    legs : list of Leg
        More than one if the method changed.
    """
    n = system.x0.size
    compiled = Callback(system.fun, n) if system.compiled is None else system.compiled()
    rtol = _possible(np.full(_blocks(compiled), controls.rtol) if rtol is None else rtol)
    legs: list[Leg] = []
    loops: list[Explicit] = []
    outcome = "turned"
    while outcome == "turned":
        here, rest, left = controls, system, times
        if controls.method == "auto":
            here = controls._replace(method=_method_of_leg(system, controls.stiff + len(legs)))
        tolerances = rtol
        if here.method in MULTISTEP and controls.method == "auto":
            tolerances, here = _finer(rtol, here)
        if loops:
            here, rest, left = _what_is_left(loops, here, rest, left)
        record = None if keep is None else keep(here.method)
        number = controls.stiff + len(legs) if controls.method == "auto" else None
        loop, outcome = _run_leg(rest, compiled, here, tolerances, left, record, number)
        if left is None:
            assert record is not None
            left = record.times[min(len(legs), 1) :]
        else:
            left = left[: loop.delivered]
        loops.append(loop)
        legs.append(Leg(here.method, record, left, tolerances, here.atol))
    trajectory = _summarise(loops, legs, compiled, outcome, controls, times)
    if system.path:
        trajectory = trajectory._replace(
            path=Path(system.path, [of_record(leg.record, system.path) for leg in legs if leg.record])
        )
    if trajectory.crossing is not None and keep_crossing:
        loops[-1].keep_last_step()
    return trajectory, legs


def _blocks(system: Callback | Recorded) -> int:
    """Of the state: the states, and each sensitivity."""
    return system.width + 1 if isinstance(system, Tangents) else 1


def _possible(rtol: np.ndarray) -> np.ndarray:
    """The tolerances, but none below round-off."""
    if min(rtol.tolist()) >= FINEST:
        return rtol
    warnings.warn(f"rtol={rtol.min():.3g} is below round-off; {FINEST:.3g} is used", OdeadWarning, stacklevel=5)
    possible: np.ndarray = np.maximum(rtol, FINEST)
    return possible


def _method_of_leg(system: System, number: int) -> str:
    """What "auto" runs in its part of this number."""
    name = AUTO[number % len(AUTO)]
    is_dear = (system.states or system).is_dear
    return AUTO_IF_DEAR if name != AUTO[0] and is_dear is not None and is_dear() else name


def _finer(rtol: np.ndarray, controls: Controls) -> tuple[np.ndarray, Controls]:
    """The tolerances of a multistep method."""
    factors = np.full(rtol.size, controls.finer[1])
    factors[0] = controls.finer[0]
    atol = controls.atol * factors[0] if controls.atol.ndim == 0 else controls.atol.reshape(rtol.size, -1) * factors[:, None]
    return np.maximum(rtol * factors, FINEST), controls._replace(atol=atol.ravel() if controls.atol.ndim else atol)


def _what_is_left(
    loops: Sequence[Explicit], controls: Controls, system: System, times: np.ndarray | None
) -> tuple[Controls, System, np.ndarray | None]:
    before = loops[-1]
    steps = sum(loop.nsteps for loop in loops)
    resets = system.resets
    if resets is not None:
        passed = sum(loop.passed for loop in loops)
        resets = (resets[0][passed:], resets[1][passed:])
    return (
        controls._replace(first_step=before.h_abs, max_steps=controls.max_steps - steps),
        system._replace(t0=before.t, x0=before.state.copy(), resets=resets),
        None if times is None else times[sum(loop.delivered for loop in loops) :],
    )


def _run_leg(
    system: System, compiled: Any, controls: Controls, rtol: np.ndarray, times: np.ndarray | None, record: Record | None,
    number: int | None,
) -> tuple[Explicit, str]:  # fmt: skip
    """Step by one method, of a solve that may change it if the number of the leg is given; the loop and what stopped it."""
    while True:
        loop = make_loop(system, compiled, controls, rtol, times, record)
        if system.mass is not None:
            loop.divide = system.mass.divide
        if number is not None:
            loop.judges = True
            # Each change back takes longer to convince, so that the changes are few.
            loop.patience = STIFF_STEPS if number % 2 == 0 else _CALM_STEPS << min(number // 2, 20)
        if system.side is not None:
            loop.watch = system.side.watch()
        loop.kinks, loop.reach, loop.began = system.kinks, system.reach, system.t0
        if system.resets is not None:
            loop.reset_at(*system.resets)
        if system.pace is not None:
            loop.keep_pace(*system.pace)
        try:
            with following(controls.progress, lambda: loop.t):  # noqa: B023 - called inside this block only
                return loop, loop.run()
        except PatternGrewError:
            continue


def _summarise(
    loops: Sequence[Explicit], legs: Sequence[Leg], compiled: Any, outcome: str, controls: Controls, times: np.ndarray | None,
) -> Trajectory:  # fmt: skip
    last = loops[-1]
    nsteps = sum([loop.nsteps for loop in loops])
    failure = None if outcome in ("done", "flipped") else describe_failure(last, outcome, controls.max_steps, nsteps)
    if times is not None:
        y = _joined([loop.y[: loop.delivered] for loop in loops])
    else:
        y = np.concatenate([leg.record.states[min(k, 1) :] for k, leg in enumerate(legs) if leg.record is not None])
        if y.shape[1] < last.state.size:  # what is not in the record is known at the end
            y = np.hstack([y, np.full((len(y), last.state.size - y.shape[1]), np.nan)])
            y[-1:] = last.state  # there is none where the solve could not begin
        _put_before(y, loops, legs)
    message = "the end was reached" if failure is None else failure.reason
    if len(legs) > 1:
        changes = ", ".join(f"{leg.method} until t = {loop.t:.6g}" for leg, loop in zip(legs[:-1], loops, strict=False))
        message = f"{message} ({changes}, then {legs[-1].method})"
    if isinstance(last, BDF) and last.krylov is not None:
        message = f"{message} (GMRES, {last.krylov.products} products{'' if last.iterates else ', then LU'})"
    flips = compiled.flips if isinstance(compiled, Recorded) else 0
    nfev, njev, nlu = compiled.calls, 0, 0
    errors = accumulated(legs[0].method, legs[0].rtol, loops[0].nsteps, loops[0].errors)
    for leg, loop in zip(legs[1:], loops[1:], strict=True):
        errors = errors + accumulated(leg.method, leg.rtol, loop.nsteps, loop.errors)
    for loop in loops:
        if isinstance(loop, Implicit):
            step = loop.attempted
            flips += step.linearised.flips
            nfev, njev, nlu = nfev + step.linearised.calls, njev + step.njev, nlu + step.nlu
            if isinstance(step, DiagonalStep) and step.states is not compiled:
                nfev += step.states.calls
        elif isinstance(loop, BDF):
            flips += loop.linearised.flips
            nfev += loop.states.calls if loop.states is not compiled else 0
            nfev += loop.linearised.calls if loop.is_together else 0
            njev, nlu = njev + loop.njev, nlu + loop.nlu
    return Trajectory(
        _joined([leg.times for leg in legs]), y.T, None, nfev, njev, nlu, nsteps, sum([loop.nrejected for loop in loops]),
        message, failure, flips, _crossing(last, legs[-1].method) if outcome == "flipped" else None,
        tuple([leg.method for leg in legs]), errors=errors, before=_before_resets(loops),
    )  # fmt: skip


def _before_resets(loops: Sequence[Explicit]) -> np.ndarray:
    """The states before each of the resets inside the loops."""
    parts = [loop.before[: loop.passed] for loop in loops if loop.before is not None]
    return _joined(parts) if parts else _NOWHERE


def _put_before(y: np.ndarray, loops: Sequence[Explicit], legs: Sequence[Leg]) -> None:
    """Have in the rows of y, one for each step, the states before the resets instead of those after them."""
    start = 0
    for k, (loop, leg) in enumerate(zip(loops, legs, strict=True)):
        assert leg.record is not None
        if loop.before is not None and loop.passed:
            ends, at = leg.record.times, loop.stop_times[: loop.passed]
            sign = -1.0 if ends[-1] < ends[0] else 1.0
            y[start - min(k, 1) + np.searchsorted(sign * ends, sign * at)] = loop.before[: loop.passed]
        start += leg.times.size


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _crossing(loop: Explicit, method: str) -> Crossing:
    end, stages = loop.last_step()
    times = np.array([loop.t, loop.t + loop.h])
    sol = Interpolant(NATIVE[method], times, np.array([loop.state, end]), stages[None])
    return Crossing(loop.t, loop.flipped, sol, loop.at, loop.locate)


def make_loop(
    system: System, compiled: Any, controls: Controls, rtol: np.ndarray, times: np.ndarray | None, record: Record | None
) -> Explicit:
    """The loop of a method, before its first step."""
    options: dict[str, Any] = {
        "t0": system.t0, "t1": system.t1, "x0": system.x0,
        "rtol": rtol, "atol": controls.atol,
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
    if controls.method in _ROSENBROCK:
        return Implicit(RosenbrockStep(compiled, _ROSENBROCK[controls.method], *system.linearised()), **options)
    alone = states.compiled() if isinstance(compiled, Tangents) else compiled
    if controls.method in _BDF:
        linearised, matrix = (states.iterated or states.linearised)()
        together = None if system.together is None else system.together()
        loop = BDF(compiled, alone, together or linearised, matrix, _BDF[controls.method], **options)
        loop.direct = states.linearised
        loop.guards = None if system.beside is None else system.beside(loop.matrix)
        if system.slopes is not None:
            loop.slopes = system.slopes()
        return loop
    atol = np.broadcast_to(controls.atol, system.x0.shape)
    step = DiagonalStep(compiled, alone, *states.linearised(), _DIAGONAL[controls.method], float(rtol[0]), atol)
    guards = None if system.beside is None else system.beside(step.matrix)
    if guards is not None:
        step.guard(guards, rtol, atol)
    return Implicit(step, **options)


def describe_failure(loop: Explicit, outcome: str, max_steps: int, nsteps: int) -> Failure:
    """What stopped the loop."""
    reasons: dict[str, str] = {
        "too small": "the step that the error asks for is below the spacing of floating-point numbers",
        "not finite": "the state is no longer finite",
        "too many": f"max_steps={max_steps} steps were taken",
    }
    if outcome not in reasons:
        raise MemoryError(f"no memory for the steps of a solve, after {nsteps} of them")
    return Failure(loop.t, loop.state.copy(), loop.h, reasons[outcome])
