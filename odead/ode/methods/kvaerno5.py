"""Kvaerno5: A. Kvaerno, Singly diagonally implicit Runge-Kutta methods with an explicit first stage, BIT 44:489-502 (2004).

Order 5(4), seven stages of order 2, L-stable; both solutions are stiffly accurate: the last two stages are at them.

The interpolant has order 4 and a continuous derivative at the end of a step. Of the polynomials of degree 4 with that, it is
the one whose value stays bounded where a component decays within the step, as the weights b_j(q) then obey
b_1 = sum_{j>1} b_j (A~^-1 a~_1)_j (A~ without its first row and column a~_1), and whose terms of order 5 are the smallest.
"""

from typing import Final

import numpy as np

from .diagonal import DiagonalTableau

__all__ = ["KVAERNO5"]

_GAMMA = 0.26
_A = np.array([
    [0, 0, 0, 0, 0, 0, 0],
    [_GAMMA, _GAMMA, 0, 0, 0, 0, 0],
    [0.13, 0.84033320996790809, _GAMMA, 0, 0, 0, 0],
    [0.22371961478320505, 0.47675532319799699, -0.06470895363112615, _GAMMA, 0, 0, 0],
    [0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998, _GAMMA, 0, 0],
    [0.13855640231268224, 0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, _GAMMA, 0],
    [0.13659751177640291, 0, -0.05496908796538376, -0.04118626728321046, 0.62993304899016403, 0.06962479448202728, _GAMMA],
])  # fmt: skip

KVAERNO5: Final = DiagonalTableau(
    name="Kvaerno5",
    order=5,
    error_order=4,
    gamma=_GAMMA,
    a=_A,
    c=np.array([0, 0.52, 1.230333209967908, 0.8957659843500759, 0.43639360985864756, 1, 1]),
    error=_A[6] - _A[5],
    interpolant=np.array([
        [0.9850417371164862, -2.0707868471370916, 1.7328385300303357, -0.5104959082333274],
        [0.0, 0.0, 0.0, 0.0],
        [-0.09557112347845219, 0.8507155401294804, -1.634594061685139, 0.8244805570687271],
        [-0.5013309908177731, -0.6246667047411727, 2.588581312802823, -1.5037698845270877],
        [0.08019923543421476, 3.250222920437876, -4.221311351217739, 1.520822244335813],
        [-0.11735629451515608, -0.11903073906721313, 0.8686295396080038, -0.5626177115436073],
        [0.6490174362606804, -1.286454169621879, 0.665856030461716, 0.2315807028994823],
    ]),
)  # fmt: skip
