"""The optimising passes, `Program -> Program`, each a file of its name, and the list in which they run."""

from collections.abc import Callable
from typing import Final

from ...tape import Program
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

CLEANING: Final[tuple[Callable[[Program], Program], ...]] = (
    roll,
    destinations,
    fold,
    copies,
    cse,
    dce,
)
"""What makes a program smaller."""

PLACING: Final[tuple[Callable[[Program], Program], ...]] = (
    rename,
    pieces,
    coalesce,
    sums,
)
"""What decides where values live; once nothing rolls any more, for it takes the rows of rolled loops apart."""

_ROUNDS: Final = 16  # a bound; what one pass leaves to another settles in three or four


def optimise(program: Program) -> Program:
    """Run the passes until none changes the program any more, then number its buffers canonically.

    Values are kept bit for bit, except for the rounding of `sums`; exit values of arguments, results and guards, in their
    order, are what is observed. A pass that finds nothing to do returns the program it was given.
    """
    program = _settled(program)
    for _ in range(_ROUNDS):
        placed = _run(PLACING, program)
        if placed is program:
            break
        program = _settled(placed)
    return compact(program)


def _settled(program: Program) -> Program:
    for _ in range(_ROUNDS):
        before = program
        program = _run(CLEANING, program)
        if program is before:
            break
        if len(program.buffers) > 2 * len(program):  # what is left of a long recording
            program = compact(program)
    return program


def _run(passes: tuple[Callable[[Program], Program], ...], program: Program) -> Program:
    for improve in passes:
        program = improve(program)
    return program
