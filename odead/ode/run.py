"""Run: a sensitivity, from a checked problem to the result, in each of the three modes."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from .._results import chain_rule
from ..errors import IntegrationError
from .engines.engine import AbstractEngine, Controls, Trajectory
from .engines.estimate import Group, error_of_gradient, norm
from .engines.failures import raise_failure
from .engines.native import AUTO_IF_DEAR
from .engines.scipy import ScipyEngine
from .gradients.continuous import (
    AdjointOptions,
    AdjointResult,
    BackwardFailure,
    continuous_adjoint,
    forward_controls,
    piecewise_adjoint,
)
from .gradients.discrete import Probes, UnseenGrowthError, go_back, moves_x0, solve_for_adjoint
from .gradients.forward import Columns, augmented, column_atol, columns_for, share_of, split
from .methods import ONE_STEP
from .pieces.doubts import warn_of_branches
from .pieces.locating import solve_with_switches
from .pieces.piecewise import Course, FirstRows, Piece, integrate
from .problem.loss import Loss, Weighted
from .problem.problem import Problem, every
from .results.solution import Sensitivity
from .solve import ended, solution_fields

__all__ = ["Run"]

NO_DERIVATIVES: Final = dict.fromkeys(
    ("sens", "sens_x0", "sens_t_events", "loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval", "hess", "sens_error")
)


class Run(NamedTuple):
    """One call, checked."""

    problem: Problem
    engine: AbstractEngine
    controls: Controls
    tolerances: AdjointOptions
    wrt: tuple[str, ...]
    loss: Loss | Weighted | None

    def forward(self, dense: bool) -> Sensitivity:
        """Integrate the derivatives beside the states; a loss is differentiated by the chain rule."""
        problem = self.problem
        columns = columns_for(problem, self.wrt)
        rtol = min(self.controls.rtol, self.tolerances.rtol)
        share = share_of(self.controls.method, rtol)
        atol = column_atol(problem, columns, self.controls.atol, self.tolerances.atol)
        floor = atol[problem.x0.size :].reshape(-1, problem.x0.size).T / rtol
        finer = (share_of(AUTO_IF_DEAR, rtol),) * 2
        controls = self.controls._replace(rtol=share * rtol, atol=share * atol, finer=finer)
        times, positions = problem.output_times(with_end=problem.running)
        make = partial(augmented, columns=columns)

        def solve(problem: Problem) -> tuple[Course, None]:
            return integrate(
                self.engine, problem, make, controls, times, dense, columns.seeds, differentiated=True, path=True
            ), None

        course, _ = solve_with_switches(problem, solve)
        y, derivatives = split(problem, columns, course.trajectory.y)
        if course.trajectory.failure is not None:
            system = augmented(problem, columns)
            self._raise(course.trajectory, system, self._result(course, y, positions[:0], "forward"))
        return self._until_end(course)._forward_result(course, y, derivatives, columns, floor, dense)

    def _forward_result(
        self, course: Course, y: np.ndarray, derivatives: np.ndarray, columns: Columns, floor: np.ndarray, dense: bool
    ) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        warn_of_branches(problem, trajectory.flips)
        if course.ending is not None:
            moves = course.ending.move.along(derivatives[-1].T, columns.seeds)
            derivatives[-1] += course.ending.gap[:, None] * moves
        rows = self._rows(problem.output_times(with_end=problem.running)[1], y)
        result = self._result(course, y, rows, "forward")
        if "p" in self.wrt:
            result.sens = self._of_states(derivatives[rows][:, : problem.n, columns.p])
            result.sens_t_events = _by_event(problem, course, columns.p)
        if "x0" in self.wrt:
            result.sens_x0 = self._of_states(derivatives[rows][:, : problem.n, columns.x0])
        if dense:
            result.sol = problem.interpolant(FirstRows(trajectory.sol, problem.n))
        errors = np.broadcast_to(trajectory.errors, 1 + columns.scale.size)
        result.sens_error = float(errors[1:].max() if columns.scale.size else errors[0])
        if self.loss is not None or problem.running:
            self._gradients_by_chain_rule(result, course, derivatives, columns, floor)
        return result

    def continuous(self, dense: bool) -> Sensitivity:
        """Solve, then integrate the adjoint backwards."""
        problem = self.problem
        times, positions = problem.output_times(with_end=problem.running)

        def solve(problem: Problem) -> tuple[Course, Controls]:
            controls = forward_controls(problem, self.controls, self.tolerances)
            return integrate(
                self.engine, problem, Problem.system, controls, times, dense=True, differentiated=True, path=True
            ), controls

        course, controls = solve_with_switches(problem, solve)
        trajectory = course.trajectory
        if trajectory.failure is not None:
            self._raise(trajectory, problem.system(), self._result(course, trajectory.y, positions[:0], "continuous"))
        return self._until_end(course)._continuous_result(course, controls, dense)

    def _continuous_result(self, course: Course, controls: Controls, dense: bool) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        rows = self._rows(problem.output_times(with_end=problem.running)[1], trajectory.y)
        result = self._result(course, trajectory.y, rows, "continuous")
        if dense:
            result.sol = problem.interpolant(FirstRows(trajectory.sol, problem.n))
        losses = self._loss(trajectory.y, rows)
        self._refuse_infinite(result, losses)
        backwards: AbstractEngine = self.engine
        method, mass = controls.method, problem.rhs.mass
        if mass is not None and mass.has_mixed_states:
            # The constraints of lambda are combinations of its equations, and would drown in the matrix of a small step; they
            # are eliminated in Python.
            backwards, method = ScipyEngine(), "Radau" if method in ONE_STEP else ScipyEngine().choose_method(method)
        controls = controls._replace(method=method)

        whole = len(course.pieces) == 1
        start_counts = not whole or self.wrt != ("p",) or problem.dx0_dp is not None

        def solve_back(piece: Piece, times: np.ndarray, cotangents: np.ndarray) -> AdjointResult:
            part = trajectory._replace(sol=piece.sol)
            return continuous_adjoint(
                piece.problem, part, times, cotangents, backwards, controls, self.tolerances, with_p="p" in self.wrt,
                with_x0=start_counts, whole=whole, resets=piece.resets,
            )  # fmt: skip

        try:
            adjoint = piecewise_adjoint(course, losses[1], solve_back, self._at_events(course))
        except BackwardFailure as failure:
            result.update(success=False, status=-1, message="the backward solve of the adjoint failed")
            self._raise(failure.trajectory, failure.system, result, what="the backward solve of the adjoint")
        warn_of_branches(problem, trajectory.flips)
        self._gradients_by_adjoint(result, adjoint, course, *losses)
        result.sens_error = float(trajectory.errors.max()) + adjoint.error
        return result

    def discrete(self, dense: bool, budget: float) -> Sensitivity:
        """Solve, then go back over the very steps taken; if these are too long for a state that rests, over shorter ones."""
        try:
            return self._discrete(dense, budget, self.wrt)
        except UnseenGrowthError as error:
            if moves_x0(self.problem, self.wrt):
                raise
            try:
                return self._discrete(dense, budget, (*self.wrt, "x0"))
            except IntegrationError:
                raise error from None  # too many steps, or a derivative that is infinite: it has said what to do

    def _discrete(self, dense: bool, budget: float, probed: Sequence[str]) -> Sensitivity:
        problem = self.problem
        times, positions = problem.output_times(with_end=problem.running)

        def solve(problem: Problem) -> tuple[Course, Probes]:
            return solve_for_adjoint(problem, self.controls, self.tolerances, times, probed, dense=dense, budget=budget)

        course, probes = solve_with_switches(problem, solve, adjoint=True)
        trajectory = course.trajectory
        if trajectory.failure is not None:
            self._raise(trajectory, problem.system(), self._result(course, trajectory.y, positions[:0], "adjoint"))
        return self._until_end(course)._discrete_result(course, probes, dense)

    def _discrete_result(self, course: Course, probes: Probes, dense: bool) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        rows = self._rows(problem.output_times(with_end=problem.running)[1], trajectory.y)
        result = self._result(course, trajectory.y, rows, "adjoint")
        if dense:
            result.sol = problem.interpolant(FirstRows(trajectory.sol, problem.n))
        losses = self._loss(trajectory.y, rows)
        self._refuse_infinite(result, losses)
        try:
            adjoint = piecewise_adjoint(course, losses[1], go_back, self._at_events(course))
        except IntegrationError as error:
            result.update(success=False, status=-1, message=str(error))
            error.result = result
            raise
        grad_p = self._gradients_by_adjoint(result, adjoint, course, *losses)
        result.estimate_later(partial(probes.error_of_gradient, losses[1], grad_p.copy(), adjoint.grad_x0.copy()))
        return result

    def _refuse_infinite(self, result: Sensitivity, losses: tuple[float, np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Raise where the loss has no finite derivative at the solution, before anything is multiplied by it."""
        value, cotangents, _, by_p = losses
        if np.isfinite(cotangents).all() and ("p" not in self.wrt or np.isfinite(by_p).all()):
            return
        by = "p" if np.isfinite(cotangents).all() else "y"
        message = (
            f"loss is {value:.6g} and its derivative by {by} is not finite, though the solution is; look for square roots, "
            f"logarithms and divisions of what may be 0 or negative in loss"
        )
        result.update(success=False, status=-1, message=message)
        error = IntegrationError(message)
        error.result = result
        raise error

    def _gradients_by_adjoint(
        self,
        result: Sensitivity,
        adjoint: AdjointResult,
        course: Course,
        value: float,
        cotangents: np.ndarray,
        at_data: np.ndarray,
        by_p: np.ndarray,
    ) -> np.ndarray:
        """Fill in what follows from an adjoint; the gradient by p as a vector."""
        problem = self.problem
        for name in ("nfev", "njev", "nlu", "nsteps"):
            result[name] += getattr(adjoint, name)
        result.loss = value
        grad_p: np.ndarray = adjoint.grad_p + by_p
        if problem.dx0_dp is not None:
            grad_p = grad_p + adjoint.grad_x0 @ problem.dx0_dp
        by_t0 = float(adjoint.grad_x0 @ problem.start_by_t0)
        if "t0" in self.wrt:
            arriving = adjoint.arriving if problem.t1 != problem.t0 else self._moving_with_t1(cotangents)
            by_t0 -= float(arriving @ problem.velocity(problem.x0, problem.t0))
        by_x0 = adjoint.grad_x0 if problem.consistent is None else problem.consistent.by_x.T @ adjoint.grad_x0
        self._fill(result, grad_p, by_x0, by_t0)
        self._fill_times(result, course, cotangents, at_data)
        return grad_p

    def _gradients_by_chain_rule(
        self, result: Sensitivity, course: Course, derivatives: np.ndarray, columns: Columns, floor: np.ndarray
    ) -> None:
        problem, y = self.problem, course.trajectory.y[: self.problem.x0.size]
        losses = self._loss(y, self._rows(problem.output_times(problem.running)[1], y))
        self._refuse_infinite(result, losses)
        value, cotangents, at_data, by_p = losses
        result.loss = value
        total = chain_rule(cotangents, derivatives)
        for weights, happened in zip(self._at_events(course), course.events, strict=False):
            assert happened.tangents is not None
            total += happened.tangents[:, : problem.n] @ weights[: problem.n]
        if "p" in self.wrt:
            total[columns.p] += by_p
        groups, errors = [], np.broadcast_to(course.trajectory.errors, 1 + columns.scale.size)
        for part in (columns.p, columns.x0, columns.t0):
            scale = columns.scale[part]
            if scale.size:
                size = norm(scale * total[part])
                groups.append(Group(derivatives[:, :, part], floor[:, part], errors[1:][part], scale, size))
        result.estimate_later(partial(error_of_gradient, cotangents, groups, float(errors[0])))
        by_t0 = 0.0
        if "t0" in self.wrt:
            by_t0 = float(total[columns.t0][0])
            if problem.t_eval is not None and problem.t0 in problem.t_eval[:1]:  # this datum is x0, wherever t0 is
                n = problem.n
                by_t0 -= float(cotangents[:n, 0] @ (derivatives[0][:n, -1] - problem.start_by_t0[:n]))
        self._fill(result, total[columns.p] if "p" in self.wrt else None, total[columns.x0], by_t0)
        self._fill_times(result, course, cotangents, at_data)

    # ------------------------------------------------------------------------------------------ what they share

    def _until_end(self, course: Course) -> "Run":
        """Of the problem that ends where an event ended it."""
        return self if course.terminated is None else self._replace(problem=ended(self.problem, course))

    def _at_events(self, course: Course) -> list[np.ndarray]:
        """Cotangents of the states at the events of a course, if the loss looks at them."""
        if not isinstance(self.loss, Weighted):
            return []
        return self.loss.at_events([happened.occurrence.number for happened in course.events])

    def _of_states(self, derivatives: np.ndarray) -> np.ndarray:
        """Derivatives (m, n, W) of the states, complex ones where they are."""
        layout = self.problem.x_layout
        if layout.has_complex:
            derivatives = layout.states(derivatives.transpose(1, 0, 2)).transpose(1, 0, 2)
        return np.ascontiguousarray(derivatives)

    def _rows(self, positions: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The columns of y that the user asked for."""
        return positions if self.problem.t_eval is not None else every(y.shape[1])

    def _loss(self, y: np.ndarray, rows: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The loss; its derivative by all of y, (N, m), by y at the data, (n, number of data), and by p directly."""
        problem, n = self.problem, self.problem.n
        if problem.t_eval is not None and rows is every(y.shape[1]) and self.loss is not None and not problem.running:
            value, at_data, by_p = self.loss.value_and_gradient(y, problem.p)  # every time once, and no other
            return value, at_data, at_data, by_p
        data = rows if problem.t_eval is not None else np.array([y.shape[1] - 1])
        value, at_data, by_p = 0.0, np.zeros((n, data.size)), np.zeros(problem.p.size)
        if self.loss is not None:
            value, at_data, by_p = self.loss.value_and_gradient(y[:n, data], problem.p)
        cotangents = np.zeros_like(y)
        np.add.at(cotangents[:n].T, data, at_data.T)  # repeated times add up
        if problem.running:
            value += float(y[n, -1])
            cotangents[n, -1] = 1.0
        return value, cotangents, at_data, by_p

    def _fill(self, result: Sensitivity, by_p: np.ndarray | None, by_x0: np.ndarray, by_t0: float) -> None:
        problem = self.problem
        if "p" in self.wrt and by_p is not None:
            result.grad = problem.p_layout.gradient(by_p)
        if "x0" in self.wrt:
            result.grad_x0 = problem.x_layout.gradient(by_x0[: problem.n])
        if "t0" in self.wrt:
            result.grad_t0 = by_t0

    def _fill_times(self, result: Sensitivity, course: Course, cotangents: np.ndarray, at_data: np.ndarray) -> None:
        problem, n, y = self.problem, self.problem.n, course.trajectory.y[: self.problem.x0.size]
        if "t1" in self.wrt and problem.ended:
            result.grad_t1 = 0.0
        elif "t1" in self.wrt:
            result.grad_t1 = float(self._moving_with_t1(cotangents) @ course.velocity(y[:, -1], problem.t1))
        if "t_eval" in self.wrt and problem.t_eval is not None:
            columns = self._rows(problem.output_times(problem.running)[1], y)
            slopes = [course.velocity(y[:, k], t) for k, t in zip(columns, problem.t_eval.tolist(), strict=True)]
            result.grad_t_eval = np.array([c @ slope[:n] for c, slope in zip(at_data.T, slopes, strict=True)])

    def _moving_with_t1(self, cotangents: np.ndarray) -> np.ndarray:
        """Those at t1 that are not of data, which stay where they are."""
        moving = cotangents[:, -1].copy()
        if self.problem.t_eval is not None:
            moving[: self.problem.n] = 0
        return moving

    def _result(self, course: Course, y: np.ndarray, rows: np.ndarray, mode: str) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        t, shown = trajectory.t, y[: problem.n]
        if trajectory.failure is None and rows is not every(t.size):
            t, shown = t[rows], shown[:, rows]
        shown = problem.x_layout.states(np.array(shown, order="C"))
        result = Sensitivity(**solution_fields(problem, self.engine, self.controls, course, t, shown, mode))
        result.update(NO_DERIVATIVES)
        result["parameter_names"] = problem.p_layout.names("p") if "p" in self.wrt else []
        return result

    def _raise(self, trajectory: Trajectory, system: Any, result: Sensitivity, what: str = "the solve") -> None:
        names, method = self.problem.state_names, trajectory.name_method(self.controls.method)
        assert trajectory.failure is not None
        size = trajectory.failure.x.size
        if size > len(names):
            columns = size // len(names) - 1
            names = names + [f"column {k} of the sensitivity of {name}" for k in range(columns) for name in names]
        elif what != "the solve":
            names = [f"the adjoint of {name}" for name in names]
        raise_failure(trajectory.failure, system, method, trajectory.nsteps, names, result, what=what)


def _by_event(problem: Problem, course: Course, columns: slice) -> list[np.ndarray] | None:
    """Derivatives of the times of each event, shape (number of times, columns); NaN where it is only touched."""
    if problem.events is None:
        return None
    width = columns.stop - columns.start
    found: list[list[np.ndarray]] = [[] for _ in range(len(problem.events))]
    for happened in course.events:
        found[happened.occurrence.number].append(np.full(width, np.nan) if happened.dt is None else happened.dt[columns])
    return [np.array(rows).reshape(len(rows), width) for rows in found]
