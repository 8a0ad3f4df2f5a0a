from typing import Any

import numpy as np

from ._record import Record
from ._steppers import Method
from ._system import Cotangents, System

class Adjoint:
    method: Method
    record: Record
    system: System
    cotangents: Cotangents
    behind: Cotangents | None
    def __init__(self, method: Method, record: Record, system: System, cotangents: Cotangents) -> None: ...
    def run(self, times: Any, y_bar: Any, begins: int = 0, ends: int = -1, end: Any = None) -> tuple[str, np.ndarray]: ...
