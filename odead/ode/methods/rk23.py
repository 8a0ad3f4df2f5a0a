"""RK23: Bogacki and Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2 (1989)."""

from typing import Final

import numpy as np

from .tableaus import Tableau

__all__ = ["RK23"]

RK23: Final = Tableau(
    name="RK23",
    order=3,
    error_order=2,
    c=np.array([0, 1 / 2, 3 / 4, 1]),
    a=np.array([
        [0, 0, 0],
        [1 / 2, 0, 0],
        [0, 3 / 4, 0],
        [2 / 9, 1 / 3, 4 / 9],
    ]),
    errors=np.array([[5 / 72, -1 / 12, -1 / 9, 1 / 8]]),
    interpolant=np.array([  # cubic Hermite
        [1, -4 / 3, 5 / 9],
        [0, 1, -2 / 3],
        [0, 4 / 3, -8 / 9],
        [0, -1, 1],
    ]),
    flips=(False,) * 3,
)  # fmt: skip
