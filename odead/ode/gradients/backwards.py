"""The continuous adjoint in the compiled loop: no Python runs from the last datum to t0.

`continuous` does the same in Python for the steppers of SciPy.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from ..._backwards import Backwards, Quadrature
from ..._curve import Curve
from ..._record import Record
from ...errors import RuleError
from ..engines.engine import Controls, System, Trajectory
from ..engines.interpolant import Interpolant, Joined
from ..engines.native import AUTO, compiled_method, make_loop
from ..engines.pace import Pace
from ..methods import EXPLICIT, NATIVE, ROSENBROCK
from ..problem.problem import Problem
from ..rhs.linearised import PatternGrewError

__all__ = ["curve_of", "method_back", "run_back"]

# Where a rule of a primitive cannot be differentiated once more: a Rosenbrock method takes the derivative of J by time.
WITHOUT_SECOND: Final = "Kvaerno5"


def curve_of(sol: Any, earlier: Curve | None = None) -> Curve:
    """A solution of the compiled loop as a function of time, for the compiled loop."""
    if isinstance(sol, Joined):
        for part in sol.parts:
            earlier = curve_of(part, earlier)
        assert earlier is not None
        return earlier
    assert isinstance(sol, Interpolant)
    return Curve(compiled_method(sol.tableau.name), sol.ts, sol.states, sol.slopes, earlier)


def method_back(asked: str, forward: Trajectory) -> str:
    """The method of the backward solve: the forward one; of "auto" the stiff one, if there was need of it."""
    if asked != "auto":
        return asked
    return next((method for method in forward.methods if method not in EXPLICIT), AUTO[0])


def run_back(
    problem: Problem,
    sol: Any,
    times: np.ndarray,
    cotangents: np.ndarray,
    controls: Controls,
    quadrature: tuple[float, np.ndarray | None] | None,
    jump: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> tuple[Backwards, str]:
    """Integrate lambda backwards, and the gradient by p beside it.

    Parameters
    ----------
    problem : Problem
    sol : Interpolant or Joined
        Its solution.
    times : array, shape (m,)
        As for `continuous_adjoint`.
    cotangents : array, shape (N, m)
    controls : Controls
        Of the backward solve.
    quadrature : tuple of rtol and atol, or None
        None: no gradient by p is wanted.
    jump : callable, optional
        From the number of a datum and lambda before it to lambda after it; needed with a singular mass matrix. None: the
        cotangents add up.

    Returns
    -------
    run : Backwards
        What was found, also after a failure.
    outcome : str
        "done", or the name of a failure.
    """
    curve, knots = curve_of(sol), np.abs(sol.ts[::-1] - problem.t1)
    pace = Pace.of(knots)
    while True:
        try:
            run = _prepare(problem, curve, np.unique(knots), pace, controls, quadrature, times.size)
            run.jump = jump
            return run, run.run(problem.t0, problem.t1, times, cotangents.T)
        except PatternGrewError:
            continue
        except RuleError:
            if controls.method not in ROSENBROCK:
                raise
            controls = controls._replace(method=WITHOUT_SECOND if problem.rhs.mass is None else "BDF")


def _prepare(
    problem: Problem,
    curve: Curve,
    knots: np.ndarray,
    pace: Pace,
    controls: Controls,
    quadrature: tuple[float, np.ndarray | None] | None,
    parts: int,
) -> Backwards:
    method, n, span = controls.method, problem.x0.size, abs(problem.t1 - problem.t0)
    sign = 1.0 if problem.t1 > problem.t0 else -1.0
    makes = problem.rhs.linearisations
    covector = makes.along(curve, problem.p, problem.t1, sign)
    linearised = partial(makes.linearise_along, covector, problem.p, problem.t1, timed=method in ROSENBROCK)
    record = None if quadrature is None else Record(n, NATIVE[method].all_stages)
    system = System(
        _no_python, _no_python, 0.0, span, np.zeros(n), compiled=lambda: covector, linearised=linearised,
        iterated=partial(linearised, iterates=True),
    )  # fmt: skip
    loop = make_loop(system, covector, controls, np.array([controls.rtol]), None, record)
    if problem.rhs.mass is not None:
        loop.divide = problem.rhs.mass.transposed.divide
    if pace.longest.size:
        loop.keep_pace(*pace)
    integral = None
    if quadrature is not None and record is not None:
        rtol, atol = quadrature
        products = makes.products_by_p(problem.p, problem.t1)
        integral = Quadrature(covector, products, loop, record, knots, problem.p, rtol, atol, span, max(parts, 1))
    power = 1 / (EXPLICIT[method].error_order + 1) if method in EXPLICIT else 0.0
    return Backwards(loop, covector, integral, power)


def _no_python(t: float, x: np.ndarray) -> Any:
    raise AssertionError("the compiled loop has its own")
