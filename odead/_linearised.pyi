from typing import Any

import numpy as np

from ._core import Tape
from ._system import Recorded, _Find

class Linearised(Recorded):
    colours: int
    lanes: int
    entries: int
    rows: np.ndarray
    columns: np.ndarray
    source: np.ndarray
    timed: bool
    constant: bool
    def __init__(
        self,
        tape: Tape,
        n: int,
        p: Any,
        seeds: Any,
        rows: Any,
        columns: Any,
        source: Any,
        timed: bool,
        constant: bool,
        directions: Any,
        find: _Find | None = None,
        changes: bool = True,
        n_saved: int = 0,
    ) -> None: ...
