from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._record import Record
from ._system import Keys, Recorded, Resetting, System
from .ode.methods.tableaus import Tableau

OUTCOMES: tuple[str, ...]

class Method:
    stages: int
    all_stages: int
    def __init__(self, tableau: Tableau) -> None: ...

class Explicit:
    system: System
    method: Method
    record: Record | None
    watch: Recorded | None
    keys: Keys | None
    kinks: Keys | None
    reach: float
    began: float
    flipped: float
    t: float
    h: float
    h_abs: float
    judges: bool
    patience: int
    nsteps: int
    nrejected: int
    delivered: int
    passed: int
    before: np.ndarray | None
    stop_times: np.ndarray
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
    def reset_at(self, stops: np.ndarray, resets: Sequence[Resetting]) -> None: ...
    def keep_pace(self, ends: np.ndarray, longest: np.ndarray, beyond: np.ndarray) -> None: ...
    @property
    def errors(self) -> np.ndarray: ...
    def run(self) -> str: ...
    def at(self, t: float) -> np.ndarray: ...
    def locate(self) -> tuple[float, float]: ...
    def keep_last_step(self) -> None: ...
    def last_step(self) -> tuple[np.ndarray, np.ndarray]: ...
