"""Traced arrays made of data: `np.array`, `np.zeros` and their like, copies and conversions; and what the handlers share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from ..recorder import Recorder, contains_traced, dtype_name, is_traced
from ..traced.array import TracedArray, concrete_key
from ..traced.complexes import TracedComplexArray, TracedComplexScalar, assign_parts, new_complex, parts_of, static_complex
from ..traced.scalar import TracedScalar

__all__ = [
    "TELLING",
    "arange",
    "array",
    "as_array",
    "as_traced",
    "asarray",
    "astype",
    "concrete",
    "copy_of",
    "empty",
    "from_numpy",
    "full",
    "full_like",
    "leaves_of",
    "linspace",
    "ones_like",
    "recorder_of",
    "returned",
    "zeros_like",
]


def as_traced(rec: Recorder, x: Any) -> Any:
    """`np.asanyarray(x)`: as it is, if it is a traced array."""
    if type(x) is TracedArray or type(x) is TracedComplexArray:
        return x
    if type(x) is TracedScalar:
        return as_array(x)
    return array(rec, x, copy=False)


def as_array(x: Any) -> TracedArray:
    """As an array, if x is traced or a list with something traced in it."""
    if type(x) is TracedArray:
        return x
    if type(x) is not TracedScalar:
        made: TracedArray = array(recorder_of((x,)), x)
        return made
    view, value = x.rec.adopt(np.array(x.value))
    x.rec.emit("copy", view, (x.place,))
    return TracedArray(x.rec, view, value)


def array(rec: Recorder, x: Any, dtype: Any = None, *, copy: bool | None = True, order: str = "K", ndmin: int = 0,
          subok: bool = False, like: Any = None) -> Any:  # fmt: skip
    if type(x) is TracedScalar or type(x) is TracedComplexScalar:
        made = as_array(x) if type(x) is TracedScalar else x.as_array()
    elif type(x) is TracedArray or type(x) is TracedComplexArray:
        made = x.copy(order=order) if copy or not _has_order(x.value, order) else x
    elif isinstance(x, (list, tuple)) and contains_traced(x):
        if dtype is not None and np.dtype(dtype).kind in "OSUV":
            rec.unsupported(np.dtype(dtype).name)
        made = _stacked(rec, x)
    elif isinstance(x, np.ndarray):
        made = rec.api.operand(rec, x)
        made = made.copy(order=order) if is_traced(made) and (copy or not _has_order(x, order)) else made
        if not is_traced(made):
            return np.array(x, dtype, copy=copy, order=order, ndmin=ndmin)  # type: ignore[call-overload]
    else:
        return from_numpy(rec, np.array(x, dtype, order=order, ndmin=ndmin))  # type: ignore[call-overload]
    if dtype is not None:
        made = made.astype(dtype, copy=False)
    return made.reshape((1,) * (ndmin - made.ndim) + made.shape) if ndmin > made.ndim else made


def _has_order(x: np.ndarray, order: str) -> bool:
    """Whether NumPy makes no copy for the sake of this order; what it leaves is a view, and writing into it shows."""
    return (order != "C" or x.flags.c_contiguous) and (order != "F" or x.flags.f_contiguous)


def asarray(rec: Recorder, x: Any, dtype: Any = None, order: str = "K", *, device: Any = None, copy: bool | None = None,
            like: Any = None) -> Any:  # fmt: skip
    return array(rec, x, dtype, copy=copy, order=order)


def from_numpy(rec: Recorder, x: Any) -> Any:
    """What an untraced call of NumPy made, as static traced arrays wherever the program can hold them."""
    if type(x) is np.ndarray and dtype_name(x.dtype) in ("float64", "float32", "int64", "bool"):
        return TracedArray(rec, *rec.adopt_static(x))
    if type(x) is np.ndarray and x.dtype.kind == "c":
        return static_complex(rec, x)
    if isinstance(x, (tuple, list)) and type(x) in (tuple, list):
        return type(x)([from_numpy(rec, item) for item in x])
    return x


def _stacked(rec: Recorder, items: Sequence[Any]) -> TracedArray:
    """`np.array` of a nested list in which something is traced."""
    value = np.array(concrete(items))
    if value.dtype == object:
        np.array(concrete(items), dtype=float)  # raises NumPy's own error
    out: TracedArray = from_numpy(rec, np.zeros(value.shape, value.dtype))
    for k, item in enumerate(items):
        out[k] = _stacked(rec, item) if isinstance(item, (list, tuple)) else item
    return out


def concrete(x: Any) -> Any:
    """x with the concrete values of what is traced in it."""
    if is_traced(x):
        return x.value
    if type(x) in (list, tuple):
        return type(x)([concrete(item) for item in x])
    if type(x) is dict:
        return {key: concrete(item) for key, item in x.items()}
    return x


def copy_of(x: TracedArray, order: str = "K") -> TracedArray:
    if x.place.buffer in x.rec.static:
        return TracedArray(x.rec, *x.rec.adopt_static(x.value.copy(order)))
    view, value = x.rec.adopt(x.value.copy(order))
    x.rec.emit("copy", view, (x.place,))
    return TracedArray(x.rec, view, value)


def astype(x: TracedArray, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> Any:
    kind = np.dtype(dtype)
    if kind == x.value.dtype:
        return copy_of(x, order) if copy or not _has_order(x.value, order) else x
    value = x.value.astype(kind, casting=casting)
    if kind.kind == "c":
        if kind != np.complex128:
            x.rec.unsupported(kind.name)
        static = x.place.buffer in x.rec.static
        made = static_complex(x.rec, value) if static else new_complex(x.rec, x.shape)
        if not static:
            assign_parts(made, parts_of(x.rec, x))
        return made
    if x.place.buffer in x.rec.static:
        return from_numpy(x.rec, value)
    view, value = x.rec.adopt(value)
    x.rec.emit("copy", view, (x.rec.cast(x.rec.reads(x.place), kind.name),))
    return TracedArray(x.rec, view, value)


def full(rec: Recorder, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **options: Any) -> Any:
    if dtype is None:
        dtype = np.asarray(concrete(fill_value)).dtype
    out = empty(rec, shape, dtype, order)
    out[...] = fill_value
    return out


def empty(rec: Recorder, shape: Any, dtype: Any = float, order: str = "C", **options: Any) -> Any:
    return from_numpy(rec, np.zeros(concrete_key(rec, shape), dtype, order))  # type: ignore[call-overload]


def full_like(x: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> Any:
    out = zeros_like(x, dtype, order, subok, shape)
    out[...] = fill_value
    return out


def zeros_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    shape = None if shape is None else concrete_key(x.rec, shape)
    return from_numpy(x.rec, np.zeros_like(x.value, dtype, order, shape=shape))  # type: ignore[call-overload]


def ones_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return full_like(x, 1, dtype, order, subok, shape)


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, **_: Any) -> Any:  # fmt: skip
    rec, num = recorder_of((start, stop, num)), operator.index(num)
    value = np.linspace(concrete(start), concrete(stop), num, endpoint, dtype=dtype, axis=axis)
    if not contains_traced((start, stop)):
        made = from_numpy(rec, value)
        return (made, np.linspace(start, stop, num, endpoint, retstep=True)[1]) if retstep else made
    intervals, span = num - 1 if endpoint else num, stop - start
    step = span / intervals if intervals > 0 else np.nan
    counts = from_numpy(rec, np.arange(num, dtype=float).reshape(-1, *np.ones(np.ndim(span), int)))
    points = counts * (step if intervals > 0 else span) + start
    if endpoint and num > 1:
        points[-1] = stop
    if points.dtype != value.dtype:
        points = points.astype(value.dtype)
    points = np.moveaxis(points, 0, axis)
    return (points, step) if retstep else points


def arange(rec: Recorder, *limits: Any, dtype: Any = None, **options: Any) -> Any:
    """`np.arange`: how long it is, is guarded; a start or a step that varies is differentiated."""
    names = ("start", "stop", "step")
    given = [*limits, *(options.pop(name) for name in names[len(limits) :] if options.get(name) is not None)]
    if not contains_traced(given) or any(isinstance(concrete(x), (complex, np.complexfloating)) for x in given):
        return from_numpy(rec, np.arange(*concrete(given), dtype=dtype, **options))
    value = np.arange(*concrete(given), dtype=dtype, **options)
    if not any(isinstance(concrete(x), (float, np.floating)) or np.ndim(concrete(x)) for x in given):
        return from_numpy(rec, np.arange(*[operator.index(x) for x in given], dtype=dtype, **options))
    start, stop, step = (0.0, given[0], 1.0) if len(given) == 1 else (*given, 1.0)[:3]
    length = np.ceil((stop - start) / step)
    if is_traced(length):
        int(length if type(length) is TracedScalar else length[()])
    points = from_numpy(rec, np.arange(value.size, dtype=float))
    points *= (start + step) - start  # NumPy repeats the difference of the first two
    points += start
    points[1:2] = start + step
    return points.astype(value.dtype, copy=False)


def leaves_of(x: Any) -> Iterator[Any]:
    if type(x) in (list, tuple):
        for part in x:
            yield from leaves_of(part)
    elif type(x) is dict:
        for part in x.values():
            yield from leaves_of(part)
    else:
        yield x


def _telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that prints or saves: as a side effect, it sees the values of the recorded run."""

    def call(*args: Any, **options: Any) -> Any:
        result = function(*concrete(args), **concrete(options))
        return recorder_of((args, options)).texts.note(result) if isinstance(result, str) else result

    return call


TELLING: Final = {f: _telling(f) for f in (np.array2string, np.array_repr, np.array_str, np.save, np.savez, np.savetxt)}


def recorder_of(xs: Any) -> Recorder:
    """The recorder of whatever is traced among `xs`."""
    found: Recorder = next(x.rec for x in leaves_of(tuple(xs)) if is_traced(x))
    return found


def returned(rec: Recorder, result: Any, out: Any, initial: Any) -> Any:
    if isinstance(result, np.ndarray) and not is_traced(result):
        result = from_numpy(rec, result)
    if initial is not None:
        result = result + initial
    if out is None:
        return result
    out[...] = result
    return out
