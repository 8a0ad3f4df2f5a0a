"""The methods of the compiled loop, one file each."""

from typing import Final

from .bdf import BDF
from .diagonal import DiagonalTableau
from .dop853 import DOP853
from .formulas import BackwardFormulas
from .kvaerno5 import KVAERNO5
from .rk23 import RK23
from .rk45 import RK45
from .rodas5p import RODAS5P
from .rosenbrock import RosenbrockTableau
from .tableaus import Tableau
from .tsit5 import TSIT5

__all__ = ["DIAGONAL", "EXPLICIT", "MULTISTEP", "NATIVE", "ONE_STEP", "ROSENBROCK"]

EXPLICIT: Final[dict[str, Tableau]] = {tableau.name: tableau for tableau in (RK23, RK45, DOP853, TSIT5)}
ROSENBROCK: Final[dict[str, RosenbrockTableau]] = {tableau.name: tableau for tableau in (RODAS5P,)}
DIAGONAL: Final[dict[str, DiagonalTableau]] = {tableau.name: tableau for tableau in (KVAERNO5,)}
ONE_STEP: Final[dict[str, Tableau | RosenbrockTableau | DiagonalTableau]] = {**EXPLICIT, **ROSENBROCK, **DIAGONAL}
MULTISTEP: Final[dict[str, BackwardFormulas]] = {formulas.name: formulas for formulas in (BDF,)}
NATIVE: Final[dict[str, Tableau | RosenbrockTableau | DiagonalTableau | BackwardFormulas]] = {**ONE_STEP, **MULTISTEP}
