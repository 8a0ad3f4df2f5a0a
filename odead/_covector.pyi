from typing import Any

from ._core import Tape
from ._curve import Curve
from ._krylov import Products
from ._linearised import Linearised
from ._system import Recorded, System, _Find

class ByParameters(Products):
    def __init__(self, tape: Tape, n: int, p: Any, find: _Find | None = None) -> None: ...

class ChangeInTime(Recorded):
    def __init__(self, tape: Tape, n: int, p: Any, find: _Find | None = None) -> None: ...

class Covector(System):
    curve: Curve
    products: Products
    def __init__(self, curve: Curve, products: Products, sign: float) -> None: ...

class MovingProducts(Products):
    def __init__(self, covector: Covector, tape: Tape, p: Any, find: _Find | None = None) -> None: ...

class LinearisedCovector(Linearised):
    covector: Covector
    of: Linearised
    change: ChangeInTime | None
    def __init__(self, covector: Covector, of: Linearised, order: Any, change: ChangeInTime | None = None) -> None: ...
