from typing import Any

from ._core import Tape
from ._linearised import Linearised
from ._matrices import Matrix
from ._system import _Find

class Products(Linearised):
    def __init__(self, tape: Tape, n: int, p: Any, find: _Find | None = None, transposed: bool = False) -> None: ...

class Krylov(Matrix):
    products: int
    anywhere: bool

class ByProducts(Krylov):
    def __init__(self, n: int, rows: Any, columns: Any, source: Any, products: Products) -> None: ...

class ByEntries(Krylov):
    def __init__(self, n: int, rows: Any, columns: Any, source: Any, transposed: bool = False) -> None: ...

class ByNeighbour(ByEntries):
    factored: Matrix
    def __init__(
        self, n: int, rows: Any, columns: Any, source: Any, transposed: bool, factored: Matrix, price: float
    ) -> None: ...
