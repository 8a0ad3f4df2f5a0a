"""Functions that move elements: views, reshaping, joining, picking, assigning."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ...views import View
from ..recorder import Recorder, dtype_name
from ..traced.array import TracedArray, concrete_key, gather, moved
from ..traced.complexes import TracedComplexArray
from .creation import as_array, as_traced, concrete, copy_of, from_numpy, recorder_of
from .elementwise import is_static, operand_view

__all__ = [
    "as_strided",
    "broadcast_arrays",
    "concatenate",
    "copyto",
    "diagonal",
    "fill",
    "flatten",
    "for_each",
    "mover",
    "nonzero",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "select",
    "take",
    "transpose",
    "view_of",
    "where",
]


def mover(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that only moves elements: a view where NumPy makes one, else a gather."""

    def move(x: Any, *args: Any, **kwargs: Any) -> Any:
        rec = recorder_of((x, args, kwargs))
        x, args = as_traced(rec, x), concrete_key(rec, args)
        kwargs = {name: concrete_key(rec, option) for name, option in kwargs.items()}
        return _moved(x, function(x.value, *args, **kwargs), lambda: function(x.place.indices(), *args, **kwargs))

    return move


def _moved(x: TracedArray, value: Any, positions: Callable[[], Any]) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)([_moved(x, item, lambda k=k: positions()[k]) for k, item in enumerate(value)])  # type: ignore[misc]
    if x.rec.part(x.place.buffer, value) is not None or is_static(x) or not value.size:
        return moved(x, value)
    return _gathered(x, value, positions())


def _gathered(x: TracedArray, value: np.ndarray, positions: np.ndarray) -> TracedArray:
    """The elements at these positions of the buffer: a copy of a view where they lie regularly, else a take."""
    view = _regular(x.place.buffer, positions)
    if view is not None:
        out, value = x.rec.adopt(np.array(value, order="C"))
        x.rec.emit("copy", out, (view,))
        return TracedArray(x.rec, out, value)
    low, high = int(positions.min()), int(positions.max())
    return gather(x, value, View(x.place.buffer, low, (high - low + 1,), (1,)), positions - low)


def _regular(buffer: int, positions: np.ndarray) -> View | None:
    """The view whose elements lie at `positions`, if there is one."""
    first = positions[(0,) * positions.ndim]
    unit = np.eye(positions.ndim, dtype=int)
    strides = tuple(int(positions[tuple(unit[k])] - first) if n > 1 else 0 for k, n in enumerate(positions.shape))
    view = View(buffer, int(first), positions.shape, strides)
    return view if np.array_equal(view.indices(), positions) else None


def as_strided(rec: Recorder, x: Any, shape: Any = None, strides: Any = None, **_: Any) -> TracedArray:
    x = as_traced(rec, x)
    value = np.lib.stride_tricks.as_strided(x.value, shape, strides)
    if value.size and rec.part(x.place.buffer, value) is None:
        rec.fail("np.lib.stride_tricks.as_strided beyond the array cannot be traced", "Stay within the array")
    return moved(x, value)


def reshape(x: TracedArray, *shape: Any, order: str = "C", copy: bool | None = None) -> TracedArray:
    shape = shape[0] if len(shape) == 1 else shape
    if not isinstance(shape, (int, np.integer)):
        shape = tuple(shape)
    value = x.value.reshape(shape, order=order)
    if copy or (x.rec.part(x.place.buffer, value) is None and not is_static(x) and x.size):
        if order == "C":
            whole = copy_of(x, "C")
            return moved(whole, whole.value.reshape(shape))
        return _gathered(x, value, x.place.indices().reshape(shape, order=order))  # type: ignore[call-overload]
    return moved(x, value)


def ravel(x: TracedArray, order: str = "C") -> TracedArray:
    flat = x.value.ravel(order)
    if x.rec.part(x.place.buffer, flat) is not None:
        return moved(x, flat)
    return reshape(x, -1, order="C" if order == "K" else order, copy=x.size > 0)  # also where x.reshape(-1) is a view


def flatten(x: TracedArray, order: str = "C") -> TracedArray:
    return copy_of(ravel(x, order))


def view_of(x: TracedArray, dtype: Any = None, type: Any = None) -> TracedArray:
    if isinstance(dtype, builtins.type) and issubclass(dtype, np.ndarray):
        type, dtype = dtype, None  # NumPy takes the class in either place
    if type not in (None, np.ndarray):
        x.rec.fail(f"an array of class {type.__name__} cannot be traced", "Take np.asarray of it, and @ for matrix products")
    if dtype is not None and np.dtype(dtype) == np.complex128 and x.dtype == np.float64:
        pairs = x.value.view(np.complex128)[..., None].view(np.float64)  # raises NumPy's own error
        view = x.rec.part(x.place.buffer, pairs)
        return TracedComplexArray(TracedArray(x.rec, view, pairs) if view is not None else as_array(pairs))
    if dtype is not None and np.dtype(dtype) != x.dtype:
        x.rec.fail("x.view as another dtype cannot be traced", "Convert with .astype")
    return moved(x, x.value.view())


def transpose(x: TracedArray, *axes: Any) -> TracedArray:
    return moved(x, x.value.transpose(*axes))


def concatenate(arrays: Sequence[Any], axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
    rec = recorder_of(arrays)
    parts = [as_traced(rec, x) for x in arrays]
    if axis is None:
        parts, axis = [ravel(part) for part in parts], 0
    whole = np.concatenate([part.value for part in parts], axis, dtype=dtype)
    made = from_numpy(rec, np.zeros_like(whole)) if out is None else out
    axis, start = normalize_axis_index(axis, whole.ndim), 0
    for part in parts:
        stop = start + part.shape[axis]
        made[(slice(None),) * axis + (slice(start, stop),)] = part
        start = stop
    return made


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    x = as_array(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    axes = normalize_axis_tuple(axis, x.ndim, allow_duplicate=True)
    shifts = np.broadcast_to(shift, len(axes))
    for place, by in zip(axes, shifts, strict=True):
        n = x.shape[place]
        if n and by % n:
            lead = (slice(None),) * place
            x = concatenate((x[(*lead, slice(n - int(by) % n, None))], x[(*lead, slice(0, n - int(by) % n))]), place)
        else:
            x = copy_of(x)
    return x


def take(x: TracedArray, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    if mode in ("wrap", "clip"):
        n, places = x.size if axis is None else x.shape[axis], np.asarray(concrete_key(x.rec, indices))
        indices = places % n if mode == "wrap" else np.clip(places, 0, n - 1)
    if axis is None:
        picked = ravel(x)[indices]
    else:
        picked = x[(slice(None),) * normalize_axis_index(axis, x.ndim) + (indices,)]
        if type(picked) is TracedArray and not picked.value.flags.c_contiguous:
            picked = copy_of(picked, "C")
    if out is None:
        return picked
    out[...] = picked
    return out


def where(condition: Any, *sides: Any) -> Any:
    rec = recorder_of((condition, *sides))
    if not sides:
        return nonzero(as_traced(rec, condition))
    x, y = (rec.api.operand(rec, side) for side in sides)
    mask = rec.api.operand(rec, condition)
    value = np.asarray(np.where(concrete(mask), concrete(x), concrete(y)))
    if is_static(mask) and is_static(x) and is_static(y):
        return from_numpy(rec, value)
    dtype, shape = dtype_name(value.dtype), value.shape
    views = [operand_view(rec, operand, kind, shape) for operand, kind in ((mask, "bool"), (x, dtype), (y, dtype))]
    view, value = rec.adopt(value)
    rec.emit("where", view, views)
    return TracedArray(rec, view, value)


def nonzero(x: TracedArray) -> tuple[Any, ...]:
    mask = x if x.dtype == bool else x != 0
    return tuple(from_numpy(x.rec, index) for index in np.nonzero(x.rec.concretise(mask.place, mask.value)))


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if type(dst) is not TracedArray:
        recorder_of((src, where)).fail(
            "a traced value is written into an ordinary NumPy array",
            "Make the array inside the function (np.zeros, np.empty), or pass it as an argument",
        )
    np.copyto(dst.value.copy(), concrete(src), casting=casting, where=concrete(where))  # type: ignore[arg-type]  # raises
    if where is True:
        dst[...] = src
    else:
        dst[...] = select(where, src, dst)


select: Final = where  # for functions that have a parameter of that name


def broadcast_arrays(xs: Sequence[Any]) -> tuple[TracedArray, ...]:
    rec = recorder_of(xs)
    arrays = [as_traced(rec, x) for x in xs]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple([moved(x, np.broadcast_to(x.value, shape)) for x in arrays])


def for_each(move: Callable[..., Any]) -> Callable[..., Any]:
    """A mover that takes several arrays."""

    def function(*xs: Any) -> Any:
        rec = recorder_of(xs)
        results = tuple([move(as_traced(rec, x)) for x in xs])
        return results[0] if len(results) == 1 else results

    return function


def fill(x: TracedArray, value: Any) -> None:
    x[...] = value


def diagonal(x: TracedArray, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TracedArray:
    return moved(x, x.value.diagonal(offset, axis1, axis2))


def repeat(x: TracedArray, repeats: Any, axis: int | None = None) -> TracedArray:
    return mover(np.repeat)(x, concrete(repeats), axis)  # type: ignore[no-any-return]
