"""Solves that are prepared once: all that does not depend on the numbers of x0, p and the times is checked and made.

In the long way Python takes some 50 microseconds, more than the steps of a small solve. What serves any ordinary solve of one
right-hand side (compiled methods, no switches and stops, and of events only resets at known instants) is kept with the
options, and runs as a `_batch.Batch`, of one member or of many. All else goes the long way, and so does a member that turns
out not to be ordinary: it is solved again there, which finds the words for what happened.
"""

from collections.abc import Callable
from contextlib import suppress
from operator import is_
from typing import Any, Final, NamedTuple

import numpy as np

from ..._batch import STATES, Batch, Members, Runner
from ..._lanes_batch import WIDTH, LanesBatch
from ..._repeated import are_same_times, first_alike
from ..._results import are_equal, events_of, rows_of
from ..._system import Recorded
from ...derivatives.interchangeable import representative
from ...derivatives.kernel import Kernel, Variant
from ...tape import Program, Role
from ..arguments.layout import Layout, vector_layout
from ..arguments.signature import name_of
from ..engines.engine import Controls
from ..engines.native import FINEST
from ..gradients.continuous import AdjointOptions
from ..gradients.forward import columns_for
from ..methods import DIAGONAL, NATIVE
from ..pieces.timed import TimedReset, known_resets
from ..problem.events import Events, key_of
from ..problem.loss import Loss
from ..problem.problem import Problem
from ..results.solution import Solution
from ..rhs.kept import Kept
from ..rhs.validation import refuse_captured
from .arguments import Given, When
from .batches import Plan, make_batch
from .lanes import OnLanes, on_lanes
from .results import Results, Steps

__all__ = ["Asked", "Beside", "Preparations", "Prepared", "Way", "again", "find", "prepare", "quick", "usual"]

RAISED: Final[int] = STATES["raised"]

TRIES: Final = 3  # that may fail at first
KEPT_BATCHES: Final = 4  # per problem: threads that solve it at the same time
LAST_CALLS: Final = 4  # to be recognised at once: a program alternates between a few


class Asked(NamedTuple):
    """A call, but for x0, p, tspan and t_eval."""

    rhs: Callable[..., Any]
    loss: Callable[..., Any] | None
    options: tuple[Any, ...]


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


class _Resets(NamedTuple):
    """Resets at known instants, and what they were found for.

    Attributes
    ----------
    those : list of TimedReset
    rows : list of list of int
        For each event, which of them are its own.
    instants : array
        Of all of them.
    when : When
    ways : list of Variant
    """

    those: list[TimedReset]
    rows: list[list[int]]
    instants: np.ndarray
    when: When
    ways: list[Variant]

    def serves(self, those: Given, ways: list[Variant]) -> bool:
        """Whether they are the same there."""
        known, asked = self.when, those.when
        if known is not asked and not (known.t0 == asked.t0 and known.t1 == asked.t1 and are_equal(known.times, asked.times)):
            return False
        return len(ways) == len(self.ways) and all(map(is_, ways, self.ways))

    def tell(self, result: Any, before: np.ndarray, n: int, n_p: int, wrt: tuple[str, ...]) -> None:
        """Have in a result when each event happened, and where, from the states before the resets."""
        events_of(result, self.rows, self.instants, before, n)
        if result["mode"] == "forward":
            result["sens_t_events"] = [np.zeros((len(rows), n_p)) for rows in self.rows] if "p" in wrt else None


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
        self._results = Results(self._plan, self._loss is not None)
        self.done = self.missed = 0

    @property
    def can_be_used(self) -> bool:
        """Whether nothing that was read has changed, and most members so far were ordinary ones."""
        if self._is_impossible or self.missed > self.done + TRIES or self._rhs.is_stale() or self._rhs.located is not self._rhs:
            return False
        if self._events is not None and self._events.is_stale():
            return False
        return self._loss is None or not self._loss.trace.namespace.stale()

    def serves(self, way: Way, kernel: Kernel | None) -> bool:
        """Whether it is what would be made anew."""
        return way.problem.rhs is self._rhs and self._loss is (None if kernel is None else kernel.variant)

    def solve(
        self, those: Given, name: str, until_error: bool, beside: "Beside | None" = None
    ) -> list[Solution | Exception | None]:
        """Solve some members; None in the place of one that has to go the long way.

        Parameters
        ----------
        those : Given
        name : str
            Of the right-hand side.
        until_error : bool
            Whether to raise what one of them raises, and not to return it in its place.
        beside : dict, optional
            Where loops that solve many members side by side are kept.
        """
        count, plan = len(those.x0), self._plan
        if self._events is not None and count > 1:
            return [self.solve(those.member(k), name, until_error)[0] for k in range(count)]
        if self._captures:
            for p, x0 in those.arrays:
                self._refuse_captured(those.p_layout.arrays(p), those.x_layout.arrays(x0))
        runner, installed = self._runner(count, beside)
        if runner is None:
            self._is_impossible = True
            return [None] * count
        resets = None if self._events is None else self._resets(self._events, those)
        if resets is None and self._events is not None:
            self.missed += count
            return [None] * count
        if resets is not None and installed is not resets and isinstance(runner, Batch):
            self._install(runner, resets, those)
        members = Members(those.x0, those.p, plan.times, plan.rtol.size, self._loss is not None)
        errors, steps = self._run(runner, members, those.when, until_error)
        if isinstance(runner, LanesBatch):
            assert beside is not None
            beside[self].append(runner)
        elif runner.is_light and len(self._batches) < KEPT_BATCHES:
            self._batches.append((runner, resets))
        results: list[Solution | Exception | None] = [*self._results.of(members, those, name, steps)]
        before = runner.loop.before if isinstance(runner, Batch) else None
        if resets is not None and before is not None and results[0] is not None:
            resets.tell(results[0], before, plan.problem.n, plan.problem.p.size, plan.wrt)
        for k in [k for k, result in enumerate(results) if result is None]:
            results[k] = errors.get(k)
            self.missed += members.states[k] != RAISED
            self.done -= 1
        self.done += count
        return results

    def _run(
        self, runner: Runner, members: Members, timed: When, until_error: bool
    ) -> tuple[dict[int, Exception], dict[int, Steps]]:
        """Solve the members, and return by their numbers what they raised, and the steps of those that keep all."""
        errors: dict[int, Exception] = {}
        steps: dict[int, Steps] = {}
        count = 0
        while count < members.count:
            count = runner.run(members, timed.times, timed.t0, timed.t1, count)
            if isinstance(runner, Batch) and self._plan.steps and runner.loop.record is not None:
                steps[count - 1] = (runner.loop.record.times, runner.loop.record.states)
            if runner.error is not None:
                if until_error or not isinstance(runner.error, Exception):
                    raise runner.error
                errors[count - 1] = runner.error
        return errors, steps

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
        problem = self._plan.problem._replace(x0=those.x0[0], p=those.p[0], t0=timed.t0, t1=timed.t1, events=events)
        found = known_resets(problem, timed.times)
        if found is None:
            return None
        rows = [[k for k, each in enumerate(found) if each.number == number] for number in range(len(events))]
        self._known = _Resets(found, rows, np.array([each.t for each in found]), timed, events.ways)
        return self._known

    def _install(self, batch: Batch, resets: "_Resets", those: Given) -> None:
        """Have them in the loop of a batch, with the p of its right-hand side."""
        seeds = np.empty((0, those.p.shape[1])) if self._directions is None else self._directions
        made = [each.reset.compiled(those.x0[0], those.p[0], each.t, seeds) for each in resets.those if each.reset is not None]
        system = batch.loop.system
        assert isinstance(system, Recorded)
        for reset in made:
            reset.share_p(system)
        batch.loop.reset_at(resets.instants, made)

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
            self._on_lanes = on_lanes(batch, self._rhs, self._plan.rtol.size, self._directions)
            self._has_lanes = self._on_lanes is not None
        return batch if self._on_lanes is None else self._on_lanes.make(batch), None

    @property
    def _directions(self) -> np.ndarray | None:
        """Where p moves along each column of sensitivities, where there are columns."""
        return columns_for(self._plan.problem, self._plan.wrt).seeds if self._plan.mode == "forward" else None

    def _refuse_captured(self, p: list[np.ndarray], x0: list[np.ndarray]) -> None:
        """As in the long way, of the arrays in p and in x0."""
        for argument, arrays in (("p", p), ("x0", x0)):
            if argument in self._plan.wrt:
                self._rhs.refuse_captured(arrays, argument)
        if self._loss is not None:
            refuse_captured(self._loss.primal, p, "p")
        if self._events is not None:
            self._events.refuse_captured(p)


Beside = dict[Prepared, list[LanesBatch]]
"""What solves the members of one ensemble side by side: it takes too much memory to be kept for longer."""


def _captures(program: Program) -> bool:
    return any(buffer.role is Role.CAPTURED for buffer in program.buffers)


# --------------------------------------------------------------------------------------------------------- what is kept


class _Call(NamedTuple):
    """A call that was solved in the short way.

    Attributes
    ----------
    arguments : tuple
        All but x0, p, the times and events.
    events : tuple
        Their key.
    x_layout, p_layout : Layout
        Of vectors of floats.
    when : When
    name : str
        Of the right-hand side.
    prepared : Prepared
    """

    arguments: tuple[Any, ...]
    events: tuple[Any, ...]
    x_layout: Layout
    p_layout: Layout
    when: When
    name: str
    prepared: Prepared


class Preparations(Kept[Prepared]):
    """What was prepared, by the options of calls, and the last of those calls."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.calls: tuple[_Call, ...] = ()

    def again(self, arguments: tuple[Any, ...], events: Any, x0: Any, p: Any, tspan: Any, t_eval: Any) -> Solution | None:
        """The result of a call that differs from one of the last in the numbers of x0 and p alone; None of any other."""
        call = first_alike(self.calls, arguments, events)
        if call is None or not are_same_times(tspan, t_eval, *call.when):
            return None
        start, parameters, prepared = rows_of([x0]), rows_of([p]), call.prepared
        if start is None or parameters is None or not prepared.can_be_used:
            return None
        if start.shape[1] != call.x_layout.size or parameters.shape[1] != call.p_layout.size:
            return None
        those = Given(call.x_layout, call.p_layout, start, parameters, call.when, ((p, x0),))
        result = prepared.solve(those, call.name, until_error=True)[0]
        return result if isinstance(result, Solution) else None

    def remember(self, call: _Call) -> None:
        """Look for this call first from now on, unless it is known."""
        self.calls = (call, *[each for each in self.calls if each.prepared is not call.prepared][: LAST_CALLS - 1])


_KEPT: Final = Preparations(32)


def again(arguments: tuple[Any, ...], events: Any, x0: Any, p: Any, tspan: Any, t_eval: Any) -> Solution | None:
    """As `Preparations.again`, of the calls remembered by `quick`."""
    return _KEPT.again(arguments, events, x0, p, tspan, t_eval)


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


def quick(asked: Asked, those: Given, arguments: tuple[Any, ...]) -> Solution | None:
    """The result of a call, if something was prepared for such calls; None if it must go the long way.

    Parameters
    ----------
    asked : Asked
    those : Given
    arguments : tuple
        Of the call, to be remembered.
    """
    found = find(asked, those)
    if found is None:
        return None
    name = name_of(asked.rhs)
    result = found.solve(those, name, until_error=True)[0]
    if not isinstance(result, Solution):
        return None
    layouts = those.x_layout, those.p_layout
    if all(layout is vector_layout(layout.size) for layout in layouts):
        _KEPT.remember(_Call(arguments, asked.options[-1], *layouts, those.when, name, found))
    return result


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
        if way.mode == "adjoint" or way.controls.method in DIAGONAL or problem.t_eval is None or rhs.has_selects:
            return False
        if known_resets(problem, problem.t_eval) is None or not all(_runs_alone(k) for k in problem.events.kernels):
            return False
    if way.controls.method != "auto" and way.controls.method not in NATIVE:
        return False
    if rhs.is_one_sided or rhs.located is not rhs:  # of another p it may be another one; switches are stepped onto
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
