import numpy as np

class Record:
    n: int
    rows: int
    count: int
    stride: int
    kept: int
    budget: float
    interpolated: bool
    n_saved: int
    n_matrix: int
    most_saved: float
    @property
    def bytes_saved(self) -> int: ...
    @property
    def times(self) -> np.ndarray: ...
    @property
    def states(self) -> np.ndarray: ...
    def states_between(self, start: int, stop: int) -> np.ndarray: ...
    @property
    def slopes(self) -> np.ndarray: ...
    def __new__(
        cls, n: int, rows: int, budget: float = ..., n_saved: int = 0, n_matrix: int = 0, most_saved: float = ...
    ) -> Record: ...
