"""Batches: the compiled loops of a single solve, made once for all members of an ensemble."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..._adjoint import Adjoint
from ..._batch import Batch, Start, StartWithColumns, StartWithProbes
from ..._bdf import BDF
from ..._bdf_adjoint import BackwardAdjoint
from ..._diagonal import DiagonalAdjoint, DiagonalStep
from ..._implicit import Implicit
from ..._krylov import Krylov
from ..._matrices import Matrix, Sparse
from ..._record import Record
from ..._rosenbrock import RosenbrockAdjoint
from ..._steppers import Explicit
from ..._system import Recorded, System
from ...execute.compiled import Executable
from ..engines.engine import Controls
from ..engines.engine import System as Initial
from ..engines.native import AUTO, STIFF_STEPS, Leg, make_loop
from ..gradients.continuous import AdjointOptions
from ..gradients.directions import Direction
from ..gradients.discrete import BUDGET, moves_x0, probe_tolerances, probed, probes_of, record_of, signs, sweep_over
from ..gradients.forward import augmented, columns_for, share_of
from ..problem.problem import Problem

__all__ = ["Plan", "make_batch"]


class Plan(NamedTuple):
    """What is solved for each member, and how.

    Attributes
    ----------
    mode : {"solve", "forward", "adjoint"}
    problem : Problem
        Its x0, p and times are those of some member.
    method : str
        The one to begin with.
    controls : Controls
        With the tolerances of the whole state.
    wrt : tuple of str
    times : int
        How many.
    steps : bool
        Whether all steps are wanted; the only time is the end then.
    rtol : array, shape (1 + W,)
        Of the states and of each sensitivity.
    states_atol : array, shape (n,)
    share : float
        Of the tolerances that the loop may use.
    floor : array, shape (n, W)
        Of the probes.
    """

    mode: str
    problem: Problem
    method: str
    controls: Controls
    wrt: tuple[str, ...]
    times: int
    steps: bool
    rtol: np.ndarray
    states_atol: np.ndarray
    share: float
    floor: np.ndarray

    @staticmethod
    def of(
        mode: str, problem: Problem, controls: Controls, options: AdjointOptions, wrt: tuple[str, ...], times: int,
        steps: bool,
    ) -> "Plan":  # fmt: skip
        """With the tolerances that a single solve has."""
        method = AUTO[0] if controls.method == "auto" else controls.method
        states_atol = problem.vector_atol(controls.atol)
        rtol, atol, share, floor = np.array([controls.rtol]), states_atol, 1.0, np.zeros((problem.n, 0))
        if mode == "forward":
            finest = min(controls.rtol, options.rtol)
            share, width = share_of(method, finest), len(columns_for(problem, wrt).start)
            rtol = np.full(1 + width, share * finest)
            atol = share * np.tile(states_atol, 1 + width)
        elif mode == "adjoint":
            rtol, per_block, floor = probe_tolerances(problem, controls, options, len(probes_of(problem, wrt)[0]))
            atol = per_block.ravel()
        controls = controls._replace(atol=atol)
        return Plan(mode, problem, method, controls, wrt, times, steps, rtol, states_atol, share, floor)


def make_batch(plan: Plan, loss: Executable | None) -> Batch | None:
    """The loops, for one thread; None where what they do depends on the solves before: on how well an iteration did, say."""
    problem, mode, controls = plan.problem, plan.mode, plan.controls
    system, record = _system(plan), None
    assert system.compiled is not None
    compiled = system.compiled()
    if mode == "adjoint":
        budget = np.inf if plan.steps else BUDGET / 2 if controls.method == "auto" else BUDGET
        record = record_of(plan.method, problem.n, dense=False, budget=budget, system=system)
        record.interpolated = False
    elif plan.steps:
        record = Record(system.x0.size, 0)
    loop = make_loop(system, compiled, controls._replace(method=plan.method), plan.rtol, None, record)
    if controls.method == "auto":
        loop.judges, loop.patience = True, STIFF_STEPS
    if problem.rhs.has_selects:
        loop.keys = problem.rhs.steady(problem.p)
    adjoint = None
    if record is not None and mode == "adjoint":
        leg = Leg(plan.method, record, np.zeros(0), plan.rtol, controls.atol)
        adjoint = sweep_over(problem, leg, iterates=True)
    if any(isinstance(matrix, Krylov | Sparse) for matrix in _matrices(loop, adjoint)):
        return None
    systems = _systems(loop, adjoint)
    for each, _ in systems:
        each.forbid_others()
    tape = None if loss is None else loss.tape.clone()
    batch = Batch(loop, _start(plan, [each for each, _ in systems]), plan.times, systems, adjoint, tape)
    batch.one_by_one = plan.steps
    return batch


def _system(plan: Plan) -> Initial:
    problem = plan.problem
    if plan.mode == "forward":
        return augmented(problem, columns_for(problem, plan.wrt))
    return probed(problem, *probes_of(problem, plan.wrt)) if plan.mode == "adjoint" else problem.system()


def _start(plan: Plan, systems: Sequence[Recorded]) -> Start:
    n, n_p, wrt = plan.problem.n, plan.problem.p.size, plan.wrt
    width = plan.rtol.size - 1
    by_p, by_x0 = "p" in wrt and n_p > 0, "x0" in wrt if plan.mode == "forward" else moves_x0(plan.problem, wrt)
    if not width:
        return Start(n, n_p)
    if plan.mode == "forward":
        return StartWithColumns(n, n_p, by_p, by_x0, plan.states_atol, plan.share)
    moved = list(systems[:1]) + [each for each in systems[1:] if each.n == systems[0].n != each.n_x]
    direction = Direction.of(plan.problem.rhs, alone=not by_x0) if by_p else None
    ups, group = (None, None) if direction is None else direction
    return StartWithProbes(n, n_p, ups, signs(n) if by_x0 else None, group, moved)


def _systems(loop: Explicit, adjoint: Adjoint | None) -> list[tuple[Recorded, bool]]:
    """All that is evaluated, and whether results count it."""
    found: list[tuple[System, bool]] = [(loop.system, True)]
    if isinstance(loop, Implicit):
        found.append((loop.attempted.linearised, True))
        if isinstance(loop.attempted, DiagonalStep):
            found.append((loop.attempted.states, True))
    elif isinstance(loop, BDF):
        found += [(loop.linearised, loop.is_together), (loop.states, True)]
    if loop.keys is not None:
        found.append((loop.keys, False))
    if adjoint is not None:
        found += [(adjoint.system, True), (adjoint.cotangents, True)]
        if adjoint.behind is not None:
            found.append((adjoint.behind, True))
    if isinstance(adjoint, RosenbrockAdjoint):
        found += [(adjoint.step.linearised, True), (adjoint.joint, True)]
    elif isinstance(adjoint, DiagonalAdjoint):
        found.append((adjoint.step.linearised, True))
    elif isinstance(adjoint, BackwardAdjoint):
        found.append((adjoint.linearised, True))
    return list({id(each): (each, counts) for each, counts in found if isinstance(each, Recorded)}.values())


def _matrices(loop: Explicit, adjoint: Adjoint | None) -> list[Matrix]:
    found: list[Matrix] = []
    if isinstance(loop, Implicit):
        found.append(loop.attempted.matrix)
    elif isinstance(loop, BDF):
        found.append(loop.matrix)
    if isinstance(adjoint, RosenbrockAdjoint | DiagonalAdjoint):
        found.append(adjoint.step.matrix)
    elif isinstance(adjoint, BackwardAdjoint):
        found.append(adjoint.matrix)
    return found
