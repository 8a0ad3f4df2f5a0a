from typing import Any

import numpy as np

from ._adjoint import Adjoint
from ._core import Tape
from ._implicit import ImplicitMethod, Step
from ._linearised import Linearised
from ._matrices import Matrix
from ._record import Record
from ._system import Cotangents, Recorded, System, _Find
from .ode.methods.rosenbrock import RosenbrockTableau

class RosenbrockMethod(ImplicitMethod):
    @property
    def weights_of_time(self) -> np.ndarray: ...
    def __init__(self, tableau: RosenbrockTableau) -> None: ...

class RosenbrockStep(Step):
    def __init__(self, system: System, method: RosenbrockMethod, linearised: Linearised, matrix: Matrix) -> None: ...

class StepCotangents(Recorded):
    def __init__(
        self,
        tape: Tape,
        n: int,
        cotangents: Cotangents,
        weights: Any,
        timed: bool,
        find: _Find | None = None,
        groups: tuple[Any, Any, Any, Any] | None = None,
    ) -> None: ...

class RosenbrockAdjoint(Adjoint):
    step: RosenbrockStep
    joint: StepCotangents
    def __init__(self, step: RosenbrockStep, record: Record, cotangents: Cotangents, joint: StepCotangents) -> None: ...
