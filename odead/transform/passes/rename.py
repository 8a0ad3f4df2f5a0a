"""Renaming: storage whose content is wholly replaced holds independent values, and each gets a buffer of its own."""

from ...tape import Program, Role
from ...views import View
from .elements import Marks
from .facts import rewritten, updates_in_place, write_counts

__all__ = ["rename"]


def rename(program: Program) -> Program:
    """Give each independent value of an argument or a temporary its own temporary.

    A buffer begins a new value at a position where none of its elements is needed any more, be it that one instruction
    overwrites them all or that pieces do so before any is read. An argument used as scratch gives the same program as an
    explicit scratch array. The value with which an argument is entered and the one with which it is left stay in it.
    """
    counts = write_counts(program)
    values = {
        b: _Values(buffer.size, buffer.role)
        for b, buffer in enumerate(program.buffers)
        if counts[b] and buffer.size and (buffer.role is Role.ARGUMENT or (buffer.role is Role.TEMP and counts[b] > 1))
    }
    touching = []  # (position, number of the value written, numbers of the values read), 0 where there is just one
    for k in range(len(program) - 1, -1, -1):
        out, ins = program.out[k], program.ins[k]
        written = values.get(out.buffer) if out is not None else None
        number = 0 if written is None or out is None else written.write(out, updates_in_place(program.op[k]))
        reads = [tracked.read(view) if (tracked := values.get(view.buffer)) is not None else 0 for view in ins]
        if number or any(reads):
            touching.append((k, number, reads))
    if not any(tracked.is_split for tracked in values.values()):
        return program
    new = rewritten(program, out=list(program.out), ins=list(program.ins))
    names = {b: tracked.names(new, b) for b, tracked in values.items() if tracked.is_split}

    def renamed(view: View, number: int) -> View:
        return view._replace(buffer=names[view.buffer][number]) if view.buffer in names else view

    for k, number, reads in touching:
        out = program.out[k]
        new.out[k] = None if out is None else renamed(out, number)
        new.ins[k] = tuple(map(renamed, program.ins[k], reads))
    return new


class _Values:
    """The values that one buffer holds in turn, numbered from the last, found backwards."""

    def __init__(self, size: int, role: Role) -> None:
        self.size = size
        self.is_argument = role is Role.ARGUMENT
        self.live = Marks(size, self.is_argument)
        self.needed = size if self.is_argument else 0
        self.number = 0
        self.begin()

    def begin(self) -> None:
        """Begin an earlier value."""
        self.written = Marks(self.size, False)
        self.missing = self.size
        self.ended = False  # whether the instructions seen so far make up the value, from its first write on

    def write(self, view: View, partly: bool) -> int:
        self.step_back()
        if not partly:
            self.needed -= self.live.clear(view)
            self.missing -= self.written.mark(view)
            self.ended = self.needed == 0 and self.missing == 0
        return self.number

    def read(self, view: View) -> int:
        self.step_back()
        self.needed += self.live.mark(view)
        return self.number

    def step_back(self) -> None:
        if self.ended:
            self.number += 1
            self.begin()

    @property
    def entered(self) -> bool:
        """Whether the first value is that with which an argument is entered."""
        return self.is_argument and self.needed > 0

    @property
    def is_split(self) -> bool:
        return self.number > self.entered

    def names(self, program: Program, buffer: int) -> list[int]:
        """The buffer of each value."""
        old = program.buffers[buffer]
        inner = [program.temp(old.dtype, (old.size,)).buffer for _ in range(self.number - self.entered)]
        return [buffer, *inner, buffer] if self.entered else [buffer, *inner]
