from typing import Any

from ._linearised import Linearised
from ._matrices import Matrix
from ._steppers import Explicit, Method, Record
from ._system import System
from .ode.rosenbrock import RosenbrockTableau

__all__: list[str]

class RosenbrockMethod(Method):
    def __init__(self, tableau: RosenbrockTableau) -> None: ...

class Rosenbrock(Explicit):
    linearised: Linearised
    matrix: Matrix
    njev: int
    nlu: int
    def __init__(
        self,
        system: System,
        method: RosenbrockMethod,
        t0: float,
        t1: float,
        x0: Any,
        rtol: Any,
        atol: Any,
        first_step: float | None,
        max_step: float,
        max_steps: int,
        times: Any,
        linearised: Linearised,
        matrix: Matrix,
        record: Record | None = None,
    ) -> None: ...
