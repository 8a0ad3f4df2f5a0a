from collections.abc import Callable

import numpy as np

from ._adjoint import Adjoint
from ._bdf import Formulas
from ._krylov import ByNeighbour, Krylov
from ._linearised import Linearised
from ._matrices import Matrix
from ._record import Record
from ._system import Cotangents, System

class BackwardAdjoint(Adjoint):
    linearised: Linearised
    matrix: Matrix
    krylov: Krylov | None
    stalled: bool
    neighbour: ByNeighbour | None
    njev: int
    nlu: int
    divide_transposed: Callable[[np.ndarray], None] | None
    def __init__(
        self,
        method: Formulas,
        record: Record,
        system: System,
        linearised: Linearised,
        matrix: Matrix,
        cotangents: Cotangents,
    ) -> None: ...
