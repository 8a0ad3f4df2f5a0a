"""Solves that are prepared once: all that does not depend on the numbers of x0, p and the times is checked and made.

A small solve takes 40 microseconds in the compiled loops, and took 100 in the Python around them. What serves any ordinary
solve of one right-hand side (compiled methods, times given, no switches and stops, and of events only resets at known
instants) is kept with the options, and runs as a `_batch.Batch`, of one member or of many. All else goes the long way, and so
does a member that turns out not to be ordinary: it is solved again there, which finds the words for what happened.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import is_
from typing import Any, Final, NamedTuple

import numpy as np

from ..._batch import STATES, Batch, Members, Runner
from ..._lanes_batch import WIDTH, LanesBatch
from ..._system import Recorded, goes_strictly
from ...activity import AbstractAnnotation
from ...containers import flatten
from ...derivatives.interchangeable import representative
from ...derivatives.kernel import Kernel, Variant
from ...tape import Program, Role
from ..arguments.given import check_t_eval, check_tspan, initial_values
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import name_of
from ..engines.engine import Controls
from ..engines.estimate import Group, accumulated, error_of_gradient, norm
from ..engines.native import FINEST
from ..gradients.continuous import AdjointOptions
from ..gradients.discrete import Probes, probes_of
from ..gradients.forward import columns_for
from ..methods import DIAGONAL, NATIVE
from ..pieces.timed import TimedReset, known_resets
from ..problem.events import Events, key_of
from ..problem.loss import Loss
from ..problem.problem import Problem
from ..results.solution import Sensitivity, Solution
from ..rhs.kept import Kept
from ..rhs.rhs import refuse_captured
from .batches import Plan, make_batch
from .lanes import OnLanes, on_lanes

__all__ = ["Asked", "Given", "Prepared", "Way", "When", "find", "given", "numbers", "prepare", "quick", "usual", "when"]

SOLVED: Final[int] = STATES["solved"]
RAISED: Final[int] = STATES["raised"]
Steps = tuple[np.ndarray, np.ndarray]  # times, and states with their sensitivities

TRIES: Final = 3  # that may fail at first
KEPT_BATCHES: Final = 4  # per problem: threads that solve it at the same time


class Asked(NamedTuple):
    """A call, but for x0, p, tspan and t_eval."""

    rhs: Callable[..., Any]
    loss: Callable[..., Any] | None
    options: tuple[Any, ...]


class When(NamedTuple):
    """tspan and t_eval of a call, checked.

    Attributes
    ----------
    t0, t1 : float
    times : array
        Strictly sorted; the end alone where all steps are wanted.
    steps : bool
    """

    t0: float
    t1: float
    times: np.ndarray
    steps: bool


class Given(NamedTuple):
    """x0, p, tspan and t_eval of a call, checked and laid out."""

    x_layout: Layout
    p_layout: Layout
    x0: np.ndarray
    p: np.ndarray
    when: When
    arrays: tuple[Any, Any]  # p and x0 as they were passed


def usual(
    rhs: Any,
    *,
    method: Any,
    engine: Any,
    rtol: Any,
    atol: Any,
    max_step: Any,
    max_steps: Any,
    events: Any,
    jac: Any,
    mass_matrix: Any,
    tstops: Any,
    dense_output: Any,
    first_step: Any,
    checkpoints: Any,
    progress: Any,
    sens_rtol: Any = None,
    sens_atol: Any = None,
    loss: Any = None,
    running: Any = None,
    wrt: Any = (),
    mode: Any = None,
    order: Any = 1,
) -> Asked | None:
    """The call, if the options that an ordinary one leaves alone have their default values."""
    if not (mass_matrix is first_step is sens_atol is running is None) or engine == "scipy":
        return None
    functions: tuple[Any, ...] = ()
    if events is not None:
        if not callable(events) and not isinstance(events, (list, tuple)):
            return None
        functions = key_of((events,) if callable(events) else tuple(events))
    if not (dense_output is progress is False) or type(tstops) is not tuple or tstops:
        return None
    if type(jac) is not str or type(checkpoints) is not str or type(order) is not int or order != 1:
        return None
    if not (isinstance(rtol, float) and isinstance(atol, float) and isinstance(max_step, float) and type(max_steps) is int):
        return None
    return Asked(
        rhs, loss, (wrt, mode, method, engine, jac, checkpoints, rtol, atol, sens_rtol, max_step, max_steps, functions)
    )


def given(x0: Any, p: Any, tspan: Any, t_eval: Any) -> Given | None:
    """What an ordinary call has as x0 and so on.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As in the long way.
    """
    timed = when(tspan, t_eval)
    return None if timed is None else numbers(x0, p, timed)


def when(tspan: Any, t_eval: Any) -> When | None:
    """t0, t1 and the times of an ordinary call."""
    t0, t1 = check_tspan(tspan)
    if t_eval is None:
        return When(t0, t1, np.array([t1]), True)
    times = check_t_eval(t_eval, t0, t1)
    assert times is not None
    return When(t0, t1, times, False) if goes_strictly(times, 1.0 if t1 >= t0 else -1.0) else None


def numbers(x0: Any, p: Any, timed: When) -> Given | None:
    """The same with times that are known."""
    if callable(x0) or isinstance(x0, AbstractAnnotation) or isinstance(p, AbstractAnnotation):
        return None
    p_layout, p_vector = lay_out(p, "p", complex_allowed=True)
    x_layout, x_vector = lay_out(initial_values(x0, p, p_vector)[0], "x0", complex_allowed=True)
    return Given(x_layout, p_layout, x_vector, p_vector, timed, (p, x0))


class Way(NamedTuple):
    """How an ordinary call was done the long way.

    Attributes
    ----------
    mode : {"solve", "forward", "adjoint"}
    problem : Problem
    controls : Controls
    tolerances : AdjointOptions
        Of the sensitivities.
    wrt : tuple of str
    loss : Loss or None
    """

    mode: str
    problem: Problem
    controls: Controls
    tolerances: AdjointOptions = AdjointOptions(1.0, None)
    wrt: tuple[str, ...] = ()
    loss: Loss | None = None


class Found(NamedTuple):
    """What the loop has found for a member.

    Attributes
    ----------
    t, y : array, shapes (m,) and (n, m)
    rows : array, shape (m, (1 + W) n)
        States and sensitivities; in an adjoint at the times of the loss.
    cotangents : array, shape (n, m), or None
        Of the states in the rows, in the loss.
    """

    t: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    cotangents: np.ndarray | None


class _Resets(NamedTuple):
    """Resets at known instants, and what they were found for."""

    those: list[TimedReset]
    when: When
    ways: list[Variant]

    def serves(self, those: Given, ways: list[Variant]) -> bool:
        """Whether they are the same there."""
        known, asked = self.when, those.when
        if known.t0 != asked.t0 or known.t1 != asked.t1 or not (known.times == asked.times).all():
            return False
        return len(ways) == len(self.ways) and all(map(is_, ways, self.ways))


class Prepared:
    """What serves all ordinary calls that differ in the numbers of x0, p and the times alone.

    Parameters
    ----------
    way : Way
    kernel : Kernel or None
        Of the loss.
    timed : When
    """

    def __init__(self, way: Way, kernel: Kernel | None, timed: When) -> None:
        self._rhs, self._events = way.problem.rhs, way.problem.events
        self._known: _Resets | None = None
        way = way._replace(problem=way.problem._replace(events=None))
        self._loss: Variant | None = None if kernel is None else kernel.variant
        self._plan = Plan.of(way.mode, way.problem, way.controls, way.tolerances, way.wrt, timed.times.size, timed.steps)
        self._batches: list[tuple[Batch, _Resets | None]] = []
        self._on_lanes: OnLanes | None = None
        self._has_lanes = True  # as far as is known
        read = [] if self._loss is None else [self._loss.primal]
        read += [] if self._events is None else [kernel.primal for kernel in self._events.kernels]
        self._captures = self._rhs.captures or any(map(_captures, read))
        self._is_impossible = False
        self.done = self.missed = 0

    @property
    def can_be_used(self) -> bool:
        """Whether nothing that was read has changed, and most members so far were ordinary ones."""
        if self._is_impossible or self.missed > self.done + TRIES or self._rhs.is_stale():
            return False
        if self._events is not None and self._events.is_stale():
            return False
        return self._loss is None or not self._loss.trace.namespace.stale()

    def serves(self, way: Way, kernel: Kernel | None) -> bool:
        """Whether it is what would be made anew."""
        return way.problem.rhs is self._rhs and self._loss is (None if kernel is None else kernel.variant)

    def solve(
        self, those: Sequence[Given], name: str, until_error: bool, beside: "Beside | None" = None
    ) -> list[Solution | Exception | None]:
        """Solve some members; None in the place of one that has to go the long way.

        Parameters
        ----------
        those : sequence of Given
            With the same times.
        name : str
            Of the right-hand side.
        until_error : bool
            Whether to raise what one of them raises, and not to return it in its place.
        beside : dict, optional
            Where loops that solve many members side by side are kept.
        """
        first, plan = those[0], self._plan
        if self._events is not None and len(those) > 1:
            return [self.solve([each], name, until_error)[0] for each in those]
        if self._captures:
            for each in those:
                self._refuse_captured(each)
        runner, installed = self._runner(len(those), beside)
        if runner is None:
            self._is_impossible = True
            return [None] * len(those)
        resets = None if self._events is None else self._resets(self._events, first)
        if resets is None and self._events is not None:
            self.missed += len(those)
            return [None] * len(those)
        if resets is not None and installed is not resets and isinstance(runner, Batch):
            self._install(runner, resets, first)
        if len(those) == 1:
            x0, p = first.x0[None], first.p[None]
        else:
            x0, p = np.array([each.x0 for each in those]), np.array([each.p for each in those])
        members = Members(x0, p, plan.times, plan.rtol.size, self._loss is not None)
        errors, steps = self._run(runner, members, first, until_error)
        if isinstance(runner, LanesBatch):
            assert beside is not None
            beside[self].append(runner)
        elif runner.is_light and len(self._batches) < KEPT_BATCHES:
            self._batches.append((runner, resets))
        return self._results(runner, members, those, name, resets, errors, steps)

    def _run(
        self, runner: Runner, members: Members, first: Given, until_error: bool
    ) -> tuple[dict[int, Exception], dict[int, Steps]]:
        """Solve the members, and return by their numbers what they raised, and the steps of those that keep all."""
        errors: dict[int, Exception] = {}
        steps: dict[int, Steps] = {}
        count = 0
        while count < members.count:
            count = runner.run(members, first.when.times, first.when.t0, first.when.t1, count)
            if isinstance(runner, Batch) and self._plan.steps and runner.loop.record is not None:
                steps[count - 1] = (runner.loop.record.times, runner.loop.record.states)
            if runner.error is not None:
                if until_error or not isinstance(runner.error, Exception):
                    raise runner.error
                errors[count - 1] = runner.error
        return errors, steps

    def _results(
        self, runner: Runner, members: Members, those: Sequence[Given], name: str, resets: "_Resets | None",
        errors: dict[int, Exception], steps: dict[int, Steps],
    ) -> list[Solution | Exception | None]:  # fmt: skip
        """What the members give: a solution, what was raised, or None for one that has to go the long way."""
        results: list[Solution | Exception | None] = []
        counts = members.counts.tolist()
        for k, state in enumerate(members.states.tolist()):
            if state == SOLVED:
                self.done += 1
                results.append(
                    self._result(self._solution(members, k, those[k], steps.get(k)), members, k, counts[k], those[k], name)
                )
                before = runner.loop.before if isinstance(runner, Batch) else None
                if self._events is not None and resets is not None and before is not None:
                    self._tell_events(results[-1], self._events, resets.those, before)
            else:
                self.missed += state != RAISED
                results.append(errors.get(k))
        return results

    def _batch(self) -> "tuple[Batch | None, _Resets | None]":
        """The loops, for this thread, and the resets that are in them."""
        try:
            return self._batches.pop()
        except IndexError:
            return make_batch(self._plan, None if self._loss is None else self._loss.executable), None

    # ------------------------------------------------------------------------------------------------- resets

    def _resets(self, events: Events, those: Given) -> "_Resets | None":
        """Those on the way, as of the same span and times before."""
        known, ways = self._known, events.ways
        if known is not None and known.serves(those, ways):
            return known
        timed = those.when
        problem = self._plan.problem._replace(x0=those.x0, p=those.p, t0=timed.t0, t1=timed.t1, events=events)
        found = known_resets(problem, timed.times)
        if found is not None:
            self._known = _Resets(found, timed._replace(times=timed.times.copy()), events.ways)
        return None if found is None else self._known

    def _install(self, batch: Batch, resets: "_Resets", those: Given) -> None:
        """Have them in the loop of a batch, with the p of its right-hand side."""
        plan = self._plan
        seeds = columns_for(plan.problem, plan.wrt).seeds if plan.mode == "forward" else np.empty((0, those.p.size))
        made = [each.reset.compiled(those.x0, those.p, each.t, seeds) for each in resets.those]
        system = batch.loop.system
        assert isinstance(system, Recorded)
        for reset in made:
            reset.share_p(system)
        batch.loop.reset_at(np.array([each.t for each in resets.those]), made)

    def _tell_events(self, result: Any, events: Events, resets: list[TimedReset], before: np.ndarray) -> None:
        """When each event happened, and where."""
        plan = self._plan
        rows = [[k for k, each in enumerate(resets) if each.number == number] for number in range(len(events))]
        result["t_events"] = [np.array([resets[k].t for k in those]) for those in rows]
        result["y_events"] = [before[those, : plan.problem.n] for those in rows]
        if plan.mode == "forward":
            wanted = "p" in plan.wrt
            result["sens_t_events"] = [np.zeros((len(those), plan.problem.p.size)) for those in rows] if wanted else None

    def _runner(self, count: int, beside: "Beside | None") -> "tuple[LanesBatch | Batch | None, _Resets | None]":
        """The loops for so many members: they are solved side by side where that pays."""
        kept = None if beside is None or count < WIDTH or self._plan.steps else beside.setdefault(self, [])
        if kept:
            with suppress(IndexError):  # another thread took it
                return kept.pop(), None
        batch, installed = self._batch()
        if kept is None or batch is None or not self._has_lanes:
            return batch, installed
        if self._on_lanes is None:
            self._on_lanes = on_lanes(batch, self._rhs, self._plan.rtol.size)
            self._has_lanes = self._on_lanes is not None
        return batch if self._on_lanes is None else self._on_lanes.make(batch), None

    # ------------------------------------------------------------------------------------------------ results

    def _solution(self, members: Members, k: int, those: Given, steps: Steps | None) -> Found:
        """What the loop has written for a member."""
        n, mode = self._plan.problem.n, self._plan.mode
        cotangents = None if self._loss is None else members.cotangents[k]
        if steps is None:
            return Found(those.when.times.copy(), members.y[k], members.out[k], cotangents)
        t, states = steps
        if cotangents is not None and mode == "forward":
            at_end, cotangents = cotangents, np.zeros((t.size, n)).T  # in this order sums are those of the long way
            cotangents[:, -1] = at_end[:, 0]
        return Found(t, np.array(states[:, :n].T, order="C"), states if mode == "forward" else members.out[k], cotangents)

    def _result(self, found: Found, members: Members, k: int, counts: list[int], those: Given, name: str) -> Solution:
        plan = self._plan
        nsteps, nrejected, nfev, njev, nlu = counts
        fields: dict[str, Any] = {
            "t": found.t, "y": found.y, "sol": None, "t_events": None, "y_events": None, "status": 0,
            "nfev": nfev, "njev": njev, "nlu": nlu, "nsteps": nsteps, "nrejected": nrejected,
            "message": "the end was reached", "success": True,
            "method": plan.method, "engine": "native", "mode": plan.mode, "name": name,
        }  # fmt: skip
        if plan.mode == "solve":
            return Solution(**fields)
        fields.update(_NO_DERIVATIVES)
        result = Sensitivity(**fields)
        layout = those.p_layout
        result["parameter_names"] = layout.names("p") if "p" in plan.wrt else []
        if plan.mode == "forward":
            self._differentiate(result, found, members, k, those)
            return result
        grad_p, grad_x0 = members.by_p[k], members.by_x0[k]
        result["loss"] = float(members.loss[k])
        if "p" in plan.wrt:
            result["grad"] = layout.gradient(grad_p)
        if "x0" in plan.wrt:
            result["grad_x0"] = those.x_layout.gradient(grad_x0)
        result.estimate_later(partial(self._error_of_adjoint, found, members, k, nsteps))
        return result

    def _error_of_adjoint(self, found: Found, members: Members, k: int, nsteps: int) -> float:
        """`sens_error` of a discrete adjoint."""
        start, directions = probes_of(self._at(members, k), self._plan.wrt)
        errors = self._errors(members, k, nsteps)
        probes = Probes(start, directions, self._derivatives(found), self._plan.floor, errors)
        assert found.cotangents is not None
        return probes.error_of_gradient(found.cotangents, members.by_p[k], members.by_x0[k])

    def _differentiate(self, result: Sensitivity, found: Found, members: Members, k: int, those: Given) -> None:
        """The derivatives of the states, and by them of the loss."""
        wrt, n_p = self._plan.wrt, those.p.size * ("p" in self._plan.wrt)
        derivatives = self._derivatives(found)
        if "p" in wrt:
            result["sens"] = np.ascontiguousarray(derivatives[:, :, :n_p])
        if "x0" in wrt:
            result["sens_x0"] = np.ascontiguousarray(derivatives[:, :, n_p:])
        if found.cotangents is None:
            result.estimate_later(partial(self._error_of_columns, members, k, result["nsteps"]))
            return
        result["loss"] = float(members.loss[k])
        total = np.einsum("nm,mnw->w", found.cotangents, derivatives)
        if "p" in wrt:
            total[:n_p] += members.by_p[k]
            result["grad"] = those.p_layout.gradient(total[:n_p])
        if "x0" in wrt:
            result["grad_x0"] = those.x_layout.gradient(total[n_p:])
        result.estimate_later(partial(self._error_by_chain_rule, found, members, k, result["nsteps"], total))

    def _error_of_columns(self, members: Members, k: int, nsteps: int) -> float:
        """`sens_error` of the derivatives of the states."""
        return float(self._errors(members, k, nsteps)[1:].max())

    def _error_by_chain_rule(self, found: Found, members: Members, k: int, nsteps: int, total: np.ndarray) -> float:
        """`sens_error` of a gradient by derivatives of the states."""
        plan, problem, derivatives = self._plan, self._at(members, k), self._derivatives(found)
        columns = columns_for(problem, plan.wrt)
        floor = (plan.states_atol / columns.scale[:, None]).T / (plan.rtol[0] / plan.share)
        errors = self._errors(members, k, nsteps)
        groups = []
        for part in (columns.p, columns.x0):
            scale = columns.scale[part]
            if scale.size:
                size = norm(scale * total[part])
                groups.append(Group(derivatives[:, :, part], floor[:, part], errors[1:][part], scale, size))
        assert found.cotangents is not None
        return error_of_gradient(found.cotangents, groups, float(errors[0]))

    def _errors(self, members: Members, k: int, nsteps: int) -> np.ndarray:
        """The relative errors of the states and of each sensitivity."""
        return accumulated(self._plan.method, self._plan.rtol, nsteps, members.sums[k])

    def _at(self, members: Members, k: int) -> Problem:
        return self._plan.problem._replace(x0=members.x0[k], p=members.p[k])

    def _derivatives(self, found: Found) -> np.ndarray:
        """Of the states, shape (m, n, W)."""
        n, width = self._plan.problem.n, self._plan.rtol.size - 1
        return found.rows[:, n:].reshape(len(found.rows), width, n).transpose(0, 2, 1)

    def _refuse_captured(self, each: Given) -> None:
        """As in the long way."""
        plan = self._plan
        leaves = [[leaf for leaf in flatten(tree)[0] if isinstance(leaf, np.ndarray)] for tree in each.arrays]
        for argument, arrays in zip(("p", "x0"), leaves, strict=True):
            if argument in plan.wrt:
                self._rhs.refuse_captured(arrays, argument)
        if self._loss is not None:
            refuse_captured(self._loss.primal, leaves[0], "p")
        if self._events is not None:
            self._events.refuse_captured(leaves[0])


Beside = dict[Prepared, list[LanesBatch]]
"""What solves the members of one ensemble side by side: it takes too much memory to be kept for longer."""

_NO_DERIVATIVES: Final = dict.fromkeys(
    ("sens", "sens_x0", "sens_t_events", "loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval", "hess", "sens_error")
)


def _captures(program: Program) -> bool:
    return any(buffer.role is Role.CAPTURED for buffer in program.buffers)


# --------------------------------------------------------------------------------------------------------- what is kept

_KEPT: Final = Kept[Prepared](32)


def _key(asked: Asked, those: Given) -> tuple[Any, ...]:
    loss = None if asked.loss is None else representative(asked.loss)
    return (
        representative(asked.rhs),
        loss,
        those.x_layout,
        those.p_layout,
        those.when.times.size,
        those.when.steps,
        asked.options,
    )


def find(asked: Asked, those: Given) -> Prepared | None:
    """What was prepared for such calls, if it can be used."""
    try:
        found = _KEPT.find(_key(asked, those))
    except TypeError:  # something without a hash
        return None
    return found if found is not None and found.can_be_used else None


def quick(asked: Asked, those: Given) -> Solution | None:
    """The result of a call, if something was prepared for such calls; None if it must go the long way."""
    found = find(asked, those)
    if found is None:
        return None
    result = found.solve([those], name_of(asked.rhs), until_error=True)[0]
    return result if isinstance(result, Solution) else None


def prepare(asked: Asked, those: Given, way: Way) -> None:
    """Keep for later calls what one that went the long way, and was an ordinary one, has in common with them."""
    if not _is_ordinary(way):
        return
    kernel = None if way.loss is None else way.loss.recorded((way.problem.n, those.when.times.size))
    if way.loss is not None and (kernel is None or not _runs_alone(kernel)):
        return
    try:
        key = _key(asked, those)
        known = _KEPT.find(key)
    except TypeError:
        return
    if known is None or not known.serves(way, kernel):
        _KEPT.put(key, Prepared(way, kernel, those.when))


def _is_ordinary(way: Way) -> bool:
    """Whether it can be done without Python from beginning to end, and nothing is to be looked for on the way."""
    problem, rhs, wrt = way.problem, way.problem.rhs, way.wrt
    if not problem._replace(events=None).is_smooth or rhs.mass is not None or problem.running or problem.dx0_dp is not None:
        return False
    if problem.events is not None:
        if way.mode == "adjoint" or way.controls.method in DIAGONAL or problem.t_eval is None:
            return False
        if known_resets(problem, problem.t_eval) is None or not all(_runs_alone(k) for k in problem.events.kernels):
            return False
    if way.controls.method != "auto" and way.controls.method not in NATIVE:
        return False
    if rhs.is_one_sided or rhs.has_selects:  # of another p it may be another one; the steps are looked at
        return False
    if any(name not in ("p", "x0") for name in wrt) or problem.x_layout.has_complex:
        return False
    if way.mode == "forward" and not columns_for(problem, wrt).start.size:
        return False
    tight = min(way.controls.rtol, way.tolerances.rtol) < 10 * FINEST  # about which there may be a warning
    return not tight and _runs_alone(rhs.value_kernel)


def _runs_alone(kernel: Kernel) -> bool:
    """Whether no instruction calls Python."""
    return "call" not in kernel.program.op
