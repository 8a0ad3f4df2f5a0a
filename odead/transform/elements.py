"""Forward mode element by element: each entry of a Jacobian that may differ from 0 has instructions of its own.

A right-hand side of a few states that is written in single elements, as reactions are, has a Jacobian of a few short products,
of which most factors are 1. Lanes of tangents compute all the zeros beside them: of 20 species, the 82 entries by 10 lanes took
2.1 us, by themselves 0.5 us. And each of their instructions is called for the few numbers of a row: the sensitivities of
Lotka-Volterra, 2 states and 4 columns, took 84 ns in lanes, and take 25 as products with the entries.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ..ops import TABLE, Op
from ..structured import STRUCTURED
from ..tape import Instruction, Program, Role
from ..views import View
from .builder import Builder
from .forward import forward
from .partials import Value, expand

__all__ = ["columns_by_elements", "forward_by_elements"]

MOST: Final = 512  # instructions of derivatives: more of them take longer than lanes
MOST_IN_PLACE_OF_ONE: Final = 16  # instruction of lanes, which takes 5 to 10 ns, and a single element 0.6

_Row = dict[int, Value]  # of one element: the derivative by each seed, but for those that are 0
_Element = tuple[int, int]  # of a buffer


class _TooMuchError(Exception):
    """Not a program of single elements, or of too many."""


def forward_by_elements(
    program: Program, active: Sequence[int], width: int, lanes: Mapping[tuple[int, int], int], places: np.ndarray
) -> Program | None:
    """The program of `forward` for seeds that are known.

    Parameters
    ----------
    program : Program
    active : sequence of int
        As for `forward`: the first is that of the result.
    width : int
        Of the shadows.
    lanes : mapping of (int, int) to int
        For an element of an active argument, as its position in `active` and there: the lane in which its seed is 1. No two
        elements of a lane have an entry in the same row.
    places : (k,) array of int
        In the flat shadow of the result, where entries are wanted.

    Returns
    -------
    Program or None
        With the arguments of what `forward` gives. Elsewhere the shadow of the result is left as it is, and the other shadows
        are not read. None where lanes of tangents serve better.
    """
    try:
        return _Elements(program, active, width, lanes).derive(places)
    except _TooMuchError:
        return None


def columns_by_elements(program: Program, active: Sequence[int], width: int, *, by_p: bool) -> Program | None:
    """The program of `forward` for columns of sensitivities: the Jacobians entry by entry, then their products with columns.

    Parameters
    ----------
    program : Program
        Of a right-hand side.
    active : sequence of int
        As for `forward`: that of dx, that of x, and, unless it is empty, that of p.
    width : int
        How many columns there are.
    by_p : bool
        Whether the first of them move along one element of p each, in their order. All others do not move along p.

    Returns
    -------
    Program or None
        With the arguments of what `forward` gives; it does not read the shadow of p, nor that of dx, which is 0 at entry. None
        where lanes of tangents serve better.
    """
    sizes = {which: program.buffers[program.arguments[active[which]]].size for which in range(1, len(active))}
    if width < 2 or sizes[1] > MOST or (by_p and sizes[2] > width):
        return None
    moving = (1, 2) if by_p else (1,)
    seeds = {(which, place): 0 for which in moving for place in range(sizes[which])}
    lanes = forward(program, active, width)
    try:
        derived = _Elements(program, active, width, seeds).columns(width, list(seeds))
    except _TooMuchError:
        return None
    more = len(derived) - len(program)
    return derived if more <= min(MOST, MOST_IN_PLACE_OF_ONE * (len(lanes) - len(program))) else None


class _Elements:
    def __init__(self, program: Program, active: Sequence[int], width: int, lanes: Mapping[tuple[int, int], int]) -> None:
        self.primal, self.build = program, Builder(program, width if width > 1 else None)
        given = [program.arguments[k] for k in active]
        self.result = given[0]
        self.found, *self.given = [self.build.add_shadow(buffer, Role.ARGUMENT) for buffer in given]
        self.lane = list(lanes.values())
        self.rows: dict[_Element, _Row] = {(given[which], place): {number: 1.0} for number, (which, place) in enumerate(lanes)}
        self.varied = {buffer for buffer, _ in self.rows}
        self.writes: dict[int, int] = {}
        for out in program.out:
            if out is not None:
                self.writes[out.buffer] = self.writes.get(out.buffer, 0) + 1

    def derive(self, places: np.ndarray) -> Program:
        self.differentiate()
        self.deliver(places)
        return self.build.program

    def columns(self, width: int, seeds: list[_Element]) -> Program:
        """The derivatives of the result along columns: entries times what is in the shadow of x, and those by p themselves."""
        self.differentiate()
        n, given = self.build.program.buffers[self.result].size, self.given[0]
        for column in range(width):
            for place in range(n):
                total: Value | None = None
                row = self.rows.get((self.result, place), {})
                for number, entry in sorted(row.items(), reverse=True):  # those by p begin the sum
                    which, of = seeds[number]
                    if which == 1:
                        size = self.build.program.buffers[given.buffer].size // width
                        total = self.sum(entry, View(given.buffer, column * size + of, (), ()), total, False)
                    elif of == column:
                        total = entry
                at = View(self.found.buffer, column * n + place, (), ())
                self.build.emit("copy", at, (self.view(0.0 if total is None else total),))
            if len(self.build.program) > MOST + len(self.primal):
                raise _TooMuchError
        return self.build.program

    def differentiate(self) -> None:
        before = 0
        for before, instruction in enumerate(self.primal):
            self.build.line = instruction.line
            if instruction.out is None:
                self.build.program.append(instruction)
            elif instruction.op in TABLE and self.reaches(instruction.ins):
                self.elementwise(TABLE[instruction.op], instruction, instruction.out)
            elif instruction.op == "put_add" and self.reaches(instruction.ins):
                self.scatter(instruction, instruction.out)
            else:
                self.other(instruction, instruction.out)
            if len(self.build.program) - before > MOST:
                raise _TooMuchError

    def reaches(self, ins: tuple[View, ...]) -> bool:
        return any(view.buffer in self.varied for view in ins)

    def other(self, instruction: Instruction, out: View) -> None:
        """An instruction whose result has no derivative."""
        operation = STRUCTURED.get(instruction.op)
        if operation is None and instruction.op not in TABLE:
            raise _TooMuchError
        if operation is not None and any(
            operation.carries(k) and view.buffer in self.varied for k, view in enumerate(instruction.ins)
        ):
            raise _TooMuchError
        self.build.program.append(instruction)
        if out.buffer in self.varied:
            for place in out.indices().ravel().tolist():
                self.rows.pop((out.buffer, place), None)

    def scatter(self, instruction: Instruction, out: View) -> None:
        """Additions to elements that are known, one after the other."""
        whole, terms, index = instruction.ins
        data = self.build.program.buffers[index.buffer].data
        if whole != out or len(out.shape) != 1 or data is None or self.build.program.dtype(out) != "float64":
            raise _TooMuchError
        self.build.program.append(instruction)
        at, places = out.indices().tolist(), data[index.indices()].ravel().tolist()
        for place, term in zip(places, terms.indices().ravel().tolist(), strict=True):
            total = self.rows.setdefault((out.buffer, at[place]), {})
            for seed, d in self.rows.get((terms.buffer, term), {}).items():
                total[seed] = self.sum(1.0, d, total.get(seed), False)
        self.varied.add(out.buffer)

    def elementwise(self, row: Op, instruction: Instruction, out: View) -> None:
        if self.build.program.dtype(out) not in ("float64", "bool", "int64") or out.size > MOST:
            raise _TooMuchError
        program, value = self.build.program, out
        in_place = out in instruction.ins
        needs_value = any("out" in mentioned for mentioned in row.mentions)
        if in_place and needs_value:
            value = self.build.temp_like(out)
            program.append(instruction._replace(out=value))
        elif not in_place:
            program.append(instruction)
        new = self.tangents(row, instruction.ins, value, out)
        if in_place:
            program.append(instruction) if not needs_value else self.build.emit("copy", out, (value,))
        for place, tangents in new.items():
            if tangents:
                self.rows[out.buffer, place] = tangents
                self.varied.add(out.buffer)
            else:
                self.rows.pop((out.buffer, place), None)

    def tangents(self, row: Op, ins: tuple[View, ...], value: View, out: View) -> dict[int, _Row]:
        """The rows of all elements of the result."""
        if row.name == "cast" or any(self.build.program.dtype(view) == "float32" for view in ins):
            raise _TooMuchError
        if self.build.program.dtype(out) != "float64":
            return {place: {} for place in out.indices().ravel().tolist()}
        places, values = out.indices().ravel().tolist(), value.indices().ravel().tolist()
        operands = [view.indices().ravel().tolist() for view in ins]
        return {
            place: self.row(row, [View(view.buffer, at[k], (), ()) for view, at in zip(ins, operands, strict=True)],
                            View(value.buffer, values[k], (), ()))
            for k, place in enumerate(places)
        }  # fmt: skip

    def row(self, row: Op, ins: list[View], value: View) -> _Row:
        """The derivatives of one element: sum of partial times derivative of the operand."""
        values = dict(zip(row.operands, ins, strict=True)) | {"out": value}
        found: _Row = {}
        for expression, view in zip(row.partials, ins, strict=True):
            given = self.rows.get((view.buffer, view.offset))
            if expression is None or not given:
                continue
            factor = expand(self.build, expression, values, value)
            if factor != 0.0:
                for seed, d in given.items():
                    found[seed] = self.sum(factor, d, found.get(seed), row.piecewise)
        return found

    def sum(self, factor: Value, d: Value, addend: Value | None, piecewise: bool) -> Value:
        """Factor times d, plus what there is, in the form in which `forward` adds it."""
        if isinstance(factor, float) and isinstance(d, float):
            product: Value = factor * d
        elif isinstance(d, float) or isinstance(factor, float):
            number, other = (d, factor) if isinstance(d, float) else (factor, d)
            assert isinstance(number, float) and isinstance(other, View)
            if abs(number) == 1.0 and addend is not None:
                return self.new("add" if number > 0 else "sub", self.view(addend), other)
            product = self.kept(other) if number == 1.0 else self.scaled(number, other)
        elif piecewise:
            product = self.new("zero_mul", factor, d)
        elif addend is not None:
            return self.new("muladd", factor, d, self.view(addend))
        else:
            product = self.new("mul", factor, d)
        if addend is None:
            return product
        if isinstance(addend, float) and isinstance(product, float):
            return addend + product
        return self.new("add", self.view(addend), self.view(product))

    def scaled(self, number: float, other: View) -> View:
        return self.new("neg", other) if number == -1.0 else self.new("mul", self.view(number), other)

    def kept(self, view: View) -> View:
        """A value that stays: what may be written later is copied."""
        buffer = self.build.program.buffers[view.buffer]
        writes = self.writes.get(view.buffer, 0)
        stays = writes == 0 or (writes == 1 and buffer.size == 1 and buffer.role is Role.TEMP)
        return view if stays else self.new("copy", view)

    def view(self, value: Value) -> View:
        return value if isinstance(value, View) else self.build.program.constant(value, "float64", ())

    def new(self, op: str, *ins: View) -> View:
        out = self.build.program.temp("float64", ())
        self.build.emit(op, out, ins)
        return out

    def deliver(self, places: np.ndarray) -> None:
        """Write the entries that are wanted, those that are 0 too: on another way through branches they may not be."""
        n = self.build.program.buffers[self.result].size
        entries: dict[int, Value] = {}
        for place in range(n):
            for seed, value in self.rows.get((self.result, place), {}).items():
                entries[self.lane[seed] * n + place] = value
        for at in places.tolist():
            self.build.emit("copy", View(self.found.buffer, at, (), ()), (self.view(entries.get(at, 0.0)),))
