"""Problem: an initial value problem in normal form, with everything checked before anything runs.

The user's states, parameters and times, of whatever shape, become vectors; the right-hand side is compiled on vectors. A
running cost is one more state, whose derivative is the integrand.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..._results import all_finite, goes_strictly
from ...derivatives.interchangeable import representative
from ...errors import ArgumentTypeError, ArgumentValueError, ImpureError, OdeadError, TracingError, warn
from ...tracing.leaving import WAYS_OUT, place_of
from ..arguments.given import check_t_eval, check_tspan, initial_values, refuse_traced
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import flat_rhs, is_in_place, multiplied, name_of, opaque, takes_x_p_t
from ..engines.engine import System
from ..engines.failures import blame_start
from ..rhs.consistent import Consistent, make_consistent, velocities, velocity
from ..rhs.jacobian import Jacobian
from ..rhs.mass import Mass, check_mass
from ..rhs.rhs import CompiledRhs, compiled, kept
from ..rhs.systems import recorded
from .doubled import halves_of, is_doubled_twice
from .events import Events, make_events
from .stops import Stops, derivative_by_p, make_stops

__all__ = ["Problem", "every", "make_problem"]


@lru_cache(maxsize=64)
def every(count: int) -> np.ndarray:
    """The numbers of all columns, the same array each time, not to be written to."""
    return np.arange(count)


FEW: Final = 60  # states up to which M^-1 f costs less than to keep the pattern of M and J


class Problem(NamedTuple):
    """An initial value problem on vectors.

    Attributes
    ----------
    rhs : CompiledRhs
        With N states: the n of the user, and one more for a running cost.
    name : str
        Of the user's right-hand side.
    n : int
    running : bool
    x_layout, p_layout : Layout
    x0 : array, shape (N,)
        Consistent, where a mass matrix is singular.
    p : array, shape (n_p,)
    dx0_dp : array, shape (N, n_p), or None
        Derivative of x0, if it depends on p: because it is callable, or was made consistent.
    t0, t1 : float
    t_eval : array, shape (m,), or None
    events : Events or None
    stops : Stops or None
    halves : tuple of int, or None
        Of a doubled problem (`doubled`): states and parameters of the one that was doubled.
    twice : bool
        Whether that one is a doubled problem too.
    ended : bool
        Whether t1 is where an event ended the solve. Then a solution at the times asked for has one more column, for t1.
    consistent : Consistent or None
        How x0 was made consistent, where it had to be.
    """

    rhs: CompiledRhs
    name: str
    n: int
    running: bool
    x_layout: Layout
    p_layout: Layout
    x0: np.ndarray
    p: np.ndarray
    dx0_dp: np.ndarray | None
    t0: float
    t1: float
    t_eval: np.ndarray | None
    events: Events | None = None
    stops: Stops | None = None
    halves: tuple[int, int] | None = None
    twice: bool = False
    ended: bool = False
    consistent: Consistent | None = None

    @property
    def is_smooth(self) -> bool:
        """Whether it is solved in one piece."""
        return not self.rhs.branches and self.events is None and self.stops is None

    @property
    def state_names(self) -> list[str]:
        return [*self.x_layout.names("x"), *(["the running cost"] if self.running else [])]

    def slope(self, x: np.ndarray, t: float) -> np.ndarray:
        """f(x, p, t)."""
        dx = np.empty(self.x0.size)
        self.rhs(dx, x, self.p, t)
        return dx

    def velocity(self, x: np.ndarray, t: float) -> np.ndarray:
        """x' at a state, which is f unless there is a mass matrix."""
        return self.slope(x, t) if self.rhs.mass is None else velocity(self.rhs, self.rhs.mass, x, self.p, t)

    def slopes_with(self, columns: np.ndarray, directions: np.ndarray) -> Callable[[], np.ndarray] | None:
        """`System.slopes` for W sensitivities that start at `columns`."""
        if self.consistent is None or self.rhs.mass is None:
            return None
        return partial(velocities, self.rhs, self.rhs.mass, self.x0, self.p, self.t0, columns, directions)

    @property
    def start_by_t0(self) -> np.ndarray:
        """The derivative of x0 by t0: that of its algebraic part."""
        return np.zeros(self.x0.size) if self.consistent is None else self.consistent.by_t

    def jacobian(self, t: float, x: np.ndarray) -> Jacobian:
        return self.rhs.jacobian(x, self.p, t)

    def system(self) -> System:
        return System(
            lambda t, x: self.slope(x, t), self.jacobian, self.t0, self.t1, self.x0, not self.rhs.branches,
            compiled=lambda: recorded(self.rhs, self.x0, self.p, self.t0),
            linearised=lambda: self.rhs.linearisations.make(self.x0, self.p, self.t0, np.empty((0, self.p.size))),
            mass=self.rhs.mass, slopes=self.slopes_with(np.empty((0, self.x0.size)), np.empty((0, self.p.size))),
            iterated=lambda: self.rhs.linearisations.make_for_iteration(self.x0, self.p, self.t0),
            is_dear=lambda: self.rhs.linearisations.are_dear,
        )  # fmt: skip

    def interpolant(self, sol: Any) -> Any:
        """A solution on vectors of floats as one of the numbers of x0."""
        return partial(_states_at, self.x_layout, sol) if self.x_layout.has_complex and sol is not None else sol

    def output_times(self, with_end: bool = False) -> tuple[np.ndarray | None, np.ndarray]:
        """t_eval without repeats, as a stepper wants it (with t1 added on request), and where its entries are in that."""
        if self.t_eval is None:
            return None, np.zeros(0, dtype=int)
        asked = np.append(self.t_eval, self.t1) if with_end and not self.ended else self.t_eval
        sign = 1.0 if self.t1 >= self.t0 else -1.0
        if goes_strictly(asked, sign):
            return asked, every(self.t_eval.size)
        times, positions = np.unique(sign * asked, return_inverse=True)
        return sign * times, positions[: self.t_eval.size]

    def vector_atol(self, atol: np.ndarray) -> np.ndarray:
        """The absolute tolerance of each of the N states."""
        per_state = np.empty(self.x0.size)
        per_state[: self.n] = atol
        per_state[self.n :] = atol.min()  # of a running cost
        return per_state


def _states_at(layout: Layout, sol: Callable[..., np.ndarray], t: Any) -> np.ndarray:
    return layout.states(sol(t))


def make_problem(
    rhs: Callable[..., Any],
    x0: Any,
    p: Any,
    tspan: Any,
    t_eval: Any,
    running: Callable[..., Any] | None = None,
    *,
    differentiated: Sequence[str] = (),
    complex_states: bool = False,
    events: Any = None,
    tstops: Any = (),
    mass_matrix: Any = None,
    keeps_mass: bool = False,
    runs_uncompiled: bool = False,
) -> Problem:
    """Check the arguments and bring the problem into normal form.

    Parameters
    ----------
    rhs, x0, p, tspan, t_eval, running, events, tstops, mass_matrix
        As in `odead.sensitivity`.
    differentiated : sequence of str
        Which of "p" and "x0" are: an array of theirs that rhs also reads through a closure is refused.
    complex_states : bool
        Numbers of x0 and p may be complex; each is two floats.
    keeps_mass : bool
        Whether what solves can do with a regular mass matrix, or else it is brought to the other side.
    runs_uncompiled : bool
        Whether a right-hand side that cannot be recorded runs as it is, with a warning; else it raises.
    """
    refuse_traced(x0=x0, p=p, tspan=tspan, t_eval=t_eval)
    t0, t1 = check_tspan(tspan)
    times = check_t_eval(t_eval, t0, t1)
    p_layout, p_vector = lay_out(p, "p", complex_states)
    start, initial = initial_values(x0, p)
    x_layout, x_vector = lay_out(start, "x0", complex_states)
    if not x_layout.size:
        raise ArgumentValueError("x0 has no floats; there is nothing to integrate")
    n = x_layout.size
    state = x_vector
    if running is not None:
        state = np.append(x_vector, 0.0)
    name = name_of(rhs)

    mass = None if mass_matrix is None else check_mass(mass_matrix, n, x_layout)
    may_keep = keeps_mass and events is None and not np.size(tstops)
    compiled_rhs = _right_hand_side(rhs, running, (x_layout, p_layout), (state, p_vector, t0), mass, may_keep, runs_uncompiled)
    _refuse_captured(compiled_rhs, {"p": (p, p_layout), "x0": (x0, x_layout)}, differentiated)
    by_p = "p" in differentiated and p_vector.size > 0
    dx0_dp = None
    if initial is not None and by_p:
        dx0_dp = np.zeros((state.size, p_vector.size))
        dx0_dp[:n] = derivative_by_p(initial, "x0", x_layout, p_layout, p, p_vector)
    consistent = None
    if compiled_rhs.mass is not None and compiled_rhs.mass.is_singular:
        at = (state, p_vector, t0)
        consistent = make_consistent(compiled_rhs, compiled_rhs.mass, *at, name, x_layout.names("x"))
        state = consistent.x
        if by_p:
            dx0_dp = consistent.by_p + (0 if dx0_dp is None else consistent.by_x @ dx0_dp)
    problem = Problem(
        compiled_rhs.settled(state, p_vector, t0), name, n, running is not None, x_layout, p_layout, state, p_vector, dx0_dp,
        t0, t1, times,
        events=make_events(events, x_layout, p_layout, state, p_vector, t0, p),
        stops=make_stops(tstops, p, p_layout, p_vector, t0, t1),
        halves=halves_of(rhs), twice=is_doubled_twice(rhs), consistent=consistent,
    )  # fmt: skip
    _check_start(problem)
    return problem


def _refuse_captured(rhs: CompiledRhs, arguments: dict[str, tuple[Any, Layout]], differentiated: Sequence[str]) -> None:
    """Raise where an array of a differentiated argument is also read through a closure."""
    if rhs.captures:
        for name in arguments.keys() & differentiated:
            given, layout = arguments[name]
            rhs.refuse_captured(layout.arrays(given), name)


def _check_start(problem: Problem) -> None:
    """Raise where the right-hand side is not finite at the initial state."""
    at = (problem.x0, problem.p, problem.t0)
    dx = problem.slope(problem.x0, problem.t0)
    if not all_finite(dx):
        blame_start(problem.rhs.program_at(*at), problem.name, problem.state_names, *at, dx)


def _right_hand_side(
    rhs: Callable[..., Any], running: Callable[..., Any] | None, layouts: tuple[Layout, Layout],
    at: tuple[np.ndarray, np.ndarray, float], mass: Mass | None, may_keep: bool,
    runs_uncompiled: bool,
) -> CompiledRhs:  # fmt: skip
    """The function on vectors that is integrated, recorded at this state; a mass matrix may stay if it has no branches."""
    if mass is not None and running is not None:
        mass = mass.extended

    def build(matrix: np.ndarray | None = None, left: Mass | None = mass, why_opaque: str = "") -> CompiledRhs:
        if running is not None and not takes_x_p_t(running, "running", "running(x, p, t)"):
            raise ArgumentTypeError(
                f"running: {name_of(running)} must take three positional parameters: running(x, p, t) -> float"
            )
        flat = flat_rhs(rhs, running, *layouts)
        flat = opaque(flat) if why_opaque else flat
        flat = flat if matrix is None else multiplied(flat, matrix)
        return CompiledRhs(flat, name_of(rhs), *at, in_place=is_in_place(rhs), mass=left, why_opaque=why_opaque)

    key = (representative(rhs), None if running is None else representative(running), *layouts, mass)
    runs = partial(_runs, partial(flat_rhs, rhs, running, *layouts), *at)
    found = _recorded_or_opaque(key, build, runs) if runs_uncompiled else _recorded(key, build, runs)
    if mass is None:
        return found
    keeps = may_keep and not found.branches
    matrix, left = _multiplier(mass, keeps=keeps)
    return (
        found if matrix is None else compiled((*key, keeps, found.why_opaque), partial(build, matrix, left, found.why_opaque))
    )


def _runs(flat: Callable[[], Callable[..., Any]], x: np.ndarray, p: np.ndarray, t: float) -> bool:
    """Whether a plain call of the right-hand side on vectors raises nothing."""
    try:
        flat()(np.zeros(x.size), x.copy(), p.copy() if p.size else None, t)
    except Exception:
        return False
    return True


def _recorded(key: tuple[Any, ...], build: Callable[..., CompiledRhs], runs: Callable[[], bool]) -> CompiledRhs:
    """The right-hand side; what is said only to numbers that are recorded becomes a TracingError, which says where."""
    try:
        return compiled(key, build)
    except OdeadError:
        raise
    except Exception as error:
        if not runs():
            raise
        raise TracingError(
            f"{place_of(error)}: {type(error).__name__} ({error}) is raised when this is recorded, and not when it is called "
            f"with floats. {WAYS_OUT}"
        ) from error


def _recorded_or_opaque(key: tuple[Any, ...], build: Callable[..., CompiledRhs], runs: Callable[[], bool]) -> CompiledRhs:
    """The right-hand side, or where it cannot be recorded, one that is called as it is, with a warning.

    What compiled code says to numbers that are recorded may be any exception: it is the user's own if the plain call fails too.
    """
    opaque_key = (*key, "opaque")
    known = kept(opaque_key)
    if known is not None:
        reason = known.why_opaque
    else:
        try:
            return compiled(key, build)
        except ImpureError:
            raise
        except TracingError as error:
            reason = str(error)
        except OdeadError:
            raise
        except Exception as error:
            if not runs():
                raise
            reason = f"it raises {type(error).__name__} ({error}) when it is recorded, and not when it is called"
    found = compiled(opaque_key, partial(build, why_opaque=reason))
    warn(
        f"{found.name} runs as Python, not compiled, and implicit methods take its Jacobian from finite differences; its "
        f"sensitivities would raise: {reason}"
    )
    return found


def _multiplier(mass: Mass, *, keeps: bool) -> tuple[np.ndarray | None, Mass | None]:
    """What to multiply the equations by, if anything, and the mass matrix that is left then.

    A regular one is brought to the other side, unless its pattern is worth something. Constraints that are combinations of
    equations become equations of their own: within M - h J, whose other terms are larger the smaller h is, they would drown.
    """
    if not mass.is_singular:
        return (mass.inverse, None) if not keeps or mass.is_diagonal or mass.n <= FEW else (None, mass)
    if mass.has_mixed_constraints and mass.n <= FEW:
        return mass.separation, mass.separated
    return None, mass
