"""What the reverse sweep must save: values that it needs and that are overwritten in between.

The to-be-recorded analysis: a partial that names `x` needs the operand as it was before the instruction, one that names
`out` the result. Where the memory is not written again before the end, the value is still there and costs nothing.
"""

import numpy as np

from ..tape import Program, Role
from ..views import View

__all__ = ["Overwrites"]


class Overwrites:
    """When each element of each buffer is written for the last time, and which buffers are written once."""

    def __init__(self, program: Program) -> None:
        self._last: dict[int, np.ndarray] = {}
        self._again: set[int] = set()
        self._program = program
        for number, out in enumerate(program.out):
            if out is not None:
                self._note(number, out)

    def _note(self, number: int, out: View) -> None:
        last = self._last.get(out.buffer)
        if last is None:
            last = self._last[out.buffer] = np.full(self._program.buffers[out.buffer].size, -1, dtype=np.int64)
        if out.shape:
            where: int | np.ndarray = out.indices()
            again = bool((last[where] >= 0).any())
        else:  # scalar code has one of these per instruction
            where = out.offset
            again = bool(last[where] >= 0)
        if again:
            self._again.add(out.buffer)
        last[where] = number

    def written_once(self, buffer: int) -> bool:
        """Whether the buffer is a temporary of which no element is written twice."""
        return self._program.buffers[buffer].role is Role.TEMP and buffer not in self._again

    def overwritten_from(self, view: View, number: int) -> bool:
        """Whether instruction `number` or a later one writes into `view`."""
        last = self._last.get(view.buffer)
        if last is None or not view.size:
            return False
        return bool(last[view.offset] >= number) if not view.shape else bool((last[view.indices()] >= number).any())
