from collections.abc import Callable
from typing import Any

import numpy as np

from ._covector import ByParameters, Covector
from ._krylov import Products
from ._record import Record
from ._steppers import Explicit

class Quadrature:
    covector: Covector
    products: Products
    total: np.ndarray
    def __init__(
        self, covector: Covector, products: ByParameters, loop: Explicit, record: Record, knots: Any, p: Any, rtol: float,
        atol: Any, span: float, parts: int,
    ) -> None: ...  # fmt: skip

class Backwards:
    loop: Explicit
    covector: Covector
    quadrature: Quadrature | None
    begins: float
    ends: float
    nsteps: int
    njev: int
    nlu: int
    arriving: np.ndarray
    jump: Callable[[int, np.ndarray], np.ndarray] | None
    error: float
    def __init__(self, loop: Explicit, covector: Covector, quadrature: Quadrature | None, power: float) -> None: ...
    def run(self, t0: float, t1: float, times: Any, cotangents: Any) -> str: ...
