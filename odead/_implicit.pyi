from typing import Any

from ._linearised import Linearised
from ._matrices import Matrix
from ._record import Record
from ._steppers import Explicit, Method
from ._system import System

class ImplicitMethod(Method): ...

class Step:
    system: System
    linearised: Linearised
    matrix: Matrix
    njev: int
    nlu: int
    def __init__(self, system: System, method: ImplicitMethod, linearised: Linearised, matrix: Matrix) -> None: ...

class Implicit(Explicit):
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
