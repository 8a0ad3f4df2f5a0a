from collections.abc import Callable
from typing import Any

import numpy as np

from ._krylov import ByNeighbour, Krylov
from ._linearised import Linearised
from ._matrices import Matrix
from ._record import Record
from ._steppers import Explicit, Method
from ._system import System
from .ode.methods.formulas import BackwardFormulas

class Formulas(Method):
    def __init__(self, formulas: BackwardFormulas) -> None: ...

class BDF(Explicit):
    states: System
    linearised: Linearised
    matrix: Matrix
    krylov: Krylov | None
    iterates: bool
    is_together: bool
    guards: ByNeighbour | None
    direct: Callable[[], tuple[Linearised, Matrix]] | None
    njev: int
    nlu: int
    order: int
    slopes: np.ndarray | None
    def __init__(
        self,
        system: System,
        states: System,
        linearised: Linearised,
        matrix: Matrix,
        method: Formulas,
        t0: float,
        t1: float,
        x0: Any,
        rtol: Any,
        atol: Any,
        first_step: float | None,
        max_step: float,
        max_steps: int,
        times: Any,
        record: Record | None = None,
    ) -> None: ...
