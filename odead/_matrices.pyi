from typing import Any

import numpy as np

class MassMatrix:
    n: int
    def __init__(self, n: int, rows: Any, columns: Any, entries: Any, values: Any) -> None: ...

class Matrix:
    mass: MassMatrix | None
    n: int
    entries: int
    def __new__(cls, n: int, rows: Any, columns: Any, source: Any, *_: Any) -> Matrix: ...
    def take_mass(self, mass: MassMatrix) -> None: ...
    def solved(self, values: Any, scale: float, b: Any, transposed: bool = False) -> np.ndarray | None: ...

class Dense(Matrix):
    def __init__(self, n: int, rows: Any, columns: Any, source: Any) -> None: ...

class Band(Matrix):
    lower: int
    upper: int
    def __init__(self, n: int, rows: Any, columns: Any, source: Any) -> None: ...

class Sparse(Matrix):
    @property
    def work_to_factor(self) -> int: ...
    def __init__(self, n: int, rows: Any, columns: Any, source: Any, order: Any) -> None: ...
    @staticmethod
    def ordering(n: int, rows: Any, columns: Any) -> np.ndarray: ...
