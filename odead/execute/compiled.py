"""Programs at compiled speed: the only importer of `_core` and `_signature`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

import numpy as np

from .._core import BUSY, OPCODES, Code, Tape
from .._signature import Signature, disjoint
from ..rules.pullbacks import Store, kept_in
from ..tape import Program
from .fusion import TILE
from .lowering import lower

__all__ = ["Executable", "Part", "Signature", "disjoint"]

Part = Literal["all", "forward", "reverse"]

_PARTS: Final[dict[str, int]] = {"all": 0, "forward": 1, "reverse": 2}  # `Part` in _core.pxd


class Executable:
    """A program that runs.

    Several threads may run one executable with `part="all"`; each gets storage of its own. The two parts of a split program
    share storage from one call to the next, so a thread that runs them needs its own `clone`.

    Parameters
    ----------
    program : Program
        Must pass `verify`.
    tile : int, optional
        Elements of an operand in a tile of a block of instructions; see `fusion`.
    in_parts : bool
        Whether the parts of a split program can run apart. If not, they are woven into each other: the reverse sweep then finds
        in the cache what the forward sweep has computed.
    settles : bool
        Whether the part before the split fills what stays as it is during a solve (`transform.hoist`).
    leaves : callable, optional
        Asked after a whole run during which a flag of the processor was raised, at the values of its arrays at entry: whether
        the run left the domain of an operation that raises in Python. If so, `run` leaves the arrays as they were.
    always_asks : bool
        Whether to ask after each run.
    """

    __slots__ = ("_apart", "_in_parts", "_pullbacks", "_spare", "_tape", "program")

    def __init__(
        self,
        program: Program,
        tile: int = TILE,
        *,
        in_parts: bool = False,
        settles: bool = False,
        leaves: Callable[[Sequence[Any]], bool] | None = None,
        always_asks: bool = False,
    ) -> None:
        lowered = lower(program, OPCODES, tile, in_parts=in_parts or settles)
        self.program = program
        self._in_parts = in_parts or settles
        self._apart: Executable | None = None  # the same program in parts, once asked for
        code = Code(
            lowered.rows,
            lowered.words,
            lowered.split,
            lowered.slots,
            lowered.arena_size,
            lowered.constants,
            lowered.captured,
            lowered.names,
            lowered.is_long,
            lowered.calls,
        )
        code.settles = settles
        code.leaves, code.always_asks = leaves, always_asks
        self._tape = Tape(code)
        # Of the calls that a rule serves; None where there are none.
        self._pullbacks: Store | None = {} if program.split is not None and "call" in program.op else None
        self._spare: list[Tape] = []  # for threads that find the tape busy

    def run(self, arrays: Sequence[np.ndarray | float], part: Part = "all", *, asks: bool = True) -> int:
        """Run the program, or the part before or after `split`.

        Parameters
        ----------
        arrays : sequence of array or float
            In the order `program.arguments + program.results`, of the dtype and shape of the buffers and not overlapping;
            numbers for 0-d arguments. Arguments are updated in place, results are filled.
        part : {"all", "forward", "reverse"}
            "reverse" starts from what the last "forward" (or "all") left, and may be repeated. The parts need `in_parts`.
        asks : bool
            Whether to ask `leaves`.

        Returns
        -------
        int
            -1, or the position of the first guard that failed (or of the first `take` or `put` with an index that is out of
            bounds, or of the last instruction after a run that left a domain); then no bound array has been changed.

        Raises
        ------
        TypeError, ValueError
            For arrays of another number, dtype or size, or read-only ones that the program writes.
        """
        if part != "all" and not self._in_parts:
            raise RuntimeError(f"{self.program.name}: its parts are woven into each other; run those of `apart`")
        if self._pullbacks is None:
            status = self._tape.run(arrays, _PARTS[part], asks)
        else:
            with kept_in(self._pullbacks):
                status = self._tape.run(arrays, _PARTS[part], asks)
        return status if status != BUSY else self._run_beside(arrays, part, asks)

    def _run_beside(self, arrays: Sequence[np.ndarray | float], part: Part, asks: bool) -> int:
        """Run on another tape while the first one is busy in another thread."""
        if part != "all":
            raise RuntimeError(f"{self.program.name}: another thread is running; run the parts of a program on a clone")
        try:
            tape = self._spare.pop()
        except IndexError:
            tape = self._tape.clone()
        try:
            with kept_in({}):
                return tape.run(arrays, _PARTS[part], asks)
        finally:
            self._spare.append(tape)

    @property
    def tape(self) -> Tape:
        """What runs, for compiled loops to clone."""
        return self._tape

    def clone(self, frozen: bool = False) -> Executable:
        """Return an executable of the same code with storage of its own; frozen, with what captured arrays hold now."""
        return self._with(self._tape.clone(frozen))

    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> Executable:
        """Return a clone that captures other arrays, of the same kind, in place of some: pairs of old and new."""
        return self._with(self._tape.seeing(others))

    def _with(self, tape: Tape) -> Executable:
        twin = object.__new__(Executable)
        twin.program = self.program
        twin._in_parts, twin._apart = self._in_parts, self._apart
        twin._tape = tape
        twin._spare = []
        twin._pullbacks = None if self._pullbacks is None else {}
        return twin

    def apart(self) -> Executable:
        """Return an executable whose parts run apart, with storage of its own and what captured arrays hold now."""
        if self._apart is None:
            self._apart = Executable(self.program, in_parts=True)
        return self._apart.clone(frozen=True)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(Executable, in_parts=self._in_parts), (self.program,)

    def __repr__(self) -> str:
        return f"<Executable of {self.program!r}>"
