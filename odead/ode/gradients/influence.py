"""How much a change of each state matters for a gradient, from a rough solve with a few sensitivities.

An error of lambda_i at t changes the gradient by its product with the sensitivity dx_i/dp at t. Species that only follow others
hardly move with the parameters, whatever the size of their lambda_i: a datum that looks at all 20 species of an air pollution
problem leaves a transient in lambda, which took about 95 steps of Rodas5P to follow, with these weights 40, at the same error
of the gradient (121 data: 61 ms, now 21; by SciPy's BDF 12 s, now 4).
"""

from functools import lru_cache
from typing import Final

import numpy as np

from ...errors import RuleError
from ..engines.engine import AbstractEngine, Controls
from ..problem.problem import Problem
from .forward import augmented, directions, split

__all__ = ["scale_of_adjoint", "signs"]

ROUGH: Final = 1e-3  # relative tolerance: sizes are wanted, no more
# Of the largest influence, what each state is taken to have at least: a rough solve steps over initial layers. Without, some
# gradients of random kinetics by BDF were off by 200 tolerances that are off by less than 50 with it.
UNSEEN: Final = 1e-5


def scale_of_adjoint(
    problem: Problem,
    engine: AbstractEngine,
    controls: Controls,
    times: np.ndarray,
    cotangents: np.ndarray,
    steps: np.ndarray,
    *,
    with_x0: bool,
) -> np.ndarray | None:
    """The change of each lambda_i that may change a gradient by its own size, shape (N,); None: not known.

    The parameters move each by its own size, or all by 1: parts of the gradient that are large in themselves count, and those
    that are large for the size of their parameter.

    Parameters
    ----------
    problem : Problem
    engine : AbstractEngine
    controls : Controls
        Of a solve of the states, with the method to take and one atol per state.
    times : array, shape (m,)
    cotangents : array, shape (N, m)
        dL/dy there.
    steps : array
        More times to look at the sensitivities, ends of steps of the solution.
    with_x0 : bool
        Whether lambda at t0 is wanted too.
    """
    d_x, d_p = _changes(problem, with_x0=with_x0)
    columns = directions(problem, d_x, d_p)
    sign = -1.0 if problem.t1 < problem.t0 else 1.0
    every = sign * np.unique(sign * np.concatenate([times, steps]))
    atol = np.concatenate([controls.atol, (controls.atol / columns.scale[:, None]).ravel()])
    try:
        rough = engine.integrate(
            augmented(problem, columns), controls._replace(rtol=ROUGH, atol=atol, progress=None), every, dense=False
        )
    except RuleError:  # a method that needs derivatives which a rule does not have
        return None
    if rough.failure is not None:
        return None
    _, derivatives = split(problem, columns, np.abs(rough.y))
    largest = derivatives.max(axis=0)
    at_data = derivatives[np.searchsorted(sign * every, sign * times)]
    effect = np.abs(cotangents.T[:, :, None] * at_data).max(axis=(0, 1))
    needed = np.divide(largest, effect, out=np.zeros_like(largest), where=effect > 0).max(axis=1)
    if not needed.any() or not np.isfinite(needed).all():
        return None
    scale: np.ndarray = 1 / np.maximum(needed, needed.max() * UNSEEN)
    return scale


def _changes(problem: Problem, *, with_x0: bool) -> tuple[np.ndarray, np.ndarray]:
    """Directions of x0, shape (W, n), and of p, shape (W, n_p)."""
    n, n_p = problem.n, problem.p.size
    by_p = np.array([np.where(problem.p == 0, 1.0, np.abs(problem.p)), np.ones(n_p)]) * signs(n_p) if n_p else np.zeros((0, 0))
    d_p = np.zeros((len(by_p) + with_x0, n_p))
    d_p[: len(by_p)] = by_p
    d_x = np.zeros((len(d_p), n))
    if with_x0:
        d_x[-1] = signs(n)
    return d_x, d_p


@lru_cache(maxsize=16)
def signs(n: int) -> np.ndarray:
    """A sequence of 1 and -1 without a pattern, not to be written to."""
    return np.where(np.sin(np.arange(1.0, n + 1) ** 2) > 0, 1.0, -1.0)
