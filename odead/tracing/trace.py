"""trace: run a NumPy function once on traced values and record what it did as a Program.

Where things live:

* Arrays and floats among the arguments are ARGUMENT buffers; the same array passed twice is one of them, and so are arrays
  that overlap: the memory from the first to the last of their elements. Ints, strings, None and callables are static: they
  are part of what was recorded.
* Arrays and floats that the function holds are ARGUMENT buffers too where the caller says so (`held`).
* Arrays that the function finds in globals, closures and attributes are CAPTURED buffers, read at each run.
* A captured array into which the function writes is scratch: a temporary of the program, filled at entry from the user's
  array only where it is read before it is written. The user's array keeps the contents it has. An element that is read
  before it is written would carry a value from call to call; that raises TracingError, and the array is better passed as
  an argument.
* What is returned is copied into RESULT buffers, also where it is an argument or a view of one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

from ..containers import Structure, flatten
from ..errors import ArgumentValueError, TracingError
from ..holders import Held
from ..spans import Span, address_of, spans
from ..structured import STRUCTURED
from ..tape import DTYPES, Buffer, Program, Role
from ..views import View, contiguous, is_injective
from .branching.branches import Branching, Reconsidered
from .branching.conversion import Conversions
from .calls import Calls
from .collection import uncollected
from .entry import NEVER, reads_at_entry
from .functions.numpy_api import NumpyApi
from .leaving import WAYS_OUT, stumbled
from .names.namespace import Names, Namespace
from .observations import Observations
from .recorder import Recorder, is_traced
from .traced.array import TracedArray
from .traced.complexes import TracedComplexArray, TracedComplexScalar, from_pairs, is_complex, pairs_of
from .traced.scalar import TracedScalar, scalar_dtype

__all__ = ["ReturnLeaf", "Trace", "trace"]


@dataclass(frozen=True)
class ReturnLeaf:
    """One leaf of the returned value.

    Attributes
    ----------
    kind : type
        `ndarray`, or the type of the number.
    index : int or None
        Position in `program.results`; None if the leaf is static.
    static : object
        The leaf itself, if it is static.
    is_complex : bool
        The program holds pairs of floats (..., 2).
    """

    kind: type
    index: int | None = None
    static: Any = None
    is_complex: bool = False

    def value(self, arrays: Sequence[Any]) -> Any:
        if self.index is None:
            return self.static
        value = arrays[self.index] if self.index < len(arrays) else None
        if self.is_complex and value is not None and value.dtype.kind != "c":
            value = from_pairs(value)
        if value is None or self.kind is np.ndarray:
            return value
        return value[()] if is_traced(value) else self.kind(value)  # traced: of an outer recording


@dataclass(frozen=True)
class Trace:
    """What was recorded.

    Attributes
    ----------
    program : Program
        Its arguments are the distinct arrays and floats among the leaves of the arguments, in flattening order; its results
        the arrays and floats among the leaves of the returned value.
    leaves : tuple of int
        For each array or float among the leaves of (args, kwargs), then for each held one, its position in
        `program.arguments`.
    parts : dict of int to View
        For those of them (by number) that overlap with another: what they are of the flat memory that is bound.
    structure : Structure
        Of the returned value.
    result : tuple of ReturnLeaf, or None
        Its leaves; None if the function returned None.
    guards : tuple
        Outcomes of the branches, in the order of the program.
    namespace : Observations
        What was read from globals, closures and attributes; `namespace.stale()` tells whether any of it has changed.
    scratch : tuple of str
        Names of the captured arrays into which the function writes.
    aliases : tuple of str
        Names of the captured arrays that share memory with an argument; both are only read.
    unread : tuple of str
        Captured arrays into which the function writes what varies, but which it never reads: name and line. As scratch they
        are of no use, so they are meant as results.
    domains : dict of int to (View or None)
        As in `Recorder`.
    """

    program: Program
    leaves: tuple[int, ...]
    structure: Structure
    result: tuple[ReturnLeaf, ...] | None
    guards: tuple[Hashable, ...]
    namespace: Observations
    scratch: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    parts: Mapping[int, View] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    domains: Mapping[int, View | None] = field(default_factory=dict)

    def returned(self, arrays: Sequence[Any]) -> Any:
        """The returned value with `arrays` for its leaves, in the order of `program.results`; missing ones are None."""
        if self.result is None:
            return None
        return self.structure.unflatten([leaf.value(arrays) for leaf in self.result])

    def recorded(self, leaves: Sequence[Any]) -> list[Any]:
        """Of as many leaves as are returned, those of `program.results`: ints, strings and None that are static are none."""
        if self.result is None or len(leaves) != len(self.result):
            return list(leaves)
        return [leaf for leaf, returned in zip(leaves, self.result, strict=True) if returned.index is not None]


def trace(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, held: Sequence[Held] = ()
) -> Trace:
    """Record one run of `f(*args, **kwargs)`.

    f runs on private copies: no array of the caller's is changed. Its exceptions and warnings pass unchanged. It runs once,
    or a few times if it has branches for single elements, which are found by their recurrence; see `branches`.

    Parameters
    ----------
    f : callable
        Function, method, callable object, `functools.partial`, ufunc.
    args, kwargs
        Arrays (float64, float32, int64, bool), floats, static values, and containers of them.
    held : sequence of Held
        Arrays and floats that f, or an argument that is a callable, holds and that are inputs of the program as arguments are.

    Raises
    ------
    TracingError
        f does something that cannot be recorded; the message has the file, the line, the array and a rewrite.
    ArgumentValueError
        Two arrays overlap in a way that is no view of one array.
    """
    plan = Conversions()
    while True:
        with suppress(Reconsidered), uncollected():
            return _attempt(f, args, kwargs, held, plan)


def _attempt(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, held: Sequence[Held], plan: Conversions
) -> Trace:
    given, structure = flatten((args, dict(kwargs or {})))
    leaves = [*given, *(item.value for item in held)]
    arrays = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
    rec = Recorder(_name_of(f))
    rec.number_type = TracedScalar
    branching = Branching(rec, plan)
    rec.met, rec.entering = branching.met, branching.entering
    namespace = Namespace(rec, arrays, branching)
    rec.calls = Calls(namespace, trace)
    rec.api = NumpyApi(namespace.rebuild, namespace.capture)
    names = [*_paths(f, structure), *(item.path for item in held)]
    binder = _Binder(rec, _spans_of(leaves, names))
    bound = [binder.bind(leaf, name) for leaf, name in zip(leaves, names, strict=True)]
    for item, traced in zip(held, bound[len(given) :], strict=True):
        namespace.hold(item, traced)
    inner = [x if is_traced(x) else namespace.translate(x, name) for x, name in zip(bound[: len(given)], names, strict=False)]
    traced_args, traced_kwargs = _with_classes(structure, namespace.translate).unflatten(inner)
    result = _run(rec, namespace, branching, namespace.translate(f), traced_args, traced_kwargs)
    _check_containers(rec, inner, (traced_args, traced_kwargs), names)
    returned, result_leaves = _results(rec, namespace, result)
    binder.write_back()
    rec.place_fills()
    rec.place_frozen()
    aliases = _check_aliases(rec, namespace, names, leaves)
    scratch = tuple([rec.program.buffers[b].name for b in sorted(rec.scratch)])
    unread = tuple([place for b in sorted(rec.scratch - rec.consumed) if (place := _unread(rec.program, b))])
    for buffer in sorted(rec.scratch):
        _settle_scratch(rec, buffer)
    positions, guards, observed = tuple(binder.positions), tuple(rec.guards), namespace.observations
    return Trace(
        rec.close(), positions, returned, result_leaves, guards, observed, scratch, aliases, binder.parts, unread, rec.domains
    )


def _run(rec: Recorder, namespace: Namespace, branching: Branching, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        result = f(*args, **kwargs)
    except BaseException as error:
        branching.settle(error)
        with suppress(TracingError):  # the exception on its way says more
            namespace.finish()
        if rec.failure is not None and isinstance(error, Exception) and not isinstance(error, TracingError):
            raise rec.failure from error  # NumPy makes a ValueError of some errors it meets
        if place := stumbled(error, rec.is_watched):
            raise rec.error_at(place, f"code that cannot be traced says: {error}", WAYS_OUT) from error
        raise
    branching.settle()
    namespace.finish()
    if rec.failure is not None:  # the function has caught it
        raise rec.failure
    return result


def _name_of(f: Callable[..., Any]) -> str:
    while not hasattr(f, "__name__") and hasattr(f, "func"):
        f = f.func
    return getattr(f, "__name__", type(f).__name__)


# ------------------------------------------------------------------------------------------------ arguments


def _paths(f: Callable[..., Any], structure: Structure) -> list[str]:
    """What the user calls each leaf of (args, kwargs): `x`, `p.rate`, `p['k'][0]`."""
    positional, keywords = structure.children
    names = [f"argument {k}" for k in range(len(positional.children))]
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for k, parameter in enumerate(parameters[: len(names)]):
        if parameter.kind is parameter.VAR_POSITIONAL:
            names[k:] = [f"{parameter.name}[{j}]" for j in range(len(names) - k)]
            break
        names[k] = parameter.name
    paths: list[str] = []
    for child, name in zip((*positional.children, *keywords.children), (*names, *keywords.keys), strict=True):
        _extend(paths, child, name)
    return paths


def _extend(paths: list[str], structure: Structure, path: str) -> None:
    kind = structure.kind
    if kind is None:
        paths.append(path)
        return
    for k, child in enumerate(structure.children):
        if issubclass(kind, dict):
            _extend(paths, child, f"{path}[{structure.keys[k]!r}]")
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            _extend(paths, child, f"{path}.{kind._fields[k]}")
        elif issubclass(kind, (tuple, list)):
            _extend(paths, child, f"{path}[{k}]")
        else:
            _extend(paths, child, f"{path}.{structure.keys[k]}")


def _with_classes(structure: Structure, translate: Callable[[type], type]) -> Structure:
    """The structure with other classes for its containers."""
    children = tuple([_with_classes(child, translate) for child in structure.children])
    kind = structure.kind
    return Structure(kind if kind in (None, tuple, list, dict) else translate(kind), structure.keys, children)


def _spans_of(leaves: Sequence[Any], names: Sequence[str]) -> list[Span]:
    """What overlaps among the arguments; an array that does not start at an element of another raises."""
    try:
        return spans([leaf for leaf in leaves if isinstance(leaf, np.ndarray)])
    except TypeError as error:
        reason, *two = error.args
        known = {id(leaf): name for leaf, name in zip(leaves, names, strict=True)}
        first, second = (known[id(array)] for array in two)
        raise ArgumentValueError(
            f"{first} and {second} overlap in memory: {reason}. Pass a copy of one of them, or the whole array, and take the "
            f"view inside the function"
        ) from None


class _Binder:
    """Makes program inputs of the leaves of the arguments.

    Attributes
    ----------
    positions : list of int
        For each bound leaf its position in `program.arguments`.
    parts : dict of int to View
        For the bound leaves (by number) that overlap with others: their place in the flat argument.
    """

    def __init__(self, rec: Recorder, overlapping: Sequence[Span]) -> None:
        self._rec = rec
        self._known: dict[int, tuple[int, TracedArray]] = {}
        self._ordered: list[tuple[View, View]] = []  # argument, and the temporary in the order of its memory
        self.positions: list[int] = []
        self.parts: dict[int, View] = {}
        self._part_of = {id(x): (span, k) for span in overlapping for k, x in enumerate(span.arrays)}

    def bind(self, leaf: Any, name: str) -> Any:
        """The program input for a leaf; a static one as it is."""
        if isinstance(leaf, np.ndarray):
            if id(leaf) not in self._known or id(leaf) in self._part_of:
                self._check_array(leaf, name)
            if id(leaf) not in self._known:
                if id(leaf) in self._part_of:
                    self._bind_span(self._part_of[id(leaf)][0], name)
                else:
                    self._known[id(leaf)] = (len(self._rec.program.arguments), self._array(leaf, name))
            position, traced = self._known[id(leaf)]
            if id(leaf) in self._part_of:
                span, k = self._part_of[id(leaf)]
                self.parts[len(self.positions)] = span.parts[k]
            self.positions.append(position)
            return traced
        if isinstance(leaf, (complex, np.complexfloating)):
            if type(leaf) not in (complex, np.complex128):
                self._refuse(np.asarray(leaf).dtype.name, name)
            self.positions.append(len(self._rec.program.arguments))
            pair = self._array(np.array([leaf.real, leaf.imag]), name)
            return TracedComplexScalar(self._rec, pair[0], pair[1], type(leaf))
        if isinstance(leaf, (float, np.floating)):
            kind = scalar_dtype(leaf) if type(leaf) is not float else "float64"
            if kind not in DTYPES:
                self._refuse(kind, name)
            self.positions.append(len(self._rec.program.arguments))
            return TracedScalar(self._rec, self._rec.program.bound(kind, (), Role.ARGUMENT, name), leaf, kind)
        return leaf

    def _check_array(self, leaf: np.ndarray, name: str) -> None:
        if leaf.dtype.name not in (*DTYPES, "complex128") or not leaf.dtype.isnative:
            self._refuse(str(leaf.dtype), name)
        if type(leaf) not in (np.ndarray, np.memmap):
            raise TracingError(f"{name}: arrays of class {type(leaf).__name__} cannot be traced. Pass np.asarray({name})")

    def _refuse(self, dtype: str, name: str) -> None:
        kinds = ", ".join((*DTYPES, "complex128"))
        raise TracingError(f"{name} is {dtype}: this dtype cannot be traced. Convert with .astype to one of {kinds}")

    def _array(self, leaf: np.ndarray, name: str) -> TracedArray:
        if leaf.dtype.kind == "c":
            return TracedComplexArray(self._array(pairs_of(leaf), name))
        rec = self._rec
        whole = rec.program.bound(leaf.dtype.name, leaf.shape, Role.ARGUMENT, name)
        elements = tuple([stride // leaf.itemsize for stride in leaf.strides])
        if leaf.flags.c_contiguous or not leaf.size or not is_injective(View(0, 0, leaf.shape, elements)):
            value = np.array(leaf, order="C")
            rec.bind(whole, value)
            value.flags.writeable = leaf.flags.writeable
            return TracedArray(rec, whole, value)
        return self._in_order(leaf, whole, elements)

    def _bind_span(self, span: Span, name: str) -> None:
        """Arrays that overlap: their memory is one argument, of which each is a view."""
        rec, position = self._rec, len(self._rec.program.arguments)
        paired = span.dtype.kind == "c"
        dtype, shape = ("float64", (span.size, 2)) if paired else (span.dtype.name, (span.size,))
        whole = rec.program.bound(dtype, shape, Role.ARGUMENT, name)
        storage = span.memory().copy()
        rec.bind(whole, pairs_of(storage) if paired else storage)
        for array, part in zip(span.arrays, span.parts, strict=True):
            value = Span.part_of(storage, part)
            value.flags.writeable = array.flags.writeable
            if paired:
                strides = (*(2 * stride for stride in part.strides), 1)
                place = View(whole.buffer, 2 * part.offset, (*part.shape, 2), strides)
                self._known[id(array)] = (position, TracedComplexArray(TracedArray(rec, place, pairs_of(value))))
            else:
                self._known[id(array)] = (position, TracedArray(rec, part._replace(buffer=whole.buffer), value))

    def _in_order(self, leaf: np.ndarray, whole: View, strides: tuple[int, ...]) -> TracedArray:
        """An array that is not in C order: what is a view and what a copy of it depends on its order, so keep that."""
        rec, dtype = self._rec, leaf.dtype.name
        low, high = np.lib.array_utils.byte_bounds(leaf)
        start = address_of(leaf) - low
        storage = np.zeros((high - low) // leaf.itemsize, dtype)
        memory = rec.program.temp(dtype, storage.shape)
        rec.bind(memory, storage)
        value = np.ndarray(leaf.shape, leaf.dtype, storage, start, leaf.strides)
        value[...] = leaf
        value.flags.writeable = leaf.flags.writeable
        view = View(memory.buffer, start // leaf.itemsize, leaf.shape, strides)
        if storage.size > leaf.size:
            rec.program.emit("copy", memory, (rec.program.constant(0, dtype, storage.shape),))
        rec.program.emit("copy", view, (whole,))
        self._ordered.append((whole, view))
        return TracedArray(rec, view, value)

    def write_back(self) -> None:
        program = self._rec.program
        for whole, view in self._ordered:
            writes = sum(out is not None and out.buffer == view.buffer for out in program.out)
            if writes > 1 + (program.buffers[view.buffer].size > view.size):
                program.emit("copy", whole, (view,))


def _check_containers(rec: Recorder, before: Sequence[Any], arguments: Any, names: Sequence[str]) -> None:
    after, _ = flatten(arguments)
    if len(after) != len(before) or any(a is not b for a, b in zip(after, before, strict=True)):
        if len(after) != len(before):
            raise TracingError(
                f"{rec.program.name}: the function appends to a list or dict among its arguments, or takes something out. "
                f"Do so with a copy (x = list(x), x = dict(x)), or return the new value"
            )
        changed = next(n for n, a, b in zip(names, after, before, strict=True) if a is not b)
        raise TracingError(
            f"{rec.program.name}: the function puts another object in the place of {changed}. Only arrays can be changed: "
            f"write into an array (x[k] = ...), or return the new value"
        )


def _check_aliases(rec: Recorder, namespace: Namespace, names: Sequence[str], leaves: Sequence[Any]) -> tuple[str, ...]:
    """A captured array that is also an argument may only be read: at the next call they are two arrays."""
    if not namespace.aliases:
        return ()
    arrays = [(name, id(leaf)) for name, leaf in zip(names, leaves, strict=True) if isinstance(leaf, np.ndarray)]
    buffers = rec.program.buffers
    written = {buffers[out.buffer].name for out in rec.program.out if out is not None}
    for captured, k in namespace.aliases:
        argument, name = arrays[k][0], buffers[captured].name or "a captured array"
        if captured in rec.scratch or argument in written:
            raise TracingError(
                f"{rec.program.name}: {name} and the argument {argument} share memory, and the function writes into one of "
                f"them. Read it through the argument only"
            )
    return tuple(dict.fromkeys(buffers[captured].name for captured, _ in namespace.aliases))


# ------------------------------------------------------------------------------------------------ results


def _results(rec: Recorder, namespace: Namespace, result: Any) -> tuple[Structure, tuple[ReturnLeaf, ...] | None]:
    leaves, structure = flatten(result)
    structure = _with_classes(structure, lambda kind: namespace.originals.get(kind, kind))
    if result is None:
        return structure, None
    return structure, tuple([_result(rec, namespace, leaf) for leaf in leaves])


def _result(rec: Recorder, namespace: Namespace, leaf: Any) -> ReturnLeaf:
    program = rec.program
    if not is_traced(leaf) and isinstance(leaf, np.ndarray) and leaf.dtype.name in (*DTYPES, "complex128"):
        leaf = rec.api.operand(rec, leaf)
    if is_complex(leaf) and not isinstance(leaf, np.complex64):
        kind, pairs = _complex_result(rec, leaf)
        return ReturnLeaf(kind, _returned_buffer(program, pairs), is_complex=True)
    if is_traced(leaf):
        kind = np.ndarray if type(leaf) is TracedArray else type(leaf.value)
        source = rec.reads(leaf.place)
    elif isinstance(leaf, (float, np.floating)) and scalar_dtype(leaf) in DTYPES:
        kind, source = type(leaf), program.constant(leaf, scalar_dtype(leaf))
    else:
        return ReturnLeaf(type(leaf), static=_static_result(rec, namespace, leaf))
    return ReturnLeaf(kind, _returned_buffer(program, source))


def _returned_buffer(program: Program, source: View) -> int:
    index = len(program.results)
    out = program.bound(program.dtype(source), source.shape, Role.RESULT, f"result{index or ''}")
    program.emit("copy", out, (source,), None, -1)
    return index


def _complex_result(rec: Recorder, leaf: Any) -> tuple[type, View]:
    """The type of a complex result, and its pairs."""
    if type(leaf) is TracedComplexArray:
        return np.ndarray, rec.reads(leaf.place)
    if type(leaf) is TracedComplexScalar:
        return type(leaf.value), rec.reads(leaf.as_array().place)
    return type(leaf), rec.program.constant([leaf.real, leaf.imag], "float64")


def _static_result(rec: Recorder, namespace: Namespace, leaf: Any) -> Any:
    original = namespace.original(leaf)
    inner = type(leaf) in namespace.originals or (isinstance(leaf, FunctionType) and isinstance(leaf.__globals__, Names))
    if inner and original is leaf:
        raise TracingError(
            f"{rec.program.name} returns an object of {type(leaf).__name__} made inside it. Return arrays, numbers, or tuples, "
            f"lists, dicts and dataclasses of them"
        )
    if is_complex(leaf):
        rec.unsupported(leaf.dtype.name)
    return original


# ------------------------------------------------------------------------------------------------ scratch


def _unread(program: Program, buffer: int) -> str:
    """Name and line of a captured array that is written but never read; empty if it is read, or nothing in it varies."""
    place = ""
    for op, out, ins, line in zip(program.op, program.out, program.ins, program.line, strict=True):
        in_place = op in STRUCTURED and STRUCTURED[op].in_place
        if any(view.buffer == buffer and not (in_place and k == 0) for k, view in enumerate(ins)):
            return ""
        varies = any(program.buffers[view.buffer].role is not Role.CONSTANT for view in ins)
        if out is not None and out.buffer == buffer and varies and not place:
            where = f" at {program.lines[line]}" if line >= 0 else ""
            place = f"{program.buffers[buffer].name or 'a captured array'}{where}"
    return place


def _settle_scratch(rec: Recorder, buffer: int) -> None:
    """Make a temporary of a captured array into which the function writes; see the module's docstring."""
    program = rec.program
    captured = program.buffers[buffer]
    written, entry, exposed = reads_at_entry(program, buffer)
    conflict = np.flatnonzero(written & (entry != NEVER))
    if conflict.size:
        line = int(entry[conflict[0]])
        where = program.lines[line] if line >= 0 else program.name
        name = captured.name or "a captured array"
        raise TracingError(
            f"{where}: {name} is read before it is written, and written too: it carries values from call to call. Pass it as "
            f"an argument, or set it at the beginning of the function"
        )
    program.buffers[buffer] = Buffer(captured.dtype, captured.size, Role.TEMP, captured.name)
    if exposed:
        assert captured.data is not None
        source = program.bound(captured.dtype, captured.data.shape, Role.CAPTURED, captured.name, captured.data)
        whole = View(buffer, 0, source.shape, contiguous(source.shape))
        columns: list[tuple[list[Any], Any]] = [
            (program.op, "copy"), (program.out, whole), (program.ins, (source,)), (program.params, None), (program.line, -1),
        ]  # fmt: skip
        for column, value in columns:
            column.insert(0, value)
