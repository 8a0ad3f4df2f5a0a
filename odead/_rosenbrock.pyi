from typing import Any

import numpy as np

from ._adjoint import Adjoint
from ._core import Tape
from ._linearised import Linearised
from ._matrices import Matrix
from ._steppers import Explicit, Method, Record
from ._system import Cotangents, Recorded, System, _Find
from .ode.rosenbrock import RosenbrockTableau

class RosenbrockMethod(Method):
    @property
    def weights_of_time(self) -> np.ndarray: ...
    def __init__(self, tableau: RosenbrockTableau) -> None: ...

class Step:
    system: System
    linearised: Linearised
    matrix: Matrix
    njev: int
    nlu: int
    def __init__(self, system: System, method: RosenbrockMethod, linearised: Linearised, matrix: Matrix) -> None: ...

class Rosenbrock(Explicit):
    attempted: Step
    def __init__(
        self,
        step: Step,
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

class StepCotangents(Recorded):
    def __init__(
        self, tape: Tape, n: int, cotangents: Cotangents, weights: Any, timed: bool, find: _Find | None = None
    ) -> None: ...

class RosenbrockAdjoint(Adjoint):
    step: Step
    joint: StepCotangents
    def __init__(self, step: Step, record: Record, cotangents: Cotangents, joint: StepCotangents) -> None: ...
