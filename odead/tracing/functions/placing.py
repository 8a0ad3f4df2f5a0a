"""Elements put into arrays and rows joined to them, at places that are given by an index or a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..recorder import Recorder
from ..traced.array import TracedArray, concrete_key
from .creation import array, as_traced, astype, concrete, empty, recorder_of

__all__ = ["at", "fill_diagonal", "insert", "place", "put", "put_along_axis", "putmask", "reduceat"]


def at(rec: Recorder, ufunc: np.ufunc, x: Any, key: Any, *values: Any) -> None:
    """`ufunc.at(x, key, values)`: one assignment for all elements that are met for the first time, one for the second, ..."""
    target = writable(rec, x)
    key = concrete_key(rec, key)
    positions = np.arange(target.size).reshape(target.shape)[key]
    flat = positions.reshape(-1)
    operands = [np.ravel(np.broadcast_to(as_traced(rec, value), positions.shape)) for value in values]
    for turn in _turns(flat):
        places = np.unravel_index(flat[turn], target.shape)
        target[places] = ufunc(target[places], *(operand[turn] for operand in operands))


def _turns(flat: np.ndarray) -> list[np.ndarray]:
    """The entries of an index in as few groups without repetition as there can be, each element's in order."""
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    first = np.searchsorted(ordered, ordered, "left")
    times = np.empty(flat.size, int)
    times[order] = np.arange(flat.size) - first
    return [np.flatnonzero(times == turn) for turn in range(int(times.max(initial=-1)) + 1)]


def writable(rec: Recorder, x: Any) -> TracedArray:
    if type(x) is not TracedArray:
        rec.fail(
            "a traced value is put into an ordinary NumPy array",
            "Make the array inside the function (np.zeros), or pass it as an argument",
        )
    return x


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    rec = recorder_of((a, ind, v))
    target = writable(rec, a)
    index = np.ravel(concrete_key(rec, ind if isinstance(ind, np.ndarray) else array(rec, ind)))
    if mode == "wrap":
        index = index % target.size
    elif mode == "clip":
        index = np.clip(index, 0, target.size - 1)
    values = np.ravel(as_traced(rec, v))
    if index.size and values.size:
        flat = np.arange(target.size)[index]
        target[np.unravel_index(flat, target.shape)] = np.resize(values, index.shape)


def place(arr: Any, mask: Any, vals: Any) -> None:
    """The values in their order, from the beginning where they are too few; the mask is guarded."""
    rec = recorder_of((arr, mask, vals))
    target = writable(rec, arr)
    chosen = np.flatnonzero(concrete_key(rec, as_traced(rec, mask)))
    values = np.ravel(as_traced(rec, vals))
    if chosen.size and not values.size:
        raise ValueError("Cannot insert from an empty array!")
    put(target, chosen, values)


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    rec = recorder_of((a, val))
    target = writable(rec, a)
    np.fill_diagonal(target.value.copy(), concrete(val), wrap)  # raises NumPy's own errors
    step = target.shape[1] + 1 if target.ndim == 2 else sum(len(target) ** k for k in range(target.ndim))
    end = target.shape[1] * target.shape[1] if target.ndim == 2 and not wrap else None
    put(target, np.arange(target.size)[:end:step], val)


def putmask(a: Any, mask: Any, values: Any) -> None:
    """The value of each place, not the next one as in `place`: no guard."""
    rec = recorder_of((a, mask, values))
    target = writable(rec, a)
    given = as_traced(rec, values)
    if given.size:
        target[...] = np.where(np.reshape(as_traced(rec, mask), target.shape), np.resize(given, target.shape), target)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    rec = recorder_of((arr, indices, values))
    target = writable(rec, arr)
    index = concrete_key(rec, as_traced(rec, indices))
    if axis is None:
        put(target, index, values)
        return
    axis = normalize_axis_index(axis, target.ndim)
    key = [
        index if k == axis else np.arange(n).reshape([-1 if j == k else 1 for j in range(target.ndim)])
        for k, n in enumerate(target.shape)
    ]
    target[tuple(key)] = values


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """NumPy says where everything goes: it is asked with positions for elements."""
    rec = recorder_of((arr, obj, values))
    x = as_traced(rec, arr)
    if axis is None:
        x, axis = np.ravel(x), 0
    axis = normalize_axis_index(axis, x.ndim)
    where = concrete_key(rec, obj if isinstance(obj, slice) else as_traced(rec, obj))
    whole = np.insert(x.value, where, concrete(values), axis)
    kept = np.insert(np.arange(x.shape[axis]), where, -1)
    out = empty(rec, whole.shape, x.dtype)
    lead = (slice(None),) * axis
    out[(*lead, np.flatnonzero(kept >= 0))] = x
    count = np.arange(x.shape[axis] + np.size(np.arange(x.shape[axis])[where] if isinstance(where, slice) else where))
    new = np.insert(np.full(x.shape[axis], -1), where, count[: whole.shape[axis] - x.shape[axis]])
    values = array(rec, values, ndmin=x.ndim)
    if np.ndim(where) == 0 and not isinstance(where, slice):
        values = np.moveaxis(values, 0, axis)  # as NumPy does for one place
    places = np.flatnonzero(new >= 0)
    shape = (*whole.shape[:axis], places.size, *whole.shape[axis + 1 :])
    spread = np.broadcast_to(values, shape)
    out[(*lead, places)] = np.take(spread, new[places], axis)
    return out


def reduceat(rec: Recorder, ufunc: np.ufunc, x: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.reduceat`: of each stretch from one index to the next; where the next is no larger, the element alone."""
    x = as_traced(rec, x)
    starts = np.asarray(concrete_key(rec, as_traced(rec, indices)))
    value = ufunc.reduceat(x.value, starts, axis, dtype)  # raises NumPy's own errors
    rows = np.moveaxis(astype(x, value.dtype, copy=False) if x.dtype != value.dtype else x, axis, 0)
    if ufunc is np.add and starts.size and (np.diff(starts) > 0).all():
        made = empty(rec, (starts.size, *rows.shape[1:]), value.dtype)
        np.add.at(made, np.searchsorted(starts, np.arange(starts[0], len(rows)), "right") - 1, rows[starts[0] :])
    else:
        stops = [*starts[1:], len(rows)]
        made = np.stack([_stretch(ufunc, rows, int(i), int(j)) for i, j in zip(starts, stops, strict=True)])
    result = np.moveaxis(as_traced(rec, made), 0, axis)
    if out is None:
        return result
    out[...] = result
    return out


def _stretch(ufunc: np.ufunc, rows: Any, start: int, stop: int) -> Any:
    return rows[start] if stop <= start + 1 else ufunc.reduce(rows[start:stop], axis=0)
