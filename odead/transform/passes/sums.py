"""Sums: `s = s + a[0]; s = s + a[1]; ...` becomes one sum."""

from typing import Final

from ..._places import chains
from ...tape import Program

__all__ = ["sums"]

_LEAST: Final = 16  # terms: below, the additions take less time than a sum, and stencils keep the rounding of their NumPy form


def sums(program: Program) -> Program:
    """Replace chains of additions of elements at regular distances by a sum, which may round differently.

    A sum is free to add in any order, pairwise for accuracy or in lanes for speed, so its last bits may differ from those of
    the loop. Of all passes this is true only here and of the sums in `accumulations`.
    """
    found = chains(program, _LEAST)
    if not found:
        return program
    new = program.empty_like()
    for k, instruction in enumerate(program):
        if k == program.split:
            new.split = len(new)
        chain = found.get(k)
        if chain is not None:
            total = new.temp(program.dtype(chain.first), chain.first.shape)
            new.emit("sum", total, (chain.terms,), None, instruction.line)
            instruction = instruction._replace(ins=(chain.start, total))
        new.append(instruction)
    if program.split == len(program):
        new.split = len(new)
    return new
