"""Copy forwarding: readers of a copy read its source, as long as the source has not changed."""

from ...ops import TABLE
from ...tape import Program, Role
from ...views import View, overlap
from .compose import compose
from .elements import Stamps
from .facts import rewritten, select, updates_in_place, write_counts, written_once

__all__ = ["copies"]


def copies(program: Program) -> Program:
    """Replace operands that a `copy` has filled by views of what it copied; the copies may then be dead.

    Serves loads (`copy %t <- x[3]`), fills, vector temporaries read in parts, and stores that are read back.
    """
    return _Forwarding(program).run()


class _Forwarding:
    def __init__(self, program: Program) -> None:
        counts = write_counts(program)
        self.program = program
        self.once = written_once(program, counts)
        self.origin = [-1] * len(program.buffers)  # the copy that fills a temporary which is written once
        self.stamps: list[Stamps | None] = [
            Stamps(buffer.size) if counts[b] and not self.once[b] else None for b, buffer in enumerate(program.buffers)
        ]
        self.split = len(program) if program.split is None else program.split
        self.late = {out.buffer for out in program.out[self.split :] if out is not None}
        self.ins = list(program.ins)

    def run(self) -> Program:
        program, kept, changed = self.program, [], False
        filled = [stamps is not None for stamps in self.stamps]  # whether a copy may have filled some of the buffer
        for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True)):
            operands = ins
            for view in ins:
                if filled[view.buffer]:
                    operands = self.operands(k, op, out, ins)
                    break
            if operands is not ins and operands != ins:
                self.ins[k] = operands
                changed = True
            if op == "copy" and operands[0] == out:
                continue
            kept.append(k)
            if out is not None:
                stamps = self.stamps[out.buffer]
                if stamps is not None:
                    stamps.stamp(out, k)
                elif op == "copy":
                    self.origin[out.buffer] = k
                    filled[out.buffer] = True
        if not changed and len(kept) == len(program):
            return program
        return select(rewritten(program, ins=self.ins), kept)

    def operands(self, k: int, op: str, out: View | None, ins: tuple[View, ...]) -> tuple[View, ...]:
        operands = tuple([self.forwarded(view, k, op, out) for view in ins])
        return (ins[0], *operands[1:]) if updates_in_place(op) else operands

    def forwarded(self, view: View, k: int, op: str, out: View | None) -> View:
        """What instruction k may read instead of `view`."""
        stamps = self.stamps[view.buffer]
        w = self.origin[view.buffer] if stamps is None else stamps.common(view)
        if w < 0 or self.program.op[w] != "copy":
            return view
        place = self.program.out[w]
        assert place is not None
        found = compose(place, self.ins[w][0], view)
        if found is None or not self.holds(found, w, k):
            return view
        if out is not None and out.buffer == found.buffer and overlap(out, found) and not (out == found and op in TABLE):
            return view
        return found

    def holds(self, source: View, w: int, k: int) -> bool:
        """Whether `source` still has the value that the copy at w has read, also when the reverse part runs repeatedly."""
        stamps = self.stamps[source.buffer]
        if stamps is not None and stamps.latest(source) > w:
            return False
        if w >= self.split or k < self.split:
            return True
        role = self.program.buffers[source.buffer].role
        return role is Role.CONSTANT or (role is Role.TEMP and source.buffer not in self.late)
