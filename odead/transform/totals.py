"""Numbers that are only scattered into an argument are added up over many runs first, and scattered once.

The cotangent of the parameters of regions, as in `p[:9][region]`, adds as many numbers as there are cells to a few, and each
waits for the one before: in the diffusion of 64 x 64 cells that was more than half of the way back. What they are multiplied
with before is the same in all runs. So a run adds them to as many totals, side by side.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..tape import Instruction, Program, Role
from ..views import View, contiguous
from .deferral import only_adds

__all__ = ["Totals"]

_LEAST: Final = 256  # numbers scattered at once


class _Scatter(NamedTuple):
    """What is scattered into the argument.

    Attributes
    ----------
    given : View
        What is added up: all of a temporary that nothing else needs.
    made : int
        The instruction that computes it.
    behind : tuple of int
        What is done to it then, up to the scatter and the sum with the argument.
    """

    given: View
    made: int
    behind: tuple[int, ...]


@dataclass(frozen=True)
class Totals:
    """A program that only adds to one of its arguments, without what it scatters there.

    Parameters
    ----------
    program : Program
        Adds that up in its last argument.
    sums : Program
        Binds what is added to, and these totals; scatters them.
    size : int
        Of them.
    """

    program: Program
    sums: Program
    size: int

    @staticmethod
    def of(program: Program, target: int) -> "Totals | None":
        """Put off what is scattered into argument number `target` of an optimised program.

        None where that is nothing, or where runs may stop at a guard.
        """
        total = program.arguments[target]
        is_simple = only_adds(program, total) and "guard" not in program.op  # nor run again where a guard fails
        found = _scatters(program, total) if is_simple else []
        if not found:
            return None
        size = sum(each.given.size for each in found)
        return Totals(_adding_up(program, found, size), _scattering(program, total, found, size), size)


def _scatters(program: Program, total: int) -> list[_Scatter]:
    uses = Counter(view.buffer for ins in program.ins for view in ins)
    makers: dict[int, list[int]] = {}
    for number, out in enumerate(program.out):
        if out is not None:
            makers.setdefault(out.buffer, []).append(number)
    found = []
    for number, instruction in enumerate(program):
        behind = _sums_behind(program, number, instruction, total, makers, uses)
        if behind is None:
            continue
        given = instruction.ins[1]
        while True:
            made = makers.get(given.buffer, [])
            if len(made) != 1 or uses[given.buffer] != 1 or not _is_all_of_a_temporary(program, given, made[0]):
                break
            operand = _scaled(program, made[0])
            if operand is None:
                found.append(_Scatter(given, made[0], behind))
                break
            given, behind = operand, (made[0], *behind)
    return found


def _sums_behind(
    program: Program, number: int, instruction: Instruction, total: int, makers: dict[int, list[int]], uses: Counter[int]
) -> tuple[int, ...] | None:
    """The instructions of a large scatter of floats into the argument, or into zeros that are then added to it."""
    op, out, ins, _, _ = instruction
    if op != "put_add" or out is None or program.dtype(out) != "float64":
        return None
    if ins[1].size < _LEAST or program.buffers[ins[2].buffer].role is not Role.CONSTANT:
        return None
    if out.buffer == total:
        return (number,)
    made = makers[out.buffer]
    if len(made) != 2 or uses[out.buffer] != 2 or program.op[made[0]] != "copy" or program.out[made[0]] != out:
        return None
    if program.buffers[program.ins[made[0]][0].buffer].role is not Role.CONSTANT:
        return None
    adding = next(k for k, ins in enumerate(program.ins) if k != number and any(view.buffer == out.buffer for view in ins))
    to = program.out[adding]
    if program.op[adding] != "add" or to is None or to.buffer != total or out not in program.ins[adding]:
        return None
    return (made[0], number, adding)


def _is_all_of_a_temporary(program: Program, view: View, made: int) -> bool:
    buffer = program.buffers[view.buffer]
    return buffer.role is Role.TEMP and view.size == buffer.size and program.out[made] is not None and _is_dense(view)


def _is_dense(view: View) -> bool:
    return view.offset == 0 and view.strides == contiguous(view.shape)


def _scaled(program: Program, number: int) -> View | None:
    """The operand of a product with a literal number, if it is another temporary."""
    if program.op[number] != "mul":
        return None
    x, y = program.ins[number]
    if program.buffers[x.buffer].role is not Role.CONSTANT:
        x, y = y, x
    is_literal = program.buffers[x.buffer].role is Role.CONSTANT and program.buffers[x.buffer].size == 1
    return y if is_literal and program.buffers[y.buffer].role is Role.TEMP and _is_dense(y) else None


def _adding_up(program: Program, found: list[_Scatter], size: int) -> Program:
    """The program, with sums in place of the scatters."""
    new = program.empty_like()
    totals = new.bound("float64", (size,), Role.ARGUMENT, "totals")
    places, start = {}, 0
    for each in found:
        shape = _result(program, each.made).shape
        places[each.made] = View(totals.buffer, start, shape, contiguous(shape))
        start += each.given.size
    gone = {number for each in found for number in each.behind}
    for number, instruction in enumerate(program):
        if number == program.split:
            new.split = len(new)
        if number in gone:
            continue
        place = places.get(number)
        if place is None:
            new.append(instruction)
        elif instruction.op == "mul":
            new.emit("muladd", place, (*instruction.ins, place), line=instruction.line)
        else:
            new.append(instruction)
            new.emit("add", place, (place, _result(program, number)), line=instruction.line)
    return new


def _result(program: Program, number: int) -> View:
    out = program.out[number]
    assert out is not None, "a guard computes nothing"
    return out


def _scattering(program: Program, total: int, found: list[_Scatter], size: int) -> Program:
    """The program of what was left out."""
    new = Program(program.name)
    kept = program.buffers[total]
    shape = (kept.size,) if kept.shape is None else kept.shape
    places = {total: (new.bound("float64", shape, Role.ARGUMENT, kept.name).buffer, 0)}
    totals = new.bound("float64", (size,), Role.ARGUMENT, "totals")
    start = 0
    for each in found:
        places[each.given.buffer] = (totals.buffer, start)
        start += each.given.size

    def moved(view: View) -> View:
        buffer = program.buffers[view.buffer]
        if view.buffer not in places:
            if buffer.role is Role.CONSTANT:
                places[view.buffer] = (new.constant(buffer.data, buffer.dtype).buffer, 0)
            else:
                places[view.buffer] = (new.temp(buffer.dtype, (buffer.size,)).buffer, 0)
        at, first = places[view.buffer]
        return view._replace(buffer=at, offset=first + view.offset)

    for each in found:
        for number in each.behind:
            new.emit(program.op[number], moved(_result(program, number)), tuple(map(moved, program.ins[number])))
    return new
