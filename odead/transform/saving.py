"""A reverse program in two halves that run at different times: the values between them are saved.

On the way back over the steps of a solve, the cotangents of a right-hand side need values that the way forth has computed
already, at the same arguments. Where these are dear, as the layers of a network are, the way forth keeps them, and the way back
begins behind them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..structured import STRUCTURED
from ..tape import Program, Role
from ..views import View
from .hoist import early
from .passes.cse import cse

__all__ = ["Saving"]

# The forward half must be worth this many multiplications for each number saved: to write and read a number costs about as much
# as ten multiplications of a matrix product, as long as the cache of the second level holds what is saved.
_WORTH: Final = 12
_SLOW: Final = {"exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan", "pow", "erf"}
_PRICE: Final = 12  # of one of these functions, in multiplications
_FREELY: Final = 40  # worth so much, it is saved into fresh pages of memory, too


@dataclass(frozen=True)
class Saving:
    """What the reverse half of a program needs of the forward half.

    Parameters
    ----------
    program : Program
        A reverse program with its `split`.
    places : dict
        For each temporary that is saved, where it begins.
    size : int
        Numbers saved.
    again : frozenset of int
        The instructions of the forward half that are not worth saving: they depend on fixed arguments alone.
    is_dear : bool
        Whether it costs much more to compute what is saved than to write and read it.
    """

    program: Program
    places: dict[int, int]
    size: int
    again: frozenset[int]
    is_dear: bool

    @staticmethod
    def of(program: Program, fixed: Iterable[int]) -> "Saving | None":
        """What to save of an optimised reverse program; None where it does not pay, or a half cannot run alone."""
        split = program.split
        if split is None or {"call", "guard"} & set(program.op):
            return None
        alone = early(program, fixed)
        again = frozenset(number for number in range(split) if alone[number])
        made = {_result(program, number).buffer for number in range(split) if number not in again}
        read = {view.buffer for ins in program.ins[split:] for view in ins}
        written = {out.buffer for out in program.out[split:] if out is not None}
        saved = sorted(made & read)
        kept_apart = all(program.buffers[b].role is Role.TEMP for b in made) and not made & written
        if not saved or not kept_apart or any(program.buffers[b].dtype != "float64" for b in saved):
            return None
        places, size = {}, 0
        for buffer in saved:
            places[buffer] = size
            size += program.buffers[buffer].size
        work = sum(_work(program, number) for number in range(split) if number not in again)
        return Saving(program, places, size, again, work >= _FREELY * size) if work >= _WORTH * size else None

    def reverse(self) -> Program:
        """The reverse half; its last argument is what was saved."""
        program, split = self.program, self.program.split
        new = program.empty_like()
        saved = new.bound("float64", (self.size,), Role.ARGUMENT, "saved")
        for number, instruction in enumerate(program):
            assert split is not None
            if number >= split or number in self.again:
                ins = tuple(
                    view._replace(buffer=saved.buffer, offset=view.offset + self.places[view.buffer])
                    if view.buffer in self.places
                    else view
                    for view in instruction.ins
                )
                new.append(instruction._replace(ins=ins))
        return new

    def forward(self, primal: Program, arguments: Iterable[tuple[int, int]]) -> Program:
        """A program that does what another one does, and the forward half; its last argument takes what is saved.

        Parameters
        ----------
        primal : Program
        arguments : iterable of (int, int)
            Positions of the same arguments in the reverse program and in `primal`.
        """
        new = primal.empty_like()
        known = {self.program.arguments[here]: new.arguments[there] for here, there in arguments}
        saved = new.bound("float64", (self.size,), Role.ARGUMENT, "saved")

        def moved(view: View) -> View:
            if view.buffer not in known:
                known[view.buffer] = self._copied(new, view.buffer)
            return view._replace(buffer=known[view.buffer])

        assert self.program.split is not None
        for number in range(self.program.split):
            out, ins = moved(_result(self.program, number)), tuple(map(moved, self.program.ins[number]))
            new.emit(self.program.op[number], out, ins, self.program.params[number])
        for instruction in primal:
            new.append(instruction)
        for buffer, start in self.places.items():
            size = self.program.buffers[buffer].size
            place = View(saved.buffer, start, (size,), (1,))
            new.emit("copy", place, (moved(View(buffer, 0, (size,), (1,))),))
        return cse(new)  # while the values of the half are still temporaries: memory of the caller is not shared

    def _copied(self, new: Program, buffer: int) -> int:
        """A buffer of the reverse program, in another one."""
        given = self.program.buffers[buffer]
        if given.role is Role.CAPTURED:
            for number, each in enumerate(new.buffers):
                if each.role is Role.CAPTURED and each.data is given.data:
                    return number
        if given.role is Role.CONSTANT and given.data is not None:
            return new.constant(given.data, given.dtype).buffer
        new.buffers.append(given)
        return len(new.buffers) - 1


def _result(program: Program, number: int) -> View:
    out = program.out[number]
    assert out is not None, "guards have no result"
    return out


def _work(program: Program, number: int) -> int:
    """A rough price of an instruction, in multiplications of a matrix product."""
    op, size = program.op[number], _result(program, number).size
    if op == "matmul":
        return size * program.ins[number][0].shape[-1]
    if op in _SLOW:
        return size * _PRICE
    return size if op not in STRUCTURED else 2 * max(view.size for view in program.ins[number])
