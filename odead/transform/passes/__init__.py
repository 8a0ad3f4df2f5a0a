"""The optimising passes, `Program -> Program`, each a file of its name, and the list in which they run."""

from collections.abc import Callable
from typing import Final

from ...tape import Program
from .compact import compact
from .copies import copies
from .cse import cse
from .dce import dce
from .destinations import destinations
from .fold import fold
from .rename import rename
from .roll import roll

__all__ = ["PASSES", "optimise"]

PASSES: Final[tuple[Callable[[Program], Program], ...]] = (
    roll,
    destinations,
    fold,
    copies,
    cse,
    dce,
    rename,
)

_ROUNDS: Final = 16  # a bound; what one pass leaves to another settles in three or four


def optimise(program: Program) -> Program:
    """Run the passes until none changes the program any more, then number its buffers canonically.

    Values are kept bit for bit; exit values of arguments, results and guards, in their order, are what is observed.
    A pass that finds nothing to do returns the program it was given.
    """
    for _ in range(_ROUNDS):
        before = program
        for improve in PASSES:
            program = improve(program)
        if program is before:
            break
    return compact(program)
