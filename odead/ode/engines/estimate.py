"""`sens_error`: an estimate of the relative error of derivatives, from what the step control knows anyway.

A derivative s obeys the same linear equation as a small error of it, so that relative errors made early are about kept while s
grows or decays. So the error of a column after many steps is taken for the sum of the relative local errors,

    error of s_i  =  E (|s_i| + atol_i / rtol),   E = rtol * sum over steps of the norm in the error test,

and the sum over steps of the moduli leaves out that some cancel and that some are damped. The explicit methods go on with the
solution of the higher order, and the norm is the error of the lower one, of order q. With Taylor coefficients of comparable
size the local error of the other is its power (q + 2) / (q + 1), both relative (E. Hairer, S. P. Norsett, G. Wanner, Solving
Ordinary Differential Equations I, section II.4, local extrapolation). Stiff methods may lose that order, and E stays; Radau's
formula of order 5 is so far from the one of order 3 in its test that half of the power for these is taken, 1 + 1/4. On problems
with known gradients, the estimate of Radau was up to 4e5 times too large without.

Two effects are not in it: an error of the states changes the equation of the derivatives, and grows where theirs do not. On the
relaxation oscillations of van der Pol's equation with mu = 100, whose jumps come too early or late by the errors of the slow
parts, it was too small by up to 6, and with BDF by up to 40.

A gradient is a sum of products of dL/dy and the columns. Its estimate adds up the moduli of their errors, and the relative
error of the states, by which dL/dy is wrong. In a discrete adjoint the columns are the probes of the error test; a continuous
one has the errors of both its solves and the tolerance of its quadrature.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ..methods import EXPLICIT

__all__ = ["Group", "accumulated", "error_of_gradient", "norm"]

_TYPICAL: Final = 0.5  # norm of an accepted step, where a stepper does not tell
_RADAU: Final = 0.25  # what the power of its relative local errors has above 1


class Group(NamedTuple):
    """Columns of derivatives and the part of the gradient that they make.

    Attributes
    ----------
    columns : array, shape (m, N, W)
        At the times of the solve.
    floor : array, shape (N, W)
        atol / rtol of each.
    errors : array, shape (W,)
        E of each.
    scale : array, shape (W,)
        By which columns are made comparable: the size of the change of a variable.
    size : float
        Norm of this part of the gradient, so scaled.
    """

    columns: np.ndarray
    floor: np.ndarray
    errors: np.ndarray
    scale: np.ndarray
    size: float


def accumulated(method: str, rtol: np.ndarray | float, nsteps: int, sums: np.ndarray | None) -> np.ndarray:
    """The relative errors E after the steps of a method.

    Parameters
    ----------
    method : str
    rtol : float or array, shape (blocks,)
    nsteps : int
    sums : array, shape (blocks,), or None
        Of the norms of all steps.
    """
    if sums is None:
        sums = np.array([_TYPICAL * nsteps])
    relative = rtol * sums
    if not nsteps or (method not in EXPLICIT and method != "Radau"):
        return relative
    power = 1 / (EXPLICIT[method].error_order + 1) if method in EXPLICIT else _RADAU
    return np.array([e * (e / nsteps) ** power for e in relative.tolist()])  # for one or two, NumPy takes three times as long


def norm(values: np.ndarray) -> float:
    """Euclidean norm; a tenth of the time of NumPy's for a few numbers."""
    return math.sqrt(float(values @ values))


def error_of_gradient(cotangents: np.ndarray, groups: Sequence[Group], of_states: float) -> float:
    """The relative error of the worst group.

    Parameters
    ----------
    cotangents : array, shape (N, m)
        dL/dy at the times of the columns.
    groups : sequence of Group
    of_states : float
        Their relative error.
    """
    moduli = np.abs(cotangents)
    worst = 0.0
    for group in groups:
        sums = (
            moduli.T.ravel() @ np.abs(group.columns).reshape(moduli.size, group.scale.size) + moduli.sum(axis=1) @ group.floor
        )
        error = norm(group.scale * group.errors * sums)
        if error:
            worst = max(worst, error / group.size if group.size else np.inf)
    return worst + of_states
