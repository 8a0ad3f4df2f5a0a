"""Renaming: storage whose content is wholly replaced holds independent values, and each gets a buffer of its own."""

from ..._places import Values, values_of
from ..._scan import on_buffer
from ...tape import Program
from ...views import View
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

    def renamed(view: View, number: int) -> View:
        return on_buffer(view, names[view.buffer][number]) if view.buffer in names else view

    for k, number, reads in touching:
        out = program.out[k]
        new.out[k] = None if out is None else renamed(out, number)
        new.ins[k] = tuple(map(renamed, program.ins[k], reads))
    return new


def _names(values: Values, program: Program, buffer: int) -> list[int]:
    """The buffer of each value."""
    dtype = program.buffers[buffer].dtype
    inner = [program.temp(dtype, (values.size,)).buffer for _ in range(values.number - values.entered)]
    return [buffer, *inner, buffer] if values.entered else [buffer, *inner]
