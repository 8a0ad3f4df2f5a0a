"""What NumPy's functions do, in terms of the recorder: one table from function to operation or structure.

Ufuncs go through `elementwise`. A function that is here has its own few lines; a function of NumPy that is written in Python
and is not here is traced as if the user had written it, so only what NumPy does in C needs a row. What neither covers
raises TracingError. A function whose arguments depend on no input is simply called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..errors import TracingError
from ..tape import View, broadcast, contiguous
from .array import TracedArray, concrete_key, gather, moved, wrap
from .elementwise import apply, is_static, operand_view, ufunc_name
from .recorder import Recorder, dtype_name, is_traced
from .scalar import TracedScalar

__all__ = ["CREATION", "FUNCTIONS", "METHODS", "NumpyApi"]

Rebuild = Callable[[FunctionType], Callable[..., Any]]

# ------------------------------------------------------------------------------------------------ arrays from data


def as_traced(rec: Recorder, x: Any) -> Any:
    """`np.asanyarray(x)`: as it is, if it is a traced array."""
    if type(x) is TracedArray:
        return x
    if type(x) is TracedScalar:
        return as_array(x)
    return array(rec, x, copy=False)


def as_array(x: Any) -> TracedArray:
    """As an array, if x is traced or a list with something traced in it."""
    if type(x) is TracedArray:
        return x
    if type(x) is not TracedScalar:
        made: TracedArray = array(_recorder((x,)), x)
        return made
    view, value = x.rec.adopt(np.array(x.value))
    x.rec.emit("copy", view, (x.place,))
    return TracedArray(x.rec, view, value)


def array(rec: Recorder, x: Any, dtype: Any = None, *, copy: bool | None = True, order: str = "K", ndmin: int = 0,
          subok: bool = False, like: Any = None) -> Any:  # fmt: skip
    if type(x) is TracedScalar:
        made = as_array(x)
    elif type(x) is TracedArray:
        made = copy_of(x, order) if copy else x
    elif isinstance(x, (list, tuple)) and _contains_traced(x):
        made = _stacked(rec, x)
    elif isinstance(x, np.ndarray):
        made = rec.api.operand(rec, x)
        made = copy_of(made, order) if copy and type(made) is TracedArray else made
        if type(made) is not TracedArray:
            return np.array(x, dtype, copy=copy, order=order, ndmin=ndmin)  # type: ignore[call-overload]
    else:
        return from_numpy(rec, np.array(x, dtype, order=order, ndmin=ndmin))  # type: ignore[call-overload]
    if dtype is not None:
        made = astype(made, dtype, copy=False)
    return made.reshape((1,) * (ndmin - made.ndim) + made.shape) if ndmin > made.ndim else made


def asarray(rec: Recorder, x: Any, dtype: Any = None, order: str = "K", *, device: Any = None, copy: bool | None = None,
            like: Any = None) -> Any:  # fmt: skip
    return array(rec, x, dtype, copy=copy, order=order)


def from_numpy(rec: Recorder, x: Any) -> Any:
    """What an untraced call of NumPy made, as static traced arrays wherever the program can hold them."""
    if type(x) is np.ndarray and dtype_name(x.dtype) in ("float64", "float32", "int64", "bool"):
        return TracedArray(rec, *rec.adopt_static(x))
    if type(x) is np.ndarray and x.dtype.kind == "c":
        rec.unsupported(dtype_name(x.dtype))
    if isinstance(x, (tuple, list)) and type(x) in (tuple, list):
        return type(x)([from_numpy(rec, item) for item in x])
    return x


def _contains_traced(x: Any) -> bool:
    return is_traced(x) or (isinstance(x, (list, tuple)) and any(map(_contains_traced, x)))


def _stacked(rec: Recorder, items: Sequence[Any]) -> TracedArray:
    """`np.array` of a nested list in which something is traced."""
    concrete = np.array(_concrete(items))
    if concrete.dtype == object:
        np.array(_concrete(items), dtype=float)  # raises NumPy's own error
    out = TracedArray(rec, *rec.adopt_static(np.zeros(concrete.shape, concrete.dtype)))
    for k, item in enumerate(items):
        out[k] = _stacked(rec, item) if isinstance(item, (list, tuple)) else item
    return out


def _concrete(x: Any) -> Any:
    """x with the concrete values of what is traced in it."""
    if is_traced(x):
        return x.value
    if type(x) in (list, tuple):
        return type(x)([_concrete(item) for item in x])
    if type(x) is dict:
        return {key: _concrete(item) for key, item in x.items()}
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
        return copy_of(x) if copy else x
    value = x.value.astype(kind, casting=casting)
    if x.place.buffer in x.rec.static:
        return from_numpy(x.rec, value)
    view, value = x.rec.adopt(value)
    x.rec.emit("copy", view, (x.rec.cast(x.rec.reads(x.place), kind.name),))
    return TracedArray(x.rec, view, value)


def full(rec: Recorder, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **options: Any) -> Any:
    if dtype is None:
        dtype = np.asarray(_concrete(fill_value)).dtype
    out = empty(rec, shape, dtype, order)
    out[...] = fill_value
    return out


def empty(rec: Recorder, shape: Any, dtype: Any = float, order: str = "C", **options: Any) -> Any:
    return from_numpy(rec, np.zeros(concrete_key(rec, shape), dtype, order))  # type: ignore[call-overload]


def _like(x: Any, dtype: Any, shape: Any) -> tuple[Recorder, tuple[int, ...], Any]:
    return x.rec, x.shape if shape is None else shape, x.dtype if dtype is None else dtype


def full_like(x: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> Any:
    rec, shape, dtype = _like(x, dtype, shape)
    return full(rec, shape, fill_value, dtype)


def zeros_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return empty(*_like(x, dtype, shape))


def ones_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    rec, shape, dtype = _like(x, dtype, shape)
    return full(rec, shape, 1, dtype)


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, **_: Any) -> Any:  # fmt: skip
    rec = _recorder((start, stop))
    step = (stop - start) / (num - 1 if endpoint else num)
    points = from_numpy(rec, np.arange(num, dtype=float)) * step + start
    if endpoint and num > 1:
        points[-1] = stop
    return (points, step) if retstep else points


# ------------------------------------------------------------------------------------------------ moving elements


def _mover(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that only moves elements: a view where NumPy makes one, else a gather."""

    def move(x: Any, *args: Any, **kwargs: Any) -> Any:
        x = as_array(x)
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
    return reshape(x, -1, order="C" if order == "K" else order)


def flatten(x: TracedArray, order: str = "C") -> TracedArray:
    return copy_of(ravel(x, order))


def view_of(x: TracedArray, dtype: Any = None, type: Any = None) -> TracedArray:
    if type not in (None, np.ndarray) or (dtype not in (None, np.ndarray) and np.dtype(dtype) != x.dtype):
        x.rec.fail("x.view as another dtype or class cannot be traced", "Convert with .astype")
    return moved(x, x.value.view())


def transpose(x: TracedArray, *axes: Any) -> TracedArray:
    return moved(x, x.value.transpose(*axes))


def concatenate(arrays: Sequence[Any], axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
    rec = _recorder(arrays)
    parts = [as_traced(rec, x) for x in arrays]
    if axis is None:
        parts, axis = [ravel(part) for part in parts], 0
    whole = np.concatenate([part.value for part in parts], axis, dtype=dtype)
    made = empty(rec, whole.shape, whole.dtype) if out is None else out
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
    if mode != "raise":
        x.rec.fail(f"np.take with mode={mode!r} cannot be traced", "Bring the indices into range first")
    if axis is None:
        picked = ravel(x)[indices]
    else:
        picked = x[(slice(None),) * normalize_axis_index(axis, x.ndim) + (indices,)]
    if out is None:
        return picked
    out[...] = picked
    return out


def where(condition: Any, *sides: Any) -> Any:
    rec = _recorder((condition, *sides))
    if not sides:
        return nonzero(as_traced(rec, condition))
    x, y = (rec.api.operand(rec, side) for side in sides)
    mask = rec.api.operand(rec, condition)
    value = np.asarray(np.where(_concrete(mask), _concrete(x), _concrete(y)))
    if is_static(mask) and is_static(x) and is_static(y):
        return from_numpy(rec, value)
    dtype, shape = dtype_name(value.dtype), value.shape
    views = [operand_view(rec, operand, kind, shape) for operand, kind in ((mask, "bool"), (x, dtype), (y, dtype))]
    view, value = rec.adopt(np.array(value, order="C"))
    rec.emit("where", view, views)
    return TracedArray(rec, view, value)


def nonzero(x: TracedArray) -> tuple[Any, ...]:
    mask = x if x.dtype == bool else x != 0
    return tuple(from_numpy(x.rec, index) for index in np.nonzero(x.rec.concretise(mask.place, mask.value)))


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if type(dst) is not TracedArray:
        _recorder((src, where)).fail(
            "a traced value is written into an ordinary NumPy array",
            "Make the array inside the function (np.zeros, np.empty), or pass it as an argument",
        )
    np.copyto(dst.value.copy(), _concrete(src), casting=casting, where=_concrete(where))  # type: ignore[arg-type]  # raises
    if where is True:
        dst[...] = src
    else:
        dst[...] = _select(where, src, dst)


_select: Final = where  # for functions that have a parameter of that name


def _broadcast_arrays(xs: Sequence[Any]) -> tuple[TracedArray, ...]:
    rec = _recorder(xs)
    arrays = [as_traced(rec, x) for x in xs]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple([moved(x, np.broadcast_to(x.value, shape)) for x in arrays])


def _for_each(move: Callable[..., Any]) -> Callable[..., Any]:
    """A mover that takes several arrays."""

    def function(*xs: Any) -> Any:
        rec = _recorder(xs)
        results = tuple([move(as_traced(rec, x)) for x in xs])
        return results[0] if len(results) == 1 else results

    return function


def fill(x: TracedArray, value: Any) -> None:
    x[...] = value


def diagonal(x: TracedArray, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TracedArray:
    return moved(x, x.value.diagonal(offset, axis1, axis2))


def repeat(x: TracedArray, repeats: Any, axis: int | None = None) -> TracedArray:
    return _mover(np.repeat)(x, _concrete(repeats), axis)  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------ reductions


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
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
        x = _select(where, x, 0)
    if is_static(x):
        return _returned(rec, np.sum(x.value, axis, dtype, keepdims=keepdims), out, initial)
    value = np.sum(x.value, axis, dtype, keepdims=bool(keepdims))
    axes = _axes(axis, x.ndim)
    source = _last(rec.cast(rec.reads(x.place), dtype_name(value.dtype)), axes)
    reduced = source.shape[: x.ndim - len(axes)]
    view = rec.program.temp(dtype_name(value.dtype), reduced)
    rec.emit("sum" if axes else "copy", view, (source,))
    return _returned(rec, _reduced(rec, view, value), out, initial)


def _reduced(rec: Recorder, view: View, value: Any) -> Any:
    """The result of a reduction, whose storage is the buffer of `view`, in the shape of `value`."""
    if not isinstance(value, np.ndarray):
        return wrap(rec, View(view.buffer, 0, (), ()), value)
    view = View(view.buffer, 0, value.shape, contiguous(value.shape))
    value = np.array(value, order="C")
    rec.bind(view, value)
    return TracedArray(rec, view, value)


def _returned(rec: Recorder, result: Any, out: Any, initial: Any) -> Any:
    if isinstance(result, np.ndarray) and not is_traced(result):
        result = from_numpy(rec, result)
    if initial is not None:
        result = result + initial
    if out is None:
        return result
    out[...] = result
    return out


def mean(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **options: Any) -> Any:
    x = as_array(x)
    if options.get("where", True) is not True:
        x.rec.fail("np.mean with where= cannot be traced", "Divide np.sum(..., where=...) by the number of elements")
    if x.dtype.kind in "bi" and dtype is None:
        x = astype(x, float)
    n = math.prod(x.shape[k] for k in _axes(axis, x.ndim))
    return _returned(x.rec, sum_(x, axis, dtype, None, keepdims) / n, out, None)


def _fold(ufunc: np.ufunc) -> Callable[..., Any]:
    """The reduction of a ufunc, in pairs, so that it takes log n instructions."""

    def reduce(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
               where: Any = True) -> Any:  # fmt: skip
        x = as_array(x)
        rec = x.rec
        if where is not True:
            rec.fail(f"the reduction of {ufunc_name(ufunc)} with where= cannot be traced", "Use np.where on the operand")
        options = {} if initial is None else {"initial": _concrete(initial)}
        concrete = ufunc.reduce(x.value, axis=_axes(axis, x.ndim), dtype=dtype, keepdims=keepdims, **options)  # raises as NumPy
        if is_static(x):
            return _returned(rec, concrete, out, None)
        if dtype is not None:
            x = astype(x, dtype, copy=False)
        elif x.dtype != np.asarray(concrete).dtype:
            x = astype(x, np.asarray(concrete).dtype)
        axes = _axes(axis, x.ndim)
        order = [k for k in range(x.ndim) if k not in axes] + list(axes)
        rest = tuple(x.shape[k] for k in order[: x.ndim - len(axes)])
        flat = reshape(transpose(x, order), (*rest, math.prod(x.shape[k] for k in axes)))
        if not flat.shape[-1]:
            result = full(rec, rest, ufunc.identity if initial is None else initial, flat.dtype)[...]
        else:
            while flat.shape[-1] > 1:
                half, odd = divmod(flat.shape[-1], 2)
                pairs = ufunc(flat[..., :half], flat[..., half : 2 * half])
                flat = concatenate((pairs, flat[..., 2 * half :]), -1) if odd else pairs
            result = flat[..., 0]
            if initial is not None:
                result = ufunc(result, initial)
        if keepdims:
            result = as_traced(rec, result).reshape(np.shape(concrete))
        elif type(result) is TracedArray:
            result = result[()]  # a number where no axis is left
        return _returned(rec, result, out, None)

    return reduce


maximum, minimum, product = _fold(np.maximum), _fold(np.minimum), _fold(np.multiply)
_all, _any = _fold(np.logical_and), _fold(np.logical_or)


def _boolean(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        x = as_array(x)
        return reduce(x if x.dtype == bool else x != 0, *args, **kwargs)

    return method


def ptp(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    x = as_array(x)
    return _returned(x.rec, maximum(x, axis, keepdims=keepdims) - minimum(x, axis, keepdims=keepdims), out, None)


def var(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False, *,
        correction: int | None = None, **options: Any) -> Any:  # fmt: skip
    x = as_array(x)
    if options.get("where", True) is not True or "mean" in options:
        x.rec.fail("np.var with where= or mean= cannot be traced", "Write it with sums")
    n = math.prod(x.shape[k] for k in _axes(axis, x.ndim)) - (ddof if correction is None else correction)
    deviation = x - mean(x, axis, dtype, keepdims=True)
    return _returned(x.rec, sum_(deviation * deviation, axis, dtype, None, keepdims) / n, out, None)


def std(x: Any, *args: Any, **kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    x = as_array(x)
    return _returned(x.rec, np.sqrt(var(x, *args, **kwargs)), out, None)


def _scan(ufunc: np.ufunc) -> Callable[..., Any]:
    """The running reduction of a ufunc along an axis."""

    def accumulate(x: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
        x = as_array(x)
        if axis is None:
            x, axis = ravel(x), 0
        concrete = ufunc.accumulate(x.value, axis, dtype)
        if is_static(x):
            return _returned(x.rec, concrete, out, None)
        axis = normalize_axis_index(axis, x.ndim)
        made = empty(x.rec, concrete.shape, concrete.dtype)
        lead = (slice(None),) * axis
        for k in range(x.shape[axis]):
            made[(*lead, k)] = x[(*lead, k)] if k == 0 else ufunc(made[(*lead, k - 1)], x[(*lead, k)])
        return _returned(x.rec, made, out, None)

    return accumulate


def _extremum(compare: np.ufunc, pick: Callable[..., Any]) -> Callable[..., Any]:
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
                bool(_all(compare(best, flat[: int(k)])))
            if k + 1 < x.size:  # as good as those behind
                bool(_all(np.logical_not(compare(flat[int(k) + 1 :], best))))
        return k

    return find


# ------------------------------------------------------------------------------------------------ products


def matmul(x: Any, y: Any, out: Any = None) -> Any:
    rec = _recorder((x, y, out))
    a, b = as_traced(rec, x), as_traced(rec, y)
    value = np.matmul(a.value, b.value)
    if is_static(a) and is_static(b):
        return _returned(rec, value, out, None)
    dtype = dtype_name(value.dtype)
    if not dtype.startswith("float"):
        rec.fail(f"the matrix product of {dtype} arrays cannot be traced", "Convert to float with .astype(float)")
    left, right = (rec.cast(rec.reads(operand.place), dtype) for operand in (a, b))
    left = _with_axis(left, 0) if a.ndim == 1 else left
    right = _with_axis(right, 1) if b.ndim == 1 else right
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (broadcast(view, batch + view.shape[-2:]) for view in (left, right))
    product_ = rec.program.temp(dtype, (*batch, left.shape[-2], right.shape[-1]))
    rec.emit("matmul", product_, (left, right))
    return _returned(rec, _reduced(rec, product_, value), out, None)


def _with_axis(view: View, place: int) -> View:
    (n,), (stride,) = view.shape, view.strides
    return View(view.buffer, view.offset, (1, n) if place == 0 else (n, 1), (0, stride) if place == 0 else (stride, 0))


def dot(x: Any, y: Any, out: Any = None) -> Any:
    rec = _recorder((x, y, out))
    a, b = as_traced(rec, x), as_traced(rec, y)
    if not a.ndim or not b.ndim:
        return _returned(rec, a * b, out, None)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b, out)
    value = np.dot(a.value, b.value)
    flat = matmul(a.reshape(-1, a.shape[-1]), np.moveaxis(b, -2, 0).reshape(b.shape[-2], -1))
    return _returned(rec, reshape(flat, value.shape), out, None)


def inner(x: Any, y: Any) -> Any:
    rec = _recorder((x, y))
    a, b = as_traced(rec, x), as_traced(rec, y)
    return a * b if not a.ndim or not b.ndim else dot(a, np.moveaxis(b, -1, -2) if b.ndim > 1 else b)


def vdot(x: Any, y: Any) -> Any:
    rec = _recorder((x, y))
    return dot(ravel(as_traced(rec, x)), ravel(as_traced(rec, y)))


def outer(x: Any, y: Any, out: Any = None) -> Any:
    rec = _recorder((x, y))
    a, b = ravel(as_traced(rec, x)), ravel(as_traced(rec, y))
    return np.multiply(a[:, None], b, out) if out is not None else a[:, None] * b


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    rec = _recorder((a, b))
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = np.moveaxis(as_traced(rec, a), axisa, -1), np.moveaxis(as_traced(rec, b), axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        rec.fail("np.cross of vectors with other than three components cannot be traced", "Write out the products")
    components = [x[..., i] * y[..., j] - x[..., j] * y[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.moveaxis(np.stack([as_traced(rec, component) for component in components], -1), -1, axisc)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The longer operand, shifted and weighted by each element of the shorter."""
    rec = _recorder((a, v))
    x, y = as_traced(rec, a), as_traced(rec, v)
    whole = np.convolve(x.value, y.value, mode)  # type: ignore[call-overload]  # raises NumPy's own errors
    x, y = (x, y) if x.size >= y.size else (y, x)
    full_ = empty(rec, x.size + y.size - 1, whole.dtype)
    for k in range(y.size):
        full_[k : k + x.size] += x * y[k]
    first = {"full": 0, "same": (y.size - 1) // 2, "valid": y.size - 1}[mode]
    return full_[first : first + whole.size]


def einsum(subscripts: str, *operands: Any, **options: Any) -> Any:
    """Subscripts without an ellipsis: the operands multiplied over all letters, then summed over those not asked for."""
    rec = _recorder(operands)
    if not isinstance(subscripts, str) or "." in subscripts:
        rec.fail("np.einsum with an ellipsis or with lists of axes cannot be traced", "Write out the letters")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    names = left.split(",")
    letters = sorted({*left} - {","})
    result = right if arrow else "".join(c for c in letters if left.count(c) == 1)
    order = [*result, *(c for c in letters if c not in result)]
    total: Any = None
    for name, operand in zip(names, operands, strict=True):
        x = as_traced(rec, operand)
        while len({*name}) < len(name):  # a letter twice is a diagonal
            twice = next(c for c in name if name.count(c) > 1)
            i = name.index(twice)
            j = name.index(twice, i + 1)
            x, name = diagonal(x, 0, i, j), name[:i] + name[i + 1 : j] + name[j + 1 :] + twice
        x = transpose(x, [name.index(c) for c in order if c in name])
        x = x[tuple(slice(None) if c in name else None for c in order)]
        total = x if total is None else total * x
    reduced = tuple(range(len(result), len(order)))
    made = sum_(total, reduced) if reduced else copy_of(total)
    return _returned(rec, made, options.get("out"), None)


# ------------------------------------------------------------------------------------------------ others


def clip(x: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **bounds: Any) -> Any:
    low, high = bounds.pop("min", a_min), bounds.pop("max", a_max)
    rec = _recorder((x, low, high))
    result = x
    if low is not None:
        result = apply(rec, np.maximum, (result, low), bounds)
    if high is not None:
        result = apply(rec, np.minimum, (result, high), bounds)
    return _returned(rec, result, out, None)


def round_(x: Any, decimals: int = 0, out: Any = None) -> Any:
    if x.dtype.kind != "f" and decimals >= 0:
        return _returned(x.rec, x, out, None)
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        rounded = np.rint(x)
    else:
        rounded = np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale
    return _returned(x.rec, rounded, out, None)


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    x = as_array(x)
    limits = np.finfo(x.dtype)
    replaced = where(np.isnan(x), nan, x)
    replaced = where(x == np.inf, limits.max if posinf is None else posinf, replaced)
    replaced = where(x == -np.inf, limits.min if neginf is None else neginf, replaced)
    if copy:
        return replaced[()]
    x[...] = replaced
    return x


def sort(x: Any, axis: int | None = -1, **options: Any) -> Any:
    """A gather by the order found, held by a guard that the result is sorted."""
    x = as_array(x)
    if x.ndim != 1 and axis is not None:
        x.rec.fail("np.sort of an array with several axes cannot be traced", "Sort one row at a time")
    flat = ravel(x)
    made = flat[np.argsort(flat.value, kind="stable")]
    if made.size > 1 and not is_static(made):
        bool(_all(made[:-1] <= made[1:]))
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
        bool(_all(where(ascends, ordered[:-1] < ordered[1:], ordered[:-1] == ordered[1:])))
    return from_numpy(x.rec, order)


def median(x: Any, axis: int | None = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    x = as_array(x)
    if (axis is not None and x.ndim != 1) or keepdims:
        x.rec.fail("np.median with axis= or keepdims= cannot be traced", "Call it on one row at a time")
    ordered = sort(x, None)
    n = ordered.size
    return _returned(x.rec, mean(ordered[(n - 1) // 2 : n // 2 + 1]), out, None)


def vectorize(rec: Recorder, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`np.vectorize`: a loop over the elements."""
    if options:
        rec.fail(f"np.vectorize with {', '.join(options)}= cannot be traced", "Leave the option out")

    def call(*xs: Any) -> Any:
        arrays = _broadcast_arrays([as_traced(rec, x) for x in xs])
        made = array(rec, [function(*[x[k] for x in arrays]) for k in np.ndindex(arrays[0].shape)])
        return made.reshape(arrays[0].shape)

    return call


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The place of a number in a sorted array, held by guards on its neighbours."""
    rec = _recorder((a, v))
    if sorter is not None or np.ndim(_concrete(v)):
        rec.fail("np.searchsorted of an array, or with sorter=, cannot be traced", "Search one number at a time")
    grid = as_traced(rec, a)
    k = int(np.searchsorted(grid.value, _concrete(v), side))  # type: ignore[call-overload]
    before, behind = (np.less, np.less_equal) if side == "left" else (np.less_equal, np.less)
    if k > 0:
        bool(before(grid[k - 1], v))
    if k < grid.size:
        bool(behind(v, grid[k]))
    return np.int64(k)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation, as a sum of ramps selected by the interval: one program for all x."""
    rec = _recorder((x, xp, fp))
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


def tolist(x: TracedArray) -> Any:
    return [tolist(row) if type(row) is TracedArray else as_python(row) for row in x] if x.ndim else as_python(x[()])


def item(x: TracedArray, *args: Any) -> Any:
    if not args:
        return as_python(x._only()) if x.size == 1 else x.value.item()
    key = args[0] if len(args) == 1 else args
    return as_python(x[key] if isinstance(key, tuple) or x.ndim == 1 else ravel(x)[key])


def as_python(x: Any) -> Any:
    """A number as Python's own type."""
    return TracedScalar(x.rec, x.place, x.value.item(), x.kind) if is_traced(x) else x.item()


def linalg_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_array(x)
    if ord not in (None, 2, "fro") or (ord == 2 and x.ndim != 1 and not isinstance(axis, int)):
        x.rec.fail(f"np.linalg.norm with ord={ord!r} cannot be traced", "Write the norm with sums and maxima")
    return np.sqrt(sum_(x * x, axis, keepdims=keepdims))


def _at(rec: Recorder, ufunc: np.ufunc, x: Any, key: Any, values: Any = None) -> None:
    """`ufunc.at(x, key, values)` for addition and subtraction."""
    if type(x) is not TracedArray:
        rec.fail(
            "a traced value is added into an ordinary NumPy array",
            "Make the array inside the function (np.zeros), or pass it as an argument",
        )
    if ufunc not in (np.add, np.subtract):
        rec.fail(f"{ufunc_name(ufunc)}.at cannot be traced", "Use np.add.at, or a loop over the elements")
    concrete = concrete_key(rec, key)
    positions = np.asarray(x.place.indices()[concrete])
    source = as_traced(rec, values)
    if ufunc is np.subtract:
        source = as_traced(rec, -source)
    np.add.at(x.value.copy(), concrete, source.value)  # raises NumPy's own errors
    if is_static(x) and is_static(source) and x.place.buffer in rec.lazy:
        np.add.at(x.value, concrete, source.value)
        return
    rec.reads(source.place)
    rec.writes(x.place, varies=not is_static(source))
    spread = rec.program.temp(dtype_name(x.dtype), positions.shape)
    rec.assign(spread, source.place)
    low = int(x.place.indices().min())
    window = View(x.place.buffer, low, (int(x.place.indices().max()) - low + 1,), (1,))
    flat = View(spread.buffer, 0, (positions.size,), (1,))
    rec.emit("put_add", window, (window, flat, rec.program.constant(positions.reshape(-1) - low, "int64")))
    np.add.at(x.value, concrete, source.value)


# ------------------------------------------------------------------------------------------------ the table

METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "all": _boolean(_all), "any": _boolean(_any), "argmax": _extremum(np.greater, np.argmax),
    "argmin": _extremum(np.less, np.argmin), "astype": astype, "clip": clip, "conj": lambda x: x, "conjugate": lambda x: x,
    "copy": lambda x, order="C": copy_of(x, order), "cumprod": _scan(np.multiply), "cumsum": _scan(np.add),
    "diagonal": diagonal, "dot": dot, "fill": fill, "flatten": flatten, "item": item, "max": maximum, "mean": mean,
    "min": minimum, "nonzero": nonzero, "prod": product, "ravel": ravel, "repeat": repeat, "reshape": reshape,
    "argsort": argsort, "round": round_, "searchsorted": searchsorted, "sort": sort_in_place,
    "squeeze": _mover(np.squeeze), "std": std, "sum": sum_,
    "swapaxes": _mover(np.swapaxes), "take": take, "tolist": tolist,
    "trace": lambda x, offset=0, axis1=0, axis2=1, dtype=None, out=None: sum_(
        diagonal(x, offset, axis1, axis2), -1, dtype, out),
    "transpose": transpose, "var": var, "view": view_of,
}  # fmt: skip

_TABLE: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    np.concatenate: concatenate, np.where: where, np.copyto: copyto, np.dot: dot, np.inner: inner, np.vdot: vdot,
    np.convolve: convolve, np.cross: cross, np.outer: outer, np.einsum: einsum,
    np.full_like: full_like, np.zeros_like: zeros_like, np.empty_like: zeros_like,
    np.ones_like: ones_like, np.linspace: linspace, np.roll: roll, np.interp: interp, np.clip: clip, np.round: round_,
    np.around: round_, np.sort: sort, np.argsort: argsort, np.median: median,
    np.linalg.norm: linalg_norm, np.searchsorted: searchsorted,
    np.sum: sum_, np.mean: mean, np.var: var, np.std: std, np.prod: product, np.max: maximum, np.min: minimum,
    np.amax: maximum, np.amin: minimum, np.ptp: ptp, np.all: METHODS["all"], np.any: METHODS["any"],
    np.cumsum: METHODS["cumsum"], np.cumprod: METHODS["cumprod"], np.argmax: METHODS["argmax"], np.argmin: METHODS["argmin"],
    np.transpose: lambda x, axes=None: transpose(as_array(x), axes), np.squeeze: METHODS["squeeze"],
    np.reshape: lambda x, shape, order="C", *, copy=None: reshape(as_array(x), shape, order=order, copy=copy),
    np.ravel: lambda x, order="C": ravel(as_array(x), order), np.swapaxes: METHODS["swapaxes"],
    np.take: take, np.repeat: lambda x, *args, **kwargs: repeat(as_array(x), *args, **kwargs),
    np.copy: lambda x, order="K", subok=False: copy_of(x, order) if type(x) is TracedArray else as_array(x),
    np.nonzero: lambda x: nonzero(as_array(x)),
    np.count_nonzero: lambda x, axis=None, keepdims=False: sum_(x != 0, axis, keepdims=keepdims),
    np.flatnonzero: lambda x: nonzero(ravel(as_array(x)))[0],
    np.nan_to_num: nan_to_num,
    np.shape: lambda x: np.shape(_concrete(x)), np.ndim: lambda x: np.ndim(_concrete(x)),
    np.size: lambda x, axis=None: np.size(_concrete(x), axis),
    np.may_share_memory: lambda x, y, **_: np.may_share_memory(_concrete(x), _concrete(y)),
    np.shares_memory: lambda x, y, **_: np.shares_memory(_concrete(x), _concrete(y)),
    np.result_type: lambda *xs: np.result_type(*(_concrete(x) for x in xs)),
    np.can_cast: lambda x, *args, **kwargs: np.can_cast(x.dtype, *args, **kwargs),
    np.iscomplexobj: lambda x: False, np.isrealobj: lambda x: True, np.real: lambda x: x,
    np.broadcast_arrays: lambda *xs, subok=False: _broadcast_arrays(xs),
    **{f: _for_each(_mover(f)) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    **{f: _mover(f) for f in (
        np.moveaxis, np.rollaxis, np.expand_dims, np.broadcast_to, np.flip, np.fliplr, np.flipud, np.rot90, np.diagonal,
        np.lib.stride_tricks.sliding_window_view, np.tile, np.resize, np.split, np.array_split, np.hsplit, np.vsplit,
        np.dsplit, np.permute_dims, np.matrix_transpose, np.delete,
    )},
}  # fmt: skip

# NumPy's own code calls some functions past their dispatcher.
FUNCTIONS: Final = {**{getattr(f, "__wrapped__", f): handler for f, handler in _TABLE.items()}, **_TABLE}

REDUCE: Final[Mapping[np.ufunc, Callable[..., Any]]] = {
    np.add: sum_, np.multiply: product, np.maximum: maximum, np.minimum: minimum, np.fmax: _fold(np.fmax),
    np.fmin: _fold(np.fmin), np.logical_and: METHODS["all"], np.logical_or: METHODS["any"], np.logaddexp: _fold(np.logaddexp),
}  # fmt: skip

# Functions that NumPy does not dispatch: with the recorder as their first argument, the namespace gives them to the user.
CREATION: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    np.array: array, np.asarray: asarray, np.asanyarray: asarray,
    np.ascontiguousarray: lambda rec, x, dtype=None: array(rec, x, dtype, copy=None, ndmin=1),
    np.vectorize: vectorize, np.broadcast: lambda rec, *xs: np.broadcast(*_concrete(xs)),
    np.zeros: empty, np.empty: empty, np.full: full,
    np.ones: lambda rec, shape, dtype=float, order="C", **_: full(rec, shape, 1, dtype, order),
}  # fmt: skip


class NumpyApi:
    """NumPy for one recorder.

    Parameters
    ----------
    rebuild : callable
        Gives a function of NumPy that is written in Python a namespace in which it can be traced.
    capture : callable
        Gives an ordinary array its traced counterpart.
    """

    methods: Mapping[str, Callable[..., Any]] = METHODS

    def __init__(self, rebuild: Rebuild, capture: Callable[[np.ndarray], Any]) -> None:
        self._rebuild = rebuild
        self._capture = capture

    def operand(self, rec: Recorder, x: Any) -> Any:
        if is_traced(x) or type(x) in (float, int, bool):
            return x
        if isinstance(x, np.ndarray):
            captured = self._capture(x)
            if not is_traced(captured):
                if x.dtype.kind in "biu":
                    return from_numpy(rec, x.astype(np.int64 if x.dtype.kind != "b" else bool))
                rec.unsupported(dtype_name(x.dtype))
            return captured
        if isinstance(x, (list, tuple)):
            return array(rec, x)
        if isinstance(x, (complex, np.complexfloating)):
            rec.unsupported("complex128")
        return x

    def ufunc(self, rec: Recorder, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if method == "__call__":
            if ufunc is np.matmul:
                return matmul(*inputs, *kwargs.get("out", ()))
            if ufunc.signature is not None:
                rec.fail(f"{ufunc_name(ufunc)} cannot be traced", "Write it with @, sums and products")
            return apply(rec, ufunc, inputs, kwargs)
        if method == "reduce" and ufunc in REDUCE:
            if "axis" not in kwargs and len(inputs) < 2:
                kwargs = {**kwargs, "axis": 0}
            return REDUCE[ufunc](*inputs, **_given(kwargs))
        if method == "accumulate":
            return _scan(ufunc)(*inputs, **{"axis": 0, **_given(kwargs)})
        if method == "outer":
            x, y = (as_traced(rec, operand) for operand in inputs)
            return apply(rec, ufunc, (x.reshape(x.shape + (1,) * y.ndim), y), kwargs)
        if method == "at":
            _at(rec, ufunc, *inputs)
            return None
        rec.fail(f"{ufunc_name(ufunc)}.{method} cannot be traced", "Write it with arithmetic, slices and ufuncs")

    def function(self, rec: Recorder, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        handler = FUNCTIONS.get(function)
        kwargs = _given(kwargs)
        everything = [*_leaves(args), *_leaves(kwargs)]
        if handler is not None:
            first = args[0] if args and function not in _WRITING else None
            if isinstance(first, (np.ndarray, list, tuple)) and not _contains_traced(first):
                args = (as_traced(rec, first), *args[1:])
            return handler(*args, **kwargs)
        if all(map(is_static, everything)) and function not in _WRITING and kwargs.get("out") is None:
            return _shared(rec, function(*_concrete(args), **_concrete(kwargs)), everything)
        body = getattr(function, "__wrapped__", None)
        if isinstance(body, FunctionType):
            try:
                return self._rebuild(body)(*args, **kwargs)
            except TracingError as error:
                raise TracingError(f"{error} (in {_name(function)}, traced as NumPy wrote it)") from error
        rec.fail(f"{_name(function)} cannot be traced", _WAYS_OUT)


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The options that say something, `out=` as one array."""
    given = {name: x for name, x in kwargs.items() if x is not np._NoValue}
    if isinstance(given.get("out"), tuple):
        (given["out"],) = given["out"]
    return given


_WAYS_OUT: Final = "Write it with arithmetic, slices, sums, matrix products and ufuncs"
_WRITING: Final = frozenset({np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis})


def _shared(rec: Recorder, made: Any, operands: Sequence[Any]) -> Any:
    """The result of a call without inputs; where NumPy made a view of an operand, a view."""
    if isinstance(made, (tuple, list)) and type(made) in (tuple, list):
        return type(made)([_shared(rec, item, operands) for item in made])
    if isinstance(made, np.ndarray):
        for x in operands:
            if type(x) is TracedArray and rec.part(x.place.buffer, made) is not None:
                return moved(x, made)
    return from_numpy(rec, made)


def _name(function: Callable[..., Any]) -> str:
    module = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{module}.{function.__name__}"


def _leaves(x: Any) -> Iterator[Any]:
    if type(x) in (list, tuple):
        for part in x:
            yield from _leaves(part)
    elif type(x) is dict:
        for part in x.values():
            yield from _leaves(part)
    else:
        yield x


def _recorder(xs: Any) -> Recorder:
    """The recorder of whatever is traced among `xs`."""
    found: Recorder = next(x.rec for x in _leaves(tuple(xs)) if is_traced(x))
    return found
