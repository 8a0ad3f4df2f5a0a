"""DOP853: order 8 of Dormand and Prince, with estimates of order 5 and 3 and an interpolant of degree 7.

Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd edition, sections II.5, II.6 and II.10. The
coefficients are read from SciPy's solver, which has them to 30 digits: they cannot differ.
"""

from typing import Any, Final

import numpy as np
from scipy.integrate import DOP853 as _SCIPY

from .tableaus import Tableau

__all__ = ["DOP853"]


def _tableau(method: Any) -> Tableau:
    s = method.n_stages
    a = np.zeros((s + 1, s))
    a[:s] = method.A
    a[s] = method.B
    return Tableau(
        name="DOP853",
        order=8,
        error_order=7,
        c=np.append(method.C, 1.0),
        a=a,
        errors=np.array([method.E5, method.E3]),
        interpolant=_interpolant(method),
        flips=(False, True) * 3 + (False,),
        extra_c=method.C_EXTRA,
        extra_a=method.A_EXTRA[:, :-1],
    )


def _interpolant(method: Any) -> np.ndarray:
    """Weights of the stages in q (F0 + (1-q) (F1 + q (F2 + (1-q) (F3 + ...)))), F as in the reference over h."""
    s = method.n_stages
    difference = np.zeros(method.D.shape[1])
    difference[:s] = method.B
    old, new = np.eye(difference.size)[[0, s]]
    return np.vstack([difference, old - difference, 2 * difference - new - old, method.D]).T


DOP853: Final = _tableau(_SCIPY)
