from collections.abc import Callable
from typing import Any

import numpy as np

from ._core import Tape

_Find = Callable[[np.ndarray, float], Tape]

def heed(stop: Callable[[], bool]) -> None: ...

class System:
    n: int
    n_saved: int
    calls: int
    error: BaseException | None
    def start(self) -> None: ...

class Callback(System):
    def __init__(self, fun: Callable[[float, np.ndarray], Any], n: int) -> None: ...

class Recorded(System):
    n_x: int
    n_p: int
    width: int
    branch: int
    flips: int
    def __init__(self, tape: Tape, n: int, p: Any, find: _Find | None = None) -> None: ...
    def begin(self, tape: Tape, p: Any) -> None: ...
    def forbid_others(self) -> None: ...

class Roots(Recorded):
    def __init__(
        self, tape: Tape, n: int, p: Any, signs: Any, find: _Find | None = None, also: Recorded | None = None
    ) -> None: ...
    def along(self, t: np.ndarray, x: np.ndarray) -> np.ndarray | None: ...
    def flip(
        self, t0: float, x0: np.ndarray, t1: float, x1: np.ndarray, which: int, halvings: int
    ) -> list[tuple[float, np.ndarray]] | None: ...

class Keys(Recorded):
    def __init__(self, tape: Tape, n: int, p: Any, m: int) -> None: ...

class Resetting(Recorded):
    def __init__(self, tape: Tape, n: int, p: Any, directions: Any, find: _Find) -> None: ...
    def share_p(self, other: Recorded) -> None: ...

class Tangents(Recorded):
    def __init__(self, tape: Tape, n: int, p: Any, directions: Any, find: _Find | None = None, n_saved: int = 0) -> None: ...
    def move(self, directions: Any) -> None: ...

class Sums:
    runs: int
    size: int
    def __init__(self, tape: Tape, whole: Cotangents, size: int, adds: bool = False) -> None: ...

class Cotangents(Recorded):
    later: Sums | None
    @property
    def p_bar(self) -> np.ndarray: ...
    def __init__(
        self,
        tape: Tape,
        n: int,
        p: Any,
        find: _Find | None = None,
        n_saved: int = 0,
        whole: Cotangents | None = None,
        later: Sums | None = None,
    ) -> None: ...
