import numpy as np

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
