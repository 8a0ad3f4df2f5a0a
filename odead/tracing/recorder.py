"""The recorder: a program under construction, and the concrete storage that lets the user's code take its branches.

Every buffer of the program that holds an array has flat storage with the values of the recorded run. A traced array is a
NumPy view of that storage beside the program's view of the buffer, so that aliasing is NumPy's own.

An array made inside the function whose contents depend on no input is *static*: it lives in its storage alone, and nothing
is recorded for it until something that varies is written into it or computed from it.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import numpy as np

from .._recording import SCALARS, Rows
from .._traced import Value
from ..errors import TracingError
from ..rules.primitive import Primitive
from ..tape import DTYPES, Program, Role, SourceLine
from ..views import View, broadcast, contiguous, covers_extent, overlap
from .domains import DOMAINS, outside
from .leaving import WAYS_OUT, Texts, foreign_function
from .lines import line_table
from .side import Side

if TYPE_CHECKING:
    from .observations import Observations

__all__ = ["Api", "Recorder", "Traced", "contains_traced", "dtype_name", "is_plain", "is_traced"]

_NAMES: Final = {np.dtype(dtype): dtype for dtype in DTYPES}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """`dtype.name`, which NumPy makes up anew at each call."""
    return _NAMES.get(dtype) or dtype.name


class Traced(Value):
    """A value of the recorded run and where the program keeps it.

    Attributes
    ----------
    rec : Recorder
    place : View
        Where the program keeps it; `view` is a method of arrays.
    value : ndarray or number
        Its value in the recorded run; for an array a view of the storage of its buffer.
    """

    __slots__ = ()

    rec: Recorder

    def __odead_call__(self, primitive: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a call of a primitive that this value takes part in."""
        return self.rec.calls(primitive, args, kwargs)

    def __odead_inside__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of the user's as it is inside this recording."""
        return self.rec.calls.inside(function)

    def __odead_stop__(self) -> Any:
        """The same value without a derivative."""
        return self.rec.api.stop(self)


def is_traced(x: Any) -> bool:
    """Whether x is traced: `isinstance` does not tell, because traced values answer as what they stand for."""
    return issubclass(type(x), Traced)


_PLAIN: Final = frozenset({np.ndarray, float, int, bool, str, type(None)})


def is_plain(x: Any) -> bool:
    """Whether a glance tells that x is neither traced nor a container of something traced."""
    kind = type(x)
    return kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, x)))


def contains_traced(x: Any) -> bool:
    """Whether x is traced, or a list, tuple or dict with something traced in it."""
    if type(x) in (list, tuple):
        return any(map(contains_traced, x))
    return any(map(contains_traced, x.values())) if type(x) is dict else is_traced(x)


class Caller(Protocol):
    """Records calls of primitives."""

    def __call__(self, primitive: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]: ...

    @property
    def kept(self) -> dict[Any, Any]:
        """What derivatives taken inside keep until the end of the recording."""

    def original(self, x: Any) -> Any:
        """The user's object for one of the recording's."""

    def depends_on(self, observations: Observations) -> None:
        """What is stale when these are."""


class Api(Protocol):
    """What NumPy does, in terms of the recorder. Handed in, because it is built on the traced values themselves."""

    methods: Mapping[str, Callable[..., Any]]  # of arrays
    complex_methods: Mapping[str, Callable[..., Any]]  # of complex arrays

    def stop(self, x: Any) -> Any:
        """The value of a traced value, with derivative 0."""

    def operand(self, rec: Recorder, x: Any) -> Any:
        """`x` as a traced value or a number."""

    def ufunc(self, rec: Recorder, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

    def function(self, rec: Recorder, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class Recorder(Rows):
    """Records one run of one function.

    Attributes
    ----------
    program : Program
    api : Api
    static : set of int
        Buffers whose contents depend on no input.
    lazy : dict
        Those of them that the program has not been told of yet, and where they were made: position and line.
    captured : set of int
        Buffers of arrays that the function found in closures and globals.
    scratch : set of int
        Captured buffers into which the function writes.
    consumed : set of int
        Those of them that a function reads which is differentiated inside.
    guards : list
        Outcomes, in the order of the program.
    domains : dict of int to (View or None)
        Buffers of results that Python may refuse to compute: whether a run takes the side on which it is, None for always.
    integers : dict of int to View
        Numbers read from captured integer arrays: buffer -> the element.
    updated : set of int
        Buffers of which an element was written at an index from such an array.
    side : Side or None
        The innermost side of an `if` that is being recorded beside the other one.
    met : callable or None
        Told of the frame and the operand of each guarded test.
    texts : Texts
        What was printed or formatted of traced values.
    failure : TracingError or None
        The first one raised. Kept, because the user's code may catch it and go on.
    """

    __slots__ = (
        "_bounds",
        "_codes",
        "_fills",
        "_flats",
        "_frozen",
        "_guarded",
        "_line_numbers",
        "_line_tables",
        "_storage",
        "_tables",
        "api",
        "calls",
        "consumed",
        "entering",
        "failure",
        "guards",
        "integers",
        "lazy",
        "met",
        "program",
        "scratch",
        "texts",
        "updated",
    )

    calls: Caller  # set as `api` is
    api: Api  # set by whoever makes the recorder, because it is built on it

    def __init__(self, name: str) -> None:
        program = Program(name)
        self.program = program
        self.static: set[int] = set()
        self.lazy: dict[int, tuple[int, int]] = {}
        self._fills: list[tuple[int, View, View, int]] = []  # position, result, constant, line; see `place_fills`
        self.captured: set[int] = set()
        self.scratch: set[int] = set()
        self.consumed: set[int] = set()
        self.guards: list[bool | int] = []
        self.domains: dict[int, View | None] = {}
        self.integers: dict[int, View] = {}
        self.updated: set[int] = set()
        self._frozen: dict[int, int] = {}  # captured arrays whose contents are part of the recording, and the line where
        self.failure: TracingError | None = None
        self.texts = Texts()
        self.side: Side | None = None
        self.met: Callable[[FrameType, View], None] | None = None
        self.entering: Callable[[], None] | None = None
        # The columns themselves: `record` runs once per scalar operation of the user.
        self._buffers, self._op, self._out = program.buffers, program.op, program.out
        self._ins, self._params, self._line = program.ins, program.params, program.line
        self._numbers = {}
        self._flats: dict[int, np.ndarray] = {}  # the storage in the order of its memory, once asked for
        self._storage: dict[int, np.ndarray] = {}  # the array that owns the memory
        self._bounds: dict[int, tuple[int, int]] = {}  # its address and number of bytes, once asked for
        self._guarded: set[tuple[View, Any]] = set()
        # By id, because a code object is hashed by its contents: the user's code -> position in it -> line of the program.
        self._tables: dict[int, dict[int, int]] = {}
        self._codes: list[CodeType] = []  # keeps the ids valid
        self._line_tables: dict[int, tuple[list[int], list[int]]] = {}
        self._code: CodeType | None = None  # the one met last, and its table
        self._table: dict[int, int] = {}
        self._line_numbers: dict[SourceLine, int] = {}

    def close(self) -> Program:
        """The program. Traced values that outlive the recording write into another one, which nobody sees."""
        program, self.program = self.program, Program("closed")
        self._buffers, self._op, self._out = self.program.buffers, self.program.op, self.program.out
        self._ins, self._params, self._line = self.program.ins, self.program.params, self.program.line
        self._numbers, self._storage, self._bounds, self._flats = {}, {}, {}, {}
        return program

    # ------------------------------------------------------------------------------------------ source lines

    def watch(self, code: CodeType) -> None:
        """Count `code`, and what is defined in it, as the user's."""
        if id(code) not in self._tables:
            self._tables[id(code)] = {}
            self._codes.append(code)
            for constant in code.co_consts:
                if isinstance(constant, CodeType):
                    self.watch(constant)

    def is_watched(self, code: CodeType) -> bool:
        """Whether `code` is the user's."""
        return id(code) in self._tables

    def _locate(self, frame: FrameType | None) -> int:
        """The line of the program for the nearest frame of the user's code."""
        while frame is not None:
            table = self._tables.get(id(frame.f_code))
            if table is not None:
                self._code, self._table = frame.f_code, table
                line = table.get(frame.f_lasti)
                if line is None:
                    line = table[frame.f_lasti] = self._intern(frame)
                return line
            frame = frame.f_back
        return -1

    def _intern(self, frame: FrameType) -> int:
        code = frame.f_code
        table = self._line_tables.get(id(code))
        if table is None:
            table = self._line_tables[id(code)] = line_table(code)
        starts, lines = table
        line = lines[bisect_right(starts, frame.f_lasti) - 1]
        return self.line_of(SourceLine(code.co_filename, line, code.co_name))

    def line_of(self, source: SourceLine) -> int:
        """The line of the program for a line of another program."""
        number = self._line_numbers.get(source)
        if number is None:
            number = self._line_numbers[source] = len(self.program.lines)
            self.program.lines.append(source)
        return number

    def line(self) -> int:
        return self._locate(sys._getframe(1))

    def where(self) -> str:
        """The user's line being executed, for a message."""
        line = self._locate(sys._getframe(1))
        return str(self.program.lines[line]) if line >= 0 else self.program.name

    def error(self, reason: str, rewrite: str, kind: type[TracingError] = TracingError) -> TracingError:
        """An error at the user's line; remembered, so that code that catches it cannot hide it."""
        return self.error_at(self.where(), reason, rewrite, kind)

    def error_at(self, place: str, reason: str, rewrite: str, kind: type[TracingError] = TracingError) -> TracingError:
        error = kind(f"{place or self.program.name}: {reason}. {rewrite}")
        self.failure = self.failure or error
        return error

    def fail(self, reason: str, rewrite: str) -> NoReturn:
        raise self.error(reason, rewrite)

    def leaves(self, what: str, directly: str, rewrite: str) -> NoReturn:
        """Refuse to hand a traced value to code that is not traced: a function that has a name, or an ordinary array."""
        function = foreign_function(sys._getframe(1), self.is_watched)
        if function:
            self.fail(f"{function} cannot be traced, and {what} is handed to it", WAYS_OUT)
        if self.entering is not None:
            self.entering()
        self.fail(f"{what} {directly}", rewrite)

    def name(self, x: Traced) -> str:
        """What the user calls the array, as far as that is known."""
        return self._buffers[x.place.buffer].name or "an array made inside the function"

    # ------------------------------------------------------------------------------------------ scalars

    def is_number(self, buffer: int) -> bool:
        """Whether a buffer is the result of `record`: one number, written once."""
        return self._buffers[buffer] is SCALARS.get(self._buffers[buffer].dtype)

    def is_value(self, view: View) -> bool:
        """Whether what is read there never changes."""
        buffer = self._buffers[view[0]]
        return buffer is SCALARS.get(buffer.dtype) or buffer.role is Role.CONSTANT

    # ------------------------------------------------------------------------------------------ arrays

    def bind(self, view: View, value: np.ndarray) -> None:
        """Declare that `value`, which owns its memory, is the storage of the buffer of `view`."""
        self._storage[view.buffer] = value
        self._bounds.pop(view.buffer, None)

    def new(self, shape: tuple[int, ...], dtype: str) -> tuple[View, np.ndarray]:
        """A temporary and its storage, to be written by the caller; zero in the recorded run."""
        return self.adopt(np.zeros(shape, dtype))

    def adopt(self, value: np.ndarray) -> tuple[View, np.ndarray]:
        """A temporary with `value`, which nobody else holds, as its storage: to be written by the caller."""
        dtype = dtype_name(value.dtype)
        if dtype not in DTYPES:
            self.unsupported(dtype)
        if not value.flags.owndata or value.dtype.byteorder == ">" or not _is_dense(value):
            value = value.astype(dtype, order="C")
        view = self.program.temp(dtype, value.shape)
        if not value.flags.c_contiguous:  # NumPy keeps the order of its operands, so `exp(A.T)` is in Fortran order
            view = View(view.buffer, 0, value.shape, _element_strides(value))
        self.bind(view, value)
        return view, value

    def adopt_static(self, value: np.ndarray) -> tuple[View, np.ndarray]:
        """As `adopt`, for contents that depend on no input."""
        view, value = self.adopt(value)
        self.static.add(view.buffer)
        self.lazy[view.buffer] = (len(self._op), self.line())
        return view, value

    def unsupported(self, dtype: str) -> NoReturn:
        if dtype.startswith("complex"):
            self.fail(f"{dtype} numbers cannot be traced", "Convert with .astype(complex): complex128 is supported")
        self.fail(f"arrays of dtype {dtype} cannot be traced", f"Convert with .astype to one of {', '.join(DTYPES)}")

    def part(self, buffer: int, value: np.ndarray) -> View | None:
        """The view that `value` is of the storage of a buffer; None if it has memory of its own."""
        bounds = self._bounds.get(buffer)
        if bounds is None:
            low, high = np.lib.array_utils.byte_bounds(self._storage[buffer])
            bounds = self._bounds[buffer] = (low, high - low)
        address, size = bounds
        offset = value.__array_interface__["data"][0] - address
        if value.size == 0 or not 0 <= offset < size:
            return None
        return View(buffer, offset // value.itemsize, value.shape, _element_strides(value))

    def is_private(self, buffer: int) -> bool:
        """Whether static values may be written into a buffer without telling the program."""
        return buffer in self.lazy and (self.side is None or not self.side.is_old(buffer))

    def writes(self, view: View, varies: bool = True, replaces_all: bool = False) -> None:
        """Prepare for a recorded write, before the storage changes."""
        buffer = view.buffer
        if self.side is not None:
            self.side.save(view)
        if buffer in self.lazy:
            if replaces_all and self.is_private(buffer) and view.size == self._buffers[buffer].size and covers_extent(view):
                del self.lazy[buffer]  # what was there is lost: no need to tell the program
            else:
                self.reads(view)
        if varies:
            self.static.discard(buffer)
        if buffer in self.captured:
            self.scratch.add(buffer)

    def reads(self, view: View) -> View:
        """Prepare for a read by an instruction."""
        buffer = view.buffer
        if buffer in self.lazy:
            position, line = self.lazy.pop(buffer)
            value = self._storage[buffer]
            flat = value.ravel(order="K")
            whole = View(buffer, 0, flat.shape, (1,))
            first = flat[:1]
            uniform = flat.size > 0 and flat.tobytes() == first.tobytes() * flat.size
            constant = self.program.constant(first[0] if uniform else flat, dtype_name(value.dtype), flat.shape)
            self._fills.append((position, whole, constant, line))
        return view

    def contents(self, view: View) -> Any:
        """What the elements of a view are in the recorded run."""
        return self._elements(view).copy() if view.shape else self._flat(view.buffer)[view.offset]

    def set_contents(self, view: View, value: Any) -> None:
        if view.shape:
            self._elements(view)[...] = value
        else:
            self._flat(view.buffer)[view.offset] = value

    def _flat(self, buffer: int) -> np.ndarray:
        flat = self._flats.get(buffer)
        if flat is None:
            flat = self._flats[buffer] = self._storage[buffer].ravel(order="K")
        return flat

    def _elements(self, view: View) -> np.ndarray:
        flat = self._flat(view.buffer)
        strides = tuple([flat.itemsize * stride for stride in view.strides])
        offset = view.offset * flat.itemsize if view.size else 0
        return np.ndarray(view.shape, flat.dtype, flat, offset, strides)

    def made_at(self, position: int, fills: int) -> None:
        """Say that arrays made since `position` were made there, because what was recorded since is recorded anew.

        `fills` is the number of arrays that the program had been told of by then.
        """
        if not self.lazy and len(self._fills) == fills:
            return
        self._fills[fills:] = [(min(at, position), out, constant, line) for at, out, constant, line in self._fills[fills:]]
        for buffer in reversed(self.lazy):
            at, line = self.lazy[buffer]
            if at <= position:
                break
            self.lazy[buffer] = (position, line)

    @property
    def fills(self) -> int:
        """The number of arrays with static contents that the program has been told of."""
        return len(self._fills)

    def place_fills(self) -> None:
        """Insert the contents of arrays made inside the function where they were made.

        They are known only when something that varies meets the array, often in the first iteration of a loop; left there,
        they would make that iteration unlike the others and keep the loop from rolling. Nothing touches the array between.
        """
        program = self.program
        start, rows = 0, []
        for position, whole, constant, line in sorted(self._fills, key=lambda fill: fill[0]):
            rows.append((start, position, ("copy", whole, (constant,), None, line)))
            start = position
        columns: list[list[Any]] = [program.op, program.out, program.ins, program.params, program.line]
        for k, column in enumerate(columns):
            merged: list[Any] = []
            for first, last, fill in rows:
                merged += column[first:last]
                merged.append(fill[k])
            column[:] = merged + column[start:]
        self._fills.clear()

    def emit(self, op: str, out: View, ins: Iterable[View], params: Any = None) -> None:
        """Append an instruction; operands that overlap its result without being it go through a temporary."""
        operands = tuple([self.reads(view) if view[0] in self.lazy else view for view in ins])
        line = self.line()
        if op == "copy" and operands[0] == out:
            return
        buffer = out[0]
        aside = any(view[0] == buffer and view != out and overlap(view, out) for view in operands)
        if aside and params is None and len(operands) and operands[0] != out:
            result = self.program.temp(self.program.dtype(out), out.shape)
            self.program.emit(op, result, operands, params, line)
            self.program.emit("copy", out, (result,), None, line)
            return
        if aside:
            operands = tuple(self._aside(view, line) if view != out and overlap(view, out) else view for view in operands)
        self.program.emit(op, out, operands, params, line)

    def _aside(self, view: View, line: int) -> View:
        copy = self.program.temp(self.program.dtype(view), view.shape)
        self.program.emit("copy", copy, (view,), None, line)
        return copy

    def cast(self, view: View, dtype: str) -> View:
        """The elements of `view` as `dtype`."""
        source = self._buffers[view.buffer]
        if source.dtype == dtype:
            return view
        if source.role is Role.CONSTANT and source.data is not None:
            constant = self.program.constant(source.data.astype(dtype), dtype)
            return View(constant.buffer, *view[1:])
        out = self.program.temp(dtype, view.shape)
        if dtype == "bool":  # in C a cast to bool may truncate first
            zero = self.program.constant(0, source.dtype, view.shape)
            self.emit("not_equal", out, (view, zero))
        else:
            self.emit("cast", out, (view,))
        return out

    def assign(self, out: View, source: View) -> None:
        """Record `out[...] = source`, with NumPy's broadcasting and cast."""
        excess = len(source.shape) - len(out.shape)
        if excess > 0:  # NumPy drops leading axes of length 1
            source = View(source.buffer, source.offset, source.shape[excess:], source.strides[excess:])
        source = self.cast(source, self._buffers[out.buffer].dtype)
        self.emit("copy", out, (broadcast(source, out.shape),))

    # ------------------------------------------------------------------------------------------ guards

    def is_beside(self) -> bool:
        """Whether what is being recorded is not what the recorded run does: a side that it does not take."""
        return self.side is not None and not self.side.is_taken()

    def raised(self, error: Exception | None, op: str, ins: tuple[View, ...]) -> float:
        """The value of a number that Python refuses to compute: NaN on a side that the run does not take, else the error.

        The function may go on after it; other runs must come here, too. None for what Python computes in another way.
        """
        if self.is_beside():
            return math.nan
        if op in DOMAINS:
            out = self.record(op, "float64", ins)
            self.guard(outside(self.program, op, out, ins, self.line()), True)
        if error is not None:
            raise error
        return math.nan

    def guard(self, view: View, expected: bool | int) -> None:
        """Record that the program holds only while every element of `view` is `expected`."""
        if self.side is not None:
            if (view, expected) in self._guarded:
                return
            view = self.side.guarded(view, expected)
        buffer = self._buffers[view.buffer]
        once = buffer.role is Role.TEMP and buffer is SCALARS.get(buffer.dtype)  # written once: it keeps its value
        if once:
            if (view, expected) in self._guarded:
                return
            self._guarded.add((view, expected))
        self.guards.append(expected)
        self.program.emit("guard", None, (self.reads(view),), expected, self.line())

    def freeze(self, view: View) -> bool:
        """Make the captured array that an integer was read from part of the recording; False if it is from elsewhere.

        Tables of neighbours stay what they are, and indices that are known keep Jacobians sparse.
        """
        element = self.integers.get(view.buffer)
        if element is None or element.buffer in self.scratch:
            return False
        self._frozen.setdefault(element.buffer, self.line())
        return True

    def place_frozen(self) -> None:
        """Begin the program with guards that the frozen arrays are as they were."""
        program = self.program
        for buffer, line in self._frozen.items():
            whole = program.whole(buffer)
            same = program.temp("bool", whole.shape)
            storage = self._flat(buffer).reshape(whole.shape)
            constant = program.constant(storage, program.buffers[buffer].dtype)
            rows: list[tuple[list[Any], Any, Any]] = [
                (program.op, "equal", "guard"), (program.out, same, None), (program.ins, (whole, constant), (same,)),
                (program.params, None, True), (program.line, line, line),
            ]  # fmt: skip
            for column, first, second in rows:
                column[:0] = [first, second]
            self.guards.insert(0, True)

    def concretise(self, view: View, value: np.ndarray) -> np.ndarray:
        """The contents of a varying integer or boolean array as constants, with a guard that they are these."""
        if view.buffer not in self.static and value.size:
            dtype = dtype_name(value.dtype)
            out = self.program.temp("bool", value.shape)
            self.emit("equal", out, (view, self.program.constant(value, dtype)))
            self.guard(out, True)
        return value.copy()


def _element_strides(value: np.ndarray) -> tuple[int, ...]:
    itemsize = value.itemsize
    return tuple([stride // itemsize for stride in value.strides])


def _is_dense(value: np.ndarray) -> bool:
    """Whether an array fills its memory, in some order of its axes, first element first."""
    if value.flags.c_contiguous:
        return True
    order = sorted(range(value.ndim), key=lambda axis: value.strides[axis])
    packed = [value.shape[axis] for axis in reversed(order)]
    strides = _element_strides(value)
    return all(value.shape[a] == 1 or strides[a] == s for a, s in zip(reversed(order), contiguous(tuple(packed)), strict=True))
