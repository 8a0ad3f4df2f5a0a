from collections.abc import Callable
from typing import Any

import numpy as np

def run_pointer(plan: np.ndarray, out: np.ndarray, row: np.ndarray) -> None: ...
def opened(capsule: Any) -> tuple[int, int]: ...

class Calls:
    def __init__(self, specs: tuple[tuple[Callable[..., None], Any, tuple[Any, ...]], ...]) -> None: ...
