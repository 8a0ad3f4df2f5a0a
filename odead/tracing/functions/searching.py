"""Sorting and searching: the order is a value of the program, so one program serves all orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..recorder import is_traced
from ..traced.array import TracedArray
from .creation import as_array, as_traced, astype, concrete, recorder_of, returned
from .elementwise import is_static
from .movement import concatenate, mover, ravel
from .reductions import axes_of, mean
from .structured import as_float, broadcast_array, last_axis, structured

__all__ = [
    "argsort",
    "extremum",
    "interp",
    "median",
    "partition",
    "quantile",
    "searchsorted",
    "sort",
    "sort_in_place",
    "take_along_axis",
]


def _rows(x: Any, axis: int | None) -> tuple[TracedArray, int]:
    """The array with the axis in question behind the others, flat if that is None; and the axis."""
    x = as_array(x)
    if axis is None:
        return ravel(x), 0
    axis = normalize_axis_index(axis, x.ndim)
    return last_axis(x, axis), axis


def _back(x: Any, axis: int) -> Any:
    return x if axis == x.ndim - 1 else mover(np.moveaxis)(x, -1, axis)


def extremum(name: str) -> Callable[..., Any]:
    """`argmax` or `argmin`."""
    function = getattr(np, name)

    def find(x: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
        x = as_array(x)
        value = function(x.value, axis, keepdims=keepdims)
        if is_static(x):
            return returned(x.rec, value, out, None)
        rows, _ = _rows(x, axis)
        made = structured(x.rec, name, rows.shape[:-1], rows, dtype=np.int64)
        return returned(x.rec, made.reshape(np.shape(value))[()], out, None)

    return find


def sort(x: Any, axis: int | None = -1, **options: Any) -> Any:
    rows, place = _rows(x, axis)
    if rows.dtype == bool:
        rows.rec.fail("np.sort of booleans cannot be traced", "Count them with np.sum")
    order = structured(rows.rec, "argsort", rows.shape, rows, dtype=np.int64)
    return _back(structured(rows.rec, "take_along", rows.shape, rows, order), place)


def partition(x: Any, kth: Any, axis: int | None = -1, **options: Any) -> Any:
    """Sorted, which is partitioned everywhere."""
    np.partition(concrete(x), kth, axis)
    return sort(x, axis)


def sort_in_place(x: TracedArray, axis: int = -1, **options: Any) -> None:
    x[...] = sort(x, axis)


def argsort(x: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The stable order, whichever `kind` is asked for."""
    rows, place = _rows(x, axis)
    return _back(structured(rows.rec, "argsort", rows.shape, rows, dtype=np.int64), place)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    rec = recorder_of((arr, indices))
    np.take_along_axis(concrete(as_traced(rec, arr)), concrete(as_traced(rec, indices)), axis)
    rows, place = _rows(as_traced(rec, arr), axis)
    index, _ = _rows(as_traced(rec, indices), axis)
    lead = np.broadcast_shapes(rows.shape[:-1], index.shape[:-1])
    n = rows.shape[-1]
    if (index.value < 0).any() or not is_static(index):
        index = astype(as_traced(rec, np.where(np.less(index, 0), index + n, index)), np.int64)
    rows, index = broadcast_array(rows, (*lead, n)), broadcast_array(index, lead + index.shape[-1:])
    return _back(structured(rec, "take_along", index.shape, rows, index), place)


def median(x: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    x = as_array(x)
    value = np.median(x.value, axis, keepdims=keepdims)
    ordered = _ordered(x, axis)
    n = ordered.shape[-1]
    result = mean(ordered[..., (n - 1) // 2 : n // 2 + 1], -1)
    return returned(x.rec, as_traced(x.rec, result).reshape(np.shape(value))[()], out, None)


def _ordered(x: TracedArray, axis: Any) -> Any:
    """The elements along some axes, sorted, behind the others; NaN where there is one among them."""
    axes = axes_of(axis, x.ndim)
    kept = [k for k in range(x.ndim) if k not in axes]
    rows = sort(mover(np.transpose)(x, [*kept, *axes]).reshape(*(x.shape[k] for k in kept), -1))
    return as_traced(x.rec, np.where(np.isnan(rows[..., -1:]), np.nan, rows)) if rows.dtype.kind == "f" else rows


def quantile(function: Callable[..., Any], whole: float) -> Callable[..., Any]:
    """`quantile` (of 1) or `percentile` (of 100), with linear interpolation."""

    def find(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False, *, weights: Any = None) -> Any:  # fmt: skip
        rec = recorder_of((a, q))
        name = f"np.{function.__name__}"
        if method != "linear" or weights is not None or (is_traced(q) and not is_static(q)):
            rec.fail(
                f"{name} with method=, weights= or a q that varies cannot be traced", "Sort, and interpolate with np.interp"
            )
        x = as_float(rec, a)
        value = function(x.value, concrete(q), axis, keepdims=keepdims)
        ordered = _ordered(x, axis)
        n = ordered.shape[-1]
        place = np.asarray(concrete(q)) / whole * (n - 1)
        low = np.clip(np.floor(place), 0, max(n - 2, 0)).astype(int)
        below, above = (
            np.moveaxis(ordered[..., k], list(range(-low.ndim, 0)), list(range(low.ndim))) for k in (low, low + (n > 1))
        )
        weight = (place - low).reshape(low.shape + (1,) * (ordered.ndim - 1))
        result = as_traced(rec, below + (above - below) * weight).reshape(np.shape(value))
        return returned(rec, result[()], out, None)

    return find


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    rec = recorder_of((a, v, sorter))
    grid, values = as_traced(rec, a), as_traced(rec, v)
    np.searchsorted(grid.value, values.value, side, concrete(sorter))  # type: ignore[call-overload]
    if sorter is not None:
        grid = take_along_axis(grid, sorter)
    dtype = np.result_type(grid.dtype, values.dtype)
    operands = [astype(x, dtype, copy=False) for x in (grid, values)]
    return structured(rec, "searchsorted", values.shape, *operands, params=side, dtype=np.int64)[()]


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation: the interval of each x is found at each run."""
    rec = recorder_of((x, xp, fp, left, right))
    np.interp(concrete(x), concrete(xp), concrete(fp), concrete(left), concrete(right), period)
    points, grid, values = (as_float(rec, operand) for operand in (x, xp, fp))
    if period is not None:
        points, grid, values = _periodic(points, grid, values, period)
    n = grid.size
    if n == 1:
        inside: Any = broadcast_array(values[0:1].reshape(()), points.shape)
    else:
        place = as_traced(rec, searchsorted(grid, points, "right")) - 1
        place = as_traced(rec, np.clip(place, 0, n - 2))
        x0, y0, y1 = (_at(table, place) for table in (grid[:-1], values[:-1], values[1:]))
        slope = (y1 - y0) / (_at(grid[1:], place) - x0)
        inside = slope * (points - x0) + y0
    result = np.where(points < grid[0], values[0] if left is None or period else left, inside)
    last = values[-1] if right is None or period else right
    result = np.where(np.equal(points, grid[-1]), values[-1], np.where(points > grid[-1], last, result))
    return np.where(np.isnan(points), points, result)[()]


def _at(table: TracedArray, place: TracedArray) -> Any:
    """The elements of a table at places within it."""
    return structured(table.rec, "take", place.shape, table, place)


def _periodic(x: TracedArray, grid: TracedArray, values: TracedArray, period: float) -> tuple[Any, Any, Any]:
    """As `np.interp` does it: everything within one period, and the ends once more beyond them."""
    rec, period = x.rec, abs(period)
    reduced = as_traced(rec, np.remainder(grid, period))
    order = argsort(reduced)
    inner, heights = _at(reduced, order), _at(values, order)
    before, behind = as_traced(rec, inner[-1:] - period), as_traced(rec, inner[:1] + period)
    points = as_traced(rec, np.remainder(x, period))
    return points, concatenate((before, inner, behind)), concatenate((heights[-1:], heights, heights[:1]))
