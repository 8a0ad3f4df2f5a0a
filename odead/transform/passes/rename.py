"""Renaming: storage whose content is wholly replaced holds independent values, and each gets a buffer of its own."""

from ..._places import Values, renamed, values_of
from ...tape import Program
from .facts import rewritten

__all__ = ["rename"]


def rename(program: Program) -> Program:
    """Give each independent value of an argument or a temporary its own temporary.

    A buffer begins a new value at a position where none of its elements is needed any more, be it that one instruction
    overwrites them all or that pieces do so before any is read. An argument used as scratch gives the same program as an
    explicit scratch array. The value with which an argument is entered and the one with which it is left stay in it.
    """
    values, touching = values_of(program)
    if not any(tracked.is_split for tracked in values.values()):
        return program
    new = rewritten(program, out=list(program.out), ins=list(program.ins))
    names = {b: _names(tracked, new, b) for b, tracked in values.items() if tracked.is_split}

    renamed(new.out, new.ins, names, touching)
    return new


def _names(values: Values, program: Program, buffer: int) -> list[int]:
    """The buffer of each value."""
    dtype = program.buffers[buffer].dtype
    inner = [program.temp(dtype, (values.size,)).buffer for _ in range(values.number - values.entered)]
    return [buffer, *inner, buffer] if values.entered else [buffer, *inner]
