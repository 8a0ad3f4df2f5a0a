"""The optimising passes, `Program -> Program`, each a file of its name, and the list in which they run."""

from collections.abc import Callable
from typing import Final

from ..._passes import loses_rewrites
from ...tape import Program
from .accumulations import accumulations
from .coalesce import coalesce
from .compact import compact
from .copies import copies
from .cse import cse
from .dce import dce
from .destinations import destinations
from .fold import fold
from .pieces import pieces
from .rename import rename
from .roll import roll
from .sums import sums

__all__ = ["CLEANING", "PLACING", "optimise"]

Pass = Callable[[Program], Program]

CLEANING: Final[tuple[Pass, ...]] = (
    roll,
    destinations,
    fold,
    copies,
    cse,
    dce,
)
"""What makes a program smaller."""

PLACING: Final[tuple[Pass, ...]] = (
    rename,
    pieces,
    coalesce,
    sums,
)
"""What decides where values live; once nothing rolls any more, for it takes the rows of rolled loops apart."""

_AT_ONCE: Final = frozenset({cse, dce})
"""Passes that find nothing in what they return."""

_LEAVES: Final[dict[Pass, tuple[Pass, ...]]] = {cse: (copies, fold), dce: (copies, fold, cse)}
"""By pass that only drops instructions: which others find nothing in what it returns, if they had nothing to do before.

That holds as long as all that is dropped are temporaries written once. Where storage that is written again loses a write, more
of it may keep its value long enough to be forwarded, folded or shared. And `fold` compares the operands of `where`, which `cse`
may make equal.
"""

_ROUNDS: Final = 16  # a bound; what one pass leaves to another settles in three or four


def optimise(program: Program) -> Program:
    """Run the passes until none changes the program any more, then number its buffers canonically.

    Values are kept bit for bit, except for the rounding of sums over 16 terms and more; exit values of arguments, results and
    guards, in their order, are what is observed. A pass that finds nothing to do returns the program it was given.
    """
    return compact(_Optimising().placed(accumulations(program)))


class _Optimising:
    """One run of all passes, which calls none on a program that it is known to leave as it is."""

    def __init__(self) -> None:
        self.settled: dict[Pass, Program] = {}  # by pass: what it has nothing to do on

    def placed(self, program: Program) -> Program:
        program = self.cleaned(program)
        for _ in range(_ROUNDS):
            placed = self.run(PLACING, program)
            if placed is program:
                break
            program = self.cleaned(placed)
        return program

    def cleaned(self, program: Program) -> Program:
        for _ in range(_ROUNDS):
            before = program
            program = self.run(CLEANING, program)
            if program is before:
                break
            if len(program.buffers) > 2 * len(program):  # what is left of a long recording
                program = compact(program)
        return program

    def run(self, passes: tuple[Pass, ...], program: Program) -> Program:
        for improve in passes:
            if self.settled.get(improve) is program:
                continue
            improved = improve(program)
            if improved is not program:
                self.carry_over(improve, program, improved)
            if improved is program or improve in _AT_ONCE:
                self.settled[improve] = improved
            program = improved
        return program

    def carry_over(self, improve: Pass, program: Program, improved: Program) -> None:
        """Note who has nothing to do on what `improve` has made of a program on which they had nothing to do."""
        settled = [other for other in _LEAVES.get(improve, ()) if self.settled.get(other) is program]
        if improve is cse and fold in settled and "where" in program.op:
            settled.remove(fold)
        if settled and not loses_rewrites(program, improved):
            self.settled.update(dict.fromkeys(settled, improved))
