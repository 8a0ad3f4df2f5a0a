"""What NumPy's functions do to complex arrays and numbers: one table from function to formulas on their parts.

What only moves elements moves pairs; what is linear in each operand is done part by part. A function that is not here and
that NumPy wrote in Python is traced as such; the others raise TracingError.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ..recorder import Recorder, is_traced
from ..traced.array import TracedArray
from ..traced.complexes import (
    Parts,
    TracedComplexArray,
    TracedComplexScalar,
    assign_parts,
    combined,
    is_complex,
    moved_pairs,
    new_complex,
    parts_of,
    static_complex,
)
from .complex_functions import FORMULAS
from .creation import TELLING, as_traced, concrete, from_numpy, leaves_of, linspace, recorder_of, returned
from .elementwise import is_static, ufunc_name
from .movement import concatenate, where
from .reductions import all_, any_, axes_of, root, scan, sum_

__all__ = ["COMPLEX_FUNCTIONS", "COMPLEX_METHODS", "COMPLEX_REDUCE", "any_complex", "complex_number", "complex_ufunc"]

Handler = Callable[..., Any]


def any_complex(xs: Any) -> bool:
    return any(map(is_complex, xs))


def complex_ufunc(rec: Recorder, ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call `ufunc(*inputs, **kwargs)` of which an operand, `out=` or the result is complex.

    `value`, if it is among the keyword arguments, is the result of Python's operator, of whose type the result is.
    """
    if ufunc is np.matmul:
        return matmul(*inputs, **kwargs)
    given = {key: x for key, x in kwargs.items() if key not in ("out", "value")}
    out, mask = kwargs.get("out"), given.get("where", True)
    out = out[0] if isinstance(out, tuple) else out
    operands = [rec.api.operand(rec, x) if isinstance(x, (list, tuple)) else x for x in inputs]
    value = kwargs.get("value")
    if value is None:
        plain = {key: concrete(x) for key, x in given.items()}
        if out is not None:
            plain["out"] = np.array(concrete(out))
        value = ufunc(*(_plain(x) for x in operands), **plain)  # raises NumPy's own errors
    formula = FORMULAS.get(ufunc.__name__)
    if formula is None:
        rec.fail(f"{ufunc_name(ufunc)} of complex numbers cannot be traced", "Write it with real and imaginary parts")
    if np.asarray(value).dtype == np.complex64:
        rec.unsupported("complex64")
    with np.errstate(all="ignore"):  # NumPy has warned already
        result = formula(*(parts_of(rec, x) for x in operands))
    if isinstance(result, Parts):
        kind = type(value) if isinstance(value, complex) else np.complex128
        result = combined(rec, result.re, result.im, kind, np.shape(value))
    if out is None:
        if mask is not True:
            rec.fail(
                f"{ufunc_name(ufunc)} with where= and without out= leaves elements undefined", "Give out=, or use np.where"
            )
        return result
    if not is_traced(out):
        rec.fail(
            "a traced value is written into an ordinary NumPy array",
            "Make the array inside the function (np.zeros, np.empty), or pass it as an argument",
        )
    out[...] = result if mask is True else rec.api.function(rec, np.where, (mask, result, out), {})
    return out


def _plain(x: Any) -> Any:
    return x.value if is_traced(x) else x


def complex_number(rec: Recorder, kind: type, *args: Any) -> Any:
    """`complex(x)` and `complex(re, im)`, and the same of np.complex128."""
    if len(args) == 1 and isinstance(concrete(args[0]), np.ndarray):
        x = args[0]
        if kind is np.complex128 and x.ndim:
            return x.astype(kind)
        args = (x._only(),)
    x = parts_of(rec, args[0])
    if len(args) > 1:
        y = parts_of(rec, args[1])
        x = Parts(x.re - y.im if is_complex(args[1]) else x.re, y.re + x.im if is_complex(args[0]) else y.re)
    return combined(rec, x.re, x.im, kind)


# ---------------------------------------------------------------------------------------------------- movement


def as_complex(rec: Recorder, x: Any) -> TracedComplexArray:
    """As a complex array."""
    if type(x) is TracedComplexArray:
        return x
    if type(x) is TracedComplexScalar:
        return x.as_array()
    array = as_traced(rec, x)
    if type(array) is TracedComplexArray:
        return array
    parts = parts_of(rec, array)
    return combined(rec, parts.re, parts.im, shape=array.shape) if array.ndim else combined_0d(rec, parts)


def combined_0d(rec: Recorder, parts: Parts) -> TracedComplexArray:
    made = static_complex(rec, np.zeros((), np.complex128)) if is_static(parts.re) else new_complex(rec, ())
    assign_parts(made, parts)
    return made


def mover(function: Handler) -> Handler:
    """A function that only moves elements: a view where NumPy makes one, else a gather of pairs."""

    def move(x: Any, *args: Any, **kwargs: Any) -> Any:
        rec = recorder_of((x, *args))
        x = as_complex(rec, x)
        if any(is_traced(leaf) and not is_static(leaf) for leaf in (*leaves_of(args), *leaves_of(kwargs))):
            rec.fail(f"np.{function.__name__} of a complex array by traced numbers cannot be traced", "Index the array itself")
        out = kwargs.pop("out", None)
        args, kwargs = concrete(args), concrete(kwargs)
        made = _moved(x, function(x.value, *args, **kwargs), lambda positions: function(positions, *args, **kwargs))
        return returned(rec, made, out, None)

    return move


def _moved(x: TracedComplexArray, value: Any, function: Handler) -> Any:
    if isinstance(value, (list, tuple)):
        items = enumerate(value)
        return type(value)([_moved(x, item, lambda positions, k=k: function(positions)[k]) for k, item in items])
    if not isinstance(value, np.ndarray):
        return x[np.unravel_index(int(function(np.arange(x.size).reshape(x.shape))), x.shape)]
    if not value.size or np.shares_memory(value, x.value):
        return moved_pairs(x, value)
    positions = function(np.arange(x.size).reshape(x.shape))
    return TracedComplexArray(x.pairs.reshape(-1, 2)[positions].copy(order="C"))


def copy_of(x: Any, order: str = "K", subok: bool = False) -> Any:
    made = as_complex(recorder_of((x,)), x)
    return TracedComplexArray(made.pairs.copy(order="C"))


def astype(
    x: TracedComplexArray, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    kind = np.dtype(dtype)
    x.value.astype(kind, casting=casting)  # raises, or warns that a part is discarded
    if kind == np.complex128:
        return copy_of(x) if copy else x
    if kind.kind == "c":
        x.rec.unsupported(kind.name)
    return x.real.astype(kind)


def view_of(x: TracedComplexArray, dtype: Any = None, type: Any = None) -> Any:
    kind = x.dtype if dtype in (None, np.ndarray) else np.dtype(dtype)
    if kind == np.float64 and x.ndim and x.value.strides[-1] == 16:
        value = x.value.view(np.float64)
        view = x.rec.part(x.place.buffer, value)
        assert view is not None
        return TracedArray(x.rec, view, value)
    if kind != x.dtype:
        x.rec.fail("z.view as another dtype cannot be traced", "Use z.real and z.imag")
    return moved_pairs(x, x.value.view())


def concatenated(arrays: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
    rec = recorder_of(leaves_of(arrays))
    parts = [as_traced(rec, x) for x in arrays]
    if axis is None:
        parts, axis = [part.reshape(-1) for part in parts], 0
    return concatenate(parts, axis, out, dtype=dtype)


# ---------------------------------------------------------------------------------------------------- part by part


def part_by_part(function: Handler) -> Handler:
    """A function that is linear in its first argument, with real options."""

    def apply(x: Any, *args: Any, out: Any = None, initial: Any = None, **kwargs: Any) -> Any:
        rec = recorder_of((x, *args, kwargs))
        parts = parts_of(rec, as_complex(rec, x))
        made = combined(rec, function(parts.re, *args, **kwargs), function(parts.im, *args, **kwargs))
        return returned(rec, made if initial is None else made + initial, out, None)

    return apply


def multilinear(function: Handler) -> Handler:
    """A product of several operands: the sum over their parts, each with its power of i."""

    def apply(rec: Recorder, *operands: Any) -> Any:
        total: list[Any] = [0.0, 0.0]
        choices = [_given_parts(parts_of(rec, x)) for x in operands]
        for choice in itertools.product(*choices):
            turns = sum(turn for turn, _ in choice)
            term = function(*(part for _, part in choice))
            place = turns % 2
            old = total[place]
            first = type(old) is float
            if turns % 4 < 2:
                total[place] = term if first else old + term
            else:
                total[place] = -term if first else old - term
        return combined(rec, total[0], total[1])

    return apply


def _given_parts(parts: Parts) -> list[tuple[int, Any]]:
    """Each part that is not the literal 0.0, with its power of i."""
    return [(k, part) for k, part in enumerate(parts) if k == 0 or is_traced(part) or part != 0.0]


def _product_of(function: Handler, conjugated: bool = False) -> Handler:
    def apply(x: Any, y: Any, out: Any = None, **options: Any) -> Any:
        out = out[0] if isinstance(out, tuple) else out
        rec = recorder_of((x, y, out))
        x, y = (as_traced(rec, operand) for operand in (x, y))
        function(x.value, y.value)  # raises NumPy's own errors
        made = multilinear(function)(rec, np.conjugate(x) if conjugated else x, y)
        return returned(rec, made, out, None)

    return apply


matmul: Final = _product_of(np.matmul)


def einsum(subscripts: Any, *operands: Any, **options: Any) -> Any:
    rec = recorder_of(operands)
    arrays = [as_traced(rec, x) for x in operands]
    made = multilinear(lambda *parts: np.einsum(subscripts, *parts))(rec, *arrays)
    return returned(rec, made, options.get("out"), None)


def select(condition: Any, *sides: Any) -> Any:
    rec = recorder_of((condition, *sides))
    if is_complex(condition):
        condition = np.not_equal(condition, 0)
    if not sides:
        return np.nonzero(condition)
    x, y = (parts_of(rec, as_traced(rec, side)) for side in sides)
    shape = np.broadcast_shapes(*(np.shape(concrete(operand)) for operand in (condition, *sides)))
    re, im = (_chosen(rec, condition, a, b) for a, b in zip(x, y, strict=True))
    return combined(rec, re, im, shape=shape) if shape else combined_0d(rec, Parts(re, im))


def _chosen(rec: Recorder, condition: Any, a: Any, b: Any) -> Any:
    if any(map(is_traced, (condition, a, b))):
        return where(condition, a, b)
    return from_numpy(rec, np.where(condition, a, b))


# ---------------------------------------------------------------------------------------------------- reductions


def mean(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    n = int(np.prod([x.shape[k] for k in axes_of(axis, x.ndim)], dtype=int))
    return returned(rec, part_by_part(sum_)(x, axis=axis, keepdims=keepdims) / n, out, None)


def var(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Of complex numbers NumPy takes the squared distance from the mean."""
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    n = int(np.prod([x.shape[k] for k in axes_of(axis, x.ndim)], dtype=int)) - ddof
    away = x - mean(x, axis, keepdims=True)
    squares = away.real * away.real + away.imag * away.imag
    return returned(rec, sum_(squares, axis, keepdims=keepdims) / n, out, None)


def std(x: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
    return returned(recorder_of((x,)), root(var(x, *args, **kwargs)), out, None)


def product(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """In pairs, so that it takes log n instructions."""
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    value = np.prod(x.value, axis, keepdims=keepdims)
    axes = axes_of(axis, x.ndim)
    kept = [k for k in range(x.ndim) if k not in axes]
    rest = tuple(x.shape[k] for k in kept)
    flat = np.transpose(x, [*kept, *axes]).reshape(*rest, -1) if x.size else as_complex(rec, np.ones((*rest, 1), complex))
    while flat.shape[-1] > 1:
        half, odd = divmod(flat.shape[-1], 2)
        pairs = as_complex(rec, flat[..., :half] * flat[..., half : 2 * half])
        flat = concatenated((pairs, flat[..., 2 * half :]), -1) if odd else pairs
    made = flat[..., 0].reshape(np.shape(value)) if isinstance(value, np.ndarray) else flat[..., 0][()]
    return returned(rec, made if initial is None else made * initial, out, None)


def running_product(x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    made = copy_of(np.moveaxis(x, axis, 0))
    for k in range(1, len(made)):
        made[k] = made[k - 1] * made[k]
    return returned(rec, np.moveaxis(made, 0, axis), out, None)


def _boolean(reduce: Handler) -> Handler:
    return lambda x, *args, **kwargs: reduce(np.not_equal(x, 0), *args, **kwargs)


# ---------------------------------------------------------------------------------------------------- order


def argsort(x: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """NumPy's order: by the real part, then by the imaginary one."""
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    by_imag = np.argsort(x.imag, axis)
    by_both = np.argsort(np.take_along_axis(x.real, by_imag, axis), axis)
    return np.take_along_axis(by_imag, by_both, axis)


def sort(x: Any, axis: int | None = -1, **options: Any) -> Any:
    rec = recorder_of((x,))
    x = as_complex(rec, x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return part_by_part(np.take_along_axis)(x, argsort(x, axis), axis)


def partition(x: Any, kth: Any, axis: int | None = -1, **options: Any) -> Any:
    """Sorted, which is partitioned everywhere."""
    np.partition(concrete(x), kth, axis)
    return sort(x, axis)


def _sort_in_place(x: TracedComplexArray, *args: Any, axis: int = -1, **_: Any) -> None:
    x[...] = sort(x, axis)


def _extreme(ufunc: np.ufunc) -> Handler:
    """`max` or `min`, in pairs as `product`."""

    def reduce(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        rec = recorder_of((x,))
        x = as_complex(rec, x)
        value = ufunc.reduce(x.value, axis, keepdims=keepdims)  # raises NumPy's own errors
        axes = axes_of(axis, x.ndim)
        kept = [k for k in range(x.ndim) if k not in axes]
        flat: Any = np.transpose(x, [*kept, *axes]).reshape(*(x.shape[k] for k in kept), -1)
        while flat.shape[-1] > 1:
            half, odd = divmod(flat.shape[-1], 2)
            pairs = as_complex(rec, ufunc(flat[..., :half], flat[..., half : 2 * half]))
            flat = concatenated((pairs, flat[..., 2 * half :]), -1) if odd else pairs
        made = flat[..., 0].reshape(np.shape(value)) if isinstance(value, np.ndarray) else flat[..., 0][()]
        return returned(rec, made, out, None)

    return reduce


# ---------------------------------------------------------------------------------------------------- the tables

_MOVERS: Final = (
    np.transpose, np.squeeze, np.reshape, np.ravel, np.swapaxes, np.moveaxis, np.rollaxis, np.expand_dims, np.broadcast_to,
    np.flip, np.fliplr, np.flipud, np.rot90, np.diagonal, np.tile, np.resize, np.split, np.array_split, np.hsplit, np.vsplit,
    np.dsplit, np.permute_dims, np.matrix_transpose, np.delete, np.roll, np.take, np.repeat,
    np.lib.stride_tricks.sliding_window_view,
)  # fmt: skip


def _trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return part_by_part(sum_)(mover(np.diagonal)(x, offset, axis1, axis2), axis=-1, out=out)


def _outer(x: Any, y: Any, out: Any = None) -> Any:
    rec = recorder_of((x, y))
    a, b = (as_complex(rec, operand).reshape(-1) for operand in (x, y))
    return returned(rec, a[:, None] * b, out, None)


def _for_each(function: Handler) -> Handler:
    def move(*xs: Any) -> Any:
        rec = recorder_of(xs)
        made = [mover(function)(x) if is_complex(x) else function(as_traced(rec, x)) for x in xs]
        return made[0] if len(made) == 1 else tuple(made)

    return move


def _broadcast_arrays(*xs: Any, subok: bool = False) -> tuple[Any, ...]:
    rec = recorder_of(xs)
    arrays = [as_traced(rec, x) for x in xs]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


def _fill(x: TracedComplexArray, value: Any) -> None:
    x[...] = value


def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    np.copyto(np.array(concrete(dst)), concrete(src), casting=casting, where=concrete(where))
    dst[...] = src if where is True else np.where(where, src, dst)


def _nan_to_num(x: Any, copy: bool = True, **limits: Any) -> Any:
    made = part_by_part(np.nan_to_num)(x, **limits)
    if copy:
        return made
    x[...] = made
    return x


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Of complex values at real points."""
    rec = recorder_of((x, xp, fp, left, right))
    np.interp(concrete(x), concrete(xp), concrete(fp), concrete(left), concrete(right), concrete(period))
    values = parts_of(rec, as_complex(rec, fp))
    outside = [None if side is None else parts_of(rec, side) for side in (left, right)]
    parts = []
    for k in (0, 1):
        sides = [None if side is None else side[k] for side in outside]
        parts.append(np.interp(x, xp, values[k], sides[0], sides[1], period))
    return combined(rec, *parts)


def _item(x: TracedComplexArray, *args: Any) -> Any:
    key = args if args else (0,) * x.ndim
    return (x[key] if args or x.size == 1 else x.value.item()).item()


def _tolist(x: TracedComplexArray) -> Any:
    if not x.ndim:
        return x[()].item()
    return [_tolist(row) if type(row) is TracedComplexArray else row.item() for row in x]


_TABLE: Final[Mapping[Any, Handler]] = {
    **{function: mover(function) for function in _MOVERS},
    **{function: _for_each(function) for function in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.broadcast_arrays: _broadcast_arrays,
    np.copy: copy_of, np.concatenate: concatenated, np.where: select, np.copyto: _copyto, np.sum: part_by_part(sum_),
    np.mean: mean, np.var: var, np.std: std, np.prod: product, np.cumsum: part_by_part(scan(np.add)),
    np.cumprod: running_product, np.all: _boolean(all_), np.any: _boolean(any_), np.trace: _trace,
    np.dot: _product_of(np.dot), np.inner: _product_of(np.inner), np.vdot: _product_of(np.vdot, conjugated=True),
    np.outer: _outer, np.einsum: einsum, np.convolve: lambda a, v, mode="full": _product_of(
        lambda x, y: np.convolve(x, y, mode))(a, v),
    np.cross: lambda a, b, **options: _product_of(lambda x, y: np.cross(x, y, **options))(a, b),
    np.real: lambda x: x.real, np.imag: lambda x: x.imag,
    **TELLING,
    np.iscomplexobj: lambda x: True, np.isrealobj: lambda x: False,
    np.shape: lambda x: np.shape(concrete(x)), np.ndim: lambda x: np.ndim(concrete(x)),
    np.size: lambda x, axis=None: np.size(concrete(x), axis),
    np.result_type: lambda *xs: np.result_type(*(concrete(x) for x in xs)),
    np.may_share_memory: lambda x, y, **_: np.may_share_memory(concrete(x), concrete(y)),
    np.shares_memory: lambda x, y, **_: np.shares_memory(concrete(x), concrete(y)),
    np.zeros_like: lambda x, dtype=None, order="K", subok=True, shape=None, **_: from_numpy(
        x.rec, np.zeros_like(x.value, dtype, order, shape=shape)),
    np.empty_like: lambda x, dtype=None, order="K", subok=True, shape=None, **_: from_numpy(
        x.rec, np.zeros_like(x.value, dtype, order, shape=shape)),
    np.sort: sort, np.argsort: argsort, np.partition: partition, np.take_along_axis: part_by_part(np.take_along_axis),
    np.max: _extreme(np.maximum), np.amax: _extreme(np.maximum), np.min: _extreme(np.minimum), np.amin: _extreme(np.minimum),
    np.round: lambda x, decimals=0, out=None: part_by_part(np.round)(x, decimals, out=out),
    np.around: lambda x, decimals=0, out=None: part_by_part(np.round)(x, decimals, out=out),
    np.nonzero: lambda x: np.nonzero(np.not_equal(x, 0)), np.nan_to_num: _nan_to_num, np.linspace: linspace, np.interp: _interp,
}  # fmt: skip

# NumPy's own code calls some functions past their dispatcher.
COMPLEX_FUNCTIONS: Final = {**{getattr(f, "__wrapped__", f): handler for f, handler in _TABLE.items()}, **_TABLE}

COMPLEX_REDUCE: Final[Mapping[np.ufunc, Handler]] = {
    np.add: COMPLEX_FUNCTIONS[np.sum], np.multiply: product, np.logical_and: COMPLEX_FUNCTIONS[np.all],
    np.logical_or: COMPLEX_FUNCTIONS[np.any],
}  # fmt: skip

COMPLEX_METHODS: Final[Mapping[str, Handler]] = {
    "astype": astype, "view": view_of, "copy": lambda x, order="C": copy_of(x), "fill": _fill, "item": _item, "tolist": _tolist,
    "conj": np.conjugate, "conjugate": np.conjugate, "trace": _trace, "flatten": lambda x, order="C": mover(np.copy)(
        mover(np.ravel)(x, order)),
    "reshape": lambda x, *shape, order="C", copy=None: mover(np.reshape)(
        x, shape[0] if len(shape) == 1 else shape, order=order),
    "transpose": lambda x, *axes: mover(np.transpose)(x, axes[0] if len(axes) == 1 else axes or None),
    "round": lambda x, decimals=0, out=None: part_by_part(np.round)(x, decimals, out=out),
    **{name: COMPLEX_FUNCTIONS[getattr(np, name)] for name in (
        "sum", "mean", "var", "std", "prod", "cumsum", "cumprod", "all", "any", "dot", "squeeze", "ravel", "swapaxes",
        "diagonal", "take", "repeat", "max", "min", "argsort")},
    "sort": _sort_in_place, "partition": lambda x, kth, axis=-1, **_: _sort_in_place(x, axis=axis),
}  # fmt: skip
