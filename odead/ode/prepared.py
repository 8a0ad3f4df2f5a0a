"""Solves that are prepared once: all that does not depend on the numbers of x0, p and the times is checked and made.

A small solve takes 40 microseconds in the compiled loops, and took 100 in the Python around them. What serves any ordinary
solve of one right-hand side (compiled methods, times given, no events, switches or stops) is kept with the options, and runs as
a `_batch.Batch`, of one member or of many. All else goes the long way, and so does a member that turns out not to be ordinary:
it is solved again there, which finds the words for what happened.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from .._adjoint import Adjoint
from .._batch import STATES, Batch, Members, Start, StartWithColumns, StartWithProbes
from .._record import Record
from .._steppers import Explicit
from .._system import Cotangents, Recorded, Tangents, goes_strictly
from ..activity import AbstractAnnotation
from ..containers import flatten
from ..derivatives.interchangeable import representative
from ..derivatives.kernel import Kernel, Variant
from ..tape import Program, Role
from .adjoint import AdjointOptions
from .discrete import BUDGET, Probes, probe_tolerances, probes_of, signs
from .engine import Controls
from .engines.native import AUTO, FINEST, STIFF_STEPS, compiled_method
from .estimate import Group, accumulated, error_of_gradient, norm
from .forward import column_atol, columns_for
from .given import check_t_eval, check_tspan, initial_values
from .kept import Kept
from .layout import Layout, lay_out
from .loss import Loss
from .methods import EXPLICIT
from .problem import Problem
from .rhs import refuse_captured
from .signature import name_of
from .solution import Sensitivity, Solution

__all__ = ["Asked", "Given", "Prepared", "Way", "find", "given", "prepare", "quick", "usual"]

SOLVED: Final[int] = STATES["solved"]
RAISED: Final[int] = STATES["raised"]
KEPT_BATCHES: Final = 4  # per problem: threads that solve it at the same time


class Asked(NamedTuple):
    """A call, but for x0, p, tspan and t_eval."""

    rhs: Callable[..., Any]
    loss: Callable[..., Any] | None
    options: tuple[Any, ...]


class Given(NamedTuple):
    """x0, p, tspan and t_eval of a call, checked and laid out."""

    x_layout: Layout
    p_layout: Layout
    x0: np.ndarray
    p: np.ndarray
    t0: float
    t1: float
    times: np.ndarray
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
    if not (events is mass_matrix is first_step is sens_atol is running is None) or engine == "scipy":
        return None
    if not (dense_output is progress is False) or type(tstops) is not tuple or tstops:
        return None
    if type(jac) is not str or type(checkpoints) is not str or type(order) is not int or order != 1:
        return None
    if not (isinstance(rtol, float) and isinstance(atol, float) and isinstance(max_step, float) and type(max_steps) is int):
        return None
    return Asked(rhs, loss, (wrt, mode, method, engine, jac, checkpoints, rtol, atol, sens_rtol, max_step, max_steps))


def given(x0: Any, p: Any, tspan: Any, t_eval: Any) -> Given | None:
    """What an ordinary call has as x0 and so on.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As in the long way.
    """
    if t_eval is None or callable(x0) or isinstance(x0, AbstractAnnotation) or isinstance(p, AbstractAnnotation):
        return None
    t0, t1 = check_tspan(tspan)
    times = check_t_eval(t_eval, t0, t1)
    assert times is not None
    if not goes_strictly(times, 1.0 if t1 >= t0 else -1.0):
        return None
    p_layout, p_vector = lay_out(p, "p", complex_allowed=True)
    x_layout, x_vector = lay_out(initial_values(x0, p, p_vector)[0], "x0", complex_allowed=True)
    return Given(x_layout, p_layout, x_vector, p_vector, t0, t1, times, (p, x0))


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


class Prepared:
    """What serves all ordinary calls that differ in the numbers of x0, p and the times alone.

    Parameters
    ----------
    way : Way
    kernel : Kernel or None
        Of the loss.
    times : int
        How many.
    """

    def __init__(self, way: Way, kernel: Kernel | None, times: int) -> None:
        self._way = way._replace(loss=None)  # it has the p of one call
        self._loss: Variant | None = None if kernel is None else kernel.variant
        self._times = times
        problem, controls = way.problem, way.controls
        self._auto = controls.method == "auto"
        self._method = AUTO[0] if self._auto else controls.method
        n = self._n = problem.n
        self._states_atol = problem.vector_atol(controls.atol)
        self._rtol, self._atol = np.array([controls.rtol]), self._states_atol
        self._floor = np.zeros((n, 0))
        if way.mode == "forward":
            rtol = min(controls.rtol, way.tolerances.rtol)
            width = columns_for(problem, way.wrt).start.shape[0]
            self._rtol, self._atol = np.full(1 + width, rtol), np.tile(self._states_atol, 1 + width)
        elif way.mode == "adjoint":
            count = len(probes_of(problem, way.wrt)[0])
            self._rtol, atol, self._floor = probe_tolerances(problem, controls, way.tolerances, count)
            self._atol = atol.ravel()
        self._batches: list[Batch] = []
        self._captures = problem.rhs.captures or (self._loss is not None and _captures(self._loss.primal))
        self.done = self.missed = 0

    @property
    def can_be_used(self) -> bool:
        """Whether nothing that was read has changed, and most members so far were ordinary ones."""
        if self.missed > self.done or self._way.problem.rhs.is_stale():
            return False
        return self._loss is None or not self._loss.trace.namespace.stale()

    def serves(self, way: Way, kernel: Kernel | None) -> bool:
        """Whether it is what would be made anew."""
        return way.problem.rhs is self._way.problem.rhs and self._loss is (None if kernel is None else kernel.variant)

    def solve(self, those: Sequence[Given], name: str, until_error: bool) -> list[Solution | Exception | None]:
        """Solve some members; None in the place of one that has to go the long way.

        Parameters
        ----------
        those : sequence of Given
            With the same times.
        name : str
            Of the right-hand side.
        until_error : bool
            Whether to raise what one of them raises, and not to return it in its place.
        """
        first = those[0]
        if self._captures:
            for each in those:
                self._refuse_captured(each)
        if len(those) == 1:
            x0, p = first.x0[None], first.p[None]
        else:
            x0, p = np.array([each.x0 for each in those]), np.array([each.p for each in those])
        members = Members(x0, p, self._times, self._rtol.size, self._loss is not None)
        try:
            batch = self._batches.pop()
        except IndexError:
            batch = self._make()
        errors: dict[int, Exception] = {}
        count = 0
        while count < members.count:
            count = batch.run(members, first.times, first.t0, first.t1, count)
            if batch.error is not None:
                if until_error or not isinstance(batch.error, Exception):
                    raise batch.error
                errors[count - 1] = batch.error
        if batch.is_light and len(self._batches) < KEPT_BATCHES:
            self._batches.append(batch)
        results: list[Solution | Exception | None] = []
        counts = members.counts.tolist()
        for k, state in enumerate(members.states.tolist()):
            if state == SOLVED:
                self.done += 1
                results.append(self._result(members, k, counts[k], those[k], name))
            else:
                self.missed += state != RAISED
                results.append(errors.get(k))
        return results

    # ------------------------------------------------------------------------------------------------ results

    def _result(self, members: Members, k: int, counts: list[int], those: Given, name: str) -> Solution:
        way = self._way
        nsteps, nrejected, nfev, njev, nlu = counts
        fields: dict[str, Any] = {
            "t": those.times.copy(), "y": members.y[k], "sol": None, "t_events": None, "y_events": None, "status": 0,
            "nfev": nfev, "njev": njev, "nlu": nlu, "nsteps": nsteps, "nrejected": nrejected,
            "message": "the end was reached", "success": True,
            "method": self._method, "engine": "native", "mode": way.mode, "name": name,
        }  # fmt: skip
        if way.mode == "solve":
            return Solution(**fields)
        fields.update(_NO_DERIVATIVES)
        result = Sensitivity(**fields)
        layout = those.p_layout
        result["parameter_names"] = layout.names("p") if "p" in way.wrt else []
        if way.mode == "forward":
            self._differentiate(result, members, k, those)
            return result
        grad_p, grad_x0 = members.by_p[k], members.by_x0[k]
        result["loss"] = float(members.loss[k])
        if "p" in way.wrt:
            result["grad"] = layout.gradient(grad_p)
        if "x0" in way.wrt:
            result["grad_x0"] = those.x_layout.gradient(grad_x0)
        result.estimate_later(partial(self._error_of_adjoint, members, k, nsteps))
        return result

    def _error_of_adjoint(self, members: Members, k: int, nsteps: int) -> float:
        """`sens_error` of a discrete adjoint."""
        start, directions = probes_of(self._at(members, k), self._way.wrt)
        errors = accumulated(self._method, self._rtol, nsteps, members.sums[k])
        probes = Probes(start, directions, self._derivatives(members, k), self._floor, errors)
        return probes.error_of_gradient(members.cotangents[k], members.by_p[k], members.by_x0[k])

    def _differentiate(self, result: Sensitivity, members: Members, k: int, those: Given) -> None:
        """The derivatives of the states, and by them of the loss."""
        wrt, n_p = self._way.wrt, those.p.size * ("p" in self._way.wrt)
        derivatives = self._derivatives(members, k)
        if "p" in wrt:
            result["sens"] = np.ascontiguousarray(derivatives[:, :, :n_p])
        if "x0" in wrt:
            result["sens_x0"] = np.ascontiguousarray(derivatives[:, :, n_p:])
        if self._loss is None:
            result.estimate_later(partial(self._error_of_columns, members, k, result["nsteps"]))
            return
        result["loss"] = float(members.loss[k])
        total = np.einsum("nm,mnw->w", members.cotangents[k], derivatives)
        if "p" in wrt:
            total[:n_p] += members.by_p[k]
            result["grad"] = those.p_layout.gradient(total[:n_p])
        if "x0" in wrt:
            result["grad_x0"] = those.x_layout.gradient(total[n_p:])
        result.estimate_later(partial(self._error_by_chain_rule, members, k, result["nsteps"], total))

    def _error_of_columns(self, members: Members, k: int, nsteps: int) -> float:
        """`sens_error` of the derivatives of the states."""
        return float(accumulated(self._method, self._rtol, nsteps, members.sums[k])[1:].max())

    def _error_by_chain_rule(self, members: Members, k: int, nsteps: int, total: np.ndarray) -> float:
        """`sens_error` of a gradient by derivatives of the states."""
        way, problem, derivatives = self._way, self._at(members, k), self._derivatives(members, k)
        columns = columns_for(problem, way.wrt)
        atol = column_atol(problem, columns, way.controls.atol, None)
        floor = atol[self._n :].reshape(-1, self._n).T / self._rtol[0]
        errors = accumulated(self._method, self._rtol, nsteps, members.sums[k])
        groups = []
        for part in (columns.p, columns.x0):
            scale = columns.scale[part]
            if scale.size:
                size = norm(scale * total[part])
                groups.append(Group(derivatives[:, :, part], floor[:, part], errors[1:][part], scale, size))
        return error_of_gradient(members.cotangents[k], groups, float(errors[0]))

    def _at(self, members: Members, k: int) -> Problem:
        return self._way.problem._replace(x0=members.x0[k], p=members.p[k])

    def _derivatives(self, members: Members, k: int) -> np.ndarray:
        """Of the states, shape (m, n, W)."""
        made: np.ndarray = members.out[k][:, self._n :].reshape(self._times, -1, self._n).transpose(0, 2, 1)
        return made

    # ------------------------------------------------------------------------------------------------- making

    def _make(self) -> Batch:
        """Loops and tapes, for one thread."""
        way, n, mode = self._way, self._n, self._way.mode
        rhs, controls, zeros = way.problem.rhs, way.controls, np.zeros(way.problem.p.size)
        start, system = Start(n, zeros.size), self._recorded()
        by_p, by_x0 = "p" in way.wrt and zeros.size > 0, "x0" in way.wrt
        width = self._rtol.size - 1
        if width:
            seeds = columns_for(way.problem, way.wrt).seeds if mode == "forward" else np.zeros((width, zeros.size))
            system = Tangents(rhs.tangent_kernel(width).variant.executable.tape, n, zeros, seeds)
        if mode == "forward":
            start = StartWithColumns(n, zeros.size, by_p, by_x0, self._states_atol, 1.0)
        elif isinstance(system, Tangents):
            start = StartWithProbes(n, zeros.size, signs(zeros.size) if by_p else None, signs(n) if by_x0 else None, system)
        method = compiled_method(self._method)
        record = Record(n, method.stages, BUDGET / 2 if self._auto else BUDGET) if mode == "adjoint" else None
        loop = Explicit(
            system, method, 0.0, 1.0, np.zeros(n * (1 + width)), self._rtol, self._atol, None, controls.max_step,
            controls.max_steps, (), record,
        )  # fmt: skip
        if self._auto:
            loop.judges, loop.patience = True, STIFF_STEPS
        adjoint, systems = None, [(system, True)]
        if record is not None:
            again, pull = self._recorded(), Cotangents(rhs.cotangent_kernel.variant.executable.tape, n, zeros)
            adjoint = Adjoint(method, record, again, pull)
            systems += [(again, True), (pull, True)]
        tape = None if self._loss is None else self._loss.executable.tape.clone()
        return Batch(loop, start, self._times, systems, adjoint, tape)

    def _recorded(self) -> Recorded:
        """The right-hand side; without a way out: an evaluation that needs one is not ordinary."""
        way = self._way
        return Recorded(way.problem.rhs.value_kernel.variant.executable.tape, self._n, np.zeros(way.problem.p.size))

    def _refuse_captured(self, each: Given) -> None:
        """As in the long way."""
        way = self._way
        leaves = [[leaf for leaf in flatten(tree)[0] if isinstance(leaf, np.ndarray)] for tree in each.arrays]
        for argument, arrays in zip(("p", "x0"), leaves, strict=True):
            if argument in way.wrt:
                way.problem.rhs.refuse_captured(arrays, argument)
        if self._loss is not None:
            refuse_captured(self._loss.primal, leaves[0], "p")


_NO_DERIVATIVES: Final = dict.fromkeys(
    ("sens", "sens_x0", "sens_t_events", "loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval", "hess", "sens_error")
)


def _captures(program: Program) -> bool:
    return any(buffer.role is Role.CAPTURED for buffer in program.buffers)


# --------------------------------------------------------------------------------------------------------- what is kept

_KEPT: Final = Kept[Prepared](32)


def _key(asked: Asked, those: Given) -> tuple[Any, ...]:
    loss = None if asked.loss is None else representative(asked.loss)
    return (representative(asked.rhs), loss, those.x_layout, those.p_layout, those.times.size, asked.options)


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
    kernel = None if way.loss is None else way.loss.recorded((way.problem.n, those.times.size))
    if way.loss is not None and (kernel is None or not _runs_alone(kernel)):
        return
    try:
        key = _key(asked, those)
        known = _KEPT.find(key)
    except TypeError:
        return
    if known is None or not known.serves(way, kernel):
        _KEPT.put(key, Prepared(way, kernel, those.times.size))


def _is_ordinary(way: Way) -> bool:
    """Whether it can be done without Python from beginning to end, and nothing is to be looked for on the way."""
    problem, rhs, wrt = way.problem, way.problem.rhs, way.wrt
    if not problem.is_smooth or rhs.mass is not None or problem.running or problem.dx0_dp is not None:
        return False
    if way.controls.method not in EXPLICIT and way.controls.method != "auto":
        return False
    if rhs.is_one_sided or rhs.has_selects:  # of another p it may be another one; the steps are looked at
        return False
    if any(name not in ("p", "x0") for name in wrt) or problem.x_layout.has_complex:
        return False
    if way.mode == "forward" and not columns_for(problem, wrt).start.size:
        return False
    tight = min(way.controls.rtol, way.tolerances.rtol) < FINEST  # about which there is a warning
    return not tight and _runs_alone(rhs.value_kernel)


def _runs_alone(kernel: Kernel) -> bool:
    """Whether no instruction calls Python."""
    return "call" not in kernel.program.op
