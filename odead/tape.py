"""Program: the one noun that every stage shares.

A program is what a NumPy function did, as plain data: typed *buffers*, *views* into them, and a flat list of
*instructions*, each of which writes one view from others. It is imperative, so `dx[1:-1] = ...`, `out=` and `+=` are
just instructions. Tangents, adjoints and batches are programs too, made of the same instructions.

The invariants (`verify` checks them):

* A view stays inside its buffer. Only operands may repeat elements (stride 0 is a broadcast); what is written does not.
* An elementwise instruction has operands of the shape of its result (broadcasting is in the strides) and of one dtype
  (but the condition of `where`, and the operand of `cast`).
* The result of an instruction is, for each operand, either the same view or disjoint from it.
* A temporary is written before it is read; a constant or captured buffer is never written.
"""

import enum
from collections.abc import Hashable, Iterator, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from .ops import TABLE
from .structured import STRUCTURED
from .views import View, broadcast, contiguous, extent, is_injective, overlap

__all__ = ["Buffer", "Instruction", "Program", "Role", "SourceLine", "render", "verify"]

DTYPES: Final = ("float64", "float32", "int64", "bool")


class Role(enum.Enum):
    """Where the storage of a buffer comes from."""

    ARGUMENT = "argument"  # bound at each run to storage of the caller; may be read and written
    RESULT = "result"  # a returned value: bound at each run, written only
    CAPTURED = "captured"  # an array the function found in a closure or global: bound by reference, read at each run
    CONSTANT = "constant"  # a literal: `data` never changes
    TEMP = "temp"  # storage of the executable, undefined at entry


class Buffer(NamedTuple):
    """Typed storage of `size` elements."""

    dtype: str
    size: int
    role: Role
    name: str = ""
    data: np.ndarray | None = None  # of a CONSTANT (contiguous, read-only) or CAPTURED (the user's own array) buffer
    shape: tuple[int, ...] | None = None  # of the bound array (ARGUMENT, RESULT, CAPTURED), in C order


class SourceLine(NamedTuple):
    """A line of the user's code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


class Instruction(NamedTuple):
    """One row of a program: `out = op(*ins)`; `out` is None for a guard; `line` indexes `Program.lines`."""

    op: str
    out: View | None
    ins: tuple[View, ...]
    params: Hashable
    line: int


class Program:
    """A flat, typed, printable program.

    Attributes
    ----------
    name : str
        Of the function it was recorded from.
    buffers : list of Buffer
        Views refer to them by position.
    op, out, ins, params, line : list
        The columns of the instructions.
    lines : list of SourceLine
        The user's source lines; `line` indexes it, -1 is "none".
    arguments, results : list of int
        The buffers bound at each run, in order.
    split : int or None
        In a reverse program, the position of the first instruction of the reverse sweep.
    """

    __slots__ = (
        "_constants",
        "arguments",
        "buffers",
        "ins",
        "line",
        "lines",
        "name",
        "op",
        "out",
        "params",
        "results",
        "split",
    )

    def __init__(self, name: str = "program") -> None:
        self.name = name
        self.buffers: list[Buffer] = []
        self.op: list[str] = []
        self.out: list[View | None] = []
        self.ins: list[tuple[View, ...]] = []
        self.params: list[Hashable] = []
        self.line: list[int] = []
        self.lines: list[SourceLine] = []
        self.arguments: list[int] = []
        self.results: list[int] = []
        self.split: int | None = None
        self._constants: dict[tuple[str, bytes], int] = {}

    # ------------------------------------------------------------------------------------------------ building

    def buffer(
        self,
        dtype: str,
        size: int,
        role: Role,
        name: str = "",
        data: np.ndarray | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> int:
        """Add a buffer; an ARGUMENT or RESULT is appended to the binding order."""
        number = len(self.buffers)
        self.buffers.append(Buffer(dtype, size, role, name, data, shape))
        if role is Role.ARGUMENT:
            self.arguments.append(number)
        elif role is Role.RESULT:
            self.results.append(number)
        return number

    def bound(self, dtype: str, shape: tuple[int, ...], role: Role, name: str, data: np.ndarray | None = None) -> View:
        """Add a buffer for a whole array and return the view of all of it."""
        return View(self.buffer(dtype, prod(shape), role, name, data, shape), 0, shape, contiguous(shape))

    def temp(self, dtype: str, shape: tuple[int, ...]) -> View:
        self.buffers.append(Buffer(dtype, prod(shape), Role.TEMP))
        return View(len(self.buffers) - 1, 0, shape, contiguous(shape))

    def constant(self, value: Any, dtype: str, shape: tuple[int, ...] | None = None) -> View:
        """The view of a literal number or array, broadcast to `shape`; equal literals share one buffer."""
        data = np.array(value, dtype=dtype, order="C")  # a copy: the caller's array may change later
        key = (dtype, repr(data.shape).encode() + data.tobytes())
        number = self._constants.get(key)
        if number is None:
            data.flags.writeable = False
            number = self._constants[key] = self.buffer(dtype, data.size, Role.CONSTANT, data=data)
        view = View(number, 0, data.shape, contiguous(data.shape))
        return view if shape is None else broadcast(view, shape)

    def emit(self, op: str, out: View | None, ins: tuple[View, ...], params: Hashable = None, line: int = -1) -> None:
        """Append an instruction."""
        self.op.append(op)
        self.out.append(out)
        self.ins.append(ins)
        self.params.append(params)
        self.line.append(line)

    def append(self, instruction: Instruction) -> None:
        self.emit(*instruction)

    # ------------------------------------------------------------------------------------------------ reading

    def __len__(self) -> int:
        return len(self.op)

    def __iter__(self) -> Iterator[Instruction]:
        return map(Instruction, self.op, self.out, self.ins, self.params, self.line)

    def whole(self, buffer: int) -> View:
        """The view of a whole buffer, in the shape of its array (flat for a temporary)."""
        b = self.buffers[buffer]
        shape = (b.size,) if b.shape is None else b.shape
        return View(buffer, 0, shape, contiguous(shape))

    def source(self, number: int) -> str:
        """Where in the user's code an instruction comes from."""
        line = self.line[number]
        return str(self.lines[line]) if line >= 0 else "an unknown line"

    def dtype(self, view: View) -> str:
        return self.buffers[view.buffer].dtype

    def empty_like(self) -> "Program":
        """The same buffers and bindings without instructions: what a pass fills."""
        new = Program(self.name)
        new.buffers = list(self.buffers)
        new.lines = list(self.lines)
        new.arguments = list(self.arguments)
        new.results = list(self.results)
        new._constants = dict(self._constants)
        return new

    def replaced(self, instructions: Sequence[Instruction], split: int | None = None) -> "Program":
        """The same buffers and bindings with other instructions."""
        new = self.empty_like()
        for instruction in instructions:
            new.append(instruction)
        new.split = split
        return new

    def unsplit(self) -> "Program":
        """The same instructions in one part; the columns are those of this program."""
        new = self.empty_like()
        new.op, new.out, new.ins, new.params, new.line = self.op, self.out, self.ins, self.params, self.line
        return new

    def __str__(self) -> str:
        return render(self)

    def __repr__(self) -> str:
        return f"<Program {self.name}: {len(self)} instructions, {len(self.buffers)} buffers>"


# ---------------------------------------------------------------------------------------------------- verify


def verify(program: Program) -> None:
    """Raise AssertionError at the first instruction that breaks an invariant of the module's docstring."""
    written: dict[int, np.ndarray] = {}
    for number, instruction in enumerate(program):
        op, out, ins, params, _ = instruction
        where = f"instruction {number}: {render_instruction(program, instruction)}"
        for view in (*ins, *((out,) if out is not None else ())):
            assert 0 <= view.buffer < len(program.buffers), f"{where}: no such buffer"
            low, high = extent(view)
            assert high < low or (low >= 0 and high < program.buffers[view.buffer].size), f"{where}: out of bounds"
            assert len(view.shape) == len(view.strides), f"{where}: shape and strides differ in length"
        for view in ins:
            buffer = program.buffers[view.buffer]
            assert buffer.role is not Role.RESULT or view == out or written.get(view.buffer) is not None, (
                f"{where}: reads a result"
            )
            if buffer.role is Role.TEMP and view.size:
                done = written.get(view.buffer)
                assert done is not None and done[view.indices()].all(), f"{where}: reads a temporary not yet written"
        if out is not None:
            _verify_result(program, out, ins, where)
            done = written.setdefault(out.buffer, np.zeros(program.buffers[out.buffer].size, dtype=bool))
            done[out.indices()] = True
        if op in TABLE:
            _verify_elementwise(program, op, out, ins, where)
        else:
            assert op in STRUCTURED, f"{where}: unknown operation"
            STRUCTURED[op].verify(out, ins, params, where)
    assert program.split is None or 0 <= program.split <= len(program), "split is outside the program"


def _verify_result(program: Program, out: View, ins: tuple[View, ...], where: str) -> None:
    assert program.buffers[out.buffer].role not in (Role.CONSTANT, Role.CAPTURED), f"{where}: writes a constant"
    assert is_injective(out), f"{where}: writes an element twice"
    for view in ins:
        assert view == out or not overlap(view, out), f"{where}: result and operand overlap without being the same view"


def _verify_elementwise(program: Program, op: str, out: View | None, ins: tuple[View, ...], where: str) -> None:
    row = TABLE[op]
    assert out is not None and len(ins) == row.arity, f"{where}: {op} takes {row.arity} operands"
    assert all(view.shape == out.shape for view in ins), f"{where}: shapes differ"
    dtypes = [program.dtype(view) for view in ins]
    if op == "where":
        assert dtypes.pop(0) == "bool", f"{where}: the condition is not bool"
    assert len(set(dtypes)) == 1, f"{where}: dtypes of the operands differ"
    expected = row.result or dtypes[0]
    assert op == "cast" or program.dtype(out) == expected, f"{where}: result should be {expected}"
    assert dtypes[0][0] in row.kinds, f"{where}: {op} is not defined for {dtypes[0]}"


# ---------------------------------------------------------------------------------------------------- print

_SHORT: Final = {"float64": "f8", "float32": "f4", "int64": "i8", "bool": "b1"}


def render(program: Program) -> str:
    """The program as text: a signature, then one instruction a line with its source line."""
    names = [program.buffers[b] for b in program.arguments]
    results = [program.buffers[b] for b in program.results]
    head = f"{program.name}({', '.join(map(_declare, names))})" + (
        f" -> {', '.join(map(_declare, results))}" if results else ""
    )
    rows = [head]
    for number, instruction in enumerate(program):
        if number == program.split:
            rows.append("  reverse:")
        text = f"  {render_instruction(program, instruction)}"
        line = instruction.line
        rows.append(f"{text:<60} # {program.lines[line].line}" if line >= 0 else text)
    return "\n".join(rows)


def render_instruction(program: Program, instruction: Instruction) -> str:
    op, out, ins, params, _ = instruction
    operands = " ".join(render_view(program, view) for view in ins)
    suffix = "" if params is None else f" {params!r}"
    left = "" if out is None else f"{render_view(program, out)} = "
    return f"{left}{op} {operands}{suffix}".rstrip()


def render_view(program: Program, view: View) -> str:
    buffer = program.buffers[view.buffer]
    if buffer.role is Role.CONSTANT and buffer.size == 1 and buffer.data is not None:
        return repr(buffer.data.reshape(-1)[0].item())
    name = buffer.name or ("c" if buffer.role is Role.CONSTANT else "%") + str(view.buffer)
    if view.offset == 0 and view.size == buffer.size and view.strides == contiguous(view.shape):
        return name
    if not view.shape:
        return f"{name}[{view.offset}]"
    if len(view.shape) == 1:
        (n,), (stride,) = view.shape, view.strides
        stop = view.offset + n * stride
        return f"{name}[{view.offset}:{stop}{'' if stride == 1 else f':{stride}'}]" if stride else f"{name}[{view.offset}]*{n}"
    return f"{name}[{view.offset} + {'x'.join(map(str, view.shape))} by {','.join(map(str, view.strides))}]"


def _declare(buffer: Buffer) -> str:
    shape = "" if not buffer.shape else "[" + ",".join(map(str, buffer.shape)) + "]"
    return f"{buffer.name}: {_SHORT[buffer.dtype]}{shape}"
