from ._batch import Batch
from ._core import Tape

class Trails:
    members: int
    n: int
    stages: int
    def __new__(cls, members: int, n: int, stages: int, budget: float) -> Trails: ...

class Crew:
    batch: Batch
    trails: Trails | None

class Lanes(Crew):
    def __init__(self, batch: Batch, tape: Tape, trails: Trails | None = None) -> None: ...
