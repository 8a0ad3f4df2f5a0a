"""The methods of the compiled loop, one file each."""

from typing import Final

from ..tableaus import Tableau
from .dop853 import DOP853
from .rk23 import RK23
from .rk45 import RK45
from .tsit5 import TSIT5

__all__ = ["EXPLICIT"]

EXPLICIT: Final[dict[str, Tableau]] = {tableau.name: tableau for tableau in (RK23, RK45, DOP853, TSIT5)}
