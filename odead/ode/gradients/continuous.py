"""The continuous adjoint: the gradient of a loss by one solve backwards.

With the forward solution x(t) at hand as dense output, lambda' = -J(x(t))ᵀ lambda runs backwards from the last datum to t0, and
jumps by dL/dy at each datum. Only lambda is in the integrator; the gradient, the integral of f_pᵀ lambda, is a quadrature
over its steps, so that many parameters cost no step and no linear algebra. x is never integrated backwards.

Reference: Y. Cao, S. Li, L. Petzold, R. Serban, Adjoint sensitivity analysis for differential-algebraic equations (2003).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..._bdf import BDF
from ..._implicit import Implicit, Step
from ..engines.engine import AbstractEngine, Controls, System, Trajectory
from ..engines.native import NativeEngine, describe_failure
from ..engines.pace import Pace
from ..methods import EXPLICIT
from ..pieces.piecewise import Course, Piece
from ..problem.problem import Problem
from ..rhs.jacobian import Jacobian
from ..rhs.jumps import PassedReset
from . import quadrature
from .backwards import method_back, run_back
from .constrained import Constrained
from .forward import in_proportion
from .influence import scale_of_adjoint

__all__ = ["AdjointOptions", "AdjointResult", "BackwardFailure", "continuous_adjoint", "forward_controls", "piecewise_adjoint"]

# Both solves of an adjoint run at this part of the tolerances. A forward solve that controls only x, and not the
# sensitivities, is too coarse for them: with RK45 at rtol 1e-6 the gradient of a Lotka-Volterra loss was wrong by 4e-4,
# with this factor by 3e-5.
SAFETY: Final = 0.1
# The same for the forward solve where the right-hand side has kinks that are not located: a step over one is worse than its
# error test knows. With RK45 the gradient of a saturated controller was wrong by up to 650 tolerances, with this factor by 43.
SAFETY_AT_KINKS: Final = 1e-3
STEPS_PER_PANEL: Final = 3  # what is too many for the quadrature is halved
TIGHTEST: Final = 3e-14  # SciPy's limit is 100 times the rounding unit

NO_TIME: Final = 4  # spacings of floats between two data, in which lambda does not change

# Below this part of the largest cotangent, lambda is held to an absolute tolerance; the ratio of the default atol and rtol.
NEGLIGIBLE: Final = 1e-3
# The same, as a part of what changes the gradient by its own size.
SLIGHT: Final = 0.1


class AdjointOptions(NamedTuple):
    """Tolerances of the backward solve; atol None: none for the integral beyond the relative one."""

    rtol: float
    atol: np.ndarray | None


class AdjointResult(NamedTuple):
    """What the backward solve gives.

    Attributes
    ----------
    grad_p : array, shape (n_p,)
        Through the right-hand side alone.
    grad_x0 : array, shape (N,)
        lambda(t0), with a datum at t0.
    arriving : array, shape (N,)
        lambda(t0) without it.
    nfev, njev, nlu, nsteps : int
    error : float
        Estimated relative error of the backward solve.
    """

    grad_p: np.ndarray
    grad_x0: np.ndarray
    arriving: np.ndarray
    nfev: int
    njev: int
    nlu: int
    nsteps: int
    error: float = 0.0


class _Elapsed:
    """How the time of the problem runs while that of the backward solve grows from 0 between two data.

    After a datum the steps begin small: near t = 1e4 those of Robertson's problem at rtol = 1e-9 are not many times the spacing
    of floats, while close to 0 there is always room.

    Attributes
    ----------
    start, stop : float
        Where the backward solve begins and ends, in the time of the problem.
    sign : float
        1 where the problem's time falls.
    span : float
    """

    def __init__(self, start: float, stop: float) -> None:
        self.start, self.stop = float(start), float(stop)
        self.sign = 1.0 if start > stop else -1.0
        self.span = abs(self.start - self.stop)

    def time(self, elapsed: Any) -> Any:
        """The time of the problem, as a number or an array; never beyond `stop`."""
        return self.sign * np.maximum(self.sign * (self.start - self.sign * elapsed), self.sign * self.stop)

    def since(self, time: Any) -> Any:
        return self.sign * (self.start - time)


class BackwardFailure(Exception):  # noqa: N818 - it never reaches the user
    """The backward solve stopped; its system and its trajectory, in the time of the problem."""

    def __init__(self, system: System, trajectory: Trajectory, clock: _Elapsed) -> None:
        super().__init__("the backward solve stopped")
        failure = trajectory.failure
        assert failure is not None
        self.system = system._replace(
            fun=lambda t, x: -clock.sign * system.fun(clock.since(t), x), t0=clock.start, t1=clock.stop
        )
        self.trajectory = trajectory._replace(
            failure=failure._replace(t=float(clock.time(failure.t)), step=-clock.sign * failure.step)
        )


def forward_controls(problem: Problem, controls: Controls, options: AdjointOptions) -> Controls:
    """Controls for the forward solve of an adjoint."""
    rtol = min(controls.rtol, options.rtol)
    part = (SAFETY_AT_KINKS if problem.rhs.has_selects else SAFETY) * in_proportion(controls.method, rtol)
    rtol = max(part * rtol, TIGHTEST)
    return controls._replace(rtol=rtol, atol=part * problem.vector_atol(controls.atol))


def continuous_adjoint(
    problem: Problem,
    forward: Trajectory,
    times: np.ndarray,
    cotangents: np.ndarray,
    engine: AbstractEngine,
    controls: Controls,
    options: AdjointOptions,
    *,
    with_p: bool,
    with_x0: bool = True,
    whole: bool = True,
    resets: Sequence[PassedReset] = (),
) -> AdjointResult:
    """Integrate lambda backwards and the gradient beside it.

    Parameters
    ----------
    problem : Problem
    forward : Trajectory
        With `sol`.
    times : array, shape (m,)
        Sorted in the direction of the forward solve; no time after t0 twice.
    cotangents : array, shape (N, m)
        dL/dy there.
    engine : AbstractEngine
    controls : Controls
        Those of the forward solve, with one atol per state.
    options : AdjointOptions
    with_p : bool
        Whether the gradient with respect to p is wanted.
    with_x0 : bool
        Whether lambda(t0) is.
    whole : bool
        Whether the problem is all of the solve, and not a piece: a rough solve beside each would cost more than it saves.
    resets : sequence of PassedReset
        Those inside the loop, for an engine that `resets_inside`.

    Raises
    ------
    BackwardFailure
    """
    jumps = cotangents.any(axis=0)  # where the loss does not look, lambda need not stop
    times, cotangents = times[jumps], cotangents[:, jumps]
    if resets:
        sign, at = -1.0 if problem.t1 < problem.t0 else 1.0, np.array([reset.t for reset in resets])
        times, cotangents = _merged(sign, (times, cotangents), (at, np.zeros((cotangents.shape[0], at.size))))
    adjoint: Constrained | _Adjoint = _Adjoint(problem, forward.sol)
    by_p = np.zeros(problem.p.size)
    if problem.rhs.mass is not None:
        adjoint = Constrained(problem, forward.sol)
        cotangents, later = cotangents.copy(), times != problem.t0  # the start is a datum of x0 itself
        cotangents[:, later], by_p = adjoint.visible(times[later], cotangents[:, later])
    if isinstance(engine, NativeEngine):
        controls = controls._replace(method=method_back(controls.method, forward))
    scale = None
    if whole and times.size and not resets and controls.method not in EXPLICIT and problem.rhs.mass is None:
        scale = scale_of_adjoint(problem, engine, controls, times, cotangents, forward.sol.ts, with_x0=with_x0)
    controls = _controls(forward, cotangents, controls, options, scale)
    way = _Back(problem, adjoint, forward, times, cotangents, controls, options, with_p and problem.p.size > 0)
    if isinstance(engine, NativeEngine):
        passing = _Passing(resets, times, cotangents, problem.p.size) if resets else None
        found = _compiled(way, passing)
        by_p = by_p if passing is None else by_p + passing.by_p
    else:
        found = _interpreted(way, engine)
    return found._replace(grad_p=by_p + found.grad_p)


class _Back(NamedTuple):
    """A solve backwards, whatever runs it; as in `continuous_adjoint`, but that `controls` are its own."""

    problem: Problem
    adjoint: "Constrained | _Adjoint"
    forward: Trajectory
    times: np.ndarray
    cotangents: np.ndarray
    controls: Controls
    options: AdjointOptions
    with_p: bool

    @property
    def at_start(self) -> np.ndarray:
        """The data at t0, shape (N,)."""
        return np.asarray(self.cotangents[:, self.times == self.problem.t0].sum(axis=1))


def _interpreted(way: _Back, engine: AbstractEngine) -> AdjointResult:
    """From datum to datum by an engine whose steppers call Python."""
    problem, adjoint, forward, times, cotangents, controls, options, with_p = way
    covector, pace = np.zeros(problem.x0.size), Pace.of(np.abs(forward.sol.ts[::-1] - problem.t1))
    gradient = _Gradient(problem, forward.sol, adjoint, options) if with_p else None
    counts, error = np.zeros(4, dtype=int), options.rtol  # that of the quadrature
    for k in range(times.size - 1, -1, -1):
        if times[k] == problem.t0:
            break
        covector = covector + cotangents[:, k]
        stop = times[k - 1] if k else problem.t0
        clock = _Elapsed(times[k], stop)
        if covector.any() and clock.span > NO_TIME * np.spacing(abs(times[k])):  # jumps may cancel
            system = _system(problem, adjoint, clock, covector)._replace(pace=pace.since(abs(problem.t1 - times[k])))
            back = engine.integrate(system, controls, np.array([clock.span]), dense=gradient is not None)
            if back.failure is not None:
                raise BackwardFailure(system, back, clock)
            covector = back.y[:, -1]
            counts += (back.nfev, back.njev, back.nlu, back.nsteps)
            error += float(back.errors.max())
            if gradient is not None:
                gradient.add(back.sol, clock)
    grad_p = np.zeros(problem.p.size) if gradient is None else gradient.total
    nfev, njev, nlu, nsteps = map(int, counts)
    return AdjointResult(grad_p, covector + way.at_start, covector, nfev, njev, nlu, nsteps, error)


def _compiled(way: _Back, passing: "_Passing | None") -> AdjointResult:
    """From datum to datum in the compiled loop."""
    problem, adjoint, forward, times, cotangents, controls, options, with_p = way
    jump = None if passing is None else passing.jump
    if isinstance(adjoint, Constrained):
        controls = controls._replace(atol=adjoint.tolerances(controls.rtol * NEGLIGIBLE, controls.atol, times, cotangents))
        jump = partial(adjoint.jump, times, cotangents)
    quadrature = options if with_p else None
    run, outcome = run_back(problem, forward.sol, times, cotangents, controls, quadrature, jump)
    loop, arriving = run.loop, run.arriving
    if outcome != "done":
        clock = _Elapsed(run.begins, run.ends)
        failure = describe_failure(loop, outcome, controls.max_steps, run.nsteps)
        if isinstance(adjoint, Constrained):
            failure = failure._replace(x=adjoint.seen(failure.x))
        stopped = Trajectory(
            np.zeros(0), np.zeros((problem.x0.size, 0)), None, run.covector.calls, run.njev, run.nlu, run.nsteps, None,
            failure.reason, failure,
        )  # fmt: skip
        raise BackwardFailure(_system(problem, adjoint, clock, failure.x), stopped, clock)
    if isinstance(adjoint, Constrained):
        arriving = adjoint.seen(arriving)
    stepped = loop.attempted if isinstance(loop, Implicit) else loop
    nfev = run.covector.calls + (stepped.linearised.calls if isinstance(stepped, (Step, BDF)) else 0)
    grad_p = np.zeros(problem.p.size) if run.quadrature is None else run.quadrature.total
    error = options.rtol + run.error
    return AdjointResult(grad_p, arriving + way.at_start, arriving, nfev, run.njev, run.nlu, run.nsteps, error)


class _Passing:
    """Data, and resets inside the loop, on the way back. A datum at a reset is of the state before it.

    Parameters
    ----------
    resets : sequence of PassedReset
    times : array, shape (m,)
        Of data and resets.
    cotangents : array, shape (N, m)
        Of the states there, before the resets.
    n_p : int
    """

    def __init__(self, resets: Sequence[PassedReset], times: np.ndarray, cotangents: np.ndarray, n_p: int) -> None:
        self._maps = {reset.t: reset.map for reset in resets}
        self._times, self._cotangents = times.tolist(), cotangents
        self._by_p: dict[int, np.ndarray] = {}  # of each: a way back that begins anew passes them again
        self._n_p = n_p

    def jump(self, number: int, covector: np.ndarray) -> np.ndarray:
        """From lambda after a datum to lambda before it."""
        reset = self._maps.get(self._times[number])
        if reset is not None:
            covector, self._by_p[number] = reset.pull(covector)
        return np.asarray(covector + self._cotangents[:, number])

    @property
    def by_p(self) -> np.ndarray:
        """The gradient by p through the resets themselves."""
        return sum(self._by_p.values(), np.zeros(self._n_p))


def _merged(
    sign: float, one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Times and the cotangents there, in the order of integration, of both together."""
    times, where = np.unique(sign * np.concatenate([one[0], other[0]]), return_inverse=True)
    data = np.zeros((one[1].shape[0], times.size))
    np.add.at(data.T, where, np.hstack([one[1], other[1]]).T)
    return sign * times, data


def piecewise_adjoint(
    course: Course,
    cotangents: np.ndarray,
    go_back: Callable[[Piece, np.ndarray, np.ndarray], AdjointResult],
    at_events: Sequence[np.ndarray] = (),
) -> AdjointResult:
    """Go back over the pieces of a solution, with its jumps at the instants between them.

    Parameters
    ----------
    course : Course
        The forward solve.
    cotangents : array, shape (N, m)
        dL/dy at the times of its trajectory.
    go_back : callable
        The adjoint of one piece, from cotangents, shape (N, k), at k times inside it, the last one at its end.
    at_events : sequence of array, shape (N,)
        Cotangents of the states at the events of the course, if there are any.
    """
    pieces, times = course.pieces, course.trajectory.t
    if len(pieces) == 1 and course.terminated is None and not at_events:
        return go_back(pieces[0], times, cotangents)
    grad_p, counts, error, result = np.zeros(pieces[0].problem.p.size), np.zeros(4, dtype=int), 0.0, None
    covector = np.zeros(cotangents.shape[0])
    if course.terminated is not None:  # the last column moves with the event; a datum asked for there does not
        covector, times, cotangents = cotangents[:, -1], times[:-1], cotangents[:, :-1]
        if course.ending is not None:
            weight = float(course.ending.gap @ covector)
            covector, grad_p = covector + weight * course.ending.move.x, weight * course.ending.move.p
    sign = -1.0 if pieces[-1].problem.t1 < pieces[0].problem.t0 else 1.0
    for number in range(len(pieces) - 1, -1, -1):
        piece = pieces[number]
        problem = piece.problem
        if result is not None:
            covector = result.grad_x0
            if piece.end is not None:
                covector, by_p = piece.end.pull(covector)
                grad_p += by_p
        if at_events:
            covector = covector + sum((at_events[k] for k in piece.happened), np.zeros_like(covector))
        inside = (sign * (times - piece.until) <= 0) & ((sign * (times - problem.t0) > 0) | (number == 0))
        here, data = sign * np.minimum(sign * times[inside], sign * problem.t1), cotangents[:, inside].copy()
        if at_events and piece.passed:
            at = np.array([course.events[k].occurrence.t for k in piece.passed])
            here, data = _merged(sign, (here, data), (at, np.array([at_events[k] for k in piece.passed]).T))
        if here.size and here[-1] == problem.t1:
            data[:, -1] += covector
        else:
            here, data = np.append(here, problem.t1), np.column_stack([data, covector])
        result = go_back(piece, here, data)
        grad_p += result.grad_p
        counts += (result.nfev, result.njev, result.nlu, result.nsteps)
        error += result.error
    assert result is not None
    nfev, njev, nlu, nsteps = map(int, counts)
    return AdjointResult(grad_p, result.grad_x0, result.arriving, nfev, njev, nlu, nsteps, error)


def _controls(
    forward: Trajectory, cotangents: np.ndarray, controls: Controls, options: AdjointOptions, scale: np.ndarray | None
) -> Controls:
    """Tolerances for lambda that do not depend on the units of the loss or of the states.

    Where nobody knows the `scale` of a change of lambda_i that matters (`influence`), it matters relative to the largest
    cotangent, and relative to the largest change of the loss that a change of a state by its own size makes; the smaller of the
    two counts.
    """
    rtol = max(SAFETY * in_proportion(controls.method, options.rtol) * options.rtol, TIGHTEST)
    if scale is not None:
        return Controls(controls.method, rtol, rtol * SLIGHT * scale, None, controls.max_step, controls.max_steps)
    size = np.abs(forward.y).max(axis=1, initial=0.0)
    size = np.where(size > 0, size, controls.atol / controls.rtol)
    weight = np.abs(cotangents).max(axis=1, initial=0.0)
    scale = np.minimum(weight.max(), (weight * size).max() / size)
    atol = rtol * NEGLIGIBLE * np.where(scale > 0, scale, 1.0)
    return Controls(controls.method, rtol, atol, None, controls.max_step, controls.max_steps)


class _Adjoint:
    """`Constrained` without constraints: w is lambda."""

    def __init__(self, problem: Problem, sol: Any) -> None:
        self._rhs, self._p, self._sol = problem.rhs, problem.p, sol

    def covector(self, t: float, w: np.ndarray) -> np.ndarray:
        return w

    def slope(self, t: float, w: np.ndarray) -> np.ndarray:
        return self._rhs.cotangent_x(self._sol(t), self._p, t, w)

    def jacobian(self, t: float, sign: float) -> Jacobian:
        return self._rhs.jacobian(self._sol(t), self._p, t).transposed(sign)


def _system(problem: Problem, adjoint: Constrained | _Adjoint, clock: _Elapsed, covector: np.ndarray) -> System:
    def fun(elapsed: float, covector: np.ndarray) -> np.ndarray:
        return clock.sign * adjoint.slope(float(clock.time(elapsed)), covector)

    def jacobian(elapsed: float, covector: np.ndarray) -> Jacobian:
        return adjoint.jacobian(float(clock.time(elapsed)), clock.sign)

    return System(fun, jacobian, 0.0, clock.span, covector, not problem.rhs.branches)


class _Gradient:
    """The integral of f_pᵀ lambda, segment by segment.

    Attributes
    ----------
    total : array, shape (n_p,)
    """

    def __init__(self, problem: Problem, sol: Any, adjoint: Constrained | _Adjoint, options: AdjointOptions) -> None:
        self._problem = problem
        self._sol = sol
        self._adjoint = adjoint
        self._options = options
        self._span = abs(problem.t1 - problem.t0)
        self._size = np.zeros(problem.p.size)  # sum of the moduli of all panels: what errors are compared with
        self.total = np.zeros(problem.p.size)

    def add(self, covectors: Any, clock: _Elapsed) -> None:
        """Add the part over a segment on which lambda is `covectors(elapsed)`."""
        integrand = self._integrand(covectors, clock)
        for start, stop in self._panels(covectors.ts, clock):
            part = quadrature.integrate(integrand, start, stop, self._tolerance(stop - start))
            self._size += np.abs(part)
            self.total += clock.sign * part

    def _panels(self, steps: np.ndarray, clock: _Elapsed) -> Iterator[tuple[float, float]]:
        """Pieces of a few steps of both solves, longest first, so that the size of the integral is known early.

        The forward steps are needed: a forcing that x follows may leave lambda alone, which then takes no steps there.
        """
        forward = clock.since(self._sol.ts)
        every = np.unique(np.concatenate([steps, forward[(forward > 0) & (forward < clock.span)]]))
        knots = np.append(every[:-1:STEPS_PER_PANEL], every[-1])
        for k in np.argsort(-np.diff(knots), kind="stable"):
            yield float(knots[k]), float(knots[k + 1])

    def _tolerance(self, length: float) -> Callable[[np.ndarray], np.ndarray]:
        p = np.abs(self._problem.p)
        share, rtol, atol = length / self._span, self._options.rtol, self._options.atol
        relative = p * self._size  # the change of the loss by a relative change of p, so comparable between parameters
        floor = self._size + np.divide(NEGLIGIBLE * relative.max(initial=0.0), p, out=np.zeros_like(p), where=p > 0)
        absolute = share * (rtol * floor + (0.0 if atol is None else atol))
        return lambda part: rtol * np.abs(part) + absolute

    def _integrand(self, covectors: Any, clock: _Elapsed) -> quadrature.Integrand:
        rhs, p = self._problem.rhs, self._problem.p

        def values(elapsed: np.ndarray) -> np.ndarray:
            times = clock.time(elapsed)
            points = zip(self._sol(times).T, times.tolist(), covectors(elapsed).T, strict=True)
            return np.array([rhs.cotangent_p(x, p, t, self._adjoint.covector(t, w)) for x, t, w in points])

        return values
