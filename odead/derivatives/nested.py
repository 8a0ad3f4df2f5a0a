"""Derivatives taken inside a function that is itself being recorded.

The inner function is recorded on its own, at the values that its arguments have in the outer recording; its derived program
runs there, and is then written out among the outer instructions. What comes of it is ordinary instructions, so any order of
nesting follows. What the inner function closes over is an argument of it without a shadow: the inner derivative holds it
constant, the outer one does not, and the two are never confused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from ..activity import AbstractAnnotation, BatchDuplicated
from ..containers import flatten, map_leaves
from ..errors import ArgumentValueError
from ..rules.closures import detached
from ..spans import Span, spans
from ..tape import Program, Role
from ..tracing.entry import is_output, is_read
from ..tracing.functions.creation import array as traced_array
from ..tracing.functions.creation import from_numpy
from ..tracing.names.namespace import Names
from ..tracing.observations import Observations
from ..tracing.recorder import Recorder, is_plain, is_traced
from ..tracing.traced.array import TracedArray
from ..tracing.traced.complexes import TracedComplexScalar, from_pairs, is_complex, pairs_of
from ..views import View, broadcast, overlap

__all__ = ["Called", "Nest", "nest_of", "part_of"]


def nest_of(f: Any, *trees: Any) -> Nest | None:
    """The recording in which `f` is to be differentiated at these arguments; None outside of any."""
    for tree in trees:
        if not is_plain(tree):
            for leaf in flatten(tree)[0]:
                if is_traced(leaf):
                    return Nest(leaf.rec)
    return _nest_of_function(f)


def _nest_of_function(f: Any) -> Nest | None:
    """The recording in which a function was made, or what it wraps."""
    if isinstance(f, FunctionType):
        return Nest(f.__globals__.namespace.rec) if isinstance(f.__globals__, Names) else None
    if isinstance(f, functools.partial):
        return next((nest for part in (f.func, *f.args) if callable(part) and (nest := _nest_of_function(part))), None)
    wrapped = getattr(f, "__func__" if isinstance(f, MethodType) else "func", None)
    if wrapped is not None:
        return _nest_of_function(wrapped)
    called = getattr(type(f), "__call__", None)  # noqa: B004  # the function itself
    return _nest_of_function(called) if isinstance(called, FunctionType) else None


@dataclass(frozen=True, eq=False)
class _Partial:
    """A `functools.partial` as a container, so that what is traced in it is an argument."""

    func: Any
    args: tuple[Any, ...]
    keywords: dict[str, Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*self.args, *args, **{**self.keywords, **kwargs})


class _Whole:
    """An object of the user's that is not to be taken apart: what it holds is read at each run, as of any other object."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        traced = next(leaf for leaf in flatten((args, kwargs))[0] if is_traced(leaf))
        return traced.__odead_inside__(self._thing)(*args, **kwargs)


class Called:
    """A function that is an argument itself, for what it closes over."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, odead_function: Callable[..., Any], **kwargs: Any) -> Any:
        return odead_function(*args, **kwargs)


class Nest:
    """The outer recording.

    Parameters
    ----------
    rec : Recorder
    """

    def __init__(self, rec: Recorder) -> None:
        self.rec = rec
        self.kernels = rec.calls.kept

    # ------------------------------------------------------------------------------------------ from outside to inside

    def outside(self, f: Any) -> Any:
        """A function of the traced code as one of the user's world, a container of what is traced in it."""
        original = self.rec.calls.original
        if isinstance(f, MethodType):
            return MethodType(self.outside(f.__func__), original(f.__self__))
        if isinstance(f, functools.partial):
            args, keywords = map_leaves(self._leaf_outside, (f.args, f.keywords))
            return _Partial(self.outside(f.func), args, keywords)
        if isinstance(f, FunctionType):
            return detached(f, original, is_traced)
        thing = original(f)
        return _Whole(thing) if thing is not f and is_dataclass(thing) else thing

    def _leaf_outside(self, leaf: Any) -> Any:
        return leaf if is_traced(leaf) else self.outside(leaf)

    def true_class(self, kind: type) -> type:
        """The user's class for one that was copied into the traced code."""
        originals: dict[type, type] = self.rec.calls.namespace.originals  # type: ignore[attr-defined]
        return originals.get(kind, kind)

    def untraced(self, x: Any) -> Any:
        """An array that depends on no input: the user's own if it is read from outside. Anything else as it is."""
        if isinstance(x, TracedArray) and x.place.buffer in self.rec.static:
            return np.array(x.value)
        captured: Callable[[Any], Any] = self.rec.calls.namespace.captured  # type: ignore[attr-defined]
        return captured(x)

    @staticmethod
    def twin(leaf: Any) -> Any:
        """What a value is in the outer recording, arrays with the memory that they have there."""
        if is_traced(leaf) and not isinstance(leaf, (np.ndarray, float, complex, np.inexact)):
            return type(leaf.value)(leaf)  # an int decides what is recorded
        return leaf.value if is_traced(leaf) else leaf

    def twin_of(self, annotation: Any) -> Any:
        """An annotation with these values."""
        if not isinstance(annotation, AbstractAnnotation):
            return annotation
        value, *shadows = [map_leaves(self.twin, tree) for tree in (annotation.val, *annotation.shadows)]
        if isinstance(annotation, BatchDuplicated):
            return type(annotation)(value, tuple(shadows))
        return type(annotation)(value, *shadows)

    @staticmethod
    def values(xs: Sequence[Any], together: int = 0) -> list[Any]:
        """Private copies of what values have in the outer recording.

        The same array is one copy, and the copies of those among the first that overlap do so too; `together` is their
        number.
        """
        values = [x.value if is_traced(x) else x for x in xs]
        known: dict[int, Any] = {}
        for span in _spans([value for value in values[:together] if isinstance(value, np.ndarray)]):
            memory = span.memory().copy()
            known.update({id(x): Span.part_of(memory, part) for x, part in zip(span.arrays, span.parts, strict=True)})
        for value in values:
            if id(value) not in known:
                known[id(value)] = copy_in_layout(value) if isinstance(value, np.ndarray) else value
        return [known[id(value)] for value in values]

    def depends_on(self, observations: Observations) -> None:
        """A change of what the inner function reads makes the outer recording stale too."""
        self.rec.calls.depends_on(observations)

    # ------------------------------------------------------------------------------------------ arrays

    def new(self, value: np.ndarray) -> Any:
        """An array of the outer recording with contents that depend on no input."""
        made: TracedArray = from_numpy(self.rec, value)
        return made

    def array(self, x: Any, dtype: Any) -> Any:
        """`np.array(x, dtype)` in the outer recording."""
        return traced_array(self.rec, x, dtype)

    def memory(self, x: Any, span: Span) -> Any:
        """All elements of a span, in which the traced `x` lies, as a flat array that is no copy."""
        value = span.memory()
        value = pairs_of(value) if span.dtype.kind == "c" else value
        view = self.rec.part(x.place.buffer, value)
        assert view is not None
        made = TracedArray(self.rec, view, value)
        return from_pairs(made) if span.dtype.kind == "c" else made

    # ------------------------------------------------------------------------------------------ instructions

    def inline(self, program: Program, arrays: Sequence[Any], left: Sequence[Any]) -> None:
        """Write a program out among the instructions of the outer recording.

        Parameters
        ----------
        program : Program
        arrays : sequence
            For its arguments, then its results: traced ones, or constants.
        left : sequence
            The values that a run leaves in them.
        """
        rec = self.rec
        arrays = [x.as_array() if type(x) is TracedComplexScalar else x for x in arrays]
        bound = [*program.arguments, *program.results]
        written = {out.buffer for out in program.out if out is not None}
        self._refuse_overlap([(x, b in written) for x, b in zip(arrays, program.arguments, strict=False)])
        inlined = _Inlined(rec, program)
        for buffer, x in zip(program.arguments, arrays, strict=False):
            if is_traced(x) and x.place.buffer in rec.captured and is_output(program, buffer):
                rec.consumed |= {x.place.buffer} if is_read(program, buffer) else set()  # scratch of the inner function
            else:
                inlined.fill(buffer, x)
        inlined.run()
        for buffer, x, value in zip(bound, arrays, left, strict=True):
            if buffer in written and is_traced(x):
                rec.writes(x.place, replaces_all=True)
                x.value[...] = value
                rec.assign(x.place, inlined.whole(buffer))

    def _refuse_overlap(self, given: Sequence[tuple[Any, bool]]) -> None:
        arrays = [(x, writes) for x, writes in given if is_traced(x)]
        for k, (x, writes) in enumerate(arrays):
            for y, also in arrays[:k]:
                if (writes or also) and overlap(x.place, y.place):
                    self.rec.fail(
                        f"a function that is differentiated inside another writes into {self.rec.name(x)}, which it also "
                        f"reaches in another way",
                        "Pass copies, or use the array in one way only",
                    )


class _Inlined:
    """The instructions of a program among those of a recording."""

    def __init__(self, rec: Recorder, program: Program) -> None:
        self.rec, self.program = rec, program
        self.lines = [rec.line_of(source) for source in program.lines]
        self.own = rec.line()
        self.numbers = [self._declare(number) for number in range(len(program.buffers))]

    def _declare(self, number: int) -> int:
        buffer = self.program.buffers[number]
        if buffer.role is Role.CONSTANT:
            return self.rec.program.constant(buffer.data, buffer.dtype).buffer
        made = self.rec.program.temp(buffer.dtype, (buffer.size,))
        if buffer.role is Role.CAPTURED:
            assert buffer.data is not None
            source = self.rec.api.operand(self.rec, buffer.data)
            if is_traced(source) and source.place.buffer in self.rec.scratch:
                self.rec.fail(
                    f"{self.rec.name(source)} is written by this function, and read by one that is differentiated in it",
                    "Pass it to the inner function as an argument",
                )
            self._copy(self.program.whole(number)._replace(buffer=made.buffer), source)
        return made.buffer

    def whole(self, buffer: int) -> View:
        return self.program.whole(buffer)._replace(buffer=self.numbers[buffer])

    def fill(self, buffer: int, x: Any) -> None:
        """Copy an argument in."""
        self._copy(self.whole(buffer), x)

    def _copy(self, out: View, x: Any) -> None:
        program = self.rec.program
        if is_traced(x):
            source = self.rec.reads(x.place)
        else:
            source = program.constant(pairs_of(np.asarray(x)) if is_complex(x) else x, program.dtype(out))
        program.emit("copy", out, (broadcast(source, out.shape),), None, self.own)

    def run(self) -> None:
        for op, out, ins, params, line in self.program:
            operands = tuple([self._placed(view) for view in ins])
            place = self.lines[line] if line >= 0 else self.own
            if out is None:
                assert isinstance(params, int)
                self.rec.guard(operands[0], params)
                self.rec.program.line[-1] = place
            else:
                self.rec.program.emit(op, self._placed(out), operands, params, place)

    def _placed(self, view: View) -> View:
        return view._replace(buffer=self.numbers[view.buffer])


def copy_in_layout(x: np.ndarray) -> np.ndarray:
    """A copy with the same strides, so that what is a view of `x` in the function is one of the copy."""
    if x.flags.c_contiguous or not x.size or 0 in x.strides:
        return x.copy()
    low, high = np.lib.array_utils.byte_bounds(x)
    made = np.ndarray(x.shape, x.dtype, np.zeros(high - low, np.uint8), x.__array_interface__["data"][0] - low, x.strides)
    made[...] = x
    return made.view(type(x))


def _spans(arrays: Sequence[np.ndarray]) -> list[Span]:
    try:
        return spans(arrays)
    except TypeError as error:
        raise ArgumentValueError(
            f"two arguments of a function that is differentiated inside another overlap in memory: {error.args[0]}. Pass a "
            f"copy of one of them"
        ) from None


def part_of(flat: Any, part: View) -> Any:
    """As `Span.part_of`, also of a traced array."""
    if not is_traced(flat):
        return Span.part_of(flat, part)
    place, value = flat.place, Span.part_of(flat.value, part)
    if not is_complex(flat):
        return TracedArray(flat.rec, part._replace(buffer=place.buffer, offset=place.offset + part.offset), value)
    strides = (*(2 * stride for stride in part.strides), 1)
    view = View(place.buffer, place.offset + 2 * part.offset, (*part.shape, 2), strides)
    return from_pairs(TracedArray(flat.rec, view, pairs_of(value)))
