"""Sorting and searching: the order found is recorded, held by guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .array import TracedArray
from .creation import as_array, as_traced, concrete, from_numpy, recorder_of, returned
from .elementwise import is_static
from .movement import ravel, where
from .reductions import all_, mean

__all__ = ["argsort", "extremum", "interp", "median", "searchsorted", "sort", "sort_in_place"]


def extremum(compare: np.ufunc, pick: Callable[..., Any]) -> Callable[..., Any]:
    """argmax or argmin: the position is held by a guard."""

    def find(x: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
        x = as_array(x)
        if axis is not None or out is not None or keepdims:
            x.rec.fail("np.argmax and np.argmin with axis=, out= or keepdims= cannot be traced", "Call them row by row")
        k = pick(x.value)
        flat = ravel(x)
        if not is_static(x):
            best = flat[int(k)]
            if k > 0:  # the first of equal elements: better than those before it,
                bool(all_(compare(best, flat[: int(k)])))
            if k + 1 < x.size:  # as good as those behind
                bool(all_(np.logical_not(compare(flat[int(k) + 1 :], best))))
        return k

    return find


def sort(x: Any, axis: int | None = -1, **options: Any) -> Any:
    """A gather by the order found, held by a guard that the result is sorted."""
    x = as_array(x)
    if x.ndim != 1 and axis is not None:
        x.rec.fail("np.sort of an array with several axes cannot be traced", "Sort one row at a time")
    flat = ravel(x)
    made = flat[np.argsort(flat.value, kind="stable")]
    if made.size > 1 and not is_static(made):
        bool(all_(made[:-1] <= made[1:]))
    return made


def sort_in_place(x: TracedArray, axis: int = -1, **options: Any) -> None:
    x[...] = sort(x, axis, **options)


def argsort(x: Any, axis: int | None = -1, **options: Any) -> Any:
    """The order found, held by a guard on neighbours: smaller before larger, equal where they are equal."""
    x = as_array(x)
    if x.ndim != 1 and axis is not None:
        x.rec.fail("np.argsort of an array with several axes cannot be traced", "Sort one row at a time")
    flat = ravel(x)
    order = np.argsort(flat.value, **options)
    if order.size > 1 and not is_static(flat):
        ordered = flat[order]
        ascends = ordered.value[:-1] < ordered.value[1:]
        bool(all_(where(ascends, ordered[:-1] < ordered[1:], ordered[:-1] == ordered[1:])))
    return from_numpy(x.rec, order)


def median(x: Any, axis: int | None = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    x = as_array(x)
    if (axis is not None and x.ndim != 1) or keepdims:
        x.rec.fail("np.median with axis= or keepdims= cannot be traced", "Call it on one row at a time")
    ordered = sort(x, None)
    n = ordered.size
    return returned(x.rec, mean(ordered[(n - 1) // 2 : n // 2 + 1]), out, None)


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The place of a number in a sorted array, held by guards on its neighbours."""
    rec = recorder_of((a, v))
    if sorter is not None or np.ndim(concrete(v)):
        rec.fail("np.searchsorted of an array, or with sorter=, cannot be traced", "Search one number at a time")
    grid = as_traced(rec, a)
    k = int(np.searchsorted(grid.value, concrete(v), side))  # type: ignore[call-overload]
    before, behind = (np.less, np.less_equal) if side == "left" else (np.less_equal, np.less)
    if k > 0:
        bool(before(grid[k - 1], v))
    if k < grid.size:
        bool(behind(v, grid[k]))
    return np.int64(k)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation, as a sum of ramps selected by the interval: one program for all x."""
    rec = recorder_of((x, xp, fp))
    if period is not None:
        rec.fail("np.interp with period= cannot be traced", "Reduce x with np.mod first")
    grid, values = as_traced(rec, xp), as_traced(rec, fp)
    result: Any = values[0] if left is None else left
    for k in range(grid.size - 1):
        slope = (values[k + 1] - values[k]) / (grid[k + 1] - grid[k])
        result = np.where(np.greater_equal(x, grid[k]), slope * (x - grid[k]) + values[k], result)
    result = np.where(np.greater_equal(x, grid[-1]), values[-1], result)
    if right is not None:
        result = np.where(np.greater(x, grid[-1]), right, result)
    result = np.where(np.isnan(x), x, result)
    return result[()]
