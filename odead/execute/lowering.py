"""From a program to the flat columns that the sweep runs: opcodes, addresses, strides, and where everything is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ..ops import TABLE
from ..structured import STRUCTURED
from ..tape import Buffer, Instruction, Program, Role, View
from .blas import Product
from .layout import Axis, collapse, merge
from .memory import CACHE_LINE, plan_memory, round_up

__all__ = ["Lowered", "Slot", "lower"]

_ARENA, _CONSTANTS, _NOTHING = -1, -2, -3  # bases of an operand that is in no slot; as in _core.pyx
_ITEM: Final = {"float64": 8, "float32": 4, "int64": 8, "bool": 1}
_INDEXED: Final = {"take": 1, "put": 2, "put_add": 2}  # the operand that holds indices
_MOST_AXES: Final = 64  # MOST_AXES of _structured.pxd
_LONG: Final = 20_000  # elements: about 5 us, against 0.1 us for handing over the GIL


class Slot(NamedTuple):
    """What an array bound at each run must be; the fields of `Slot` in `_core.pxd`."""

    type_number: int
    size: int
    item: int
    writes: int
    staged: int
    home: int


@dataclass(frozen=True)
class Lowered:
    """The arguments of `_core.Code`, which documents them."""

    rows: np.ndarray
    words: np.ndarray
    split: int
    slots: tuple[Slot, ...]
    arena_size: int
    constants: np.ndarray
    captured: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    is_long: bool


def lower(program: Program, opcodes: Mapping[str, int]) -> Lowered:
    """Lower a program; `opcodes` are those of the core."""
    prepared, positions = _prepare(program)
    storage = _place(prepared)
    rows = _Rows(prepared, storage, opcodes)
    split = prepared.split
    start_of_reverse = 0
    for number, (position, instruction) in enumerate(zip(positions, prepared, strict=True)):
        if number == split:
            start_of_reverse = len(rows.rows)
        rows.add(position, instruction)
    if split is None or split == len(prepared):
        start_of_reverse = len(rows.rows)
    return Lowered(
        np.array(rows.rows, dtype=np.int64).reshape(-1, 12),
        np.array(rows.words, dtype=np.int64),
        start_of_reverse,
        storage.slots,
        storage.arena_size,
        storage.constants,
        storage.captured,
        storage.names,
        rows.work >= _LONG,
    )


# ------------------------------------------------------------------------------------------------------- rewriting


def _prepare(program: Program) -> tuple[Program, Sequence[int]]:
    """Rewrite what the sweep cannot run as it is; also returns where each instruction was before.

    * A structured result that is an operand too gets a temporary: its elements depend on more than the ones beside them.
    * A temporary that both parts of a split program write is saved at the split, so that the reverse part can run again.
    """
    split = program.split
    clashes = {number for number, instruction in enumerate(program) if _clashes(instruction)}
    torn = _written_in_both_parts(program)
    if not clashes and not torn:
        return program, range(len(program))
    new = program.empty_like()
    positions: list[int] = []
    saved = [(new.whole(b), new.temp(new.buffers[b].dtype, (new.buffers[b].size,))) for b in sorted(torn)]
    for number, instruction in enumerate(program):
        if number == split:
            for buffer, copy in saved:
                new.emit("copy", copy, (buffer,))
            new.split = len(new)
            for buffer, copy in saved:
                new.emit("copy", buffer, (copy,))
        if number in clashes and instruction.out is not None:
            out = new.temp(new.dtype(instruction.out), instruction.out.shape)
            ins = instruction.ins
            if STRUCTURED[instruction.op].in_place:
                new.emit("copy", out, (instruction.out,), line=instruction.line)
                ins = (out, *ins[1:])
            new.append(instruction._replace(out=out, ins=ins))
            new.emit("copy", instruction.out, (out,), line=instruction.line)
        else:
            new.append(instruction)
        positions += [number] * (len(new) - len(positions))
    if split is not None and new.split is None:
        new.split = len(new)
    return new, positions


def _clashes(instruction: Instruction) -> bool:
    op, out, ins, _, _ = instruction
    return op in STRUCTURED and out in ins[STRUCTURED[op].in_place :]


def _written_in_both_parts(program: Program) -> set[int]:
    if program.split is None:
        return set()
    parts = (program.out[: program.split], program.out[program.split :])
    forward, reverse = ({out.buffer for out in part if out is not None} for part in parts)
    return {b for b in forward & reverse if program.buffers[b].role is Role.TEMP}


# --------------------------------------------------------------------------------------------------------- storage


@dataclass(frozen=True)
class _Storage:
    """Where the buffers are: `base` and byte `start` of each, and the storage itself."""

    base: list[int]
    start: list[int]
    arena_size: int
    constants: np.ndarray
    slots: tuple[Slot, ...]
    captured: tuple[np.ndarray, ...]
    names: tuple[str, ...]


def _place(program: Program) -> _Storage:
    base = [_NOTHING] * len(program.buffers)
    start = [0] * len(program.buffers)
    plan = plan_memory(program)
    for b, offset in plan.offsets.items():
        base[b], start[b] = _ARENA, offset
    constants, size = [], 8  # eight bytes of zeros come first
    for b, buffer in enumerate(program.buffers):
        if buffer.role is Role.CONSTANT:
            size = round_up(size, _alignment(buffer))
            base[b], start[b] = _CONSTANTS, size
            constants.append(b)
            size += buffer.size * _ITEM[buffer.dtype]
    block = np.zeros(size, dtype=np.uint8)
    for b in constants:
        data = np.ascontiguousarray(program.buffers[b].data).reshape(-1).view(np.uint8)
        block[start[b] : start[b] + data.size] = data

    captured = [b for b, buffer in enumerate(program.buffers) if buffer.role is Role.CAPTURED]
    bound = [*program.arguments, *program.results, *captured]
    writes, staged = _writes(program)
    slots = []
    arena = plan.size
    for number, b in enumerate(bound):
        buffer = program.buffers[b]
        base[b], home = number, -1
        if b in staged or buffer.shape == ():
            arena = home = round_up(arena, _alignment(buffer))
            arena += buffer.size * _ITEM[buffer.dtype]
        slots.append(
            Slot(np.dtype(buffer.dtype).num, buffer.size, _ITEM[buffer.dtype], writes.get(b, 0), int(b in staged), home)
        )
    arrays = tuple(_array(program.buffers[b]) for b in captured)
    names = tuple(program.buffers[b].name or f"argument {number}" for number, b in enumerate(bound))
    return _Storage(base, start, arena, block, tuple(slots), arrays, names)


def _alignment(buffer: Buffer) -> int:
    """Scalars lie side by side, arrays begin on a cache line."""
    return CACHE_LINE if buffer.size > 1 else 8


def _array(buffer: Buffer) -> np.ndarray:
    assert buffer.data is not None, f"{buffer.name} has no array"
    return buffer.data


def _writes(program: Program) -> tuple[dict[int, int], set[int]]:
    """Which parts write each buffer (bits of `Slot.writes`), and which buffers a run that stops must leave alone."""
    writes: dict[int, int] = {}
    before_stop: set[int] = set()
    for number, out in enumerate(program.out):
        if _may_stop(program, number):
            before_stop.update(writes)
        if out is not None:
            writes[out.buffer] = writes.get(out.buffer, 0) | (2 if program.split is not None and number >= program.split else 1)
            if _may_stop(program, number):  # at an index in the middle of its own work
                before_stop.add(out.buffer)
    return writes, before_stop


def _may_stop(program: Program, number: int) -> bool:
    op = program.op[number]
    if op == "guard":
        return True
    return op in _INDEXED and program.buffers[program.ins[number][_INDEXED[op]].buffer].role is not Role.CONSTANT


# ------------------------------------------------------------------------------------------------------------ rows


class _Rows:
    """The columns under construction."""

    def __init__(self, program: Program, storage: _Storage, opcodes: Mapping[str, int]) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.words: list[int] = []
        self.work = 0  # elements visited
        self._program = program
        self._opcodes = opcodes
        self._item = [_ITEM[buffer.dtype] for buffer in program.buffers]
        self._dtype = [buffer.dtype for buffer in program.buffers]
        # One more buffer per dtype, for literal zeros: they are the first bytes of the constants.
        self._zeros = {dtype: len(program.buffers) + k for k, dtype in enumerate(_ITEM)}
        self._dtype += _ITEM.keys()
        self._item += _ITEM.values()
        self._base = [*storage.base, *[_CONSTANTS] * len(_ITEM)]
        self._start = [*storage.start, *[0] * len(_ITEM)]
        self._known: dict[tuple[int, ...], int] = {}  # start of extra words

    def add(self, position: int, instruction: Instruction) -> None:
        op, out, ins, params, _ = instruction
        if op in TABLE and out is not None:
            self._elementwise(position, op, out, ins)
        elif op == "sum" and out is not None:
            self._sum(position, out, *ins)
        elif op == "take" and out is not None:
            self._take(position, out, *ins)
        elif op in ("put", "put_add") and out is not None:
            self._put(position, op, out, *ins)
        elif op == "matmul" and out is not None:
            self._matmul(position, out, *ins)
        else:
            assert op == "guard" and isinstance(params, int), f"unknown operation {op}"
            self._guard(position, ins[0], params)

    def _emit(
        self,
        position: int,
        name: str,
        row: Axis,
        axes: Sequence[Axis],
        operands: Sequence[View | None],
        starts: Sequence[int] = (0, 0, 0, 0),
        params: Sequence[int] | None = (),
    ) -> None:
        """Append an instruction; `params` None: one dense row, which needs no strides."""
        items = [8 if view is None else self._item[view.buffer] for view in operands]
        extra = -1
        if params is not None:
            assert len(axes) <= _MOST_AXES, f"instruction {position}: too many axes"
            words = [s * item for s, item in zip(row.strides, items, strict=True)]
            words += [0] * (4 - len(words)) + [len(axes)]
            for axis in axes:
                words += [axis.extent, *(s * item for s, item in zip(axis.strides, items, strict=True))]
                words += [0] * (4 - len(axis.strides))
            extra = self._extra((*words, *params))
        fields = [self._opcodes[name], position, row.extent, extra]
        for view, start, item in zip(operands, starts, items, strict=False):
            if view is None:
                fields += [_NOTHING, 0]
            else:
                fields += [self._base[view.buffer], self._start[view.buffer] + (view.offset + start) * item]
        fields += [_NOTHING, 0] * (4 - len(operands))
        self.rows.append(tuple(fields))

    def _extra(self, words: tuple[int, ...]) -> int:
        start = self._known.get(words)
        if start is None:
            start = self._known[words] = len(self.words)
            self.words.extend(words)
        return start

    def _elementwise(self, position: int, op: str, out: View, ins: tuple[View, ...]) -> None:
        name = f"cast_{self._dtype[out.buffer]}" if op == "cast" else op
        name = f"{name}.{self._dtype[ins[-1].buffer]}"
        operands = (out, *ins)
        if not out.shape:  # first, and without detours: element loops consist of these
            fields = [self._opcodes[name + ".scalar"], position, 1, -1]
            for view in operands:
                fields += (self._base[view.buffer], self._start[view.buffer] + view.offset * self._item[view.buffer])
            fields += [_NOTHING, 0] * (4 - len(operands))
            self.rows.append(tuple(fields))
            return
        if not out.size:
            return
        self.work += out.size
        row, axes, starts = collapse(out.shape, tuple(view.strides for view in operands))
        if row.extent == 1:
            self._emit(position, name + ".scalar", row, axes, operands, starts, None)
            return
        dense = row.strides[0] == 1 and {*row.strides} <= {0, 1}
        full = f"{name}.{''.join('vs'[s == 0] for s in row.strides[1:])}" if dense else ""
        if full in self._opcodes:
            self._emit(position, full, row, axes, operands, starts, () if axes else None)
        else:
            self._emit(position, name + ".strided", row, axes, operands, starts)

    def _fill_zero(self, position: int, out: View) -> None:
        zero = View(self._zeros[self._dtype[out.buffer]], 0, out.shape, (0,) * len(out.shape))
        self._elementwise(position, "copy", out, (zero,))

    def _sum(self, position: int, out: View, x: View) -> None:
        dtype = self._dtype[x.buffer]
        assert self._dtype[out.buffer] == dtype != "bool", "a sum has the dtype of its operand, and bool has none"
        if not out.size:
            return
        self.work += x.size
        rank = len(out.shape)
        reduced = _axes(x.shape[rank:], (0,) * len(x.shape), x.strides[rank:])
        reduced = merge(sorted(reduced, key=lambda axis: -abs(axis.strides[1]))) or [Axis(1, (0, 0))]
        if not x.size:
            self._fill_zero(position, out)
            return
        kept = collapse(out.shape, (out.strides, x.strides[:rank]))
        if kept.row.extent > 1 and abs(kept.row.strides[1]) < abs(reduced[-1].strides[1]):
            self._sum_of_rows(position, out, x, reduced)
            return
        axes = [axis for axis in (*kept.axes, kept.row) if axis.extent > 1]
        if len(reduced) > 1:
            self._fill_zero(position, out)
        name = "sum" if len(reduced) == 1 else "sum_add"
        self._emit(position, f"{name}.{dtype}", reduced[-1], [*axes, *reduced[:-1]], (out, x), kept.starts)

    def _sum_of_rows(self, position: int, out: View, x: View, reduced: list[Axis]) -> None:
        """Add whole rows: what is kept is nearer together in memory than what is summed; NumPy's order too."""
        self._fill_zero(position, out)
        name = f"add.{self._dtype[x.buffer]}"
        strides = x.strides[: len(out.shape)]
        row, axes, starts = collapse(out.shape, (out.strides, out.strides, strides))
        outer = [Axis(axis.extent, (0, *axis.strides)) for axis in reduced]
        dense = f"{name}.vv" if row.strides == (1, 1, 1) else f"{name}.strided"
        self._emit(position, dense, row, [*outer, *axes], (out, out, x), starts)

    def _take(self, position: int, out: View, x: View, index: View) -> None:
        if not out.size:
            return
        self._check_constant(index, x.shape[-1])
        self.work += out.size
        rank = len(out.shape) - len(index.shape)
        batch = _axes(out.shape[:rank], out.strides, x.strides, (0,) * rank)
        row, axes = _split_row(_axes(index.shape, out.strides[rank:], (0,) * len(index.shape), index.strides), 3)
        row = Axis(row.extent, (row.strides[0], x.strides[-1], row.strides[2]))
        self._emit(position, f"take.{self._dtype[x.buffer]}", row, batch + axes, (out, x, index), params=(x.shape[-1],))

    def _put(self, position: int, op: str, out: View, _: View, values: View, index: View) -> None:
        if not values.size:
            return
        self._check_constant(index, out.shape[-1])
        self.work += values.size
        rank = len(out.shape) - 1
        none = (0,) * max(rank, len(index.shape))
        batch = _axes(out.shape[:rank], out.strides, none, values.strides, none)
        row, axes = _split_row(_axes(index.shape, none, none, values.strides[rank:], index.strides), 4)
        row = Axis(row.extent, (out.strides[-1], *row.strides[1:]))
        operands = (out, None, values, index)
        self._emit(position, f"{op}.{self._dtype[out.buffer]}", row, batch + axes, operands, params=(out.shape[-1],))

    def _check_constant(self, index: View, size: int) -> None:
        buffer = self._program.buffers[index.buffer]
        if buffer.role is Role.CONSTANT and buffer.data is not None:
            values = buffer.data.reshape(-1)[index.indices()]
            assert ((values >= 0) & (values < size)).all(), f"an index is outside of 0..{size - 1}"

    def _guard(self, position: int, x: View, expected: int) -> None:
        if x.size:
            row, axes = _split_row(_axes(x.shape, (0,) * len(x.shape), x.strides), 2)
            self._emit(position, f"guard.{self._dtype[x.buffer]}", row, axes, (None, x), params=(expected,))

    def _matmul(self, position: int, out: View, x: View, y: View) -> None:
        dtype = self._dtype[out.buffer]
        product = Product(out.shape[-2], out.shape[-1], x.shape[-1], out.strides[-2:], x.strides[-2:], y.strides[-2:])
        if not out.size:
            return
        if not product.k:
            self._fill_zero(position, out)
            return
        self.work += out.size * product.k
        batch = merge(_axes(out.shape[:-2], out.strides, x.strides, y.strides))
        row = Axis(1, (0, 0, 0))
        call = product.call() if dtype in ("float64", "float32") else None
        turned = product.transposed().call() if dtype in ("float64", "float32") else None
        if call is not None:
            self._emit(position, f"{call[0]}.{dtype}", row, batch, (out, x, y), params=call[1])
        elif turned is not None:
            axes = [Axis(extent, (s, v, u)) for extent, (s, u, v) in batch]
            self._emit(position, f"{turned[0]}.{dtype}", row, axes, (out, y, x), params=turned[1])
        else:
            steps = [stride * _ITEM[dtype] for stride in (*product.out, *product.x, *product.y)]
            params = (product.m, product.n, product.k, *steps)
            self._emit(position, f"matmul.{dtype}", row, batch, (out, x, y), params=params)


def _axes(shape: tuple[int, ...], *strides: tuple[int, ...]) -> list[Axis]:
    """The leading axes of several views."""
    return [Axis(extent, steps) for extent, steps in zip(shape, zip(*strides, strict=False), strict=False)]


def _split_row(axes: list[Axis], operands: int) -> tuple[Axis, list[Axis]]:
    """Separate the innermost axis; the order stays, since repeated indices are added up in order."""
    axes = merge(axes) or [Axis(1, (0,) * operands)]
    return axes[-1], axes[:-1]
