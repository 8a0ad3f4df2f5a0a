from typing import Final

import numpy as np

from ._adjoint import Adjoint
from ._core import Tape
from ._steppers import Explicit
from ._system import Recorded

STATES: Final[dict[str, int]]

class Members:
    count: int
    x0: np.ndarray
    p: np.ndarray
    out: np.ndarray
    y: np.ndarray
    cotangents: np.ndarray
    loss: np.ndarray
    by_p: np.ndarray
    by_x0: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    states: np.ndarray
    def __init__(self, x0: np.ndarray, p: np.ndarray, times: int, blocks: int, with_loss: bool) -> None: ...

class Start:
    def __init__(self, n: int, n_p: int) -> None: ...

class StartWithProbes(Start):
    def __init__(
        self,
        n: int,
        n_p: int,
        signs_p: np.ndarray | None,
        signs_x0: np.ndarray | None,
        group: np.ndarray | None,
        systems: list[Recorded],
    ) -> None: ...

class StartWithColumns(Start):
    def __init__(self, n: int, n_p: int, with_p: bool, with_x0: bool, atol: np.ndarray, share: float) -> None: ...

class Runner:
    error: BaseException | None
    def run(self, members: Members, times: np.ndarray, t0: float, t1: float, first: int) -> int: ...

class Batch(Runner):
    loop: Explicit
    adjoint: Adjoint | None
    one_by_one: bool
    @property
    def is_light(self) -> bool: ...
    def __init__(
        self,
        loop: Explicit,
        start: Start,
        times: int,
        systems: list[tuple[Recorded, bool]],
        adjoint: Adjoint | None = None,
        loss: Tape | None = None,
    ) -> None: ...
