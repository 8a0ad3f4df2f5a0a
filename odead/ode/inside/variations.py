"""A solve as a function that is differentiated: three primitives, of which each has the others as its derivatives.

With a problem on vectors, `solved` gives its solution, `pushed` the tangents of that, `pulled` the gradient of a sum of the
solution with given weights. The tangent of `pulled` is `pulled` of the doubled problem, and so on: derivatives of any order
are solves of a problem that has been doubled as often, with the same methods and under the same error control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from ...activity import BatchDuplicated, Const
from ...errors import IntegrationError, TracingError
from ...rules.primitive import Primitive
from ...rules.registry import Activity, Rule, add, frule, inactive, rule
from ...tracing.recorder import is_traced
from ..gradients.forward import augmented, column_atol, directions, split
from ..options import check_controls
from ..pieces.locating import solve_with_switches
from ..pieces.piecewise import Course, Happened, integrate
from ..problem.doubled import doubled_event, doubled_rhs, doubled_stops
from ..problem.loss import Weighted
from ..problem.problem import Problem, make_problem
from ..problem.underlying import Constraints
from ..results.solution import Solution
from ..rhs.mass import Mass
from ..sensitivity import sensitivity
from ..solve import choose_engine, method_for_mass, solve

__all__ = ["Posed", "solved", "stepped", "steps_of", "worked"]


class OtherCourseError(np.linalg.LinAlgError):
    """A solve had other events than the recorded one: what calls it is recorded anew.

    A LinAlgError, because that is what ends a compiled run without ending the call.
    """


class Posed:
    """A problem on vectors: all of it that does not vary from run to run.

    Parameters
    ----------
    rhs : callable
        ``rhs(dx, x, p, t)``.
    name : str
    options : mapping
        Of `odead.solve`, without events and tstops.
    events : sequence of callable
    tstops : callable or array
    expected : tuple of int or None
        How many of the times a run reaches, then how often each event happens.
    mass : Mass or None
        A singular mass matrix.
    half : Posed or None
        The problem of which this one is the doubled one.
    """

    def __init__(
        self,
        rhs: Callable[..., Any],
        name: str,
        options: Mapping[str, Any],
        events: Sequence[Any] = (),
        tstops: Any = (),
        mass: Mass | None = None,
        expected: tuple[int, ...] | None = None,
        half: Posed | None = None,
    ) -> None:
        self.rhs, self.name, self.options, self.mass, self.half = rhs, name, dict(options), mass, half
        self.events, self.tstops, self.expected = tuple(events), tstops, expected
        self._doubled: dict[tuple[int, int], Posed] = {}

    def doubled(self, n: int, n_p: int) -> Posed:
        """With the derivative along a direction; n states and n_p parameters before that."""
        found = self._doubled.get((n, n_p))
        if found is None:
            events = [
                doubled_event(e, self.rhs, n, n_p, getattr(e, "__name__", "event"), self.constraints) for e in self.events
            ]
            tstops = doubled_stops(self.tstops, n_p) if callable(self.tstops) else self.tstops
            mass = None if self.mass is None else self.mass.doubled()
            found = self._doubled[n, n_p] = Posed(
                doubled_rhs(self.rhs, n, n_p, self.name), self.name, self.options, events, tstops, mass, self.expected, self
            )
        return found

    def expecting(self, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray) -> Posed:
        """The same problem, which expects the events that it has here."""
        result = _solution(self, x, p, ends, times)
        return Posed(self.rhs, self.name, self.options, self.events, self.tstops, self.mass, _counted(result))

    @cached_property
    def constraints(self) -> Constraints | None:
        return None if self.mass is None else Constraints(self.rhs, self.mass, self.name)

    @cached_property
    def order(self) -> int:
        """How often it has been doubled."""
        return 0 if self.half is None else 1 + self.half.order

    @property
    def placed(self) -> dict[str, Any]:
        """The events and stops, and the mass matrix."""
        mass = None if self.mass is None else self.mass.elements
        return {"events": list(self.events) or None, "tstops": self.tstops, "mass_matrix": mass}

    def atol(self, x: np.ndarray, p: np.ndarray) -> Any:
        """Of the states: for a tangent, that of a derivative times the size of the direction."""
        if self.half is None:
            return self.options["atol"]
        (x, s), (p, v) = np.split(x, 2), np.split(p, 2)
        first = np.broadcast_to(self.half.atol(x, p), x.shape)
        sizes = [np.abs(s) / np.maximum(1.0, np.abs(x)), np.abs(v) / np.where(p == 0, 1.0, np.abs(p))]
        size = np.concatenate(sizes).max(initial=0.0)
        return np.concatenate([first, first * (size if size > 0 else 1.0)])


def _given(p: np.ndarray) -> np.ndarray | None:
    return p if p.size else None


def _refuse_traced(posed: Posed, *values: Any) -> None:
    if any(map(is_traced, values)):
        raise TracingError(f"the solve of {posed.name} is differentiated in a way for which it has no rule")


# ---------------------------------------------------------------------------------------------------- what is computed


def _solved(posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The solution at the times, then at the events (one after the other), (n, m + k); and the times of these events."""
    _refuse_traced(posed, x, p)
    if (np.diff(times) * (ends[1] - ends[0]) < 0).any() and posed.expected is not None:
        raise OtherCourseError("times in another order than in the recorded solve")
    result = _solution(posed, x, p, ends, times)
    if not posed.events:
        return result.y, np.zeros(0)
    if _counted(result) != posed.expected:
        raise OtherCourseError("other events happened than in the recorded solve")
    assert result.t_events is not None
    assert result.y_events is not None
    return np.hstack([result.y, *[each.T for each in result.y_events]]), np.concatenate(result.t_events)


def _counted(result: Solution) -> tuple[int, ...]:
    """How many times were reached, then how often each event happened."""
    assert result.t_events is not None
    return (result.t.size, *[each.size for each in result.t_events])


def _solution(posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray | None) -> Solution:
    options = posed.options | {"atol": posed.atol(x, p)}
    own = {name: options[name] for name in ("method", "engine", "rtol", "atol", "first_step", "max_step", "max_steps")}
    return solve(posed.rhs, x, _given(p), ends, t_eval=times, **own, **posed.placed)


def steps_of(posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The instants between which the solve steps, without that of an event that ends it."""
    result = _solution(posed, x, p, ends, None)
    return result.t[:-1] if result.status == 1 else result.t


def _stepped(posed: Posed, count: int, x: np.ndarray, p: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The same, of a solve that steps as often as the recorded one."""
    times = steps_of(posed, x, p, ends)
    if times.size != count:
        raise OtherCourseError("another number of steps than in the recorded solve")
    return times


def _worked(posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """nfev, njev, nlu, nsteps and nrejected of a solve; -1 for what is not known."""
    found = _solution(posed, x, p, ends, times)
    rejected = -1 if found.nrejected is None else found.nrejected
    return np.array([found.nfev, found.njev, found.nlu, found.nsteps, rejected])


def _pushed(
    posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray, d_x: np.ndarray, d_p: np.ndarray
) -> np.ndarray:
    """The tangents (W, n, m + k) of the solution for those of x, (W, n), and of p, (W, n_p)."""
    _refuse_traced(posed, x, p, d_x, d_p)
    options = posed.options
    engine = choose_engine(options["engine"], options["method"])
    problem = make_problem(posed.rhs, x, _given(p), ends, times, differentiated=("p", "x0"), keeps_mass=True, **posed.placed)
    method = method_for_mass(problem, engine, options["method"])
    steps = (options["first_step"], options["max_step"], options["max_steps"])
    span = abs(problem.t1 - problem.t0)
    controls = check_controls(engine, method, options["rtol"], posed.atol(x, p), *steps, problem.n, span)
    columns = directions(problem, d_x, d_p)
    sens_atol = options["sens_atol"] if np.ndim(options["sens_atol"]) == 0 and options["sens_atol"] is not None else None
    atol = column_atol(problem, columns, controls.atol, None if sens_atol is None else np.asarray(sens_atol, dtype=float))
    controls = controls._replace(rtol=min(controls.rtol, options["sens_rtol"] or controls.rtol), atol=atol)
    wanted, positions = problem.output_times()
    make = partial(augmented, columns=columns)

    def course_of(problem: Problem) -> tuple[Course, None]:
        return integrate(engine, problem, make, controls, wanted, False, columns.seeds, differentiated=True), None

    course, _ = solve_with_switches(problem, course_of)
    if course.trajectory.failure is not None:
        return _raise_again(posed, x, p, ends, times, course.trajectory.failure.reason)
    reached = course.trajectory.t.size - (course.terminated is not None)
    if course.terminated is not None:
        positions = positions[np.isin(times, course.trajectory.t[:reached])]
    happened = [h for k in range(len(posed.events)) for h in course.events if h.occurrence.number == k]
    if posed.events:
        _agree(posed, positions.size, [sum(h.occurrence.number == k for h in happened) for k in range(len(posed.events))])
    tangents = split(problem, columns, course.trajectory.y)[1][positions].transpose(2, 1, 0)
    return np.concatenate([tangents, *[_column(h) for h in happened]], axis=2)


def _column(happened: Happened) -> np.ndarray:
    """The tangents at an event, shape (W, n, 1)."""
    assert happened.tangents is not None
    return happened.tangents[:, :, None]


def _raise_again(posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray, reason: str) -> np.ndarray:
    """The failure of the solve itself, if it fails too; else that of its tangents."""
    _solved(posed, x, p, ends, times)
    raise IntegrationError(f"the tangents of the solve of {posed.name} were not found: {reason}; try looser sens_rtol")


def _agree(posed: Posed, reached: int, counts: Sequence[int]) -> None:
    """Whether the solve with derivatives met what the one without them met."""
    if posed.expected is not None and (reached, *counts) != posed.expected:
        raise IntegrationError(
            f"the solve of {posed.name} with derivatives met other events than the one without: one of them is so close to "
            f"happening, or to the end, that the tolerances decide; make rtol and atol smaller"
        )


def _pulled(
    posed: Posed, x: np.ndarray, p: np.ndarray, ends: np.ndarray, times: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives by x, (n,), and by p, (n_p,), of the sum of the solution with these weights, (n, m + k)."""
    _refuse_traced(posed, x, p, weights)
    if not weights.any():
        return np.zeros(x.size), np.zeros(p.size)
    counts = () if posed.expected is None else posed.expected[1:]
    m = weights.shape[1] - sum(counts)
    pieces = np.split(weights[:, m:], np.cumsum(counts)[:-1], axis=1) if posed.events else []
    options = posed.options | {"atol": posed.atol(x, p), "wrt": ("p", "x0")}
    if posed.order:
        options["sens_atol"] = None if options["sens_atol"] is None else float(np.min(options["sens_atol"]))
        options["mode"] = "adjoint" if options["mode"] == "auto" else options["mode"]
    loss = Weighted(weights[:, :m], pieces)
    result = sensitivity(posed.rhs, x, _given(p), ends, t_eval=times, loss=loss, **options, **posed.placed)
    return result.grad_x0, np.zeros(0) if result.grad is None else result.grad


for _function, _name in (
    (_solved, "solve"), (_stepped, "solve.steps"), (_worked, "solve.work"), (_pushed, "solve.tangent"),
    (_pulled, "solve.adjoint"),
):  # fmt: skip
    _function.__name__ = _name
solved, pushed, pulled = Primitive(_solved), Primitive(_pushed), Primitive(_pulled)
stepped, worked = Primitive(_stepped), Primitive(_worked)
for _each in (stepped, worked):
    inactive(_each)
for _each in (solved, pushed, pulled):
    inactive(_each, args=("posed", "ends", "times"))


# ---------------------------------------------------------------------------------------------------- their rules


def _joined(a: Any, b: Any) -> Any:
    return np.concatenate([a, b])


@rule(solved)
def _solved_backwards(posed: Posed, x: Any, p: Any, ends: Any, times: Any) -> Any:
    def pullback(bars: Any) -> tuple[Any, ...]:
        x_bar, p_bar = pulled(posed, x, p, ends, times, bars[0])
        return None, x_bar, p_bar, None, None

    return solved(posed, x, p, ends, times), pullback


def _solved_forwards(config: Any, posed: Any, x: Any, p: Any, ends: Any, times: Any) -> Any:
    at = (posed.val, x.val, p.val, ends.val, times.val)
    d_x, d_p = x.dval, p.dval
    if d_x.ndim == 2:
        return solved(*at), (pushed(*at, d_x, d_p), None)
    return solved(*at), (pushed(*at, d_x.reshape(1, -1), d_p.reshape(1, -1))[0], None)


_ACTIVITY: Final = (Const, BatchDuplicated, BatchDuplicated, Const, Const)
add(solved, Rule(_solved_forwards, "forward", tuple(map(Activity.of, _ACTIVITY))))


@frule(pushed)
def _pushed_forwards(primals: Any, tangents: Any) -> Any:
    posed, x, p, ends, times, d_x, d_p = primals
    _, x_dot, p_dot, _, _, d_x_dot, d_p_dot = tangents
    n, doubled = x.size, posed.doubled(x.size, p.size)
    rows = [
        pushed(
            doubled, _joined(x, d_x[k]), _joined(p, d_p[k]), ends, times,
            _joined(x_dot, d_x_dot[k]).reshape(1, -1), _joined(p_dot, d_p_dot[k]).reshape(1, -1),
        )[0, n:]
        for k in range(len(d_x))
    ]  # fmt: skip
    return pushed(*primals), np.stack(rows)


@rule(pushed)
def _pushed_backwards(posed: Posed, x: Any, p: Any, ends: Any, times: Any, d_x: Any, d_p: Any) -> Any:
    def pullback(bars: Any) -> tuple[Any, ...]:
        n, n_p, doubled = x.size, p.size, posed.doubled(x.size, p.size)
        parts = [
            pulled(doubled, _joined(x, d_x[k]), _joined(p, d_p[k]), ends, times, _joined(np.zeros_like(bars[k]), bars[k]))
            for k in range(len(d_x))
        ]
        x_bar, p_bar = sum(part[0][:n] for part in parts), sum(part[1][:n_p] for part in parts)
        return (
            None, x_bar, p_bar, None, None, np.stack([part[0][n:] for part in parts]),
            np.stack([part[1][n_p:] for part in parts]),
        )  # fmt: skip

    return pushed(posed, x, p, ends, times, d_x, d_p), pullback


@frule(pulled)
def _pulled_forwards(primals: Any, tangents: Any) -> Any:
    posed, x, p, ends, times, weights = primals
    _, x_dot, p_dot, _, _, weights_dot = tangents
    n, n_p = x.size, p.size
    by_x, by_p = pulled(posed.doubled(n, n_p), _joined(x, x_dot), _joined(p, p_dot), ends, times, _joined(weights_dot, weights))
    return (by_x[n:], by_p[n_p:]), (by_x[:n], by_p[:n_p])


@rule(pulled)
def _pulled_backwards(posed: Posed, x: Any, p: Any, ends: Any, times: Any, weights: Any) -> Any:
    def pullback(bars: Any) -> tuple[Any, ...]:
        n, n_p, (d_x, d_p) = x.size, p.size, bars
        by_x, by_p = pulled(
            posed.doubled(n, n_p), _joined(x, d_x), _joined(p, d_p), ends, times, _joined(np.zeros_like(weights), weights)
        )
        change = pushed(posed, x, p, ends, times, d_x.reshape(1, -1), d_p.reshape(1, -1))
        return None, by_x[:n], by_p[:n_p], None, None, change[0]

    return pulled(posed, x, p, ends, times, weights), pullback
