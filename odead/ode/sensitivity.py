"""`sensitivity`: the solution of an initial value problem with its derivatives."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from ..activity import AbstractAnnotation, Const, Duplicated
from ..containers import flatten
from ..errors import ArgumentTypeError, ArgumentValueError, IntegrationError, OdeadWarning
from .adjoint import AdjointOptions, AdjointResult, BackwardFailure, continuous_adjoint, forward_controls, piecewise_adjoint
from .discrete import BUDGET, go_back, solve_for_adjoint
from .engine import AbstractEngine, Controls, Trajectory
from .engines.native import NativeEngine
from .engines.scipy import ScipyEngine
from .failures import raise_failure
from .forward import Columns, augmented, column_atol, columns_for, split
from .given_jacobian import check_jacobian
from .loss import Loss, Weighted, check_loss
from .methods import EXPLICIT, MULTISTEP, ONE_STEP
from .piecewise import Course, FirstRows, Piece, integrate
from .problem import Problem, check_controls, check_not_yet, make_problem, positive
from .solution import Sensitivity
from .solve import choose_engine, ended, solution_fields

__all__ = ["sensitivity"]

WRT: Final = ("p", "x0", "t0", "t1", "t_eval")
MODES: Final = ("auto", "forward", "adjoint", "continuous")
# A discrete adjoint costs about as much as 4 columns: Robertson's problem (3) took 0.33 ms forwards and 0.40 ms backwards,
# Lotka-Volterra (4) 0.31 and 0.23, pollution (25) 1.6 and 0.6. A continuous adjoint starts anew at each of the data: with 121
# of them the heat equation (101 states, 2 parameters) took 5 s backwards and 15 ms forwards.
COLUMNS_UP_TO: Final = 3
VARIABLES_UP_TO: Final = 100
# Multistep methods let the local errors of many steps add up: at 1 the sensitivities of Robertson's problem (790 steps at rtol
# 1e-9) were off by 74 tolerances.
MULTISTEP_SHARE: Final = 0.5


def sensitivity(
    rhs: Callable[..., Any],
    x0: Any,
    p: Any,
    tspan: Any,
    *,
    t_eval: Any = None,
    loss: Callable[..., Any] | Weighted | None = None,
    running: Callable[..., Any] | None = None,
    wrt: str | tuple[str, ...] = "p",
    mode: str = "auto",
    method: str = "auto",
    engine: str = "auto",
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    sens_rtol: float | None = None,
    sens_atol: Any = None,
    events: Any = None,
    jac: Any = "auto",
    mass_matrix: Any = None,
    tstops: Any = (),
    dense_output: bool = False,
    first_step: float | None = None,
    max_step: float = np.inf,
    max_steps: int = 100_000,
    checkpoints: Any = "auto",
    order: int = 1,
    progress: bool = False,
) -> Sensitivity:
    """Solve an ordinary differential equation and differentiate the solution, or a loss of it.

    Parameters
    ----------
    rhs : callable
        ``rhs(dx, x, p, t)``, which fills dx, or ``rhs(x, p, t)``, which returns it: plain NumPy. SciPy's
        ``f(t, y, *args)`` through `from_scipy`.
    x0 : array of shape (n,), of any shape, container of arrays, or callable ``x0(p)``
    p : array, None, number, or container of them
        Gradients come back in its structure.
    tspan : (t0, t1)
        t1 < t0 integrates backwards.
    t_eval : array, shape (m,), optional
        Where the solution is wanted: sorted from t0 to t1, repeats allowed. None: at every step, and for the loss at t1.
    loss : callable, optional
        ``loss(y)`` or ``loss(y, p)``, one float; y is (n, m), or has the structure of x0 with an axis for the times added.
    running : callable, optional
        ``running(x, p, t)``: its integral over tspan is added to the loss.
    wrt : "p", "x0", "t0", "t1", "t_eval", or a tuple of them
    mode : {"auto", "forward", "adjoint", "continuous"}
        "forward": all derivatives of the solution; "adjoint": the exact gradient of the computed loss, back over the steps;
        "continuous": its gradient by an adjoint solve. SciPy's steppers have no adjoint of their own, "adjoint" is the
        continuous one there; ``result.mode`` says what ran.
    method : {"auto", "LSODA", "BDF", "Radau", "Rodas5P", "RK23", "RK45", "DOP853", "Tsit5"}
        "auto" begins with Tsit5, and goes on with Rodas5P where it finds the problem stiff (``result.method`` says what ran);
        LSODA with engine="scipy". For large stiff problems BDF is the fast one.
    engine : {"auto", "native", "scipy"}
        "native" is the compiled loop, for all but LSODA and Radau; "scipy" is `scipy.integrate.solve_ivp` itself, for all but
        Tsit5 and Rodas5P. "auto": native where it has the method.
    rtol : float
    atol : float or array, shape (n,)
    sens_rtol : float, optional
        Relative tolerance of the derivatives; None: rtol.
    sens_atol : float or array, shape (n_p,), optional
        Absolute tolerance of the derivatives with respect to each parameter; None: atol / |p_k|, in an adjoint solve
        chosen by the size of the loss.
    dense_output : bool
        Whether ``result.sol(t)`` is wanted.
    first_step, max_step : float
    max_steps : int
    checkpoints : "auto" or float
        Bytes that mode "adjoint" may use for the steps where t_eval is given; what does not fit is computed again, but of BDF,
        which needs all its states. In the other
        modes not supported yet.
    events : callable ``event(x, p, t) -> float``, or list of them, optional
        An event happens where its sign changes. Attributes as in SciPy: ``terminal`` (bool, or the count at which the solve
        ends) and ``direction``; and ``reset``: ``event.reset(x, p, t)`` changes x in place. Events of one instant happen in the
        order of the list; one that has just happened cannot at that instant, and one whose root is at t0 does not happen
        there. y at a time of t_eval at which x is reset is that before. Where an event ends the solve, all derivatives are
        total ones: its instant moves. What changes its sign twice between two looks (four in each step) is missed, which
        max_step bounds.
    tstops : sequence of float, or callable ``tstops(p)``
        Times inside tspan to step onto exactly, and at which the right-hand side may jump.
    order : {1, 2}
        2: ``result.hess`` is the Hessian of the loss, shape (N, N), over the concatenated raveled `wrt`; it takes N gradients
        of a problem of twice the size. For products with it alone: `odead.hvp` of a function that calls `odead.solve`.
    jac : "auto", callable ``jac(x, p, t)``, or array of shape (n, n)
        "auto": the exact Jacobian of the recorded right-hand side, on its pattern. One that is given, dense or sparse, is
        compared with it before the solve, and a wrong entry raises; the steps take the exact one in any case.
    mass_matrix, progress
        Not supported yet beyond their defaults.

    Returns
    -------
    Sensitivity

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        An argument does not fit; the message names it.
    IntegrationError
        A solve stopped before its end; ``exc.result`` has what was computed, never a gradient.
    """
    check_not_yet(mass_matrix=mass_matrix, progress=progress)
    stepper = choose_engine(engine, method)
    x0, p, wanted, shadows = _unwrap(x0, p, _check_wrt(wrt))
    has_loss = loss is not None or running is not None
    if loss is not None and not isinstance(loss, Weighted):
        check_loss(loss)
    _check_mode(mode, wanted, shadows, has_loss)
    problem = make_problem(rhs, x0, p, tspan, t_eval, running, differentiated=wanted, events=events, tstops=tstops)
    check_jacobian(problem, jac)
    controls = check_controls(
        stepper, method, rtol, atol, first_step, max_step, max_steps, problem.n, abs(problem.t1 - problem.t0)
    )
    tolerances = _sens_tolerances(problem, rtol, sens_rtol, sens_atol)
    _check_second(order, has_loss)
    forward = mode == "forward" or not has_loss or (mode == "auto" and _forward_is_cheaper(problem, stepper, wanted))
    discrete = not forward and mode != "continuous" and isinstance(stepper, NativeEngine)
    if not discrete:
        check_not_yet(checkpoints=checkpoints)
    run = _Run(
        problem,
        stepper,
        controls,
        tolerances,
        wanted,
        loss if loss is None or isinstance(loss, Weighted) else Loss(loss, problem.x_layout, problem.p_layout, p),
    )
    if forward:
        result = run.forward(dense_output)
    elif discrete:
        result = run.discrete(dense_output, BUDGET if checkpoints == "auto" else float(positive(checkpoints, "checkpoints")))
    else:
        result = run.continuous(dense_output)
    if order == 2:
        options = {
            "mode": mode, "method": method, "engine": engine, "rtol": rtol, "atol": _with_cost(problem, atol),
            "sens_rtol": sens_rtol, "sens_atol": None if sens_atol is None else float(np.min(sens_atol)),
            "first_step": first_step, "max_step": max_step, "max_steps": max_steps, "checkpoints": checkpoints,
        }  # fmt: skip
        from .second import hessian_of_loss  # it solves inside a function, which takes this module

        result.hess = hessian_of_loss(problem, rhs, x0, loss, running, events, tstops, wanted, options)
    _accumulate(shadows, result)
    return result


def _with_cost(problem: Problem, atol: Any) -> Any:
    """Tolerances of the states with a running cost among them."""
    return atol if np.ndim(atol) == 0 else problem.vector_atol(np.asarray(atol, dtype=float))


def _check_second(order: Any, has_loss: bool) -> None:
    """What second derivatives need."""
    if order not in (1, 2):
        raise ArgumentValueError(f"order must be 1 or 2, not {order!r}")
    if order == 2 and not has_loss:
        raise ArgumentValueError("order=2 is the Hessian of a loss; give loss= or running=")


# ------------------------------------------------------------------------------------------------- arguments


def _check_wrt(wrt: Any) -> tuple[str, ...]:
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in WRT:
            raise ArgumentValueError(f"wrt={name!r} is unknown; use one or several of {', '.join(WRT)}")
    return names


def _unwrap(x0: Any, p: Any, wanted: tuple[str, ...]) -> tuple[Any, Any, tuple[str, ...], dict[str, Any]]:
    """Values without their annotations, what is differentiated, and the shadows to accumulate into."""
    shadows: dict[str, Any] = {}
    values: dict[str, Any] = {"x0": x0, "p": p}
    for name, value in values.items():
        if not isinstance(value, AbstractAnnotation):
            continue
        values[name] = value.val
        if isinstance(value, Const):
            wanted = tuple(w for w in wanted if w != name)
        elif value.differentiated and len(value.shadows) <= 1:
            wanted = wanted if name in wanted else (*wanted, name)
            if isinstance(value, Duplicated):
                shadows[name] = _check_shadow(name, value)
        else:
            raise ArgumentTypeError(f"{name}: {type(value).__name__} has no meaning here; use Const, Active or Duplicated")
    return values["x0"], values["p"], wanted, shadows


def _check_shadow(name: str, annotation: Duplicated) -> Any:
    (values, structure), (shadows, shadow_structure) = flatten(annotation.val), flatten(annotation.dval)
    if structure != shadow_structure:
        raise ArgumentValueError(f"{name}: the shadow of Duplicated has another structure than the value")
    for value, shadow in zip(values, shadows, strict=True):
        if not isinstance(value, np.ndarray):
            raise ArgumentTypeError(f"{name}: Duplicated needs arrays, which can be updated in place; use Active for numbers")
        if not isinstance(shadow, np.ndarray) or shadow.shape != value.shape or shadow.dtype != value.dtype:
            raise ArgumentValueError(
                f"{name}: the shadow of Duplicated must be an array of shape {value.shape} and dtype {value.dtype}"
            )
        if not shadow.flags.writeable:
            raise ArgumentValueError(f"{name}: the shadow of Duplicated is read-only")
        if np.may_share_memory(value, shadow):
            raise ArgumentValueError(f"{name}: the shadow of Duplicated overlaps the value")
    return annotation.dval


def _check_mode(mode: Any, wanted: tuple[str, ...], shadows: dict[str, Any], has_loss: bool) -> None:
    if mode not in MODES:
        raise ArgumentValueError(f"mode={mode!r} is unknown; use one of {', '.join(MODES)}")
    if has_loss:
        return
    if mode in ("adjoint", "continuous"):
        raise ArgumentValueError(f'mode="{mode}" needs a loss= or running= to differentiate; without one use mode="forward"')
    for name in wanted:
        if name in ("t0", "t1", "t_eval"):
            raise ArgumentValueError(f'wrt="{name}" needs a loss= or running= to differentiate')
    for name in shadows:
        raise ArgumentValueError(f"{name}: Duplicated needs a loss= or running= whose gradient is added to the shadow")


def _forward_is_cheaper(problem: Problem, engine: AbstractEngine, wanted: tuple[str, ...]) -> bool:
    columns = problem.p.size * ("p" in wanted) + problem.n * ("x0" in wanted)
    if isinstance(engine, NativeEngine) and not problem.rhs.branches:
        return columns <= COLUMNS_UP_TO
    data = 1 if problem.t_eval is None else problem.t_eval.size
    return problem.n + columns <= VARIABLES_UP_TO or columns <= 10 + data // 2


def _sens_tolerances(problem: Problem, rtol: float, sens_rtol: Any, sens_atol: Any) -> AdjointOptions:
    relative = positive(rtol if sens_rtol is None else sens_rtol, "sens_rtol")
    if relative.ndim:
        raise ArgumentValueError("sens_rtol must be one number")
    if sens_atol is None:
        return AdjointOptions(float(relative), None)
    absolute = positive(sens_atol, "sens_atol")
    if absolute.shape not in ((), (problem.p.size,)):
        raise ArgumentValueError(f"sens_atol must be a number or have shape ({problem.p.size},); its shape is {absolute.shape}")
    return AdjointOptions(float(relative), absolute)


def _accumulate(shadows: dict[str, Any], result: Sensitivity) -> None:
    """Add the gradients to the shadows of Duplicated arguments."""
    for name, shadow in shadows.items():
        gradient = result.grad if name == "p" else result.grad_x0
        seen: set[int] = set()
        for into, part in zip(flatten(shadow)[0], flatten(gradient)[0], strict=True):
            if isinstance(into, np.ndarray) and into.dtype.kind == "f" and id(into) not in seen:
                seen.add(id(into))
                into += part


# ------------------------------------------------------------------------------------------------- the two modes


@dataclass(frozen=True)
class _Run:
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
        system = augmented(problem, columns)
        system.fun(problem.t0, system.x0)
        share = MULTISTEP_SHARE if self.controls.method in MULTISTEP else 1.0
        rtol, atol = self.controls.rtol, column_atol(problem, columns, self.controls.atol, self.tolerances.atol)
        controls = replace(self.controls, rtol=share * min(rtol, self.tolerances.rtol), atol=share * atol)
        times, positions = problem.output_times(with_end=problem.running)
        course = integrate(
            self.engine,
            problem,
            partial(augmented, columns=columns),
            controls,
            times,
            dense,
            columns.seeds,
            differentiated=True,
        )
        y, derivatives = split(problem, columns, course.trajectory.y)
        if course.trajectory.failure is not None:
            self._raise(course.trajectory, system, self._result(course, y, positions[:0], "forward"))
        return replace(self, problem=ended(problem, course))._forward_result(course, y, derivatives, columns, dense)

    def _forward_result(
        self, course: Course, y: np.ndarray, derivatives: np.ndarray, columns: Columns, dense: bool
    ) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        self._warn_of_branches(trajectory.flips)
        self._warn_of_selects(course)
        if course.ending is not None:
            moves = course.ending.move.along(derivatives[-1].T, columns.seeds)
            derivatives[-1] += course.ending.gap[:, None] * moves
        rows = self._rows(problem.output_times(with_end=problem.running)[1], y)
        result = self._result(course, y, rows, "forward")
        if "p" in self.wrt:
            result.sens = np.ascontiguousarray(derivatives[rows][:, : problem.n, columns.p])
            result.sens_t_events = _by_event(problem, course, columns.p)
        if "x0" in self.wrt:
            result.sens_x0 = np.ascontiguousarray(derivatives[rows][:, : problem.n, columns.x0])
        if dense:
            result.sol = FirstRows(trajectory.sol, problem.n)
        if self.loss is not None or problem.running:
            self._gradients_by_chain_rule(result, course, derivatives, columns)
        return result

    def continuous(self, dense: bool) -> Sensitivity:
        """Solve, then integrate the adjoint backwards."""
        problem = self.problem
        system = problem.system()
        times, positions = problem.output_times(with_end=problem.running)
        controls = forward_controls(problem, self.controls, self.tolerances)
        course = integrate(self.engine, problem, Problem.system, controls, times, dense=True, differentiated=True)
        trajectory = course.trajectory
        if trajectory.failure is not None:
            self._raise(trajectory, system, self._result(course, trajectory.y, positions[:0], "continuous"))
        return replace(self, problem=ended(problem, course))._continuous_result(course, controls, dense)

    def _continuous_result(self, course: Course, controls: Controls, dense: bool) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        rows = self._rows(problem.output_times(with_end=problem.running)[1], trajectory.y)
        result = self._result(course, trajectory.y, rows, "continuous")
        if dense:
            result.sol = FirstRows(trajectory.sol, problem.n)
        losses = self._loss(trajectory.y, rows)
        backwards: AbstractEngine = self.engine
        method = controls.method
        if isinstance(backwards, NativeEngine) and method not in EXPLICIT:
            # The others take recorded right-hand sides only, and that of lambda reads the solution.
            backwards, method = ScipyEngine(), "Radau" if method in ONE_STEP else ScipyEngine().choose_method(method)
        controls = replace(controls, method=method)

        def solve_back(piece: Piece, times: np.ndarray, cotangents: np.ndarray) -> AdjointResult:
            part = replace(trajectory, sol=piece.sol)
            return continuous_adjoint(
                piece.problem, part, times, cotangents, backwards, controls, self.tolerances, with_p="p" in self.wrt
            )

        try:
            adjoint = piecewise_adjoint(course, losses[1], solve_back, self._at_events(course))
        except BackwardFailure as failure:
            self._raise(failure.trajectory, failure.system, result, what="the backward solve of the adjoint")
        self._warn_of_branches(trajectory.flips)
        self._warn_of_selects(course)
        self._gradients_by_adjoint(result, adjoint, trajectory.y, *losses)
        return result

    def discrete(self, dense: bool, budget: float) -> Sensitivity:
        """Solve, then go back over the very steps taken."""
        problem = self.problem
        times, positions = problem.output_times(with_end=problem.running)
        course = solve_for_adjoint(problem, self.controls, self.tolerances, times, self.wrt, dense=dense, budget=budget)
        trajectory = course.trajectory
        if trajectory.failure is not None:
            self._raise(trajectory, problem.system(), self._result(course, trajectory.y, positions[:0], "adjoint"))
        return replace(self, problem=ended(problem, course))._discrete_result(course, dense)

    def _discrete_result(self, course: Course, dense: bool) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        rows = self._rows(problem.output_times(with_end=problem.running)[1], trajectory.y)
        result = self._result(course, trajectory.y, rows, "adjoint")
        if dense:
            result.sol = FirstRows(trajectory.sol, problem.n)
        self._warn_of_selects(course)
        losses = self._loss(trajectory.y, rows)
        try:
            adjoint = piecewise_adjoint(course, losses[1], go_back, self._at_events(course))
        except IntegrationError as error:
            result.update(success=False, status=-1, message=str(error))
            error.result = result
            raise
        self._gradients_by_adjoint(result, adjoint, trajectory.y, *losses)
        return result

    def _gradients_by_adjoint(
        self,
        result: Sensitivity,
        adjoint: AdjointResult,
        y: np.ndarray,
        value: float,
        cotangents: np.ndarray,
        at_data: np.ndarray,
        by_p: np.ndarray,
    ) -> None:
        problem = self.problem
        for name in ("nfev", "njev", "nlu", "nsteps"):
            result[name] += getattr(adjoint, name)
        result.loss = value
        grad_p = adjoint.grad_p + by_p
        if problem.dx0_dp is not None:
            grad_p = grad_p + adjoint.grad_x0 @ problem.dx0_dp
        self._fill(result, grad_p, adjoint.grad_x0, -float(adjoint.arriving @ problem.slope(problem.x0, problem.t0)))
        self._fill_times(result, y, cotangents, at_data)

    def _gradients_by_chain_rule(self, result: Sensitivity, course: Course, derivatives: np.ndarray, columns: Columns) -> None:
        problem, y = self.problem, course.trajectory.y[: self.problem.x0.size]
        value, cotangents, at_data, by_p = self._loss(y, self._rows(problem.output_times(problem.running)[1], y))
        result.loss = value
        total = np.einsum("nm,mnw->w", cotangents, derivatives)
        for weights, happened in zip(self._at_events(course), course.events, strict=False):
            assert happened.tangents is not None
            total += happened.tangents[:, : problem.n] @ weights[: problem.n]
        by_t0 = 0.0
        if "t0" in self.wrt:
            by_t0 = float(total[columns.t0][0])
            if problem.t_eval is not None and problem.t_eval[:1] == problem.t0:  # this datum is x0, wherever t0 is
                by_t0 -= float(cotangents[:, 0] @ derivatives[0][:, -1])
        self._fill(result, (total[columns.p] + by_p) if "p" in self.wrt else None, total[columns.x0], by_t0)
        self._fill_times(result, y, cotangents, at_data)

    # ------------------------------------------------------------------------------------------ what they share

    def _at_events(self, course: Course) -> list[np.ndarray]:
        """Cotangents of the states at the events of a course, if the loss looks at them."""
        if not isinstance(self.loss, Weighted):
            return []
        return self.loss.at_events([happened.occurrence.number for happened in course.events])

    def _rows(self, positions: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The columns of y that the user asked for."""
        return positions if self.problem.t_eval is not None else np.arange(y.shape[1])

    def _loss(self, y: np.ndarray, rows: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The loss; its derivative by all of y, (N, m), by y at the data, (n, number of data), and by p directly."""
        problem, n = self.problem, self.problem.n
        data = rows if problem.t_eval is not None else np.array([y.shape[1] - 1])
        value, at_data, by_p = 0.0, np.zeros((n, data.size)), np.zeros(problem.p.size)
        if self.loss is not None:
            value, at_data, by_p = self.loss.value_and_gradient(y[:n, data], problem.p)
        cotangents = np.zeros_like(y)
        if data.size == y.shape[1] and not problem.running:  # every time once, and no other
            cotangents[:n] = at_data
        else:
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

    def _fill_times(self, result: Sensitivity, y: np.ndarray, cotangents: np.ndarray, at_data: np.ndarray) -> None:
        problem, n = self.problem, self.problem.n
        if "t1" in self.wrt and problem.ended:
            result.grad_t1 = 0.0
        elif "t1" in self.wrt:
            slope = problem.slope(y[:, -1], problem.t1)
            moving = cotangents[:, -1] if problem.t_eval is None else np.append(np.zeros(n), cotangents[n:, -1])  # data stay
            result.grad_t1 = float(moving @ slope)
        if "t_eval" in self.wrt and problem.t_eval is not None:
            columns = self._rows(problem.output_times(problem.running)[1], y)
            slopes = [problem.slope(y[:, k], t) for k, t in zip(columns, problem.t_eval.tolist(), strict=True)]
            result.grad_t_eval = np.array([c @ slope[:n] for c, slope in zip(at_data.T, slopes, strict=True)])

    def _result(self, course: Course, y: np.ndarray, rows: np.ndarray, mode: str) -> Sensitivity:
        problem, trajectory = self.problem, course.trajectory
        failed = trajectory.failure is not None
        t, shown = (trajectory.t, y) if failed else (trajectory.t[rows], y[:, rows])
        fields = solution_fields(problem, self.engine, self.controls, course, t, shown[: problem.n], mode)
        empty = dict.fromkeys(
            ("sens", "sens_x0", "sens_t_events", "loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval", "hess")
        )
        fields |= empty | {"parameter_names": problem.p_layout.names("p") if "p" in self.wrt else []}
        return Sensitivity(**fields)

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

    def _warn_of_branches(self, flips: int) -> None:
        if flips:
            warnings.warn(
                f"{self.problem.name} took another branch during the solve; the derivatives are right only where the "
                f"right-hand side is continuous across the branch, or switches at a time that does not depend on what is "
                f"differentiated",
                OdeadWarning, stacklevel=4,
            )  # fmt: skip

    def _warn_of_selects(self, course: Course) -> None:
        problem, t = self.problem, course.trajectory.t
        y = course.trajectory.y[: problem.x0.size]
        lines: dict[str, None] = {}
        for inside in _columns_of_pieces(course):  # between two pieces there is a jump, if need be
            lines |= dict.fromkeys(problem.rhs.discontinuous_selects(t[inside], y[:, inside], problem.p))
        if lines:
            warnings.warn(
                f"{problem.name} switched during the solve at {'; '.join(lines)}, where the values on both sides differ; the "
                f"derivatives lack the jump of such a switch. Write it as a plain if on a number, which is located, or "
                f"give its time as tstops",
                OdeadWarning, stacklevel=4,
            )  # fmt: skip


def _by_event(problem: Problem, course: Course, columns: slice) -> list[np.ndarray] | None:
    """Derivatives of the times of each event, shape (number of times, columns); NaN where it is only touched."""
    if problem.events is None:
        return None
    width = columns.stop - columns.start
    found: list[list[np.ndarray]] = [[] for _ in range(len(problem.events))]
    for happened in course.events:
        found[happened.occurrence.number].append(np.full(width, np.nan) if happened.dt is None else happened.dt[columns])
    return [np.array(rows).reshape(len(rows), width) for rows in found]


def _columns_of_pieces(course: Course) -> list[np.ndarray]:
    """The numbers of the columns of a trajectory that belong to each piece."""
    t = course.trajectory.t
    if len(course.pieces) <= 1:
        return [np.arange(t.size)]
    sign = -1.0 if course.pieces[-1].until < course.pieces[0].problem.t0 else 1.0
    pieces = np.searchsorted(sign * np.array([piece.until for piece in course.pieces]), sign * t, side="left")
    return [np.flatnonzero(pieces == k) for k in range(len(course.pieces))]
