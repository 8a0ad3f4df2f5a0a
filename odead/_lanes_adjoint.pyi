from ._batch import Batch
from ._core import Tape
from ._lanes import Trails

class LanesAdjoint:
    batch: Batch
    trails: Trails
    def __init__(self, batch: Batch, trails: Trails, pulling: Tape, tape: Tape) -> None: ...
