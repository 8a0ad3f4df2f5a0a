"""Calls of primitives while a function is recorded.

A primitive that a rule covers runs once on the concrete values, and a call instruction is recorded: arrays and numbers that are
traced become operands, everything else is part of what was recorded. One without rules is traced as if it had been written
there; only if that fails is it called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..containers import Structure, flatten
from ..rules.callee import Recorded
from ..rules.closures import detached
from ..rules.primal import Primal
from ..rules.primitive import Primitive, place
from ..rules.signature import EXACT, Same, Signature, Slot, Static, by_parameter, offsets
from ..tape import DTYPES
from ..views import View, contiguous, overlap
from .functions.creation import from_numpy
from .observations import Observations, attribute_of
from .recorder import Recorder, Traced, is_traced
from .traced.array import TracedArray
from .traced.complexes import is_complex
from .traced.scalar import TracedScalar, scalar_dtype

if TYPE_CHECKING:
    from .names.namespace import Namespace
    from .trace import Trace

__all__ = ["Calls"]


class Calls:
    """Records calls of primitives in one recording.

    Parameters
    ----------
    namespace : Namespace
    trace : callable
        Records another function: `trace.trace`.
    """

    def __init__(self, namespace: Namespace, trace: Callable[..., Trace]) -> None:
        self.namespace, self._trace = namespace, trace
        self.rec: Recorder = namespace.rec
        self._untraceable: dict[int, str] = {}  # id of a primitive without rules -> why its body cannot be traced, or ""

    def __call__(self, primitive: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.namespace.observations.note(attribute_of, primitive, "version")
        given = (args, kwargs)
        if primitive.signature is not None:
            bound = primitive.signature.bind(*args, **kwargs)
            given = (bound.args, bound.kwargs)
        leaves, structure = flatten(given)
        nested = structure.unflatten([self._outside(leaf) for leaf in leaves])
        leaves, structure = flatten(nested)
        if all(leaf.place.buffer in self.rec.static for leaf in leaves if is_traced(leaf)) and not primitive.writes:
            args, kwargs = structure.unflatten([leaf.value.copy() if is_traced(leaf) else leaf for leaf in leaves])
            result = primitive.function(*args, **kwargs)
            return (
                from_numpy(self.rec, result)
                if isinstance(result, (np.ndarray, tuple, list))
                else self.namespace.translate(result)
            )
        if not primitive.writes:  # constants are no operands, so that no derivative in them is asked for
            leaves = [leaf.value.copy() if self._is_constant(leaf) else leaf for leaf in leaves]
        call = _Call(self, primitive, leaves, structure)
        if primitive.is_covered:
            return call.record()
        why = self._untraceable.get(id(primitive))
        if why is None:
            why = self._untraceable[id(primitive)] = call.why_untraceable()
        if not why:
            return self.namespace.inside(primitive.function)(*args, **kwargs)
        return call.record()

    def _is_constant(self, leaf: Any) -> bool:
        return is_traced(leaf) and isinstance(leaf.value, np.ndarray) and leaf.place.buffer in self.rec.static

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = self.namespace.translate(function)
        return made

    @property
    def kept(self) -> dict[Any, Any]:
        return self.namespace.kept

    def original(self, x: Any) -> Any:
        return self.namespace.original(x)

    def depends_on(self, observations: Observations) -> None:
        self.namespace.observations.note(_is_stale, observations, None)

    def _outside(self, leaf: Any) -> Any:
        """A traced value, or the user's own object."""
        if is_traced(leaf):
            return leaf
        if isinstance(leaf, np.ndarray):
            return self.rec.api.operand(self.rec, leaf)
        if isinstance(leaf, FunctionType):
            return detached(leaf, self.namespace.original, is_traced)
        return self.namespace.original(leaf)

    def recorded(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Recorded:
        """Another function as instructions; a change of what it reads makes this recording stale too."""
        trace = self._trace(function, args)
        self.depends_on(trace.namespace)
        results = () if trace.result is None else tuple((leaf.index, leaf.static) for leaf in trace.result)
        return Recorded(trace.program, results)


def _is_stale(observations: Observations, _: Any) -> bool:
    return observations.stale()


class _Call:
    """One call: its operands, the concrete run, and the instructions for what it leaves."""

    def __init__(self, calls: Calls, primitive: Primitive, leaves: Sequence[Any], structure: Structure) -> None:
        self.calls, self.rec, self.primitive, self.structure = calls, calls.rec, primitive, structure
        self.traced: list[Traced] = []  # the operands
        self.leaves: list[int | Static] = []
        for leaf in leaves:
            self.leaves.append(self._operand(leaf) if is_traced(leaf) else Static(leaf))
        self.slots = [_slot(x.value) for x in self.traced]
        self.entry = [slot.value(x.value) for slot, x in zip(self.slots, self.traced, strict=True)]

    def _operand(self, leaf: Traced) -> int:
        """The number of the operand; the same array is one operand."""
        if is_complex(leaf):
            self.rec.fail(
                f"{self.primitive.__name__}, which is not traced, gets a complex argument",
                "Pass its real and imaginary part, or leave @odead.primitive out",
            )
        for k, known in enumerate(self.traced):
            if known.place == leaf.place and type(known) is type(leaf) is TracedArray:
                return k
        self.traced.append(leaf)
        return len(self.traced) - 1

    def values(self) -> list[Any]:
        return [slot.value(value) for slot, value in zip(self.slots, self.entry, strict=True)]

    def build(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        filled = [values[leaf] if isinstance(leaf, int) else leaf.value for leaf in self.leaves]
        args, kwargs = self.structure.unflatten(filled)
        return args, kwargs

    def why_untraceable(self) -> str:
        args, kwargs = self.build(self.values())
        try:
            self.calls.recorded(_Applied(kwargs), (self.primitive.function, *args))
        except Exception as error:  # code that cannot be traced may stumble over a traced value in any way
            return str(error) or type(error).__name__
        return ""

    def record(self) -> Any:
        written = self._written()
        values = self.values()
        args, kwargs = self.build(values)
        result = self.primitive.function(*args, **kwargs)
        self._check_writes(values, written)
        leaves, structure = flatten(result)
        returned = tuple(self._returned(leaf, values) for leaf in leaves)
        signature = Signature(
            self.primitive, self.structure, tuple(self.leaves), tuple(self.slots), written, structure, returned
        )
        why = self.calls._untraceable.get(id(self.primitive), "")
        row = self.rec.program.temp("float64", (sum(slot.size for slot in signature.outs),))
        callee = Primal(signature, self.entry, self.calls.recorded, why)
        self.rec.emit("call", row, [x.place for x in self.traced], callee)
        places = [View(row.buffer, start, slot.shape, contiguous(slot.shape)) for slot, start, _ in offsets(signature.outs)]
        for k, place_ in zip(written, places[signature.n_returned :], strict=True):
            self._write(self.traced[k], values[k], place_)
        given = iter(places)
        made = [self._made(leaf, slot, given) for leaf, slot in zip(leaves, returned, strict=True)]
        return structure.unflatten(made)

    # ------------------------------------------------------------------------------------------ what is written

    def _written(self) -> tuple[int, ...]:
        """The operands that are arrays of the parameters `writes`."""
        found: list[int] = []
        for name, own in by_parameter(self.primitive, self.structure, self.leaves):
            if name in self.primitive.writes:
                found += [k for k in own if self.slots[k].kind is np.ndarray]
        written, function = tuple(dict.fromkeys(found)), self.primitive.__name__
        for k in written:
            for j, other in enumerate(self.traced):
                if j != k and overlap(other.place, self.traced[k].place):
                    self.rec.fail(
                        f"{function} writes into {self.rec.name(self.traced[k])}, which overlaps another argument",
                        "Pass a copy of one of them",
                    )
        return written

    def _check_writes(self, values: Sequence[Any], written: Sequence[int]) -> None:
        for k, (before, after) in enumerate(zip(self.entry, values, strict=True)):
            if k not in written and isinstance(after, np.ndarray) and not _equal(before, after):
                name = self.rec.name(self.traced[k])
                self.rec.fail(
                    f"{self.primitive.__name__} ({place(self.primitive.function)}) writes into its argument {name}, which its "
                    f"decorator does not say",
                    "Name the parameter: @odead.primitive(writes=(...,))",
                )

    def _write(self, target: Traced, value: np.ndarray, source: View) -> None:
        rec = self.rec
        if not target.value.flags.writeable:
            target.value[...] = value  # raises NumPy's own error
        rec.writes(target.place, replaces_all=True)
        target.value[...] = value
        rec.assign(target.place, source)

    # ------------------------------------------------------------------------------------------ what is returned

    def _returned(self, leaf: Any, values: Sequence[Any]) -> Slot | Same | Static:
        if isinstance(leaf, np.ndarray):
            for k, value in enumerate(values):
                if leaf is value:
                    return Same(k)
        if isinstance(leaf, (bool, int, float, np.generic, np.ndarray)):
            slot = _slot(leaf)
            if slot.dtype not in DTYPES:
                self.rec.unsupported(slot.dtype)
            if slot.dtype == "int64" and np.abs(np.asarray(leaf)).max(initial=0) > EXACT:
                self.rec.fail(f"{self.primitive.__name__} returns integers beyond 2**53", "Return floats")
            return slot
        return Static(leaf)

    def _made(self, leaf: Any, slot: Slot | Same | Static, places: Any) -> Any:
        rec = self.rec
        if isinstance(slot, Same):
            return self.traced[slot.operand]
        if isinstance(slot, Static):
            return slot.value
        source = rec.cast(next(places), slot.dtype)
        if slot.kind is not np.ndarray:
            out = rec.program.temp(slot.dtype, ())
            rec.emit("copy", out, (source,))
            return TracedScalar(rec, out, leaf, slot.dtype)
        view, value = rec.adopt(np.array(leaf, order="C"))
        rec.emit("copy", view, (source,))
        return TracedArray(rec, view, value)


class _Applied:
    """A function with keyword arguments, called as `(function, *args)`."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._kwargs = kwargs
        self.__name__ = "body"

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args, **self._kwargs)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _slot(value: Any) -> Slot:
    if isinstance(value, np.ndarray):
        return Slot(value.dtype.name, value.shape, np.ndarray)
    return Slot(scalar_dtype(value), (), type(value))
