"""The sides of the switches of a right-hand side.

One program serves all sides of the switches that are recorded as values: on which side it is, it reads from arrays of keys, and
each side has its own arrays. To record and compile a side of its own for each takes 30 ms where 100 elements switch one after
the other: a second for a solve with 30 of them, which takes 0.1 s this way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..._system import Recorded
from ...derivatives.kernel import Variant
from ...execute.compiled import Executable
from ...transform.passes import optimise
from .frozen import freeze, observe_keys
from .switches import Switches, guards_may_flip

if TYPE_CHECKING:
    from .rhs import CompiledRhs

__all__ = ["Branch", "Sides"]

KEPT: Final = 1024  # sides of one way


@dataclass(frozen=True, eq=False)
class Branch:
    """A right-hand side on one side of its switches.

    Attributes
    ----------
    variant : Variant
        Of the right-hand side with its guards.
    rhs : CompiledRhs
        The same without them: what it is on this side, continued beyond the switches.
    switches : Switches
    """

    variant: Variant
    rhs: "CompiledRhs"
    switches: Switches

    @cached_property
    def may_flip(self) -> bool:
        """Whether a guard may look at something that changes during a solve."""
        return guards_may_flip(self.variant.primal)

    def holds(self, x: np.ndarray, p: np.ndarray, t: float) -> bool:
        """Whether these values are on this side."""
        return self.variant.executable.run([np.empty(x.size), x, *((p,) if p.size else ()), t]) < 0

    def watch(self, p: np.ndarray) -> Recorded:
        """The same test for the compiled loop."""
        return Recorded(self.variant.executable.tape, self.rhs.n, p)


class Sides:
    """The sides of the switches recorded as values, on one way through the branches.

    Parameters
    ----------
    way : Variant
    lines : frozenset of str
        Of the switches.
    continue_, switch : callable
        From this way with the switches frozen, the right-hand side without guards, and the switching functions of the guards.
    """

    def __init__(
        self,
        way: Variant,
        lines: frozenset[str],
        continue_: Callable[[Variant], "CompiledRhs"],
        switch: Callable[[Variant], Switches],
    ) -> None:
        frozen, self._arrays = freeze(way.primal, lines)
        self._observed = Executable(optimise(observe_keys(way.primal, lines)))
        self._frozen = Variant(way.trace, None, None, optimise(frozen), raises=False)
        self._rhs, self._switches = continue_(self._frozen), switch(self._frozen)
        self._known: dict[bytes, Branch] = {}

    def at(self, *values: Any) -> Branch:
        """The side of these values of dx, x, p (unless it is empty) and t."""
        keys = [np.empty_like(array) for array in self._arrays]
        self._observed.run([*values, *keys])
        name = b"".join(key.tobytes() for key in keys)
        if name not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            others = list(zip(self._arrays, keys, strict=True))
            self._known[name] = Branch(self._frozen.seeing(others), self._rhs.seeing(others), self._switches.seeing(others))
        return self._known[name]
