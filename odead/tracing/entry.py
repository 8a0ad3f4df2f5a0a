"""What a program reads of a buffer before it has written it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ..tape import Program
from ..views import View

__all__ = ["NEVER", "Entry", "is_output", "is_read", "reads_at_entry"]

NEVER: Final = -2
_INDEXED: Final = {"take": 1, "put": 2, "put_add": 2}  # which operand is the index


class Entry(NamedTuple):
    """How the elements of a buffer are used, (size,) each.

    Attributes
    ----------
    written : ndarray of bool
    line : ndarray of int
        Where what an element holds at entry is first read; NEVER if it is not.
    exposed : bool
        An instruction is given a view that has elements which are not written yet.
    """

    written: np.ndarray
    line: np.ndarray
    exposed: bool


def reads_at_entry(program: Program, buffer: int) -> Entry:
    size = program.buffers[buffer].size
    written, first = np.zeros(size, dtype=bool), np.full(size, NEVER)
    exposed = False
    for op, out, ins, line in zip(program.op, program.out, program.ins, program.line, strict=True):
        for k, view in enumerate(ins):
            if view.buffer == buffer:
                exposed |= not written[view.indices()].all()
                if not (op == "put" and k == 0):
                    places = _touched(program, op, view, ins)
                    fresh = places[~written[places]]
                    first[fresh[first[fresh] == NEVER]] = line
        if out is not None and out.buffer == buffer:
            written[_touched(program, op, out, ins)] = True
    return Entry(written, first, exposed)


def is_output(program: Program, buffer: int) -> bool:
    """Whether all of it is written, and none of it read before."""
    entry = reads_at_entry(program, buffer)
    return bool(entry.written.all()) and not entry.exposed


def is_read(program: Program, buffer: int) -> bool:
    return any(view.buffer == buffer for ins in program.ins for view in ins)


def _touched(program: Program, op: str, view: View, ins: Sequence[View]) -> np.ndarray:
    """Positions in the buffer that an instruction reads or writes through a view."""
    places = view.indices()
    if op in _INDEXED:
        index = ins[_INDEXED[op]]
        data = program.buffers[index.buffer].data
        if data is not None and view.size and view.buffer != index.buffer and len(view.shape) == 1:
            return np.asarray(places[data.reshape(-1)[index.indices()]].reshape(-1))
    return places.reshape(-1)
