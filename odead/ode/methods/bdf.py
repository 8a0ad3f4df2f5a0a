"""BDF of orders 1 to 5: L. F. Shampine, M. W. Reichelt, The MATLAB ODE suite, SIAM J. Sci. Comput. 18 (1997), as in SciPy."""

from typing import Final

import numpy as np

from .formulas import BackwardFormulas

__all__ = ["BDF"]

BDF: Final = BackwardFormulas(name="BDF", kappa=np.array([0, -0.1850, -1 / 9, -0.0823, -0.0415, 0]))
