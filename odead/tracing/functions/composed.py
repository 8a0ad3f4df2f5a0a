"""Functions of NumPy written with others of NumPy, where its own code leaves Python or makes arrays of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..traced.array import concrete_key
from .creation import as_traced, empty, from_numpy, linspace, recorder_of
from .elementwise import is_static
from .products import convolve
from .searching import argsort, searchsorted, sort, take_along_axis

__all__ = [
    "apply_along_axis", "bincount", "choose", "compress", "correlate", "diagflat", "ediff1d", "histogram", "lexsort", "matvec",
    "polymul", "ravel_multi_index", "unique", "unravel_index", "vecdot", "vecmat",
]  # fmt: skip


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


def ravel_multi_index(multi_index: Sequence[Any], dims: Any, mode: Any = "raise", order: Any = "C") -> Any:
    rec = recorder_of((multi_index, dims))
    return from_numpy(rec, np.ravel_multi_index(concrete_key(rec, multi_index), concrete_key(rec, dims), mode, order))


def unravel_index(indices: Any, shape: Any, order: Any = "C") -> Any:
    """Where `np.argmax` of a matrix lies; the index is guarded."""
    rec = recorder_of((indices, shape))
    return from_numpy(rec, np.unravel_index(concrete_key(rec, indices), concrete_key(rec, shape), order))


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


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rec = recorder_of((arr, args, kwargs))
    x = np.moveaxis(as_traced(rec, arr), axis, -1)
    lead, axis = x.shape[:-1], axis % x.ndim
    rows = [as_traced(rec, func1d(x[place], *args, **kwargs)) for place in np.ndindex(lead)]
    stacked = np.reshape(np.stack(rows), lead + rows[0].shape)
    extra = range(len(lead), len(lead) + rows[0].ndim)
    return np.moveaxis(stacked, tuple(extra), tuple(axis + k for k in range(rows[0].ndim)))


def matvec(x1: Any, x2: Any) -> Any:
    return np.matmul(x1, as_traced(recorder_of((x1, x2)), x2)[..., None])[..., 0]


def vecmat(x1: Any, x2: Any) -> Any:
    return np.matmul(as_traced(recorder_of((x1, x2)), x1)[..., None, :], x2)[..., 0, :]


def polymul(a1: Any, a2: Any) -> Any:
    rec = recorder_of((a1, a2))
    return convolve(np.atleast_1d(as_traced(rec, a1)), np.atleast_1d(as_traced(rec, a2)))


def lexsort(keys: Any, axis: int = -1) -> Any:
    """By stable orders, one after the other: the last key counts most."""
    rec = recorder_of((keys,))
    order: Any = None
    for key in keys:
        row = as_traced(rec, key)
        if order is None:
            order = argsort(row, axis)
        else:
            order = take_along_axis(order, argsort(take_along_axis(row, order, axis), axis), axis)
    return order


def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: Any = None, *, equal_nan: bool = True, sorted: bool = True) -> Any:  # fmt: skip
    """Which neighbours of the sorted array are equal is guarded: it decides how long the result is."""
    rec = recorder_of((ar,))
    x = as_traced(rec, ar)
    if axis is not None:
        rec.fail("np.unique with axis= cannot be traced", "Call it on one row at a time")
    flat = np.ravel(x)
    ordered = as_traced(rec, sort(flat))
    new = np.not_equal(ordered[1:], ordered[:-1])
    if equal_nan and ordered.dtype.kind == "f":
        new = np.logical_and(new, ~np.isnan(ordered[:-1]))
    first = np.concatenate([[True][: flat.size], rec.concretise(new.place, new.value) if flat.size > 1 else []]).astype(bool)
    starts = np.flatnonzero(first)
    made = [ordered[starts]]
    if return_index:
        made.append(argsort(flat)[starts])
    if return_inverse:
        ranks = argsort(argsort(flat))
        made.append(np.reshape(take_along_axis(from_numpy(rec, np.cumsum(first) - 1), ranks), x.shape))
    if return_counts:
        made.append(from_numpy(rec, np.diff([*starts, flat.size])))
    return tuple(made) if len(made) > 1 else made[0]


def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """The counts, or the sums of the weights, in each bin. The counts have no derivative; edges from the data have one."""
    rec = recorder_of((a, bins, range, weights))
    x = np.ravel(as_traced(rec, a))
    if isinstance(bins, str):
        rec.fail(f"np.histogram with bins={bins!r} cannot be traced", "Give the number of bins or their edges")
    edges = _edges(rec, x, bins, range)
    n = len(edges) - 1
    place = as_traced(rec, searchsorted(edges, x, "right") - 1)
    place = np.where(np.equal(x, edges[-1]), n - 1, place)
    inside = np.equal(place[None, :], np.arange(n)[:, None])
    if weights is None:
        counts = np.sum(inside, 1)
    else:
        counts = np.sum(np.where(inside, np.ravel(as_traced(rec, weights)), 0), 1)
    return (counts / np.diff(edges) / np.sum(counts) if density else counts), edges


def _edges(rec: Any, x: Any, bins: Any, limits: Any) -> Any:
    """The edges of the bins."""
    if np.ndim(bins):
        return as_traced(rec, bins)
    low, high = (np.min(x), np.max(x)) if limits is None else limits
    same = low == high
    if bool(same):
        low, high = low - 0.5, high + 0.5
    if is_static(low) and is_static(high):
        return from_numpy(rec, np.linspace(low, high, int(bins) + 1))
    return linspace(low, high, int(bins) + 1)
