from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from ._batch import Members

def all_finite(vector: np.ndarray) -> bool: ...
def goes_strictly(vector: np.ndarray, sign: float) -> bool: ...
def rows_of(arrays: list[Any]) -> np.ndarray | None: ...
def times_of(given: Any, t0: float, t1: float) -> np.ndarray | None: ...
def are_equal(one: np.ndarray, other: np.ndarray) -> bool: ...
def events_of(result: dict[str, Any], rows: list[list[int]], instants: np.ndarray, before: np.ndarray, n: int) -> None: ...

@final
class LaterEstimate:
    def __call__(self, *args: Any, **kwargs: Any) -> float: ...

def results_of(
    kind: type[Any],
    common: dict[str, Any],
    members: Members,
    times: np.ndarray,
    with_loss: bool,
    gradients: Sequence[tuple[str, np.ndarray, Callable[[np.ndarray], Any] | None]],
    names: Sequence[str] | None,
    estimate: Callable[[int], float] | None,
) -> list[Any]: ...
