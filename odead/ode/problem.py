"""Problem: an initial value problem in normal form, with everything checked before anything runs.

The user's states, parameters and times, of whatever shape, become vectors; the right-hand side is compiled on vectors. A
running cost is one more state, whose derivative is the integrand.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..containers import Structure, flatten
from ..errors import ArgumentTypeError, ArgumentValueError
from ..tracing.recorder import is_traced
from .doubled import halves_of, is_doubled_twice
from .engine import AbstractEngine, Controls, System
from .events import Events, make_events
from .failures import blame_start
from .jacobian import Jacobian
from .layout import Layout, lay_out
from .rhs import CompiledRhs, compiled
from .signature import flat_rhs, is_in_place, name_of, required_parameters
from .stops import Stops, derivative_by_p, make_stops
from .systems import recorded

__all__ = ["Problem", "check_controls", "check_not_yet", "make_problem"]


@dataclass(frozen=True)
class Problem:
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
    p : array, shape (n_p,)
    dx0_dp : array, shape (N, n_p), or None
        Derivative of a callable x0; None where x0 was given as values.
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

    def jacobian(self, t: float, x: np.ndarray) -> Jacobian:
        return self.rhs.jacobian(x, self.p, t)

    def system(self) -> System:
        return System(
            lambda t, x: self.slope(x, t), self.jacobian, self.t0, self.t1, self.x0, not self.rhs.branches,
            compiled=lambda: recorded(self.rhs, self.x0, self.p, self.t0),
            linearised=lambda: self.rhs.linearisations.make(self.x0, self.p, self.t0, np.empty((0, self.p.size))),
        )  # fmt: skip

    def output_times(self, with_end: bool = False) -> tuple[np.ndarray | None, np.ndarray]:
        """t_eval without repeats, as a stepper wants it (with t1 added on request), and where its entries are in that."""
        if self.t_eval is None:
            return None, np.zeros(0, dtype=int)
        asked = np.append(self.t_eval, self.t1) if with_end and not self.ended else self.t_eval
        sign = 1.0 if self.t1 >= self.t0 else -1.0
        if (sign * (asked[1:] - asked[:-1]) > 0).all():
            return asked, np.arange(self.t_eval.size)
        times, positions = np.unique(sign * asked, return_inverse=True)
        return sign * times, positions[: self.t_eval.size]

    def vector_atol(self, atol: np.ndarray) -> np.ndarray:
        """The absolute tolerance of each of the N states."""
        per_state = np.broadcast_to(atol, (self.n,))
        return np.append(per_state, per_state.min()) if self.running else per_state.copy()


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
) -> Problem:
    """Check the arguments and bring the problem into normal form.

    Parameters
    ----------
    rhs, x0, p, tspan, t_eval, running, events, tstops
        As in `odead.sensitivity`.
    differentiated : sequence of str
        Which of "p" and "x0" are: an array of theirs that rhs also reads through a closure is refused.
    complex_states : bool
        Numbers of x0 and p may be complex; each is two floats.
    """
    _refuse_traced(x0=x0, p=p, tspan=tspan, t_eval=t_eval)
    t0, t1 = _check_tspan(tspan)
    times = _check_t_eval(t_eval, t0, t1)
    p_layout, p_vector = lay_out(p, "p", complex_states)
    start, initial = _initial_values(x0, p, p_vector)
    x_layout, x_vector = lay_out(start, "x0", complex_states)
    if not x_layout.size:
        raise ArgumentValueError("x0 has no floats; there is nothing to integrate")
    n = x_layout.size
    state = x_vector
    if running is not None:
        if required_parameters(running, "running") != 3:
            raise ArgumentTypeError(
                f"running: {name_of(running)} must take three positional parameters: running(x, p, t) -> float"
            )
        state = np.append(x_vector, 0.0)
    flat, in_place = flat_rhs(rhs, running, x_layout, p_layout), is_in_place(rhs)
    name = name_of(rhs)
    key = (rhs, running, x_layout, p_layout)
    compiled_rhs = compiled(key, lambda: CompiledRhs(flat, name, state, p_vector, t0, in_place=in_place))
    compiled_rhs.refresh()
    for argument, tree in (("p", p), ("x0", x0)):
        if argument in differentiated:
            compiled_rhs.refuse_captured([leaf for leaf in flatten(tree)[0] if isinstance(leaf, np.ndarray)], argument)
    dx0_dp = None
    if initial is not None and "p" in differentiated and p_vector.size:
        dx0_dp = np.zeros((state.size, p_vector.size))
        dx0_dp[:n] = derivative_by_p(initial, "x0", x_layout, p_layout, p, p_vector)
    problem = Problem(
        compiled_rhs, name, n, running is not None, x_layout, p_layout, state, p_vector, dx0_dp, t0, t1, times,
        events=make_events(events, x_layout, p_layout, state, p_vector, t0, p),
        stops=make_stops(tstops, p, p_layout, p_vector, t0, t1),
        halves=halves_of(rhs), twice=is_doubled_twice(rhs),
    )  # fmt: skip
    dx = problem.slope(state, t0)
    if not np.isfinite(dx).all():
        program = compiled_rhs.program_at(state, p_vector, t0)
        blame_start(program, name, problem.state_names, state, p_vector, t0, dx)
    return problem


def _refuse_traced(**given: Any) -> None:
    for name, value in given.items():
        if type(value) is np.ndarray and value.dtype == np.float64:
            continue
        if any(map(is_traced, flatten(value)[0])):
            raise NotImplementedError(
                f"{name} comes from a function that is being differentiated, inside which odead.solve is what can be "
                f"differentiated; or put the rest of that function into loss= of odead.sensitivity"
            )


def _check_tspan(tspan: Any) -> tuple[float, float]:
    try:
        ends = np.asarray(tspan, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"tspan must be two numbers (t0, t1), not {tspan!r}") from None
    if ends.shape != (2,):
        raise ArgumentValueError(f"tspan must be two numbers (t0, t1), not {tspan!r}")
    if not np.isfinite(ends).all():
        raise ArgumentValueError(f"tspan must be finite, not {tspan!r}")
    return float(ends[0]), float(ends[1])


def _check_t_eval(t_eval: Any, t0: float, t1: float) -> np.ndarray | None:
    if t_eval is None:
        return None
    try:
        times = np.array(t_eval, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentTypeError("t_eval must be a sequence of real numbers") from None
    if times.ndim != 1 or not times.size:
        raise ArgumentValueError(f"t_eval must be one-dimensional and not empty; its shape is {times.shape}")
    outside = ~((times >= min(t0, t1)) & (times <= max(t0, t1)))
    if outside.any():
        k = int(np.argmax(outside))
        raise ArgumentValueError(f"t_eval[{k}] = {times[k]:.6g} is outside tspan = ({t0:.6g}, {t1:.6g})")
    steps = np.diff(times)
    wrong = steps < 0 if t1 >= t0 else steps > 0
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ArgumentValueError(
            f"t_eval must be sorted from t0 = {t0:.6g} to t1 = {t1:.6g}, but t_eval[{k}] = {times[k]:.6g} comes before "
            f"t_eval[{k + 1}] = {times[k + 1]:.6g}"
        )
    return times


def _initial_values(x0: Any, p: Any, p_vector: np.ndarray) -> tuple[Any, Callable[..., Any] | None]:
    """x0 as a container of arrays, and the function it came from if it was one."""
    initial = None
    if callable(x0):
        initial = x0
        if required_parameters(x0, "x0") != 1:
            raise ArgumentTypeError(f"x0: {name_of(x0)} must take one positional parameter: x0(p)")
        x0 = x0(copy.deepcopy(p))
        if x0 is None:
            raise ArgumentTypeError("x0: the function returned None; x0(p) must return the initial state")
    leaves, structure = flatten(x0)
    if _is_plain(structure) and all(isinstance(leaf, (int, float, complex, np.number)) for leaf in leaves):
        try:
            x0 = np.atleast_1d(np.asarray(x0))
        except ValueError:
            raise ArgumentValueError("x0 is a ragged list of numbers; pass an array, or a tuple of arrays") from None
    if isinstance(x0, np.ndarray) and x0.ndim == 0:
        x0 = x0[None]
    return x0, initial


def _is_plain(structure: Structure) -> bool:
    """Whether it is a number, or lists and tuples of numbers: what NumPy would make an array of."""
    return structure.kind in (None, list, tuple) and all(map(_is_plain, structure.children))


# ---------------------------------------------------------------------------------------------------- options

_LATER: Final = {
    "mass_matrix": "eliminate the algebraic equations",
    "checkpoints": 'only the discrete adjoint of the explicit methods has them; leave checkpoints="auto"',
    "progress": "leave progress=False",
}
_DEFAULTS: Final = {
    "mass_matrix": None,
    "checkpoints": "auto",
    "progress": False,
}


def check_not_yet(**given: Any) -> None:
    """Raise NotImplementedError for an option that has a value other than its default and no effect yet."""
    for name, value in given.items():
        default = _DEFAULTS[name]
        if not (value is default or (isinstance(value, type(default)) and value == default)):
            raise NotImplementedError(f"{name}= is not supported yet; {_LATER[name]}")


def check_controls(
    engine: AbstractEngine,
    method: Any,
    rtol: Any,
    atol: Any,
    first_step: Any,
    max_step: Any,
    max_steps: Any,
    n: int,
    span: float,
) -> Controls:
    """The controls of a forward solve with n states."""
    chosen = engine.choose_method(method)
    tolerance = positive(rtol, "rtol")
    if tolerance.ndim:
        raise ArgumentValueError("rtol must be one number; give atol an array to weigh states")
    absolute = positive(atol, "atol")
    if absolute.shape not in ((), (n,)):
        raise ArgumentValueError(
            f"atol must be a number or have one entry per state, shape ({n},); its shape is {absolute.shape}"
        )
    first = None if first_step is None else float(positive(first_step, "first_step"))
    if first is not None and first > span > 0:
        raise ArgumentValueError(f"first_step = {first:.6g} is longer than tspan")
    if not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ArgumentValueError(f"max_steps must be a positive integer, not {max_steps!r}")
    longest = float(positive(max_step, "max_step", finite=False))
    return Controls(chosen, float(tolerance), absolute, first if span else None, longest, int(max_steps))


def positive(value: Any, argument: str, *, finite: bool = True) -> np.ndarray:
    """The value as a float array all of whose entries are positive."""
    if type(value) is float and 0 < value < np.inf:  # the usual case, in a third of the time
        return np.array(value)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{argument} must be a positive number, not {value!r}") from None
    if not (array > 0).all() or (finite and not np.isfinite(array).all()):
        raise ArgumentValueError(f"{argument} must be positive, not {value!r}")
    return array
