"""Sums: `s = s + a[0]; s = s + a[1]; ...` becomes one sum."""

from dataclasses import dataclass

from ..._places import longest_chain
from ...tape import Program
from ...views import View
from .facts import is_whole, write_counts, written_once

__all__ = ["sums"]

_LEAST = 16  # terms: below, the additions take less time than a sum, and stencils keep the rounding of their NumPy form


@dataclass
class _Chain:
    """Additions, each of which takes the result of the one before and an element that lies `step` further on."""

    start: View  # what the first element is added to
    first: View
    last: View
    step: int | None = None
    count: int = 1

    def extended(self, term: View) -> bool:
        """Take one more element, if it continues."""
        if self.count == 1 and not _alike(term, self.first):  # then the first was the left operand
            self.start, self.first, self.last = self.first, self.start, self.start
        if not _alike(term, self.last):
            return False
        step = term.offset - self.last.offset
        if self.step not in (None, step):
            return False
        self.step, self.last, self.count = step, term, self.count + 1
        return True

    @property
    def terms(self) -> View:
        assert self.step is not None
        return self.first._replace(shape=(*self.first.shape, self.count), strides=(*self.first.strides, self.step))


def _alike(a: View, b: View) -> bool:
    return (a.buffer, a.shape, a.strides) == (b.buffer, b.shape, b.strides)


def sums(program: Program) -> Program:
    """Replace chains of additions of elements at regular distances by a sum, which may round differently.

    A sum is free to add in any order, pairwise for accuracy or in lanes for speed, so its last bits may differ from those of
    the loop. This is the only pass of which that is true.
    """
    if longest_chain(program) < _LEAST:
        return program
    chains = {k: chain for k, chain in _chains(program).items() if chain.count >= _LEAST}
    if not chains:
        return program
    new = program.empty_like()
    for k, instruction in enumerate(program):
        if k == program.split:
            new.split = len(new)
        chain = chains.get(k)
        if chain is not None:
            total = new.temp(program.dtype(chain.first), chain.first.shape)
            new.emit("sum", total, (chain.terms,), None, instruction.line)
            instruction = instruction._replace(ins=(chain.start, total))
        new.append(instruction)
    if program.split == len(program):
        new.split = len(new)
    return new


def _chains(program: Program) -> dict[int, _Chain]:
    """The chains, by their last instruction; nothing that they read changes meanwhile."""
    counts = write_counts(program)
    once = written_once(program, counts)
    stable = [single or not count for single, count in zip(once, counts, strict=True)]
    reads = [0] * len(program.buffers)
    for ins in program.ins:
        for view in ins:
            reads[view.buffer] += 1
    chains: dict[int, _Chain] = {}
    ends: dict[View, int] = {}  # partial sums that nothing else reads -> the instruction that gives them
    for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True)):
        if k == program.split:
            ends.clear()
        if op != "add" or out is None or not all(stable[view.buffer] for view in ins):
            continue
        chains[k] = _continued(chains, ends, ins) or _Chain(ins[0], ins[1], ins[1])
        if once[out.buffer] and reads[out.buffer] == 1 and is_whole(program, out):
            ends[out] = k
    return chains


def _continued(chains: dict[int, _Chain], ends: dict[View, int], ins: tuple[View, ...]) -> _Chain | None:
    """The chain that an addition continues, removed from where it ended so far."""
    for partial, term in (ins, ins[::-1]):
        end = ends.get(partial)
        if end is not None and chains[end].extended(term):
            return chains.pop(end)
    return None
