"""Lanes: from a program to one that does the same for many sets of values at once.

Every value gets one more axis, the lanes, whose elements lie side by side in memory: an instruction on numbers becomes one on
rows. Constants and captured arrays serve all lanes and stay as they are.

Which axis of a view the lanes are does not change where its elements are. They are the last one of elementwise instructions,
and the first of structured ones, which do the same for all their leading axes.
"""

from collections.abc import Callable
from typing import Final

from ..ops import TABLE
from ..tape import Instruction, Program, Role
from ..views import View

__all__ = ["NoLanesError", "widen"]

_LONGEST_CHAIN: Final = 32  # multiplications and additions for an element of a product of matrices; BLAS is better at more


class NoLanesError(Exception):
    """An instruction has no form for lanes, or one that gains nothing. For this package only."""


def widen(program: Program, lanes: int) -> Program:
    """Make a program that works on lanes.

    Parameters
    ----------
    program : Program
        Also a derived one: its `split` is kept.
    lanes : int

    Returns
    -------
    Program
        The arguments and results of `program`, each with the lanes as an additional last axis.

    Raises
    ------
    NoLanesError
        The program branches, calls Python, or does linear algebra with more than small products.
    """
    return _Widening(program, lanes).run()


class _Widening:
    def __init__(self, program: Program, lanes: int) -> None:
        self.program, self.lanes = program, lanes
        self.new = new = program.empty_like()
        for number, buffer in enumerate(program.buffers):
            if buffer.role not in (Role.CONSTANT, Role.CAPTURED):
                shape = None if buffer.shape is None else (*buffer.shape, lanes)
                new.buffers[number] = buffer._replace(size=buffer.size * lanes, shape=shape)

    def run(self) -> Program:
        for number, instruction in enumerate(self.program):
            if number == self.program.split:
                self.new.split = len(self.new)
            op, out, ins, params, line = instruction
            if op in TABLE and out is not None:
                self.new.emit(op, self.last(out), tuple(map(self.last, ins)), params, line)
            elif op in _STRUCTURED and out is not None:
                _STRUCTURED[op](self, instruction, out)
            else:
                raise NoLanesError(f"{op} at {self.program.source(number)}")
        if self.program.split == len(self.program):
            self.new.split = len(self.new)
        return self.new

    # ------------------------------------------------------------------------------------------------ views

    def is_wide(self, view: View) -> bool:
        """Whether each lane has its own."""
        return self.program.buffers[view.buffer].role not in (Role.CONSTANT, Role.CAPTURED)

    def last(self, view: View) -> View:
        """A view with the lanes as its last axis."""
        scale = self.lanes if self.is_wide(view) else 1
        strides = (*(s * scale for s in view.strides), int(self.is_wide(view)))
        return View(view.buffer, view.offset * scale, (*view.shape, self.lanes), strides)

    def first(self, view: View) -> View:
        """A view with the lanes as its first axis."""
        turned = self.last(view)
        return turned._replace(shape=(turned.shape[-1], *turned.shape[:-1]), strides=(turned.strides[-1], *turned.strides[:-1]))

    # ------------------------------------------------------------------------------------------------ structured

    def batch(self, instruction: Instruction, out: View) -> None:
        """One more leading axis."""
        if self.program.dtype(out) == "bool":  # for which there is no kernel
            raise NoLanesError(f"{instruction.op} of bools")
        ins = tuple(map(self.first, instruction.ins))
        self.new.append(instruction._replace(out=self.first(out), ins=ins))

    def take(self, instruction: Instruction, out: View) -> None:
        x, index = instruction.ins
        if not self.is_wide(index):
            self.new.append(instruction._replace(out=self.first(out), ins=(self.first(x), index)))
            return
        # Each lane has its own index: the lanes and all axes of the index but its last one become rows.
        if not index.shape:
            index, out = _with_axis(index), _with_axis(out)
        lead = out.shape[: len(out.shape) - len(index.shape)]
        spread = index.shape[:-1]
        source = View(x.buffer, x.offset, (*lead, *spread, x.shape[-1]), (*x.strides[:-1], *[0] * len(spread), x.strides[-1]))
        places = View(index.buffer, index.offset, out.shape, (*[0] * len(lead), *index.strides))
        new_ins = (self.first(source), self.first(places))
        self.new.append(instruction._replace(op="take_along", out=self.first(out), ins=new_ins))

    def put(self, instruction: Instruction, out: View) -> None:
        _, values, index = instruction.ins
        if not self.is_wide(index):
            target = self.first(out)
            self.new.append(instruction._replace(out=target, ins=(target, self.first(values), index)))
            return
        if instruction.op != "put_add" or len(index.shape) > 1:
            raise NoLanesError(f"{instruction.op} with an index that depends on the values")
        if not index.shape:
            index, values = _with_axis(index), _with_axis(values)
        places = View(index.buffer, index.offset, values.shape, (*[0] * (len(values.shape) - 1), *index.strides))
        target = self.first(out)
        ins = (target, self.first(values), self.first(places))
        self.new.append(instruction._replace(op="put_along_add", out=target, ins=ins))

    def matmul(self, instruction: Instruction, out: View) -> None:
        """Column times row, one after the other: the lanes make them long."""
        adds = instruction.op == "matmul_add"
        x, y = instruction.ins[adds:]
        terms, target = x.shape[-1], self.last(out)
        if not 0 < terms <= _LONGEST_CHAIN or self.program.dtype(out)[0] != "f":
            raise NoLanesError("a product of large matrices, or of integers")
        is_factor = out in (x, y)
        if is_factor:
            shape = (*out.shape, self.lanes)
            target = self.new.temp(self.program.dtype(out), shape)
            if adds:
                self.new.emit("copy", target, (self.last(out),), line=instruction.line)
        for k in range(terms):
            left, right = self.last(_column(x, k, out.shape)), self.last(_row(y, k, out.shape))
            op, ins = ("muladd", (left, right, target)) if k or adds else ("mul", (left, right))
            self.new.emit(op, target, ins, line=instruction.line)
        if is_factor:
            self.new.emit("copy", self.last(out), (target,), line=instruction.line)


def _with_axis(view: View) -> View:
    """With one more axis, of extent 1, at its end."""
    return view._replace(shape=(*view.shape, 1), strides=(*view.strides, 0))


def _column(x: View, k: int, shape: tuple[int, ...]) -> View:
    """Column k of each matrix, the same for all columns of a matrix of this shape."""
    return View(x.buffer, x.offset + k * x.strides[-1], shape, (*x.strides[:-1], 0))


def _row(y: View, k: int, shape: tuple[int, ...]) -> View:
    return View(y.buffer, y.offset + k * y.strides[-2], shape, (*y.strides[:-2], 0, y.strides[-1]))


_STRUCTURED: Final[dict[str, Callable[[_Widening, Instruction, View], None]]] = {
    **dict.fromkeys(("sum", "prod", "amax", "amin", "recurrence", "cumprod"), _Widening.batch),
    **dict.fromkeys(("take_along", "put_along_add", "searchsorted"), _Widening.batch),
    "take": _Widening.take,
    "put": _Widening.put,
    "put_add": _Widening.put,
    "matmul": _Widening.matmul,
    "matmul_add": _Widening.matmul,
}
"""Those whose kernels do not slow down on lanes, and need no Python."""
