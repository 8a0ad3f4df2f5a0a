"""From a program to the flat columns that the sweep runs: opcodes, addresses, strides, and where everything is stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ..ops import TABLE
from ..rules.callee import AbstractCallee, InARow
from ..rules.signature import offsets
from ..structured import STRUCTURED
from ..tape import Buffer, Instruction, Program, Role
from ..views import View, contiguous
from .contraction import contract
from .fusion import TILE, Block, fuse
from .memory import CACHE_LINE, plan_memory, round_up
from .rows import ARENA, CONSTANTS, ITEM, NOTHING, Call, Rows
from .structured import lower_structured
from .tiles import Local, local_buffers, lower_block

__all__ = ["Lowered", "Slot", "lower"]

_INDEXED: Final = {"take": 1, "put": 2, "put_add": 2, "take_along": 1, "put_along_add": 2}  # the operand that holds indices
_LONG: Final = 20_000  # elements: about 5 us, against 0.1 us for handing over the GIL


class Slot(NamedTuple):
    """What an array bound at each run must be; the fields of `Slot` in `_core.pxd`."""

    type_number: int
    size: int
    item: int
    writes: int
    staged: int
    home: int


MOST_OPERANDS: Final = 3


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
    calls: tuple[Call, ...]


def lower(program: Program, opcodes: Mapping[str, int], tile: int = TILE, *, in_parts: bool = False) -> Lowered:
    """Lower a program.

    Parameters
    ----------
    program : Program
    opcodes : mapping of str to int
        Those of the core.
    tile : int
        Elements of an operand in a tile of a block.
    in_parts : bool
        Whether the parts before and after `split` must be able to run apart.
    """
    if program.split is not None and not in_parts:
        program = program.unsplit()
    prepared, positions, blocks = fuse(*contract(*_prepare(program)), _keeps_its_place, tile)
    local = _local_buffers(prepared, blocks)
    storage = _place(prepared, blocks, local)
    rows = Rows(prepared.buffers, storage.base, storage.start, opcodes)
    start_of_reverse = _emit(rows, prepared, positions, blocks, local.buffers)
    return Lowered(
        np.frombuffer(rows.rows.memory, dtype=np.int64).reshape(-1, 12),
        np.array(rows.words, dtype=np.int64),
        start_of_reverse,
        storage.slots,
        storage.arena_size,
        storage.constants,
        storage.captured,
        storage.names,
        rows.work >= _LONG,
        tuple(rows.calls),
    )


def _emit(rows: Rows, program: Program, positions: Sequence[int], blocks: Sequence[Block], local: Mapping[int, Local]) -> int:
    """Append the rows of a program; returns the first one of the reverse part."""
    starts = {block.start: block for block in blocks}
    inside = {number for block in blocks for number in range(block.start, block.start + len(block.members))}
    split = len(program) if program.split is None else program.split
    start_of_reverse = 0
    columns = zip(positions, program.op, program.out, program.ins, strict=True)
    for number, (position, op, out, ins) in enumerate(columns):
        if number == split:
            start_of_reverse = len(rows.rows)
        if number in starts:
            lower_block(rows, program, starts[number], positions, local)
        elif number in inside:
            continue
        elif op in TABLE and out is not None:
            rows.elementwise(position, op, out, ins)
        else:
            lower_structured(rows, position, Instruction(op, out, ins, program.params[number], program.line[number]))
    return len(rows.rows) if split == len(program) else start_of_reverse


# ------------------------------------------------------------------------------------------------------- rewriting


def _prepare(program: Program) -> tuple[Program, Sequence[int]]:
    """Rewrite what the sweep cannot run as it is; also returns where each instruction was before.

    * A structured result that is an operand too gets a temporary: its elements depend on more than the ones beside them.
    * A temporary that both parts of a split program write is saved at the split, so that the reverse part can run again.
    * The operands of a call, where there are more than an instruction has room for, are put in a row; those of a C function
      always.
    """
    split = program.split
    structured = [k for k, op in enumerate(program.op) if op in STRUCTURED]
    clashes = {k for k in structured if program.out[k] in program.ins[k][STRUCTURED[program.op[k]].in_place :]}
    torn = _written_in_both_parts(program)
    wide = {k for k, op in enumerate(program.op) if op == "call" and _takes_a_row(program, k)}
    if not clashes and not torn and not wide:
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
        if number in wide:
            instruction = _with_operands_in_a_row(new, instruction)
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


def _takes_a_row(program: Program, number: int) -> bool:
    callee = program.params[number]
    return len(program.ins[number]) > MOST_OPERANDS or (isinstance(callee, AbstractCallee) and callee.plan is not None)


def _with_operands_in_a_row(program: Program, instruction: Instruction) -> Instruction:
    callee, ins, line = instruction.params, instruction.ins, instruction.line
    assert isinstance(callee, AbstractCallee)
    row = program.temp("float64", (sum(view.size for view in ins),))
    for view, (_, start, _) in zip(ins, offsets(callee.ins), strict=True):
        place = View(row.buffer, start, view.shape, contiguous(view.shape))
        program.emit("copy" if program.dtype(view) == "float64" else "cast", place, (view,), line=line)
    return instruction._replace(ins=(row,), params=InARow(callee))


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


class _LocalBuffers(NamedTuple):
    """The temporaries that live inside blocks, and the bytes of the storage that all blocks share."""

    buffers: dict[int, Local]
    size: int


def _local_buffers(program: Program, blocks: Sequence[Block]) -> _LocalBuffers:
    uses: Counter[int] = Counter()
    if blocks:
        uses.update(view.buffer for out, ins in zip(program.out, program.ins, strict=True) for view in (out, *ins) if view)
    buffers: dict[int, Local] = {}
    most = 0
    for block in blocks:
        found, size = local_buffers(program, block, uses)
        buffers |= found
        most = max(most, size)
    return _LocalBuffers(buffers, most)


def _place(program: Program, blocks: Sequence[Block], local: _LocalBuffers) -> _Storage:
    base = [NOTHING] * len(program.buffers)
    start = [0] * len(program.buffers)
    plan = plan_memory(program, [(block.start, block.start + len(block.members) - 1) for block in blocks], local.buffers)
    for b, offset in plan.offsets.items():
        base[b], start[b] = ARENA, offset
    shared = round_up(plan.size, CACHE_LINE)
    for b, where in local.buffers.items():
        base[b], start[b] = ARENA, shared + where.start
    constants, size = [], 8  # eight bytes of zeros come first
    for b, buffer in enumerate(program.buffers):
        if buffer.role is Role.CONSTANT:
            size = round_up(size, _alignment(buffer))
            base[b], start[b] = CONSTANTS, size
            constants.append(b)
            size += buffer.size * ITEM[buffer.dtype]
    block = np.zeros(size, dtype=np.uint8)
    for b in constants:
        data = np.ascontiguousarray(program.buffers[b].data).reshape(-1).view(np.uint8)
        block[start[b] : start[b] + data.size] = data

    captured = [b for b, buffer in enumerate(program.buffers) if buffer.role is Role.CAPTURED]
    bound = [*program.arguments, *program.results, *captured]
    writes, staged = _writes(program)
    slots = []
    arena = shared + local.size
    for number, b in enumerate(bound):
        buffer = program.buffers[b]
        base[b], home = number, -1
        if b in staged or buffer.shape == ():
            arena = home = round_up(arena, _alignment(buffer))
            arena += buffer.size * ITEM[buffer.dtype]
        slots.append(
            Slot(np.dtype(buffer.dtype).num, buffer.size, ITEM[buffer.dtype], writes.get(b, 0), int(b in staged), home)
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
    first: dict[int, int] = {}
    last_stop = -1
    stopping = {op for op in set(program.op) if op in _INDEXED or op in STRUCTURED}
    split = len(program) if program.split is None else program.split
    for number, (op, out) in enumerate(zip(program.op, program.out, strict=True)):
        if op in stopping and _may_stop(program, number):
            last_stop = number  # maybe at an index in the middle of its own work
        if out is not None:
            writes[out.buffer] = writes.get(out.buffer, 0) | (2 if number >= split else 1)
            first.setdefault(out.buffer, number)
    return writes, {buffer for buffer, number in first.items() if number <= last_stop}


def _may_stop(program: Program, number: int) -> bool:
    op = program.op[number]
    if op == "guard" or (op in STRUCTURED and STRUCTURED[op].can_fail):
        return True
    return op in _INDEXED and program.buffers[program.ins[number][_INDEXED[op]].buffer].role is not Role.CONSTANT


def _keeps_its_place(program: Program, number: int) -> bool:
    """Whether others may not change places with an instruction: what stops a run, and calls of Python."""
    return program.op[number] == "call" or _may_stop(program, number)
