"""`steady_state`: where a right-hand side is zero, with derivatives by the implicit function theorem.

Where combinations of the states are conserved (a chemical moiety, a total population), the Jacobian is singular everywhere, and
what is zero is a whole family of states. The solution never leaves the totals of its start, so the steady state meant is the
one with the totals of x0: they replace the equations that are redundant, and x0 enters the derivative.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np
from scipy.optimize import OptimizeResult

from ..derivatives.nested import nest_of
from ..errors import ArgumentValueError, IntegrationError
from .problem.loss import Loss
from .problem.problem import Problem, make_problem

__all__ = ["Equations", "SteadyState", "find", "steady_state"]

ITERATIONS: Final = 50  # of Newton's method
PSEUDO_STEPS: Final = 500  # of the implicit Euler method with growing steps that goes where Newton's method does not
CLOSE: Final = 1e-9  # relative Newton step after which one more ends at round-off, unless the root is multiple
NEGLIGIBLE: Final = 1e-6  # part of the largest state below which a state is not looked at relatively
SMALLEST_DAMPING: Final = 1e-4
SAMPLES: Final = 3  # states at which equations must be redundant to be called so
COMMON_DENOMINATOR: Final = 60
EPSILON: Final = float(np.finfo(float).eps)


class SteadyState(OptimizeResult):
    """A steady state with its derivatives.

    Attributes
    ----------
    x : array, shape (n,)
    sens : array, shape (n, n_p), or None
        dx/dp; columns are p raveled in container order.
    sens_x0 : array, shape (n, n), or None
        dx/dx0: 0 where nothing is conserved.
    loss : float or None
    grad : same structure as p, or None
    grad_x0 : same structure as x0, or None
    conserved : array, shape (k, n)
        Combinations of the states that never change.
    nit, nfev, njev : int
        Steps, and evaluations of the right-hand side and of its Jacobian.
    success : bool
    message : str
    """

    x: np.ndarray
    sens: np.ndarray | None
    sens_x0: np.ndarray | None
    loss: float | None
    grad: Any
    grad_x0: Any
    conserved: np.ndarray
    nit: int
    nfev: int
    njev: int
    success: bool
    message: str


def steady_state(
    rhs: Callable[..., Any],
    x0: Any,
    p: Any,
    *,
    loss: Callable[..., Any] | None = None,
    wrt: str | tuple[str, ...] = "p",
) -> SteadyState:
    """Find a state that does not change, and differentiate it. Differentiable inside functions, to any order.

    Parameters
    ----------
    rhs, x0, p
        As in `sensitivity`; rhs must not depend on t. x0 is a guess. Where combinations of the states are conserved, they keep
        the values they have in x0.
    loss : callable, optional
        ``loss(x)`` or ``loss(x, p)``, one float; x has the structure of x0.
    wrt : "p", "x0", or a tuple of them

    Returns
    -------
    SteadyState

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        An argument does not fit, or rhs depends on t; the message names it.
    IntegrationError
        No steady state was found, or it has no derivative: the Jacobian is singular there.
    """
    wanted = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in wanted:
        if name not in ("p", "x0"):
            raise ArgumentValueError(f'wrt={name!r} is unknown; a steady state depends on "p" and "x0"')
    nest = nest_of(rhs, x0, p)
    if nest is not None:
        from .inside.steady import steady_inside  # it searches by this module

        return steady_inside(nest, rhs, x0, p, loss, wanted)
    problem = make_problem(rhs, x0, p, (0.0, 0.0), None, differentiated=wanted)
    outer = None if loss is None else Loss(loss, problem.x_layout, problem.p_layout, p)
    result, equations, matrix = find(problem)
    _differentiate(problem, equations, matrix, result, outer, wanted)
    return result


def find(problem: Problem) -> "tuple[SteadyState, Equations, np.ndarray]":
    """The steady state without derivatives, the equations that define it, and their Jacobian there, regular."""
    _refuse_time(problem)
    search = _Search(problem, Equations.of(problem))
    result = search.result(search.run(), success=True, message="a steady state was found")
    matrix = search.equations.matrix(problem.jacobian(0.0, result.x).dense())
    _refuse_singular(problem, search.equations, matrix, result)
    return result, search.equations, matrix


def _refuse_time(problem: Problem) -> None:
    program = problem.rhs.program_at(problem.x0, problem.p, 0.0)
    t = program.arguments[-1]
    for number, ins in enumerate(program.ins):
        if any(view.buffer == t for view in ins):
            raise ArgumentValueError(
                f"rhs: {problem.name} depends on t ({program.source(number)}), so that no state is steady; write the "
                f"value that the term settles at"
            )


# ------------------------------------------------------------------------------------------------ equations


@dataclass(frozen=True)
class Equations:
    """As many independent equations as states: ``independent @ f(x) = 0`` and ``conserved @ (x - x0) = 0``."""

    independent: np.ndarray
    conserved: np.ndarray

    @classmethod
    def of(cls, problem: Problem) -> "Equations":
        """Find the combinations of f that are zero at several states, whatever p is.

        Rows and columns are scaled first: rate constants of very different sizes are not redundancies.
        """
        n = problem.x0.size
        by_x = np.hstack([problem.jacobian(0.0, x).dense() for x in _samples(problem.x0)])
        by_p = np.hstack([_by_p(problem, x) for x in _samples(problem.x0)])
        by_x, by_p = (part[:, np.isfinite(part).all(axis=0)] for part in (by_x, by_p))
        rows = np.abs(np.hstack([by_x, by_p])).max(axis=1, initial=0.0)
        rows = 1 / np.where(rows > 0, rows, 1.0)
        left, rank = _left_basis(rows[:, None] * by_x)
        left_p, rank_p = _left_basis(rows[:, None] * np.hstack([by_x, by_p]))
        if rank_p > rank:
            combination = np.abs(left[:, rank:] * rows[:, None]).max(axis=1)
            names = [name for name, w in zip(problem.state_names, combination, strict=True) if w > 1e-6 * combination.max()]
            raise IntegrationError(
                f"the Jacobian of {problem.name} is singular at every state: a combination of {', '.join(names[:5])} is "
                f"conserved or grows at a rate that depends on p alone, and which one depends on p. Such a steady state has no "
                f"derivative here; eliminate one of these states"
            )
        assert left_p.shape == (n, n)
        left = left_p.T * rows
        return cls(left[:rank], _tidy(left[rank:]))

    def values(self, f: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return np.concatenate([self.independent @ f, self.conserved @ shift])

    def matrix(self, jacobian: np.ndarray) -> np.ndarray:
        return np.vstack([self.independent @ jacobian, self.conserved])


def _samples(x0: np.ndarray) -> list[np.ndarray]:
    """States of about the size of x0, of the same signs, without a pattern."""
    size = np.where(x0 == 0, np.abs(x0).max(initial=0.0) or 1.0, x0)
    index = np.arange(1.0, x0.size + 1)
    return [x0 + size * (0.05 + 0.4 * np.abs(np.sin((k + 1) * index**2))) for k in range(SAMPLES)]


def _left_basis(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """Orthonormal columns, the first `rank` of which span those of the matrix."""
    lengths = np.linalg.norm(matrix, axis=0)
    scaled = matrix[:, lengths > 0] / lengths[lengths > 0]
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=True)
    rank = int((sizes > 100 * max(scaled.shape) * EPSILON * sizes.max(initial=0.0)).sum())
    return left, rank


def _tidy(rows: np.ndarray) -> np.ndarray:
    """The same space of rows in reduced form; ratios of small integers, which most are, become exact.

    Their round-off would move the totals.
    """
    rows = rows.copy()
    for k in range(len(rows)):
        below, column = divmod(int(np.argmax(np.abs(rows[k:]))), rows.shape[1])
        rows[[k, k + below]] = rows[[k + below, k]]
        rows[k] /= rows[k, column]
        for other in range(len(rows)):
            if other != k:
                rows[other] -= rows[other, column] * rows[k]
    near = np.round(rows * COMMON_DENOMINATOR) / COMMON_DENOMINATOR
    return np.where(np.abs(rows - near) < 1e-9, near, rows)


def _by_p(problem: Problem, x: np.ndarray) -> np.ndarray:
    """df/dp, shape (n, n_p)."""
    n, n_p = problem.x0.size, problem.p.size
    if not n_p:
        return np.zeros((n, 0))
    tangents = np.zeros((n_p, n))
    problem.rhs.tangents(np.empty(n), x, problem.p, 0.0, tangents, np.zeros((n_p, n)), np.eye(n_p))
    return tangents.T


# --------------------------------------------------------------------------------------------------- search


class _Search:
    """Newton's method with damping from x0; where that gets stuck, the way of the solution in long implicit steps first.

    Reference: P. Deuflhard, Newton Methods for Nonlinear Problems (2004), section 2.1 (natural monotonicity) and 6.4
    (pseudo-transient continuation).
    """

    def __init__(self, problem: Problem, equations: Equations) -> None:
        self.problem = problem
        self.equations = equations
        self.nit = self.nfev = self.njev = 0

    def run(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            x = self._newton(self.problem.x0)
            if x is None:
                last = self._follow(self.problem.x0)
                x = self._newton(last)
                if x is None:
                    self._fail(last)
        return x

    def result(self, x: np.ndarray, *, success: bool, message: str) -> SteadyState:
        fields: dict[str, Any] = dict.fromkeys(("sens", "sens_x0", "loss", "grad", "grad_x0"))
        fields |= {"x": x, "conserved": self.equations.conserved, "success": success, "message": message}
        fields |= {"nit": self.nit, "nfev": self.nfev, "njev": self.njev}
        return SteadyState(**fields)

    def _newton(self, x: np.ndarray) -> np.ndarray | None:
        close = False
        for _ in range(ITERATIONS):
            matrix = self.equations.matrix(self._jacobian(x))
            step = _solve(matrix, -self._values(x))
            if step is None:
                return None
            if close:
                return np.asarray(x + step)
            close = _norm(step, x) < CLOSE
            damping = 1.0
            while not close and not self._is_better(matrix, x, step, damping):
                damping /= 2
                if damping < SMALLEST_DAMPING:
                    return None
            x = x + damping * step
            self.nit += 1
        return None

    def _is_better(self, matrix: np.ndarray, x: np.ndarray, step: np.ndarray, damping: float) -> bool:
        """Whether the next Newton step would be shorter."""
        following = _solve(matrix, -self._values(x + damping * step))
        return following is not None and _norm(following, x) <= (1 - damping / 2) * _norm(step, x)

    def _follow(self, x: np.ndarray) -> np.ndarray:
        """Implicit Euler steps that grow as the slope falls; they keep what is conserved."""
        f = self._slope(x)
        h = 1e-3 / max(_norm(f, x), 1e-300)
        for _ in range(PSEUDO_STEPS):
            step = _solve(np.eye(x.size) / h - self._jacobian(x), f)
            moved = None if step is None else self._slope(x + step)
            if step is None or moved is None or not np.isfinite(moved).all() or _norm(step, x) > 1:
                h /= 4
                continue
            self.nit += 1
            x, f, before = x + step, moved, _norm(f, x)
            if _norm(step, x) < CLOSE and h * before > 1:
                break
            h *= min(10.0, max(1.5, before / max(_norm(f, x), 1e-300)))
        return x

    def _values(self, x: np.ndarray) -> np.ndarray:
        return self.equations.values(self._slope(x), x - self.problem.x0)

    def _slope(self, x: np.ndarray) -> np.ndarray:
        self.nfev += 1
        return self.problem.slope(x, 0.0)

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        self.njev += 1
        return self.problem.jacobian(0.0, x).dense()

    def _fail(self, x: np.ndarray) -> NoReturn:
        names, f = self.problem.state_names, self._slope(x)
        worst = int(np.argmax(np.where(np.isfinite(f), np.abs(f) / _weights(x), np.inf)))
        raise IntegrationError(
            f"no steady state of {self.problem.name} was found after {self.nit} steps from x0: at the last state "
            f"{names[worst]} = {x[worst]:.6g} still changes at the rate {f[worst]:.3g}. Likely cause: there is none, or x0 is "
            f"far from it. Try: as x0 the end of a long odead.solve. exc.result.x is the last state",
            self.result(x, success=False, message="no steady state was found"),
        )


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """The solution; None if there is none or it is not finite."""
    if not np.isfinite(matrix).all():
        return None
    try:
        found = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return None
    return np.asarray(found) if np.isfinite(found).all() else None


def _weights(x: np.ndarray) -> np.ndarray:
    weights: np.ndarray = np.maximum(np.abs(x), NEGLIGIBLE * (np.abs(x).max(initial=0.0) or 1.0))
    return weights


def _norm(step: np.ndarray, x: np.ndarray) -> float:
    """The largest relative change."""
    return float((np.abs(step) / _weights(x)).max(initial=0.0))


# ---------------------------------------------------------------------------------------------- derivatives


def _differentiate(
    problem: Problem, equations: Equations, matrix: np.ndarray, result: SteadyState, loss: Loss | None, wanted: tuple[str, ...]
) -> None:
    """Fill in the derivatives: with the equations G(x, p, x0) = 0 they are -G_x^-1 times those of G."""
    x = result.x
    by_p = by_x = None
    if loss is not None:
        result.loss, by_x, by_p = loss.value_and_gradient(x, problem.p)
    if "p" in wanted:
        moved = np.zeros((x.size, problem.p.size)) if problem.dx0_dp is None else problem.dx0_dp
        right = np.vstack([-equations.independent @ _by_p(problem, x), equations.conserved @ moved])
        result.sens = np.linalg.solve(matrix, right)
        if by_x is not None and by_p is not None:
            result.grad = problem.p_layout.gradient(by_x @ result.sens + by_p)
    if "x0" in wanted:
        right = np.vstack([np.zeros_like(equations.independent), equations.conserved])
        result.sens_x0 = np.linalg.solve(matrix, right)
        if by_x is not None:
            result.grad_x0 = problem.x_layout.gradient(by_x @ result.sens_x0)


def _refuse_singular(problem: Problem, equations: Equations, matrix: np.ndarray, result: SteadyState) -> None:
    """Compare with the size that each equation has elsewhere: a single one at a fold has no other to compare with."""
    x = result.x
    scaled = matrix * _weights(x)
    size = np.abs(scaled).max(axis=1, initial=0.0)
    for other in _samples(x):
        elsewhere = np.abs(equations.matrix(problem.jacobian(0.0, other).dense()) * _weights(other)).max(axis=1, initial=0.0)
        size = np.fmax(size, np.where(np.isfinite(elsewhere), elsewhere, 0.0))
    _, sizes, right = np.linalg.svd(scaled / np.where(size > 0, size, 1.0)[:, None])
    # At a double root Newton's method stops at the square root of the rounding unit, and so does the smallest singular value.
    if sizes[-1] <= 10 * np.sqrt(EPSILON):
        state = problem.state_names[int(np.argmax(np.abs(right[-1])))]
        result.update(success=False, message="the Jacobian is singular at the steady state")
        raise IntegrationError(
            f"the Jacobian of {problem.name} is singular at the steady state found, in a direction with {state}: the state "
            f"is at a bifurcation, or one of a continuum of steady states, and has no derivative. exc.result.x is the state",
            result,
        )
