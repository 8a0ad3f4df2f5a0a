"""What NumPy's functions do, in terms of the recorder: one table from function to operation or structure.

Ufuncs go through `elementwise`. A function that is here has its own few lines; a function of NumPy that is written in Python
and is not here is traced as if the user had written it, so only what NumPy does in C needs a row. What neither covers
raises TracingError. A function whose arguments depend on no input is simply called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

import numpy as np

from ...errors import TracingError
from ...tape import DTYPES
from ...views import View
from ..leaving import WAYS_OUT
from ..recorder import Recorder, contains_traced, dtype_name, is_traced
from ..traced.array import TracedArray, concrete_key, moved, wrap
from ..traced.complexes import TracedComplexArray, TracedComplexScalar, combined, is_complex, parts_of
from ..traced.scalar import TracedScalar
from . import composed, nan_aware, placing
from .complex_api import (
    COMPLEX_FUNCTIONS,
    COMPLEX_METHODS,
    COMPLEX_REDUCE,
    any_complex,
    complex_ufunc,
)
from .complex_linalg import COMPLEX_LINALG
from .complex_systems import COMPLEX_SYSTEMS
from .creation import (
    TELLING,
    arange,
    array,
    as_array,
    as_traced,
    asarray,
    astype,
    concrete,
    copy_of,
    empty,
    from_numpy,
    full,
    full_like,
    leaves_of,
    linspace,
    ones_like,
    recorder_of,
    returned,
    zeros_like,
)
from .eigen import EIGEN
from .elementwise import apply, is_static, ufunc_name
from .fourier import FOURIER
from .iterating import Broadcast, NdIter, from_iterable, from_python, ndenumerate, vectorize
from .linalg import LINALG
from .movement import (
    as_strided,
    broadcast_arrays,
    concatenate,
    copyto,
    diagonal,
    fill,
    flatten,
    for_each,
    mover,
    nonzero,
    ravel,
    repeat,
    reshape,
    roll,
    take,
    transpose,
    view_of,
    where,
)
from .products import convolve, cross, dot, einsum, inner, matmul, outer, vdot
from .reductions import all_, any_, boolean, fold, maximum, mean, minimum, one_by_one, product, ptp, scan, std, sum_, var
from .searching import (
    argsort,
    extremum,
    interp,
    median,
    partition,
    quantile,
    searchsorted,
    sort,
    sort_in_place,
    take_along_axis,
)

__all__ = ["CREATION", "FUNCTIONS", "METHODS", "NumpyApi"]

Rebuild = Callable[[FunctionType], Callable[..., Any]]


def clip(x: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **bounds: Any) -> Any:
    low, high = bounds.pop("min", a_min), bounds.pop("max", a_max)
    rec = recorder_of((x, low, high))
    result = x
    if low is not None:
        result = apply(rec, np.maximum, (result, low), bounds)
    if high is not None:
        result = apply(rec, np.minimum, (result, high), bounds)
    return returned(rec, result, out, None)


def round_(x: Any, decimals: int = 0, out: Any = None) -> Any:
    if x.dtype.kind != "f" and decimals >= 0:
        return returned(x.rec, x, out, None)
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        rounded = np.rint(x)
    else:
        rounded = np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale
    return returned(x.rec, rounded, out, None)


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


def add_at(rec: Recorder, ufunc: np.ufunc, x: Any, key: Any, values: Any = None) -> None:
    """`ufunc.at(x, key, values)` for addition and subtraction."""
    if type(x) is TracedComplexArray:
        parts = parts_of(rec, as_traced(rec, values))
        for own, part in zip((x.real, x.imag), parts, strict=True):
            add_at(rec, ufunc, own, key, part)
        return
    x = placing.writable(rec, x)
    if is_complex(values):
        ufunc.at(x.value.copy(), concrete(key), concrete(values))  # raises NumPy's own error
        rec.fail("complex numbers are added into an array of real ones", "Add their real parts")
    places = concrete_key(rec, key)
    positions = np.asarray(x.place.indices()[places])
    source = as_traced(rec, values)
    if ufunc is np.subtract:
        source = as_traced(rec, -source)
    np.add.at(x.value.copy(), places, source.value)  # raises NumPy's own errors
    if is_static(x) and is_static(source) and x.place.buffer in rec.lazy:
        np.add.at(x.value, places, source.value)
        return
    rec.reads(source.place)
    rec.writes(x.place, varies=not is_static(source))
    spread = rec.program.temp(dtype_name(x.dtype), positions.shape)
    rec.assign(spread, source.place)
    low = int(x.place.indices().min())
    window = View(x.place.buffer, low, (int(x.place.indices().max()) - low + 1,), (1,))
    flat = View(spread.buffer, 0, (positions.size,), (1,))
    rec.emit("put_add", window, (window, flat, rec.program.constant(positions.reshape(-1) - low, "int64")))
    np.add.at(x.value, places, source.value)


# ------------------------------------------------------------------------------------------------ the table

METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "all": boolean(all_), "any": boolean(any_), "argmax": extremum("argmax"),
    "argmin": extremum("argmin"), "astype": astype, "clip": clip, "conj": lambda x: x, "conjugate": lambda x: x,
    "copy": lambda x, order="C": copy_of(x, order), "cumprod": scan(np.multiply), "cumsum": scan(np.add),
    "diagonal": diagonal, "dot": dot, "fill": fill, "flatten": flatten, "item": item, "max": maximum, "mean": mean,
    "min": minimum, "nonzero": nonzero, "prod": product, "ravel": ravel, "repeat": repeat, "reshape": reshape,
    "argsort": argsort, "round": round_, "searchsorted": searchsorted, "sort": sort_in_place,
    "argpartition": lambda x, kth, axis=-1, **_: argsort(x, axis), "choose": composed.choose,
    "compress": lambda x, condition, axis=None: composed.compress(condition, x, axis),
    "partition": lambda x, kth, axis=-1, **_: sort_in_place(x, axis), "put": placing.put,
    "squeeze": mover(np.squeeze), "std": std, "sum": sum_,
    "swapaxes": mover(np.swapaxes), "take": take, "tolist": tolist,
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
    np.quantile: quantile(np.quantile, 1), np.percentile: quantile(np.percentile, 100), np.partition: partition,
    np.searchsorted: searchsorted, np.take_along_axis: take_along_axis, **LINALG, **EIGEN, **FOURIER,
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
    **{getattr(np, f.__name__): f for f in (
        nan_aware.nanmean, nan_aware.nanvar, nan_aware.nanstd, nan_aware.nanmedian, composed.ediff1d, composed.correlate,
        composed.choose, composed.diagflat, composed.compress, composed.bincount, composed.apply_along_axis, composed.unique,
        composed.lexsort, composed.histogram, composed.polymul, composed.unravel_index,
        composed.ravel_multi_index, placing.put, placing.place, placing.putmask,
        placing.put_along_axis, placing.insert, placing.fill_diagonal,
    )},
    np.nanquantile: nan_aware.nanquantile("nanquantile", 1), np.nanpercentile: nan_aware.nanquantile("nanpercentile", 100),
    np.argpartition: lambda x, kth, axis=-1, **_: argsort(x, axis),
    np.shape: lambda x: np.shape(concrete(x)), np.ndim: lambda x: np.ndim(concrete(x)),
    np.size: lambda x, axis=None: np.size(concrete(x), axis),
    np.may_share_memory: lambda x, y, **_: np.may_share_memory(concrete(x), concrete(y)),
    np.shares_memory: lambda x, y, **_: np.shares_memory(concrete(x), concrete(y)),
    np.result_type: lambda *xs: np.result_type(*(concrete(x) for x in xs)),
    np.can_cast: lambda x, *args, **kwargs: np.can_cast(x.dtype, *args, **kwargs),
    **TELLING,
    np.iscomplexobj: lambda x: False, np.isrealobj: lambda x: True, np.real: lambda x: x,
    np.broadcast_arrays: lambda *xs, subok=False: broadcast_arrays(xs),
    **{f: for_each(mover(f)) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    **{f: mover(f) for f in (
        np.moveaxis, np.rollaxis, np.expand_dims, np.broadcast_to, np.flip, np.fliplr, np.flipud, np.rot90, np.diagonal,
        np.lib.stride_tricks.sliding_window_view, np.tile, np.resize, np.split, np.array_split, np.hsplit, np.vsplit,
        np.dsplit, np.permute_dims, np.matrix_transpose, np.delete,
    )},
}  # fmt: skip

# NumPy's own code calls some functions past their dispatcher.
FUNCTIONS: Final = {**{getattr(f, "__wrapped__", f): handler for f, handler in _TABLE.items()}, **_TABLE}

REDUCE: Final[Mapping[np.ufunc, Callable[..., Any]]] = {
    np.add: sum_, np.multiply: product, np.maximum: maximum, np.minimum: minimum, np.fmax: fold(np.fmax),
    np.fmin: fold(np.fmin), np.logical_and: METHODS["all"], np.logical_or: METHODS["any"], np.logaddexp: fold(np.logaddexp),
}  # fmt: skip

_PRODUCTS: Final[Mapping[np.ufunc, Callable[..., Any]]] = {
    np.vecdot: composed.vecdot, np.matvec: composed.matvec, np.vecmat: composed.vecmat,
}  # fmt: skip

# Functions that NumPy does not dispatch: with the recorder as their first argument, the namespace gives them to the user.
CREATION: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    np.array: array, np.asarray: asarray, np.asanyarray: asarray,
    np.ascontiguousarray: lambda rec, x, dtype=None: array(rec, x, dtype, copy=None, order="C", ndmin=1),
    np.asfortranarray: lambda rec, x, dtype=None: array(rec, x, dtype, copy=None, order="F", ndmin=1),
    np.vectorize: vectorize, np.frompyfunc: from_python, np.fromiter: from_iterable, np.nditer: NdIter,
    np.ndenumerate: ndenumerate, np.lib.stride_tricks.as_strided: as_strided,
    np.broadcast: Broadcast, np.arange: arange,
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
    complex_methods: Mapping[str, Callable[..., Any]] = COMPLEX_METHODS

    def __init__(self, rebuild: Rebuild, capture: Callable[[np.ndarray], Any]) -> None:
        self._rebuild = rebuild
        self._capture = capture

    def stop(self, x: Any) -> Any:
        rec = x.rec
        if type(x) is TracedComplexArray:
            return TracedComplexArray(self.stop(x.pairs))
        if type(x) is TracedComplexScalar:
            re, im = (self.stop(part) if is_traced(part) else part for part in (x.re, x.im))
            return combined(rec, re, im, type(x.value))
        dtype = x.value.dtype.name if type(x) is TracedArray else x.kind
        if dtype[0] != "f":
            return copy_of(x) if type(x) is TracedArray else x
        if type(x) is TracedArray:
            view, value = rec.adopt(x.value.copy())
        else:
            view, value = rec.program.temp(dtype, ()), x.value
        rec.emit("stop", view, (x.place,))
        return wrap(rec, view, value)

    def operand(self, rec: Recorder, x: Any) -> Any:
        if is_traced(x) or type(x) in (float, int, bool):
            return x
        if isinstance(x, np.ndarray):
            captured = self._capture(x)
            if not is_traced(captured):
                if x.dtype.kind in "biu":
                    return from_numpy(rec, x.astype(np.int64 if x.dtype.kind != "b" else bool))
                if dtype_name(x.dtype) in DTYPES and x.dtype.isnative:
                    rec.fail(f"an array of class {type(x).__name__} cannot be traced", "Take np.asarray of it outside")
                rec.unsupported(dtype_name(x.dtype) if x.dtype.isnative else str(x.dtype))
            return captured
        if isinstance(x, (list, tuple)):
            return array(rec, x)
        if isinstance(x, np.complexfloating) and type(x) is not np.complex128:
            rec.unsupported(x.dtype.name)
        return x

    def ufunc(self, rec: Recorder, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any_complex(inputs) or (kwargs and _asks_complex(kwargs)):
            return self._complex_ufunc(rec, ufunc, method, inputs, kwargs)
        if method == "__call__":
            if ufunc is np.matmul:
                return matmul(*inputs, *kwargs.get("out", ()))
            if ufunc in _PRODUCTS and "out" not in kwargs:
                return _PRODUCTS[ufunc](*inputs, **kwargs)
            if ufunc.signature is not None:
                rec.fail(f"{ufunc_name(ufunc)} cannot be traced", "Write it with @, sums and products")
            return apply(rec, ufunc, inputs, kwargs)
        if method == "reduce":
            if "axis" not in kwargs and len(inputs) < 2:
                kwargs = {**kwargs, "axis": 0}
            return (REDUCE.get(ufunc) or one_by_one(ufunc))(*inputs, **_given(kwargs))
        if method == "reduceat":
            return placing.reduceat(rec, ufunc, *inputs, **_given(kwargs))
        if method == "accumulate":
            return scan(ufunc)(*inputs, **{"axis": 0, **_given(kwargs)})
        if method == "outer":
            x, y = (as_traced(rec, operand) for operand in inputs)
            return apply(rec, ufunc, (x.reshape(x.shape + (1,) * y.ndim), y), kwargs)
        if method == "at":
            (add_at if ufunc in (np.add, np.subtract) else placing.at)(rec, ufunc, *inputs)
            return None
        rec.fail(f"{ufunc_name(ufunc)}.{method} cannot be traced", "Write it with arithmetic, slices and ufuncs")

    def _complex_ufunc(
        self, rec: Recorder, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if method == "__call__" and ufunc is np.vecdot and not kwargs:
            return (np.conjugate(inputs[0]) * inputs[1]).sum(-1)
        if method == "__call__" and (ufunc is np.matmul or ufunc.signature is None):
            return complex_ufunc(rec, ufunc, inputs, kwargs)
        if method == "reduce" and ufunc in COMPLEX_REDUCE:
            if "axis" not in kwargs and len(inputs) < 2:
                kwargs = {**kwargs, "axis": 0}
            return COMPLEX_REDUCE[ufunc](*inputs, **_given(kwargs))
        if method == "accumulate" and ufunc in (np.add, np.multiply):
            scan_ = COMPLEX_FUNCTIONS[np.cumsum if ufunc is np.add else np.cumprod]
            return scan_(*inputs, **{"axis": 0, **_given(kwargs)})
        if method == "at" and ufunc in (np.add, np.subtract):
            add_at(rec, ufunc, *inputs)
            return None
        if method == "outer":
            x, y = (as_traced(rec, operand) for operand in inputs)
            return complex_ufunc(rec, ufunc, (x.reshape(x.shape + (1,) * y.ndim), y), kwargs)
        call = ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}")
        rec.fail(f"{call} of complex numbers cannot be traced", "Write it with real and imaginary parts")

    def function(self, rec: Recorder, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = _given(kwargs)
        everything = [*leaves_of(args), *leaves_of(kwargs)]
        if any_complex(everything):
            handler = _OF_COMPLEX.get(function) or FOURIER.get(function)
            if handler is None and function in FUNCTIONS:
                rec.fail(f"{_name(function)} of complex numbers cannot be traced", "Write it with real and imaginary parts")
        else:
            handler = FUNCTIONS.get(function)
        if handler is not None:
            first = args[0] if args and function not in _WRITING else None
            if isinstance(first, (np.ndarray, list, tuple)) and not contains_traced(first):
                args = (as_traced(rec, first), *args[1:])
            return handler(*args, **kwargs)
        if all(map(is_static, everything)) and function not in _WRITING and kwargs.get("out") is None:
            return _shared(rec, function(*concrete(args), **concrete(kwargs)), everything)
        body = getattr(function, "__wrapped__", None)
        if isinstance(body, FunctionType):
            try:
                return self._rebuild(body)(*args, **kwargs)
            except TracingError as error:
                raise TracingError(f"{error} (in {_name(function)}, traced as NumPy wrote it)") from error
        rec.fail(f"{_name(function)} cannot be traced", WAYS_OUT)


def _asks_complex(kwargs: dict[str, Any]) -> bool:
    """Whether a ufunc is to write into a complex array, or to compute or return complex numbers."""
    out, dtype = kwargs.get("out"), kwargs.get("dtype")
    outs = out if isinstance(out, tuple) else (out,)
    return any_complex(outs) or is_complex(kwargs.get("value")) or (dtype is not None and np.dtype(dtype).kind == "c")


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The options that say something, `out=` as one array."""
    given = {name: x for name, x in kwargs.items() if x is not np._NoValue}
    if isinstance(given.get("out"), tuple):
        (given["out"],) = given["out"]
    return given


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


_OF_COMPLEX: Final[Mapping[Any, Callable[..., Any]]] = {**COMPLEX_LINALG, **COMPLEX_SYSTEMS, **COMPLEX_FUNCTIONS}
