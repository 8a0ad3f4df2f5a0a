"""Whether a run left the domain of an operation of Python's, which the plain call answers with an exception."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..execute.compiled import Executable
from ..tape import Program
from ..tracing.domains import DOMAINS, WITHOUT_FLAG, leaves_domain
from ..tracing.trace import Trace
from ..transform.passes import optimise
from ..transform.passes.dce import dce

__all__ = ["Domains"]


class Domains:
    """Asked by an executable about a run of which the processor's flags leave doubt; its program is made at the first question.

    Parameters
    ----------
    recorded : Trace
        It has noted operations that may leave their domain.
    """

    def __init__(self, recorded: Trace) -> None:
        self._recorded = recorded
        self._executable: Executable | None = None

    def are_computed(self, primal: Program, derived: Program) -> bool:
        """Whether a run of `derived`, which was derived from `primal`, computes the operations, so that flags tell.

        A derivative may not need the value: that of `math.log` needs only its argument. SciPy's functions raise no flags.
        """
        recorded, noted = self._recorded.program, self._recorded.domains
        needed = dce(recorded)
        computed = {out.buffer: op for op, out in zip(needed.op, needed.out, strict=True) if out is not None}
        if any(computed.get(buffer, "gamma") in WITHOUT_FLAG for buffer in noted):
            return False
        before, after = _elements(primal), _elements(derived)
        return all(after[op] >= count for op, count in before.items())

    def __call__(self, arrays: Sequence[Any]) -> bool:
        """Whether the plain call raises, or goes another way than Python's floats, at these values; arrays are not changed."""
        if self._executable is None:
            self._executable = Executable(optimise(leaves_domain(self._recorded.program, self._recorded.domains)))
        count = len(self._executable.program.arguments)
        return self._executable.run([np.array(x) for x in arrays[:count]]) >= 0


def _elements(program: Program) -> Counter[str]:
    """How many numbers each of the operations that may raise computes."""
    count: Counter[str] = Counter()
    for op, out in zip(program.op, program.out, strict=True):
        if op in DOMAINS and out is not None:
            count[op] += out.size
    return count
