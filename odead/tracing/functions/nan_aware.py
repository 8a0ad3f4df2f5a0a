"""Statistics that leave NaN out. Which elements count is a value of the program, not a guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .creation import as_traced, astype, concrete, recorder_of, returned
from .movement import mover
from .reductions import axes_of, divided, root
from .searching import sort, take_along_axis
from .structured import as_float

__all__ = ["nanmean", "nanmedian", "nanquantile", "nanstd", "nanvar"]


def nanmean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    x = as_traced(recorder_of(a), a)
    return divided(np.nansum(x, axis, keepdims=keepdims), np.sum(~np.isnan(x), axis, keepdims=keepdims))


def nanvar(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    x = as_traced(recorder_of(a), a)
    distance = x - nanmean(x, axis, keepdims=True)
    count = np.sum(~np.isnan(x), axis, keepdims=keepdims) - ddof
    return divided(np.nansum(distance * distance, axis, keepdims=keepdims), count)


def nanstd(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return root(nanvar(a, axis, ddof=ddof, keepdims=keepdims))


def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return nanquantile("nanmedian", 2)(a, 1, axis, out, keepdims=keepdims)


def nanquantile(name: str, whole: float) -> Callable[..., Any]:
    """`nanquantile` (of 1) or `nanpercentile` (of 100), with linear interpolation."""

    def find(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False, *, weights: Any = None) -> Any:  # fmt: skip
        rec = recorder_of((a, q))
        if method != "linear" or weights is not None:
            rec.fail(f"np.{name} with method= or weights= cannot be traced", "Leave the option out")
        x = as_float(rec, a)
        options = {} if name == "nanmedian" else {"q": concrete(q)}
        value = np.asarray(getattr(np, name)(x.value, axis=axis, keepdims=keepdims, **options))
        kept = [k for k in range(x.ndim) if k not in axes_of(axis, x.ndim)]
        moved = mover(np.transpose)(x, [*kept, *axes_of(axis, x.ndim)])
        rows = as_traced(rec, sort(moved.reshape(*(x.shape[k] for k in kept), -1)))  # NaN comes last
        last = as_traced(rec, np.sum(~np.isnan(rows), -1, keepdims=True) - 1)
        shares = np.ravel(as_traced(rec, q)) / whole
        found = as_traced(rec, np.stack([_at(rec, rows, last, share) for share in shares]))
        return returned(rec, astype(found.reshape(value.shape), value.dtype, copy=False)[()], out, None)

    return find


def _at(rec: Any, rows: Any, last: Any, share: Any) -> Any:
    """What lies at this share of the way from the first to the last element that counts."""
    place = as_traced(rec, share * last)
    low = as_traced(rec, np.floor(place))
    below, above = (
        take_along_axis(rows, astype(as_traced(rec, np.clip(k, 0, rows.shape[-1] - 1)), np.int64)) for k in (low, low + 1)
    )
    weight = place - low
    return np.where(np.equal(weight, 0), below, below + (above - below) * weight)[..., 0]
