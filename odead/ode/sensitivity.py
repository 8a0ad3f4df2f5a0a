"""`sensitivity`: the solution of an initial value problem with its derivatives."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..activity import Duplicated
from ..derivatives.nested import nest_of
from ..errors import ArgumentValueError
from .arguments.annotated import accumulate, unwrap
from .engines.engine import AbstractEngine
from .engines.native import NativeEngine
from .gradients.discrete import BUDGET
from .options import check_controls, check_mode, check_wrt, positive, refuse_checkpoints, sens_tolerances
from .prepared.arguments import given
from .prepared.prepared import Way, again, prepare, quick, usual
from .problem.given_jacobian import check_jacobian
from .problem.loss import Loss, Weighted, check_loss
from .problem.problem import Problem, make_problem
from .results.progress import shown
from .results.solution import Sensitivity
from .run import Run
from .solve import choose_engine, keeps_mass, method_for_mass

__all__ = ["sensitivity"]

# Up to where forward sensitivities take no longer than a discrete adjoint, over explicit and stiff problems of 2 to 60 states.
# Time forwards by time backwards: 0.6 to 1.1 with 1 parameter, 0.8 to 1.4 with 2, 0.9 to 1.9 with 3, 1.4 to 3.5 with 10. Where
# both p and x0 are wanted, each has a probe in the error test of the adjoint: Lotka-Volterra with its 2 initial values (6
# columns) took 78 us forwards and 104 backwards.
COLUMNS_UP_TO: Final = 2
COLUMNS_OF_BOTH_UP_TO: Final = 6
# A continuous adjoint starts anew at each of the data: with 121 of them the heat equation (101 states, 2 parameters) took 5 s
# backwards and 15 ms forwards.
VARIABLES_UP_TO: Final = 100


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

    Inside a function that is being differentiated, t, y, loss, the gradients, sens and hess have derivatives again.

    Parameters
    ----------
    rhs : callable
        ``rhs(dx, x, p, t)``, which fills dx, or ``rhs(x, p, t)``, which returns it: plain NumPy. SciPy's
        ``f(t, y, *args)`` through `from_scipy`. Where it jumps, at an ``if`` or an `np.where`, np.sign, np.floor or comparison
        used as a number, the instant is located and the derivatives have their jump; what switches back and forth within one
        step is missed, which max_step bounds.
    x0 : array of shape (n,), of any shape, container of arrays, or callable ``x0(p)``
        A complex number is two variables, its real and its imaginary part; the gradient with respect to it is that by the real
        part plus i times that by the imaginary part, and ``sens_x0`` (for p: ``sens``) has a column for each.
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
        "forward": all derivatives of the solution; "adjoint": the exact gradient of the computed loss, back over the steps (at
        instants that move, to the accuracy of the solution: the slopes there are those of rhs, not of the interpolant);
        "continuous": its gradient by an adjoint solve. SciPy's steppers have no adjoint of their own, "adjoint" is the
        continuous one there; ``result.mode`` says what ran.
    method : {"auto", "LSODA", "BDF", "Radau", "Rodas5P", "Kvaerno5", "RK23", "RK45", "DOP853", "Tsit5"}
        "auto" begins with Tsit5, and goes on with Rodas5P where it finds the problem stiff, or with BDF where its matrices are
        dear to factor (``result.method`` says what ran); LSODA with engine="scipy".
    engine : {"auto", "native", "scipy"}
        "native" is the compiled loop, for all but LSODA and Radau; "scipy" is `scipy.integrate.solve_ivp` itself, for all but
        Tsit5, Rodas5P and Kvaerno5, an independent check that runs in Python, forwards and backwards: an adjoint of a stiff
        problem with 120 data took it 4 s instead of 0.03. "auto": native where it has the method.
    rtol : float
    atol : float or array, shape (n,)
        A gradient is known to about the sum of ``|dL/dy| * atol`` at best, with respect to the logarithm of a parameter: where
        species are rare, or data of both signs cancel, take a smaller one; a large `sens_error` tells.
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
        which needs all its states. In the other modes not supported yet.
    events : callable ``event(x, p, t) -> float``, or list of them, optional
        An event happens where its sign changes. Attributes as in SciPy: ``terminal`` (bool, or the count at which the solve
        ends) and ``direction``; and ``reset``: ``event.reset(x, p, t)`` changes x in place. Events of one instant happen in
        the order of the list; one that has just happened cannot at that instant, and one whose root is at t0 happens there if
        it leaves it in its direction, as in SciPy. y at a time of t_eval at which x is reset is that before. Where an event
        ends the solve, all derivatives are total ones: its instant moves. What changes its sign twice between two looks (four
        in each step) is missed, which max_step bounds. Where the resets of events of one instant do not commute, derivatives
        are those of the order of the list, for changes that leave the events in this order. Events without reset and terminal
        leave the steps alone; they need the solution as a function of time, and so the memory of dense_output. In mode
        "adjoint" with `checkpoints` given they are found by a solve of their own instead.
    tstops : sequence of float, or callable ``tstops(p)``
        Times inside tspan to step onto exactly, and at which the right-hand side may jump.
    order : {1, 2}
        2: ``result.hess`` is the Hessian of the loss, shape (N, N), over the concatenated raveled `wrt`; it takes N gradients
        of a problem of twice the size. For products with it alone: `odead.hvp` of a function that calls `odead.solve`.
    jac : "auto", callable ``jac(x, p, t)``, or array of shape (n, n)
        "auto": the exact Jacobian of the recorded right-hand side, on its pattern. One that is given, dense or sparse, is
        compared with it before the solve, and a wrong entry raises; the steps take the exact one in any case.
    mass_matrix : array or scipy.sparse matrix, shape (n, n), optional
        M of M x' = f(x, p, t), constant. A singular one makes a differential-algebraic equation, of index 1: then the part of
        x0 that M x does not determine is a guess, which is made consistent at t0, and all derivatives know of that. It is
        solved by Rodas5P or BDF; after a switch, a stop or a reset it is made consistent anew.
    progress : bool
        Show a progress bar of the forward solve, by tqdm.

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
    arguments = (
        rhs, method, engine, rtol, atol, jac, mass_matrix, tstops, dense_output, first_step, max_step, max_steps, checkpoints,
        progress, loss, running, wrt, mode, sens_rtol, sens_atol, order,
    )  # fmt: skip
    result = again(arguments, events, x0, p, tspan, t_eval)
    if isinstance(result, Sensitivity):
        return result
    nest = nest_of(rhs, x0, p, tspan, t_eval) or nest_of(loss) or nest_of(running)
    asked = None if nest is not None or isinstance(loss, Weighted) else usual(
        rhs, loss=loss, running=running, wrt=wrt, mode=mode, method=method, engine=engine, rtol=rtol, atol=atol,
        sens_rtol=sens_rtol, sens_atol=sens_atol, events=events, jac=jac, mass_matrix=mass_matrix, tstops=tstops,
        dense_output=dense_output, first_step=first_step, max_step=max_step, max_steps=max_steps, checkpoints=checkpoints,
        order=order, progress=progress,
    )  # fmt: skip
    those = None if asked is None else given(x0, p, tspan, t_eval)
    if asked is not None and those is not None:
        result = quick(asked, those, arguments)
        if isinstance(result, Sensitivity):
            return result
    stepper = choose_engine(engine, method)
    if nest is not None and any(isinstance(each, Duplicated) for each in (x0, p)):
        raise NotImplementedError("Duplicated inside a function that is being differentiated is not supported; use grad")
    x0, p, wanted, shadows = unwrap(x0, p, check_wrt(wrt))
    has_loss = loss is not None or running is not None
    if loss is not None and not isinstance(loss, Weighted):
        check_loss(loss)
    check_mode(mode, wanted, shadows, has_loss)
    if "t_eval" in wanted and t_eval is None:
        raise ArgumentValueError('wrt="t_eval" needs t_eval=; without it y is at t1 alone: use wrt="t1"')
    _check_second(order, has_loss)
    if nest is not None:
        assert not isinstance(loss, Weighted)
        from .inside.sensitivity import sensitivity_inside  # it solves inside a function, which takes this module

        options = {
            "method": method, "engine": engine, "rtol": rtol, "atol": atol, "events": events, "jac": jac,
            "mass_matrix": mass_matrix, "tstops": tstops, "dense_output": dense_output, "first_step": first_step,
            "max_step": max_step, "max_steps": max_steps, "mode": mode, "sens_rtol": sens_rtol, "sens_atol": sens_atol,
            "checkpoints": checkpoints,
        }  # fmt: skip
        return sensitivity_inside(nest, rhs, x0, p, tspan, t_eval, loss, running, wanted, order, options)
    problem = make_problem(
        rhs, x0, p, tspan, t_eval, running, differentiated=wanted, events=events, tstops=tstops, complex_states=True,
        mass_matrix=mass_matrix, keeps_mass=keeps_mass(stepper, method) and mode != "continuous",
    )  # fmt: skip
    check_jacobian(problem, jac)
    atol, sens_atol = problem.x_layout.tolerances(atol, "atol"), problem.p_layout.tolerances(sens_atol, "sens_atol")
    takes = method_for_mass(problem, stepper, method)
    controls = check_controls(
        stepper, takes, rtol, atol, first_step, max_step, max_steps, problem.n, abs(problem.t1 - problem.t0)
    )
    tolerances = sens_tolerances(problem.p.size, rtol, sens_rtol, sens_atol)
    chosen = _choose_mode(mode, problem, stepper, wanted, has_loss)
    on_vectors = loss if loss is None or isinstance(loss, Weighted) else Loss(loss, problem.x_layout, problem.p_layout, p)
    result = _differentiate(
        Run(problem, stepper, controls, tolerances, wanted, on_vectors), chosen, dense_output, checkpoints, progress
    )
    if asked is not None and those is not None and chosen != "continuous":
        assert not isinstance(on_vectors, Weighted)
        prepare(asked, those, Way(chosen, problem, controls, tolerances, wanted, on_vectors))
    if order == 2:
        options = {
            "mode": mode, "method": method, "engine": engine, "rtol": rtol, "atol": _with_cost(problem, atol),
            "sens_rtol": sens_rtol, "sens_atol": None if sens_atol is None else float(np.min(sens_atol)),
            "first_step": first_step, "max_step": max_step, "max_steps": max_steps, "checkpoints": checkpoints,
        }  # fmt: skip
        from .inside.second import hessian_of_loss  # it solves inside a function, which takes this module

        result.hess = hessian_of_loss(problem, rhs, x0, loss, running, events, tstops, wanted, options, mass_matrix)
    accumulate(shadows, result)
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


def _choose_mode(mode: str, problem: Problem, engine: AbstractEngine, wanted: tuple[str, ...], has_loss: bool) -> str:
    """The mode that runs: "forward", "adjoint" or "continuous"."""
    if mode == "forward" or not has_loss or (mode == "auto" and _forward_is_cheaper(problem, engine, wanted)):
        return "forward"
    return "adjoint" if mode != "continuous" and isinstance(engine, NativeEngine) else "continuous"


def _differentiate(run: Run, mode: str, dense_output: bool, checkpoints: Any, progress: bool) -> Sensitivity:
    problem = run.problem
    if mode != "adjoint":
        refuse_checkpoints(checkpoints, mode)
    with shown(progress, problem.t0, problem.t1, problem.name) as bar:
        if bar is not None:
            run = run._replace(controls=run.controls._replace(progress=bar))
        if mode == "forward":
            return run.forward(dense_output)
        if mode == "continuous":
            return run.continuous(dense_output)
        budget = BUDGET if checkpoints == "auto" else float(positive(checkpoints, "checkpoints"))
        return run.discrete(dense_output, budget)


def _forward_is_cheaper(problem: Problem, engine: AbstractEngine, wanted: tuple[str, ...]) -> bool:
    by_p, by_x0 = problem.p.size * ("p" in wanted), problem.n * ("x0" in wanted)
    columns = by_p + by_x0
    if isinstance(engine, NativeEngine) and not problem.rhs.branches:
        return columns <= (COLUMNS_OF_BOTH_UP_TO if by_p and by_x0 else COLUMNS_UP_TO)
    data = 1 if problem.t_eval is None else problem.t_eval.size
    return problem.n + columns <= VARIABLES_UP_TO or columns <= 10 + data // 2
