from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

OPCODES: dict[str, int]
BUSY: int

class Code:
    settles: bool
    leaves: Callable[[tuple[Any, ...]], bool] | None
    always_asks: bool

    def __new__(
        cls,
        rows: Any,
        words: Any,
        split: int,
        slots: Any,
        arena_size: int,
        constants: Any,
        captured: tuple[Any, ...],
        names: tuple[str, ...],
        is_long: bool,
        calls: tuple[Any, ...],
    ) -> Code: ...

class Tape:
    def __new__(cls, code: Code) -> Tape: ...
    def clone(self, frozen: bool = False) -> Tape: ...
    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tape: ...
    def run(self, arrays: Sequence[np.ndarray | float], part: int, asks: bool = True) -> int: ...
