from typing import Any

from ._adjoint import Adjoint
from ._implicit import ImplicitMethod, Step
from ._krylov import ByNeighbour
from ._linearised import Linearised
from ._matrices import Matrix
from ._record import Record
from ._system import Cotangents, System
from .ode.methods.diagonal import DiagonalTableau

class DiagonalMethod(ImplicitMethod):
    def __init__(self, tableau: DiagonalTableau) -> None: ...

class DiagonalStep(Step):
    states: System
    guards: ByNeighbour | None
    def __init__(
        self,
        system: System,
        states: System,
        linearised: Linearised,
        matrix: Matrix,
        method: DiagonalMethod,
        rtol: float,
        atol: Any,
    ) -> None: ...
    def guard(self, guards: ByNeighbour, rtol: Any, atol: Any) -> None: ...

class DiagonalAdjoint(Adjoint):
    step: DiagonalStep
    neighbour: ByNeighbour | None
    def __init__(self, step: DiagonalStep, record: Record, cotangents: Cotangents) -> None: ...
