"""Forward sensitivities: the states and their derivatives, integrated as one system.

With columns S = dx/d(p, x0, t0), each column obeys s' = J s + f_p e. Right-hand side and columns come from one run of the
tangent program with as many lanes as columns.

The Jacobian of this system has J along its diagonal and, below the first J, how J s + f_p e changes with x: the derivative
of J in the direction (s, e), on the pattern of J. Leaving it out is common, and costly: SciPy's BDF then took 65 000 steps for
the sensitivities of Robertson's problem, with it 416 (Radau 1325 and 241, LSODA 947 and 545), because the corrections of the
columns grow when those of the states arrive, which looks like divergence.
"""

from functools import partial
from typing import Final, NamedTuple

import numpy as np

from ..engines.engine import System
from ..methods import MULTISTEP
from ..problem.problem import Problem
from ..rhs.jacobian import Jacobian
from ..rhs.mass import dense
from ..rhs.systems import tangents

__all__ = [
    "SHARES", "Columns", "augmented", "column_atol", "columns_for", "directions", "in_proportion", "share_of", "split",
]  # fmt: skip

# Of the tolerances, the part for a solve with derivatives, 1 for other methods. Multistep methods let the local errors of many
# steps add up: at 1 the sensitivities of Robertson's problem (790 steps at rtol 1e-9) were off by 74 tolerances. RK23 takes
# hundreds of steps, whose errors add up: its states alone were off by 47 tolerances, derivatives by 134 at 0.5, by 94 at 0.15.
# Kvaerno5 leaves more of an error than its estimate says: 71 tolerances after 20 periods.
SHARES: Final = {"BDF": 0.5, "RK23": 0.06, "Kvaerno5": 0.5}
# The local errors of a multistep method of order q add up to tol**(q / (q + 1)): more and more tolerances, the finer they are,
# where those of the other methods stay in proportion, as they go on with a better solution than their estimate is for (L. F.
# Shampine, Tolerance proportionality in ODE codes, Lecture Notes in Mathematics 1386, 1989). So finer tolerances than the usual
# ones are taken to the power 1 + 1/q. Over the kinks of long oscillations gradients were off by 15 tolerances at 1e-6 and by 77
# at 1e-9, as of q = 3.2; now it is 20.
USUAL: Final = 1e-7
POWER: Final = 1 / 3
# But not to finer ones than this, where rounding is what is left of the local errors: at rtol 1e-12 the solves of
# Lotka-Volterra and a pendulum came to a stand.
FINEST: Final = 3e-12


class Columns(NamedTuple):
    """The derivatives to integrate.

    Attributes
    ----------
    start : array, shape (W, N)
        Their values at t0.
    seeds : array, shape (W, n_p)
        The direction of p that drives each.
    scale : array, shape (W,)
        The size of a change of the variable that matters: it divides the absolute tolerance.
    p, x0, t0 : slice
        Which columns belong to which variable.
    """

    start: np.ndarray
    seeds: np.ndarray
    scale: np.ndarray
    p: slice
    x0: slice
    t0: slice


def in_proportion(method: str, rtol: float, coarser: float = 1.0) -> float:
    """The part of a tolerance that keeps errors in proportion to it, from tolerances so many times as coarse on."""
    return min(1.0, max((rtol / (coarser * USUAL)) ** POWER, FINEST / rtol)) if method in MULTISTEP else 1.0


def share_of(method: str, rtol: float) -> float:
    """The part of the tolerances for a solve with derivatives."""
    return SHARES.get(method, 1.0) * in_proportion(method, rtol)


def columns_for(problem: Problem, wrt: tuple[str, ...]) -> Columns:
    """One column for each parameter, initial value and initial time in `wrt`."""
    size, n, n_p = problem.x0.size, problem.n, problem.p.size
    by_p, by_x0, by_t0 = n_p if "p" in wrt else 0, n if "x0" in wrt else 0, int("t0" in wrt)
    start = np.zeros((by_p + by_x0 + by_t0, size))
    seeds = np.zeros((start.shape[0], n_p))
    scale = np.ones(start.shape[0])
    if by_p:
        seeds[:by_p] = np.eye(n_p)
        scale[:by_p] = np.where(problem.p == 0, 1.0, np.abs(problem.p))
        if problem.dx0_dp is not None:
            start[:by_p] = problem.dx0_dp.T
    if by_x0:
        start[by_p : by_p + n, :n] = np.eye(n)
        if problem.consistent is not None:
            start[by_p : by_p + n] = dense(problem.consistent.by_x)[:, :n].T
        # a start at 0 says nothing about the size that matters
        scale[by_p : by_p + n] = np.maximum(1.0, np.abs(problem.x0[:n]))
    if by_t0:
        start[-1] = problem.start_by_t0 - problem.velocity(problem.x0, problem.t0)  # later by dt is starting at x0 - x' dt
    return Columns(start, seeds, scale, slice(0, by_p), slice(by_p, by_p + by_x0), slice(by_p + by_x0, None))


def directions(problem: Problem, d_x: np.ndarray, d_p: np.ndarray) -> Columns:
    """One column for each of W directions of x0, shape (W, n), and of p, shape (W, n_p)."""
    width, size = len(d_x), problem.x0.size
    relative = [
        np.abs(d_x) / np.maximum(1.0, np.abs(problem.x0[: problem.n])),
        np.abs(d_p) / np.where(problem.p == 0, 1.0, np.abs(problem.p)),
    ]
    sizes = np.concatenate(relative, axis=1).max(axis=1, initial=0.0)
    scale = np.where(sizes > 0, 1.0 / np.where(sizes > 0, sizes, 1.0), 1.0)
    start = np.zeros((width, size))
    start[:, : problem.n] = d_x
    if problem.consistent is not None:
        start = (problem.consistent.by_x @ start.T).T + (0 if problem.dx0_dp is None else d_p @ problem.dx0_dp.T)
    return Columns(start, np.ascontiguousarray(d_p), scale, slice(0, width), slice(width, width), slice(width, None))


def augmented(problem: Problem, columns: Columns) -> System:
    """The system of the states, then each column."""
    size, width = problem.x0.size, columns.start.shape[0]
    rhs, p = problem.rhs, problem.p

    def fun(t: float, z: np.ndarray) -> np.ndarray:
        out = np.empty(z.size)
        rhs.tangents(out[:size], z[:size], p, t, out[size:].reshape(width, size), z[size:].reshape(width, size), columns.seeds)
        return out

    def block_diagonal(t: float, z: np.ndarray) -> Jacobian:
        return rhs.jacobian(z[:size], p, t).block_diagonal(1 + width)

    def jacobian(t: float, z: np.ndarray) -> Jacobian:
        if not width or not rhs.jacobian_changes:  # asked here and not before: it takes long, and the compiled loop never asks
            return block_diagonal(t, z)
        matrix, changes = rhs.jacobian_with_changes(z[:size], p, t, z[size:].reshape(width, size), columns.seeds)
        return matrix.block_arrow(changes)

    start = np.concatenate([problem.x0, columns.start.ravel()])
    at = (problem.x0, p, problem.t0)
    compiled = partial(tangents, rhs, *at, columns.seeds) if width else problem.system().compiled
    linearised = partial(rhs.linearisations.make, *at, columns.seeds)
    return System(
        fun, jacobian, problem.t0, problem.t1, start, not rhs.branches, block_diagonal, compiled, linearised, problem.system(),
        mass=rhs.mass, slopes=problem.slopes_with(columns.start, columns.seeds),
    )  # fmt: skip


def column_atol(problem: Problem, columns: Columns, atol: np.ndarray, sens_atol: np.ndarray | None) -> np.ndarray:
    """Absolute tolerances of the augmented system."""
    states = problem.vector_atol(atol)
    tolerances = states / columns.scale[:, None]
    if sens_atol is not None and not sens_atol.shape:
        tolerances[:] = sens_atol
    elif sens_atol is not None:
        tolerances[columns.p] = sens_atol[: columns.p.stop, None]
    return np.concatenate([states, tolerances.ravel()])


def split(problem: Problem, columns: Columns, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States, shape (N, m), and derivatives, shape (m, N, W), of the augmented solution z."""
    size, width = problem.x0.size, columns.start.shape[0]
    return z[:size], z[size:].reshape(width, size, z.shape[1]).transpose(2, 1, 0)
