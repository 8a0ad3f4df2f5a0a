"""Reductions and running reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ...views import View, contiguous
from ..recorder import Recorder, dtype_name
from ..traced.array import TracedArray, wrap
from .creation import as_array, as_traced, astype, concrete, empty, from_numpy, full, recorder_of, returned
from .elementwise import is_static
from .movement import concatenate, mover, ravel, reshape, select, transpose
from .structured import broadcast_array, last_axis, structured

__all__ = [
    "all_",
    "any_",
    "axes_of",
    "boolean",
    "divided",
    "fold",
    "maximum",
    "mean",
    "minimum",
    "one_by_one",
    "product",
    "ptp",
    "reduced_to",
    "root",
    "scan",
    "std",
    "sum_",
    "var",
]


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)


def _last(view: View, axes: tuple[int, ...]) -> View:
    """`view` with these axes moved behind the others."""
    order = [k for k in range(len(view.shape)) if k not in axes] + list(axes)
    return View(view.buffer, view.offset, tuple(view.shape[k] for k in order), tuple(view.strides[k] for k in order))


def sum_(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
         where: Any = True) -> Any:  # fmt: skip
    x = as_array(x)
    rec = x.rec
    if where is not True:
        x = select(where, x, 0)
    if is_static(x):
        return returned(rec, np.sum(x.value, axis, dtype, keepdims=keepdims), out, initial)
    value = np.sum(x.value, axis, dtype, keepdims=bool(keepdims))
    axes = axes_of(axis, x.ndim)
    source = _last(rec.cast(rec.reads(x.place), dtype_name(value.dtype)), axes)
    reduced = source.shape[: x.ndim - len(axes)]
    view = rec.program.temp(dtype_name(value.dtype), reduced)
    rec.emit("sum" if axes else "copy", view, (source,))
    return returned(rec, reduced_to(rec, view, value), out, initial)


def reduced_to(rec: Recorder, view: View, value: Any) -> Any:
    """The result of a reduction, whose storage is the buffer of `view`, in the shape of `value`."""
    if not isinstance(value, np.ndarray):
        return wrap(rec, View(view.buffer, 0, (), ()), value)
    view = View(view.buffer, 0, value.shape, contiguous(value.shape))
    value = np.array(value, order="C")
    rec.bind(view, value)
    return TracedArray(rec, view, value)


def mean(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *,
         where: Any = True) -> Any:  # fmt: skip
    x = as_array(x)
    if x.dtype.kind in "bi" and dtype is None:
        x = astype(x, float)
    total = sum_(x, axis, dtype, None, keepdims, where=where)
    return returned(x.rec, divided(total, _count(x, axis, keepdims, where)), out, None)


average: Final = mean  # for functions that have a parameter of that name


def _count(x: TracedArray, axis: Any, keepdims: bool, where: Any) -> Any:
    """How many elements a mean is of; a mask that varies is counted at each run."""
    if where is True:
        return math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    mask = as_traced(x.rec, where)
    return sum_(astype(broadcast_array(mask, x.shape), np.int64), axis, keepdims=keepdims)


def divided(total: Any, count: Any) -> Any:
    """A sum over a count, in the dtype of the sum."""
    return total / (count if isinstance(count, (int, float)) else astype(as_array(count), total.dtype))


def fold(ufunc: np.ufunc) -> Callable[..., Any]:
    """The reduction of a ufunc: a structured operation, or in pairs, so that it takes log n instructions."""

    def reduce(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
               where: Any = True) -> Any:  # fmt: skip
        x = as_array(x)
        rec = x.rec
        if where is not True:
            neutral = ufunc.identity if initial is None else initial
            if neutral is None:  # NumPy's own error
                ufunc.reduce(x.value, axis=axes_of(axis, x.ndim), where=concrete(where))
            x = as_array(select(where, x, neutral))
        options = {} if initial is None else {"initial": concrete(initial)}
        value = ufunc.reduce(x.value, axis=axes_of(axis, x.ndim), dtype=dtype, keepdims=keepdims, **options)
        if is_static(x):
            return returned(rec, value, out, None)
        if dtype is not None:
            x = astype(x, dtype, copy=False)
        elif x.dtype != np.asarray(value).dtype:
            x = astype(x, np.asarray(value).dtype)
        axes = axes_of(axis, x.ndim)
        order = [k for k in range(x.ndim) if k not in axes] + list(axes)
        rest = tuple(x.shape[k] for k in order[: x.ndim - len(axes)])
        flat = reshape(transpose(x, order), (*rest, math.prod(x.shape[k] for k in axes)))
        if not flat.shape[-1]:
            result = full(rec, rest, ufunc.identity if initial is None else initial, flat.dtype)[...]
        else:
            op = None if flat.dtype == bool else _REDUCTIONS.get(ufunc)
            result = _in_pairs(ufunc, flat) if op is None else structured(rec, op, rest, flat)
            if initial is not None:
                result = ufunc(result, initial)
        if keepdims:
            result = as_traced(rec, result).reshape(np.shape(value))
        elif type(result) is TracedArray:
            result = result[()]  # a number where no axis is left
        return returned(rec, result, out, None)

    return reduce


def one_by_one(ufunc: np.ufunc) -> Callable[..., Any]:
    """The reduction of a ufunc that is not associative, from the first element to the last."""

    def reduce(x: Any, axis: int | None = 0, dtype: Any = None, out: Any = None, keepdims: bool = False,
               initial: Any = None, where: Any = True) -> Any:  # fmt: skip
        x = as_array(x)
        options = {} if initial is None else {"initial": concrete(initial)}
        value = ufunc.reduce(x.value, axis=axis, dtype=dtype, keepdims=keepdims, **options)  # raises NumPy's own errors
        if where is not True:
            x.rec.fail(f"np.{ufunc.__name__}.reduce with where= cannot be traced", "Put what leaves the result as it is there")
        (place,) = axes_of(axis, x.ndim)
        rows = last_axis(astype(x, dtype) if dtype is not None else x, place)
        n = rows.shape[-1]
        total = rows[..., 0] if initial is None else initial
        for k in range(1 if initial is None else 0, n):
            total = ufunc(total, rows[..., k])
        if not n:
            total = ufunc.identity if initial is None else initial
        return returned(x.rec, as_traced(x.rec, total).reshape(np.shape(value))[()], out, None)

    return reduce


_REDUCTIONS: Final[dict[np.ufunc, str]] = {np.maximum: "amax", np.minimum: "amin", np.multiply: "prod"}


def _in_pairs(ufunc: np.ufunc, flat: Any) -> Any:
    while flat.shape[-1] > 1:
        half, odd = divmod(flat.shape[-1], 2)
        pairs = ufunc(flat[..., :half], flat[..., half : 2 * half])
        flat = concatenate((pairs, flat[..., 2 * half :]), -1) if odd else pairs
    return flat[..., 0]


maximum, minimum, product = fold(np.maximum), fold(np.minimum), fold(np.multiply)
all_, any_ = fold(np.logical_and), fold(np.logical_or)


def boolean(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        x = as_array(x)
        return reduce(x if x.dtype == bool else x != 0, *args, **kwargs)

    return method


def ptp(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    x = as_array(x)
    return returned(x.rec, maximum(x, axis, keepdims=keepdims) - minimum(x, axis, keepdims=keepdims), out, None)


def var(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False, *,
        where: Any = True, mean: Any = None, correction: int | None = None) -> Any:  # fmt: skip
    rec = recorder_of((x, mean, where))
    x = as_traced(rec, x)
    n = _count(x, axis, keepdims, where) - (ddof if correction is None else correction)
    n = max(n, 0) if isinstance(n, (int, float)) else np.maximum(n, 0)
    deviation = x - (average(x, axis, dtype, keepdims=True, where=where) if mean is None else mean)
    if where is not True:
        deviation = select(where, deviation, 0.0)
    return returned(rec, divided(sum_(deviation * deviation, axis, dtype, None, keepdims), n), out, None)


def root(squares: Any) -> Any:
    """The square root, with derivative 0 at 0, as norms and deviations have it."""
    positive = np.greater(squares, 0)
    return np.where(positive, np.sqrt(np.where(positive, squares, 1.0)), squares)[()]


def std(x: Any, *args: Any, **kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    x = as_array(x)
    return returned(x.rec, root(var(x, *args, **kwargs)), out, None)


def _running(ufunc: np.ufunc, x: TracedArray, axis: int) -> Any:
    rows = last_axis(x, axis)
    if ufunc is np.multiply:
        made = structured(x.rec, "cumprod", rows.shape, rows)
    else:
        shape = (*rows.shape[:-1], max(rows.shape[-1] - 1, 0))
        ones = broadcast_array(from_numpy(x.rec, np.ones((), x.dtype)), shape)
        made = structured(x.rec, "recurrence", rows.shape, ones, rows)
    return mover(np.moveaxis)(made, -1, axis)


def scan(ufunc: np.ufunc) -> Callable[..., Any]:
    """The running reduction of a ufunc along an axis."""

    def accumulate(x: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
        x = as_array(x)
        if axis is None:
            x, axis = ravel(x), 0
        value = ufunc.accumulate(x.value, axis, dtype)
        if is_static(x):
            return returned(x.rec, value, out, None)
        axis = normalize_axis_index(axis, x.ndim)
        if ufunc in (np.add, np.multiply) and value.dtype != bool:
            return returned(x.rec, _running(ufunc, astype(x, value.dtype, copy=False), axis), out, None)
        made = empty(x.rec, value.shape, value.dtype)
        lead = (slice(None),) * axis
        for k in range(x.shape[axis]):
            made[(*lead, k)] = x[(*lead, k)] if k == 0 else ufunc(made[(*lead, k - 1)], x[(*lead, k)])
        return returned(x.rec, made, out, None)

    return accumulate
