"""Elements picked by integers that vary: `table[int(t / dt)]` is one program for all t.

The index is an operand, not a guard. A run that meets an index out of range stops as at a guard, so that the function is
recorded anew and raises what NumPy raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...views import View, is_injective
from ..recorder import Recorder, dtype_name
from .scalar import TracedScalar

if TYPE_CHECKING:
    from .array import TracedArray

__all__ = ["look_up", "looks_up", "store", "stores"]


def looks_up(x: TracedArray, key: Any) -> bool:
    """Whether `key` has integers that vary, and beside them nothing but integers and slices."""
    keys = key if type(key) is tuple else (key,)
    simple = all(_varies(k) or type(k) in (int, slice) for k in keys)
    return simple and 0 < len(keys) <= x.ndim and any(map(_varies, keys))


def look_up(x: TracedArray, key: Any) -> Any:
    """`x[key]` for such a key."""
    if _varies(key) and x.place.buffer in x.rec.updated and _is_known(x.rec, key, len(x)):
        return x[int(key.value)]
    keys = key if type(key) is tuple else (key,)
    picked: Any = x[tuple([slice(None) if _varies(k) else k for k in keys])]
    left = [k for k in keys if type(k) is not int]  # one for each axis that is still there
    for axis in reversed(range(len(left))):
        if _varies(left[axis]):
            picked = _taken(picked, axis, left[axis])
    return picked


def stores(x: TracedArray, key: Any) -> bool:
    """Whether `key` is an integer that varies, and x has one axis."""
    return _varies(key) and x.ndim == 1 and is_injective(x.place)


def store(x: TracedArray, key: Any, source: View, value: Any) -> None:
    """`x[key] = value` for such a key; `source` is the value in the program.

    Where the index is part of the recording, so is the element: the rest of x is not touched.
    """
    rec = x.rec
    if _is_known(rec, key, len(x)):
        index = int(key.value)
        (n,), (stride,) = x.place.shape, x.place.strides
        element = View(x.place.buffer, x.place.offset + index % n * stride, (), ())
        rec.writes(element)
        rec.updated.add(x.place.buffer)
        x.value[index] = value
        rec.emit("copy", element, (source,))
        return
    index, place = _index(rec, key, len(x))
    rec.writes(x.place)
    x.value[index] = value
    rec.program.emit("put", x.place, (x.place, source, place), None, rec.line())


def _is_known(rec: Recorder, key: TracedScalar, n: int) -> bool:
    """Whether an index is read from a captured array of integers: it is part of the recording, as connectivity is."""
    return -n <= int(key.value) < n and rec.freeze(key.place)


def _varies(key: Any) -> bool:
    return type(key) is TracedScalar and key.kind == "int64"


def _taken(x: TracedArray, axis: int, key: TracedScalar) -> Any:
    """The part of x at a place along an axis."""
    rec = x.rec
    index, place = _index(rec, key, x.shape[axis])
    value = x.value[(slice(None),) * axis + (index,)]
    rec.reads(x.place)
    order = [*(k for k in range(x.ndim) if k != axis), axis]
    shape, strides = x.place.shape, x.place.strides
    source = View(x.place.buffer, x.place.offset, tuple([shape[k] for k in order]), tuple([strides[k] for k in order]))
    if not isinstance(value, np.ndarray):
        kind = dtype_name(x.value.dtype)
        return TracedScalar(rec, rec.record("take", kind, (source, place)), value, kind)
    view, value = rec.adopt(np.array(value, order="C"))
    rec.program.emit("take", view, (source, place), None, rec.line())
    return type(x)(rec, view, value)


def _index(rec: Recorder, key: TracedScalar, n: int) -> tuple[int, View]:
    """The index in the recorded run, and in the program; negative ones count from the end.

    In a side of an `if` that a run does not take it is 0, for the index meant for the other values may be out of range.
    """
    if _is_known(rec, key, n):
        return int(key.value), rec.program.constant(int(key.value) % n, "int64")
    zero, length = (rec.program.constant(number, "int64") for number in (0, n))
    negative = rec.record("less", "bool", (key.place, zero))
    place = rec.record("where", "int64", (negative, rec.record("add", "int64", (key.place, length)), key.place))
    index = int(key.value)
    if rec.side is not None:
        place = rec.record("where", "int64", (rec.side.valid(), place, zero))
        index = index if rec.side.is_taken() else 0
    return index, place
