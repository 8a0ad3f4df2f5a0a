from ._batch import Batch, Runner
from ._core import Tape

WIDTH: int

class LanesBatch(Runner):
    batch: Batch
    def __init__(
        self, batch: Batch, members: int, budget: float, tape: Tape, pulling: Tape | None = None, again: Tape | None = None
    ) -> None: ...
