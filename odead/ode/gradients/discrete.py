"""The discrete adjoint: the exact gradient of what the compiled loop computed.

The gradient is as accurate as the steps are fine for the *sensitivities*, which the error estimate of the states does not see:
on an equilibrium there is nothing to estimate, and at the stability limit of the method the derivatives grow modes that the
solution does not have (on a Brusselator the gradient was wrong by orders of magnitude at a right loss). So the forward solve
carries one sensitivity, in a direction that mixes all parameters, and one more that mixes the initial values if their
gradient is wanted. Both are in the error test. They cost as much whatever the number of parameters.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from ..._adjoint import Adjoint
from ..._bdf import Formulas
from ..._bdf_adjoint import BackwardAdjoint
from ..._diagonal import DiagonalAdjoint, DiagonalMethod, DiagonalStep
from ..._record import Record
from ..._results import all_finite
from ..._rosenbrock import RosenbrockAdjoint, RosenbrockMethod, RosenbrockStep
from ...errors import ArgumentValueError, IntegrationError
from ..engines.engine import AbstractEngine, Controls, System, Trajectory
from ..engines.estimate import Group, error_of_gradient, norm
from ..engines.native import AUTO_IF_DEAR, Leg, NativeEngine, compiled_method, interpolant, run_loop
from ..methods import EXPLICIT, MULTISTEP, ONE_STEP
from ..pieces.piecewise import Course, Happened, Piece, integrate
from ..problem.problem import Problem
from ..rhs.jumps import PassedReset
from ..rhs.linearised import PatternGrewError
from ..rhs.systems import adding, behind, cotangents, recorded, tangents
from .continuous import AdjointOptions, AdjointResult
from .directions import Direction
from .forward import in_proportion, share_of
from .influence import signs

__all__ = [
    "BUDGET", "Probes", "Steps", "UnseenGrowthError", "discrete_adjoint",
    "go_back", "moves_x0", "probe_tolerances", "probed", "probes_of",
    "record_of", "signs", "solve_for_adjoint", "sweep_over",
]  # fmt: skip

# The probes are held to this multiple of the tolerances: they guard against gradients that are wrong, and a gradient adds up
# errors of both signs. At 1, Lotka-Volterra at rtol 1e-6 took 142 steps of Tsit5, at 5 it took 106, at 10 it takes 99, without
# probes 96, for errors of 2, 9, 10 and 11 tolerances; from rest, where the probes alone decide on the steps, a Brusselator is
# off by 16 tolerances at 10, by 25 at 15. Multistep methods let more of the local errors add up: of a pendulum, Robertson's
# problem and Lotka-Volterra at rtol 1e-6, the worst was off by 11 tolerances at 0.3, by 23 at 1, by 79 at 5. They are kept in
# proportion to finer tolerances from ten times as coarse ones on as the states are: over the kinks of long oscillations
# gradients at rtol 1e-9 were off by 59 tolerances without that.
SLACK: Final = 10.0
SLACK_MULTISTEP: Final = 1.0
COARSER: Final = 10.0
# Methods whose steps are many, or leave more of an error than their estimate says, have less room: after a few events the
# gradients of RK23 were off by 345 tolerances at 10, those of Kvaerno5 by 357.
SLACKS: Final = {"BDF": SLACK_MULTISTEP, "RK23": 0.5, "RK45": 5.0, "Kvaerno5": 1.0}
# Of these, the part for systems with few states and parameters. Diffusion, kinetics and networks damp what a step is off by:
# less than ten tolerances remain. The oscillations of small systems keep it and add it up: gradients of Lotka-Volterra over 20
# by Rodas5P were off by 91 tolerances with 206 steps, now by 47 with 251; of a pendulum over 10 by Kvaerno5 by 131 with 89, now
# by 28 with 121; of Lotka-Volterra over 10 by BDF by 55 with 323, now by 9 with 414.
PART_IF_SMALL: Final = 0.2
SMALL: Final = 32
# Derivatives lose one order more there: RK45 was off by 203 tolerances at 10.
SLACK_AT_KINKS: Final = 1.0
SLACK_AT_KINKS_MULTISTEP: Final = 0.3
BUDGET: Final = 256e6  # bytes for the steps
FEW_STEPS: Final = 64
# Bytes for what evaluations save, where to compute it again costs less than a fresh page of memory: what is not more than this
# is kept from one solve to the next. A layer of 2400 neurons takes 2.9 us, and the pages for it 4.
MOST_SAVED: Final = 4e6


class Steps(NamedTuple):
    """The steps of a forward solve, for the way back.

    Attributes
    ----------
    legs : list of Leg
        Each with a record.
    times : array, shape (m,)
        Of the outputs.
    passed : sequence of PassedReset
        Those inside the loop.
    """

    legs: list[Leg]
    times: np.ndarray
    passed: Sequence[PassedReset] = ()


class UnseenGrowthError(IntegrationError):
    """Lambda has grown beyond all bounds over explicit steps.

    Where a fast state rests at 0 whatever the parameters are, as a species does that is not there, nothing in the error test
    tells that the steps are too long for it. Its lambda grows at each of them, times derivatives of 0, until it overflows.
    """


class Probes(NamedTuple):
    """The sensitivities in the error test.

    Attributes
    ----------
    start, directions : array, shapes (W, N) and (W, n_p)
        A probe of x0 has no direction in p.
    values : array, shape (m, N, W)
        At the times of the solve; NaN at those for which nobody asked.
    floor : array, shape (N, W)
        atol / rtol of each.
    errors : array, shape (1 + W,)
        Estimated relative errors of the states and of each.
    """

    start: np.ndarray
    directions: np.ndarray
    values: np.ndarray
    floor: np.ndarray
    errors: np.ndarray

    def error_of_gradient(self, cotangents: np.ndarray, grad_p: np.ndarray, grad_x0: np.ndarray) -> float:
        """The estimate of `sens_error`, from the cotangents (N, m) of the solution and the gradients found."""
        groups, values, looked_at = [], self.values, cotangents.any(axis=0)
        if not looked_at.all():
            values, cotangents = values[looked_at], cotangents[:, looked_at]
        for k, direction in enumerate(self.directions):
            change = direction * grad_p if direction.any() else self.start[k] * grad_x0
            part = slice(k, k + 1)
            groups.append(Group(values[:, :, part], self.floor[:, part], self.errors[1:][part], np.ones(1), norm(change)))
        return error_of_gradient(cotangents, groups, float(self.errors[0]))


def solve_for_adjoint(
    problem: Problem,
    controls: Controls,
    options: AdjointOptions,
    times: np.ndarray | None,
    wrt: Sequence[str],
    *,
    dense: bool = False,
    budget: float = BUDGET,
) -> tuple[Course, Probes]:
    """Solve forward with probes in the error test, and keep the steps of each piece.

    Parameters
    ----------
    problem : Problem
    controls : Controls
    options : AdjointOptions
        Tolerances of the sensitivities.
    times : array, shape (m,), or None
        Where the states are wanted, sorted in the direction of integration; None: at every step.
    wrt : sequence of str
        What is differentiated.
    dense : bool
        Whether the solution is wanted as a function of time.
    budget : float
        Bytes for the steps, unless the result itself has all of them.

    Returns
    -------
    course : Course
        Without the probes.
    probes : Probes

    Raises
    ------
    ArgumentValueError
        The budget is too small.
    """
    n, seen = problem.x0.size, None
    asked = budget != BUDGET and not dense and times is not None
    if asked and problem.events is not None and problem.events.passive.all():
        seen = _events_apart(problem, controls)
        problem = problem._replace(events=None)
    start, directions = probes_of(problem, wrt)
    rtol, atol, floor = probe_tolerances(problem, controls, options, len(start))
    finer = (1.0, SLACK_MULTISTEP * in_proportion(AUTO_IF_DEAR, options.rtol, COARSER) / SLACK)
    controls = controls._replace(atol=atol.ravel(), finer=finer)
    make = partial(probed, start=start, directions=directions)
    recorder = _Recorder(rtol, controls.rtol, n, budget, interpolated=dense or seen is not None, dense=dense)
    solve = partial(integrate, recorder, problem, make, controls, times, dense, directions, differentiated=True, path=True)
    try:
        course = solve(stops_at_all=asked)
    except _ThinnedError:
        recorder.start_again()
        course = solve(stops_at_all=True)
    if seen is not None:
        course = _with_events(course, seen, -1.0 if problem.t1 < problem.t0 else 1.0)
    return _without_probes(course, start, directions, floor)


def _without_probes(course: Course, start: np.ndarray, directions: np.ndarray, floor: np.ndarray) -> tuple[Course, Probes]:
    """A course of states and probes, taken apart."""
    n, trajectory = start.shape[1], course.trajectory
    failure = trajectory.failure
    if failure is not None:
        failure = failure._replace(x=failure.x[:n])
    values = trajectory.y[n:].reshape(len(start), n, trajectory.y.shape[1]).transpose(2, 1, 0)
    probes = Probes(start, directions, values, floor, trajectory.errors)
    return course._replace(trajectory=trajectory._replace(y=trajectory.y[:n], failure=failure)), probes


def _events_apart(problem: Problem, controls: Controls) -> list[Happened]:
    """The events of a problem which all change nothing, by a solve that steps onto them and keeps nothing.

    To look for them on the solution takes all of its steps with all their stages, whatever the budget.
    """
    end = np.array([problem.t1])
    course = integrate(
        NativeEngine(), problem, Problem.system, controls, end, dense=False, differentiated=True, stops_at_all=True
    )
    return course.events


def _with_events(course: Course, events: list[Happened], sign: float) -> Course:
    """A course with events that were found apart, on its pieces."""
    pieces, start = [], 0
    for piece in course.pieces:
        stop = sum(sign * (happened.occurrence.t - piece.until) <= 0 for happened in events)
        pieces.append(piece._replace(passed=range(start, stop)))
        start = stop
    return course._replace(pieces=pieces, events=events)


def probe_tolerances(
    problem: Problem, controls: Controls, options: AdjointOptions, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative tolerances (1 + count,) and absolute ones (1 + count, N) of the states and the probes; `Probes.floor`."""
    slack = SLACKS.get(controls.method, SLACK) * in_proportion(controls.method, options.rtol, COARSER)
    if problem.x0.size + problem.p.size <= SMALL:
        slack *= PART_IF_SMALL
    if problem.rhs.steps_over_kinks:
        at_kinks = SLACK_AT_KINKS_MULTISTEP if controls.method in MULTISTEP else SLACK_AT_KINKS
        slack = min(slack, at_kinks * in_proportion(controls.method, options.rtol))
    rtol = np.full(1 + count, slack * options.rtol)
    share = share_of(controls.method, controls.rtol) if controls.method in ONE_STEP else 1.0
    rtol[0] = share * controls.rtol
    atol = np.empty((1 + count, problem.x0.size))
    states = problem.vector_atol(controls.atol)
    atol[0] = share * states
    atol[1:] = slack * (states if options.atol is None else _scaled(problem, options.atol))
    return rtol, atol, (atol[1:] / (slack * options.rtol)).T


def probed(problem: Problem, start: np.ndarray, directions: np.ndarray) -> System:
    """The states, then the probes."""
    rhs, x0, p, t0 = problem.rhs, problem.x0, problem.p, problem.t0
    system, saving = problem.system(), rhs.saving if len(start) else None
    return system._replace(
        x0=np.concatenate([x0, start.ravel()]),
        saved=0 if saving is None else saving.size,
        most_saved=np.inf if saving is not None and saving.is_dear else MOST_SAVED,
        matrix=rhs.linearisations.numbers,
        compiled=lambda: tangents(rhs, x0, p, t0, directions, saves=True) if len(start) else recorded(rhs, x0, p, t0),
        states=system,
        beside=rhs.linearisations.beside if len(start) else None,
        linearised=lambda: rhs.linearisations.make(x0, p, t0, directions),
        together=(lambda: rhs.linearisations.together(x0, p, t0, directions, saving)) if len(start) else None,
        slopes=problem.slopes_with(start, directions),
    )


class _ThinnedError(Exception):
    """A record has not all steps: those computed again know nothing of resets, and events cannot be looked for on them."""


class _Recorder(AbstractEngine):
    """The compiled loop, which keeps its steps.

    Parameters
    ----------
    rtol : array
        As in `run_loop`, where `Controls.rtol` is what was asked for.
    asked : float
    n : int
        States to keep, without the probes.
    budget : float
        Bytes for the steps of all solves together.
    interpolated : bool
        Whether the solution is wanted between the times.
    dense : bool
        Whether it is wanted as a function of time, whatever the budget.
    """

    name = "native"

    def __init__(self, rtol: np.ndarray, asked: float, n: int, budget: float, *, interpolated: bool, dense: bool) -> None:
        self._rtol, self._asked = rtol, asked
        self._n, self._interpolated, self._dense = n, interpolated, dense
        self._budget = self._left = budget
        self.keeps_all = budget == BUDGET

    def start_again(self) -> None:
        """For a solve that stops at all resets and events, and need not have all steps."""
        self._left, self.keeps_all = self._budget, False

    def choose_method(self, method: str) -> str:
        return method

    def resets_inside(self, method: str) -> bool:
        return self.keeps_all

    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        n, kept_anyway = self._n, (dense and self._dense) or times is None
        records: list[Record] = []

        def keep(method: str) -> Record:
            share = np.inf if kept_anyway else self._left - sum(map(_bytes_of, records))
            if controls.method == "auto" or system.side is not None:
                share /= 2  # another method or piece may follow
            records.append(record_of(method, n, dense=dense, budget=share, system=system))
            records[-1].interpolated = self._interpolated
            return records[-1]

        try:
            rtol = self._rtol * (controls.rtol / self._asked)
            trajectory, legs = run_loop(system, controls, times, keep, rtol, keep_crossing=True)
        except MemoryError:
            if kept_anyway:
                raise
            if (system.resets is not None or (dense and not self._dense)) and records[-1].stride > 1:
                raise _ThinnedError from None
            raise ArgumentValueError(
                f"checkpoints: {self._budget:.3g} bytes are too few; after {sum(r.count for r in records)} steps of {n} states "
                f"those kept and those between two of them no longer fit"
            ) from None
        if system.resets is not None and any(record.stride > 1 for record in records):
            raise _ThinnedError
        if dense and not self._dense and any(record.stride > 1 or not record.rows for record in records):
            raise _ThinnedError
        if records[-1].stride > 1 and legs[-1].method in MULTISTEP:
            count = records[-1].count
            raise ArgumentValueError(
                f"checkpoints: {self._budget:.3g} bytes are too few for the {count} steps of {n} states; {legs[-1].method} "
                f"needs the states of all steps on the way back, {8.0 * n * (count + 1):.3g} bytes; Rodas5P can do with fewer"
            )
        self._left -= sum(map(_bytes_of, records))
        sol = interpolant(legs, beyond=int(trajectory.crossing is not None)) if dense else None
        return trajectory._replace(sol=sol, steps=Steps(legs, trajectory.t))


def _bytes_of(record: Record) -> int:
    """What its states and stages take."""
    return 8 * (record.n * (record.kept + record.rows * record.count)) + record.bytes_saved


def go_back(piece: Piece, times: np.ndarray, y_bar: np.ndarray) -> AdjointResult:
    """`discrete_adjoint` of a piece of a solution, with cotangents at these times."""
    if len(piece.steps.legs) == 1:
        return discrete_adjoint(piece.problem, piece.steps._replace(times=times), y_bar)
    sign = -1.0 if piece.problem.t1 < piece.problem.t0 else 1.0
    legs: list[Leg] = []
    start = 0
    for number, leg in enumerate(piece.steps.legs, start=1):
        stop = times.size
        if number < len(piece.steps.legs):
            stop = int(np.searchsorted(sign * times, sign * leg.record.times[-1], side="right"))
        legs.append(leg._replace(times=times[start:stop]))
        start = stop
    return discrete_adjoint(piece.problem, Steps(legs, times, piece.steps.passed), y_bar)


def record_of(method: str, n: int, *, dense: bool, budget: float, system: System) -> Record:
    """For the steps of a method: with stages, and what evaluations and linearisations save, as long as the budget allows."""
    compiled = compiled_method(method)
    matrix = 0
    if isinstance(compiled, RosenbrockMethod | Formulas | DiagonalMethod) and system.matrix is not None:
        matrix = system.matrix() * (compiled.stages - 1 if isinstance(compiled, DiagonalMethod) else 1)
    if method in MULTISTEP:
        # No half of the budget is for states computed again.
        return Record(n, MULTISTEP[method].all_stages if dense else 0, 2 * budget, system.saved, matrix, system.most_saved)
    evaluations = 0 if isinstance(compiled, DiagonalMethod) else compiled.stages - 1
    rows = compiled.all_stages if dense else compiled.stages
    if method in EXPLICIT and 8.0 * n * rows * FEW_STEPS > budget:  # they would be given up, when much memory was written
        rows = 0
    return Record(n, rows, budget, system.saved * evaluations, matrix, system.most_saved)


def discrete_adjoint(problem: Problem, steps: Steps, y_bar: np.ndarray) -> AdjointResult:
    """Go back over the steps.

    Parameters
    ----------
    problem : Problem
    steps : Steps
    y_bar : array, shape (N, m)
        Cotangents of the states at `steps.times`.

    Raises
    ------
    IntegrationError
        The gradient is not finite.
    """
    y_bar = np.ascontiguousarray(y_bar.T)
    begins = bool(steps.times.size) and steps.times[0] == problem.t0  # with a datum, which comes after all steps back
    at_start = y_bar[0] if begins else np.zeros(problem.x0.size)
    if len(steps.legs) == 1:
        adjoint = _go_back(problem, steps.legs[0], steps.times, y_bar, steps.passed)
        return adjoint._replace(arriving=adjoint.grad_x0 - at_start)
    p_bar, x_bar = np.zeros(problem.p.size), np.zeros(problem.x0.size)
    counts, stop = np.zeros(3, dtype=int), steps.times.size
    for number in range(len(steps.legs) - 1, -1, -1):
        leg = steps.legs[number]
        start = stop - leg.times.size
        times, given = leg.times, y_bar[start:stop]
        if x_bar.any():  # what follows this leg depends on its end
            assert leg.record is not None
            times, given = np.append(times, leg.record.times[-1]), np.vstack([given, x_bar])
        adjoint = _go_back(problem, leg, times, given, steps.passed)
        p_bar += adjoint.grad_p
        x_bar = adjoint.grad_x0
        counts += (adjoint.nfev, adjoint.njev, adjoint.nlu)
        stop = start
    nfev, njev, nlu = map(int, counts)
    return AdjointResult(p_bar, x_bar, x_bar - at_start, nfev, njev, nlu, 0)


def _go_back(problem: Problem, leg: Leg, times: np.ndarray, y_bar: np.ndarray, passed: Sequence[PassedReset]) -> AdjointResult:
    """Go back over the steps of one method; y_bar (m, N) are the cotangents of the states at the times."""
    iterates, by_p = True, np.zeros(problem.p.size)
    while True:
        adjoint = sweep_over(problem, leg, iterates)
        try:
            if passed:
                outcome, x_bar, by_p = _through_resets(adjoint, problem, times, y_bar, passed)
            else:
                outcome, x_bar = adjoint.run(times, y_bar)
        except PatternGrewError:
            continue
        if not isinstance(adjoint, BackwardAdjoint) or not adjoint.stalled:
            break
        iterates = False
    pull = adjoint.cotangents
    if outcome == "no memory":
        raise MemoryError("no memory for the steps between two checkpoints of the adjoint")
    if outcome != "done" or not all_finite(pull.p_bar):
        if leg.method in EXPLICIT:
            raise UnseenGrowthError(
                f"the gradient by the discrete adjoint of {leg.method} is not finite, though the solution is: the steps are "
                f"too long for a state that rests, or a derivative of {problem.name} is infinite at a state on the way; take a "
                f"stiff method, and look for square roots and powers of 0"
            )
        raise IntegrationError(
            f"the gradient by the discrete adjoint of {leg.method} is not finite, though the solution is: a derivative of "
            f"{problem.name} is infinite at a state on the way; look for square roots and powers of 0"
        )
    nfev, njev, nlu = adjoint.system.calls + pull.calls, 0, 0
    if adjoint.behind is not None:
        nfev += adjoint.behind.calls
    if isinstance(adjoint, RosenbrockAdjoint):
        step = adjoint.step
        nfev, njev, nlu = nfev + step.linearised.calls + adjoint.joint.calls, step.njev, step.nlu
    elif isinstance(adjoint, DiagonalAdjoint):
        nfev, njev, nlu = nfev + adjoint.step.linearised.calls, adjoint.step.njev, adjoint.step.nlu
    elif isinstance(adjoint, BackwardAdjoint):
        nfev, njev, nlu = nfev + adjoint.linearised.calls, adjoint.njev, adjoint.nlu
    return AdjointResult(pull.p_bar + by_p, x_bar, x_bar, nfev, njev, nlu, 0)


def _through_resets(
    adjoint: Adjoint, problem: Problem, times: np.ndarray, y_bar: np.ndarray, passed: Sequence[PassedReset]
) -> tuple[str, np.ndarray, np.ndarray]:
    """The sweep from reset to reset: its outcome, the cotangent of the first state, and that of p through the resets."""
    sign, ends = -1.0 if problem.t1 < problem.t0 else 1.0, adjoint.record.times
    maps = {
        int(np.searchsorted(sign * ends, sign * reset.t)): reset for reset in passed if ends[0] != reset.t and reset.t in ends
    }
    starts = [0, *sorted(maps)]
    firsts = [0, *np.searchsorted(sign * times, sign * ends[starts[1:]], side="right").tolist()]
    stop, last = ends.size - 1, times.size
    x_bar, by_p = np.zeros(problem.x0.size), np.zeros(problem.p.size)
    for start, first in zip(reversed(starts), reversed(firsts), strict=True):
        data, at = np.vstack([y_bar[first:last], x_bar]), np.append(times[first:last], ends[stop])
        outcome, x_bar = adjoint.run(at, data, start, stop, maps[stop].x if stop in maps else None)
        if outcome != "done":
            break
        if start:
            x_bar, more = maps[start].map.pull(x_bar)
            by_p += more
        stop, last = start, first
    return outcome, x_bar, by_p


def sweep_over(problem: Problem, leg: Leg, iterates: bool) -> Adjoint:
    """The sweep over these steps, which may solve large systems by iteration."""
    assert leg.record is not None
    rhs, at = problem.rhs, (problem.x0, problem.p, problem.t0)
    method = compiled_method(leg.method)
    system, pull = recorded(rhs, *at), (cotangents if isinstance(method, Formulas) else adding)(rhs, *at)
    if not isinstance(method, RosenbrockMethod | DiagonalMethod | Formulas):
        return _from_saved(Adjoint(method, leg.record, system, pull), problem)
    if isinstance(method, Formulas) and iterates:
        linearised, matrix = rhs.linearisations.make_for_iteration(*at, transposed=True)
    else:
        # Rosenbrock methods compute stages again with this matrix, to the same bits.
        transposed = not isinstance(method, RosenbrockMethod)
        linearised, matrix = rhs.linearisations.make(*at, np.empty((0, problem.p.size)), transposed=transposed)
    if isinstance(method, Formulas):
        adjoint = BackwardAdjoint(method, leg.record, system, linearised, matrix, pull)
        adjoint.neighbour = rhs.linearisations.beside(matrix, transposed=True)
        if rhs.mass is not None:
            adjoint.divide_transposed = rhs.mass.divide_transposed
        return _from_saved(adjoint, problem)
    if isinstance(method, DiagonalMethod):
        atol = np.broadcast_to(leg.atol.ravel()[: problem.x0.size], problem.x0.shape)
        stages = DiagonalStep(system, system, linearised, matrix, method, float(leg.rtol[0]), atol)
        diagonal = DiagonalAdjoint(stages, leg.record, pull)
        diagonal.neighbour = rhs.linearisations.beside(matrix, transposed=True)
        return diagonal
    step = RosenbrockStep(system, method, linearised, matrix)
    joint = rhs.linearisations.step_cotangents(*at, pull, method.weights_of_time)
    return _from_saved(RosenbrockAdjoint(step, leg.record, pull, joint), problem)


def _from_saved(adjoint: Adjoint, problem: Problem) -> Adjoint:
    """The sweep, which begins behind what the evaluations have saved where there is such."""
    if adjoint.record.n_saved > adjoint.record.n_matrix:
        adjoint.behind = behind(problem.rhs, adjoint.cotangents, problem.p)
    return adjoint


def moves_x0(problem: Problem, wrt: Sequence[str]) -> bool:
    """Whether a probe of the initial values is needed.

    Also beside kinks that are not located. A single direction may leave them where they are, and sees nothing of their effect.
    For a controller that leaves its bounds, at rtol 1e-9, that was 10 000 tolerances; with both probes 30.
    """
    return "x0" in wrt or "t0" in wrt or problem.rhs.has_selects


def probes_of(problem: Problem, wrt: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Starts, shape (W, N), and directions in p, shape (W, n_p), of the sensitivities in the error test."""
    p, x0 = problem.p, problem.x0
    starts, directions = [], []
    if "p" in wrt and p.size:
        direction = Direction.of(problem.rhs, alone=not moves_x0(problem, wrt)).at(p)
        directions.append(direction)
        starts.append(np.zeros(x0.size) if problem.dx0_dp is None else problem.dx0_dp @ direction)
    if moves_x0(problem, wrt):
        directions.append(np.zeros(p.size))
        start = signs(x0.size) * np.maximum(1.0, np.abs(x0))
        starts.append(start if problem.consistent is None else problem.consistent.by_x @ start)
    return np.array(starts).reshape(len(starts), x0.size), np.array(directions).reshape(len(starts), p.size)


def _scaled(problem: Problem, sens_atol: np.ndarray) -> float:
    """The absolute tolerance of the probe: that of a column of derivatives times the size of its parameter."""
    return float((sens_atol * np.where(problem.p == 0, 1.0, np.abs(problem.p))).min(initial=np.inf))
