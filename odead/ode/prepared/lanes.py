"""Members of an ensemble side by side, where their right-hand side allows it."""

from typing import Final, NamedTuple

import numpy as np

from ..._batch import Batch
from ..._lanes_batch import WIDTH, LanesBatch
from ..._steppers import Explicit
from ...derivatives.kernel import Kernel
from ...execute.compiled import Executable
from ...transform.lanes import NoLanesError, widen
from ..gradients.discrete import BUDGET
from ..rhs.rhs import CompiledRhs
from ..rhs.systems import kernel_along

__all__ = ["MOST_AT_ONCE", "OnLanes", "on_lanes"]

MOST_AT_ONCE: Final = 256  # members; at the end of each so many lanes run dry, with 64 for an eighth of the time
MOST_NUMBERS: Final = 64  # of a state with its sensitivities; at 40 lanes take 0.8 of the time of members alone, at 120 1.6


class OnLanes(NamedTuple):
    """Programs on lanes.

    Attributes
    ----------
    loop : Executable
        Of what the loop steps.
    cotangents, states : Executable or None
        For an adjoint: of its cotangents, and of the right-hand side.
    """

    loop: Executable
    cotangents: Executable | None = None
    states: Executable | None = None

    def make(self, batch: Batch) -> LanesBatch:
        """Loops for one thread."""
        others = (None if each is None else each.tape for each in (self.cotangents, self.states))
        return LanesBatch(batch, MOST_AT_ONCE, BUDGET, self.loop.tape, *others)


def on_lanes(batch: Batch, rhs: CompiledRhs, blocks: int, directions: np.ndarray | None) -> OnLanes | None:
    """The programs with which a batch runs on lanes; None where that is not possible, or slower.

    Parameters
    ----------
    batch : Batch
    rhs : CompiledRhs
    blocks : int
        Of its state.
    directions : array, shape (blocks - 1, n_p), or None
        Where it has columns of sensitivities: where p moves along each.
    """
    if type(batch.loop) is not Explicit or batch.loop.keys is not None or rhs.n * blocks > MOST_NUMBERS:
        return None
    try:
        if directions is not None:
            loop = _forward(kernel_along(rhs, directions))
        else:
            loop = _forward(rhs.value_kernel if blocks == 1 else rhs.tangent_kernel(blocks - 1))
        if batch.adjoint is None:
            return OnLanes(loop)
        cotangents = Executable(widen(rhs.cotangent_kernel.program, WIDTH))
        return OnLanes(loop, cotangents, loop if blocks == 1 else _forward(rhs.value_kernel))
    except NoLanesError:
        return None


def _forward(kernel: Kernel) -> Executable:
    """Of a program whose part before a split, if it has one, is that which settles."""
    return Executable(widen(kernel.program, WIDTH), settles=kernel.program.split is not None)
