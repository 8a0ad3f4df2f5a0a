from collections.abc import Callable
from typing import Any

import numpy as np

from ._system import Recorded, System
from .ode.tableaus import Tableau

OUTCOMES: tuple[str, ...]

class Method:
    stages: int
    all_stages: int
    def __init__(self, tableau: Tableau) -> None: ...

class Record:
    n: int
    rows: int
    count: int
    stride: int
    kept: int
    budget: float
    interpolated: bool
    @property
    def times(self) -> np.ndarray: ...
    @property
    def states(self) -> np.ndarray: ...
    def states_between(self, start: int, stop: int) -> np.ndarray: ...
    @property
    def slopes(self) -> np.ndarray: ...
    def __new__(cls, n: int, rows: int, budget: float = ...) -> Record: ...

class Explicit:
    system: System
    method: Method
    record: Record | None
    watch: Recorded | None
    flipped: float
    t: float
    h: float
    h_abs: float
    judges: bool
    patience: int
    nsteps: int
    nrejected: int
    delivered: int
    y: np.ndarray
    state: np.ndarray
    divide: Callable[[np.ndarray], None] | None
    def __init__(
        self,
        system: System,
        method: Method,
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
    @property
    def errors(self) -> np.ndarray: ...
    def run(self) -> str: ...
    def at(self, t: float) -> np.ndarray: ...
    def locate(self) -> tuple[float, float]: ...
    def keep_last_step(self) -> None: ...
    def last_step(self) -> tuple[np.ndarray, np.ndarray]: ...
