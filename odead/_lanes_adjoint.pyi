from ._batch import Batch
from ._core import Tape
from ._lanes import Crew, Trails

class LanesAdjoint(Crew):
    def __init__(self, batch: Batch, trails: Trails, pulling: Tape, tape: Tape) -> None: ...
