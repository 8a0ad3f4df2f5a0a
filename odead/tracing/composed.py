"""Functions of NumPy written with others of NumPy, where its own code leaves Python or makes arrays of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .creation import as_traced, empty, recorder_of
from .products import convolve

__all__ = [
    "apply_along_axis", "bincount", "choose", "compress", "correlate", "diagflat", "ediff1d", "nanmean", "nanstd", "nanvar",
    "putmask", "vecdot",
]  # fmt: skip


def nanmean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    x = as_traced(recorder_of(a), a)
    return np.nansum(x, axis, keepdims=keepdims) / np.sum(~np.isnan(x), axis, keepdims=keepdims)


def nanvar(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    x = as_traced(recorder_of(a), a)
    distance = x - nanmean(x, axis, keepdims=True)
    return np.nansum(distance * distance, axis, keepdims=keepdims) / (np.sum(~np.isnan(x), axis, keepdims=keepdims) - ddof)


def nanstd(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return np.sqrt(nanvar(a, axis, ddof=ddof, keepdims=keepdims))


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    rec = recorder_of((ary, to_end, to_begin))
    flat = np.ravel(as_traced(rec, ary))
    ends = [None if end is None else np.ravel(as_traced(rec, end)) for end in (to_begin, to_end)]
    return np.concatenate([part for part in (ends[0], flat[1:] - flat[:-1], ends[1]) if part is not None])


def vecdot(x: Any, y: Any, axis: int = -1) -> Any:
    rec = recorder_of((x, y))
    a, b = (np.moveaxis(as_traced(rec, z), axis, -1) for z in (x, y))
    return np.sum(a * b, -1)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    rec = recorder_of((a, v))
    x, y = as_traced(rec, a), as_traced(rec, v)
    if x.size < y.size:  # NumPy exchanges them
        return convolve(y, x[::-1], mode)[::-1]
    return convolve(x, y[::-1], mode)


def choose(a: Any, choices: Sequence[Any]) -> Any:
    rec = recorder_of((a, choices))
    index = as_traced(rec, a)
    if index.value.size and not (index.value.min() >= 0 and index.value.max() < len(choices)):
        raise ValueError("invalid entry in choice array")
    made = as_traced(rec, choices[-1])
    for k in range(len(choices) - 1):
        made = np.where(index == k, as_traced(rec, choices[k]), made)
    return made


def diagflat(v: Any, k: int = 0) -> Any:
    return np.diag(np.ravel(as_traced(recorder_of(v), v)), k)


def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    x = as_traced(recorder_of((condition, a)), a)
    return np.take(x, np.flatnonzero(condition), axis)


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    rec = recorder_of((x, weights))
    places = as_traced(rec, x)
    total = empty(rec, max(int(np.max(places)) + 1, minlength), np.dtype(float))
    total[...] = 0.0
    np.add.at(total, places, 1.0 if weights is None else as_traced(rec, weights))
    return total if weights is not None else total.astype(np.int64)


def putmask(a: Any, mask: Any, values: Any) -> None:
    if np.ndim(values) and np.shape(values) != np.shape(a):
        recorder_of((a, mask, values)).fail("np.putmask with values of another shape cannot be traced", "Write a[mask] = ...")
    a[...] = np.where(mask, values, a)


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rec = recorder_of((arr, args, kwargs))
    x = np.moveaxis(as_traced(rec, arr), axis, -1)
    lead, axis = x.shape[:-1], axis % x.ndim
    rows = [as_traced(rec, func1d(x[place], *args, **kwargs)) for place in np.ndindex(lead)]
    stacked = np.reshape(np.stack(rows), lead + rows[0].shape)
    extra = range(len(lead), len(lead) + rows[0].ndim)
    return np.moveaxis(stacked, tuple(extra), tuple(axis + k for k in range(rows[0].ndim)))
