"""Traced complex values: pairs of float64, real part first.

The program knows no complex numbers. A complex array is a float64 array with one more axis, of length two, in the memory that
NumPy gives it; its real and imaginary part are views of that, so that slices, `z.real[...] = x` and overlapping assignments
alias as in NumPy. A derivative of the pairs, seen as complex numbers again, is u_x + i u_y, the gradient convention.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..recorder import Recorder, Traced, is_traced
from .array import TracedArray, concrete_key
from .scalar import TracedScalar

__all__ = [
    "Parts",
    "TracedComplexArray",
    "TracedComplexScalar",
    "assign_parts",
    "combined",
    "from_pairs",
    "is_complex",
    "moved_pairs",
    "new_complex",
    "pairs_of",
    "parts_of",
    "static_complex",
]


def pairs_of(value: np.ndarray) -> np.ndarray:
    """The memory of a complex array as a float64 array (..., 2)."""
    return value[..., None].view(np.float64)


def from_pairs(x: Any) -> Any:
    """The complex array of which `x` (..., 2) is the pairs."""
    if is_traced(x):
        return TracedComplexArray(x if _is_paired(x) else x.copy(order="C"))
    return np.ascontiguousarray(x).view(np.complex128)[..., 0]


def is_complex(x: Any) -> bool:
    """Whether x is a complex number or array, traced or not."""
    if is_traced(x):
        return type(x) in (TracedComplexArray, TracedComplexScalar)
    return isinstance(x, (complex, np.complexfloating)) or (isinstance(x, np.ndarray) and x.dtype.kind == "c")


class Parts(NamedTuple):
    """Real and imaginary part: traced arrays, traced numbers or Python floats. The literal 0.0 stands for no part at all."""

    re: Any
    im: Any


# ---------------------------------------------------------------------------------------------------- arrays


class TracedComplexArray(TracedArray):
    """A traced complex128 array; see the module's docstring.

    Attributes
    ----------
    pairs : TracedArray
        Its float64 pairs, shape (..., 2); the last axis is contiguous.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: TracedArray) -> None:
        super().__init__(pairs.rec, pairs.place, pairs.value.view(np.complex128)[..., 0])
        self.pairs = pairs

    # ------------------------------------------------------------------------------------------ parts and views

    @property
    def real(self) -> Any:
        return self.pairs[..., 0]

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        return self.pairs[..., 1]

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    T = property(lambda self: moved_pairs(self, self.value.T))
    mT = property(lambda self: moved_pairs(self, self.value.mT))  # noqa: N815

    @property
    def flat(self) -> Any:
        flat = self.value.reshape(-1)
        if self.size and not np.shares_memory(flat, self.value):
            self.rec.fail("x.flat of an array that is not contiguous cannot be traced", "Index the array itself")
        return moved_pairs(self, flat)

    @flat.setter
    def flat(self, value: Any) -> None:
        self.flat[...] = value

    def _set_shape(self, shape: Any) -> None:
        value = self.value.reshape(shape)
        if self.size and not np.shares_memory(value, self.value):
            raise AttributeError("incompatible shape for in-place modification; use x = x.reshape(...)")
        moved = moved_pairs(self, value)
        self.value, self.place, self.pairs = moved.value, moved.place, moved.pairs

    shape = property(lambda self: self.value.shape, lambda self, shape: self._set_shape(shape))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        function = self.rec.api.complex_methods.get(name)
        if function is None:
            self.rec.fail(
                f"the method .{name} of a complex array cannot be traced", "Write it with its real and imaginary part"
            )
        return lambda *args, **kwargs: function(self, *args, **{k: x for k, x in kwargs.items() if x is not np._NoValue})

    def __complex__(self) -> NoReturn:
        self.rec.fail("a traced complex number becomes an ordinary one", "Keep it inside the function")

    # ------------------------------------------------------------------------------------------ reading and writing

    def __getitem__(self, key: Any) -> Any:
        key = _with_pairs(_plain_key(self.rec, key))
        found = self.pairs[key]
        if found.ndim > 1 or Ellipsis in _as_tuple(key):
            return TracedComplexArray(found if _is_paired(found) else found.copy(order="C"))
        re, im = found[0], found[1]
        return combined(self.rec, re, im)

    def __setitem__(self, key: Any, item: Any) -> None:
        rec = self.rec
        if isinstance(item, (list, tuple)):
            item = rec.api.operand(rec, item)
        key = _plain_key(rec, key, masks=True)
        if not is_traced(key):
            self.value[key]  # raises NumPy's own errors
        assign_parts(self, parts_of(rec, item), key)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return tuple(k for k in (key if type(key) is tuple else (key,)) if not is_traced(k) and not isinstance(k, np.ndarray))


def _plain_key(rec: Recorder, key: Any, masks: bool = False) -> Any:
    """An index without traced arrays (guarded), but for a mask that a write may select by, and integers to look up."""
    if type(key) is TracedScalar and key.kind == "int64":
        return key
    if masks and type(key) is TracedArray:
        return key
    return concrete_key(rec, key)


def _with_pairs(key: Any) -> Any:
    """The index of the pairs: after an ellipsis their axis is named."""
    keys = key if type(key) is tuple else (key,)
    return (*keys, slice(None)) if any(k is Ellipsis for k in keys) else key


def _is_paired(pairs: TracedArray) -> bool:
    return bool(pairs.value.strides[-1] == pairs.value.itemsize)


def assign_parts(out: TracedComplexArray, parts: Parts, key: Any = ...) -> None:
    """`out[key] = parts`; a part that lies in `out` itself is read before anything is written."""
    im = parts.im
    if isinstance(im, TracedArray) and im.place.buffer == out.place.buffer and parts.re is not im:
        same_cells = isinstance(parts.re, TracedArray) and _follows(parts.re, im)
        if not same_cells:
            im = im.copy()
    out.real[key] = parts.re
    out.imag[key] = im


def _follows(re: TracedArray, im: TracedArray) -> bool:
    """Whether two parts are those of one array, which never meet the other part of the target."""
    return im.place == re.place._replace(offset=re.place.offset + 1)


def static_complex(rec: Recorder, value: np.ndarray) -> TracedComplexArray:
    """An array that depends on no input."""
    if value.dtype != np.complex128:
        rec.unsupported(value.dtype.name)
    pairs = np.array(pairs_of(value))
    if pairs.strides[-1] != pairs.itemsize:  # of a repeated row
        pairs = np.array(pairs, order="C")
    return TracedComplexArray(TracedArray(rec, *rec.adopt_static(pairs)))


def moved_pairs(x: TracedComplexArray, value: np.ndarray) -> TracedComplexArray:
    """What an operation that only moves elements made of the storage of x, where that is a view."""
    pairs = pairs_of(value)
    view = x.rec.part(x.place.buffer, pairs)
    if view is None:
        assert not value.size, "a copy is gathered"
        return static_complex(x.rec, np.array(value))
    return TracedComplexArray(TracedArray(x.rec, view, pairs))


# ---------------------------------------------------------------------------------------------------- numbers


class TracedComplexScalar(Traced):
    """A traced complex number.

    Attributes
    ----------
    re, im : TracedScalar or float
        At least one is traced.
    """

    __slots__ = ("im", "re")
    __array_priority__ = 1002.0
    __iter__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, rec: Recorder, re: Any, im: Any, kind: type = np.complex128) -> None:
        self.rec, self.re, self.im = rec, re, im
        self.place = re.place if is_traced(re) else im.place
        self.value = kind(complex(_concrete(re), _concrete(im)))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.value)

    real = property(lambda self: self.re)
    imag = property(lambda self: self.im)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.rec.api.ufunc(self.rec, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.rec.api.function(self.rec, function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.rec.leaves(
            "a traced complex number",
            "is put into an ordinary NumPy array, or handed to code that cannot be traced",
            "Make the array inside the function (np.zeros(n, complex), np.array)",
        )

    def __complex__(self) -> NoReturn:
        self.rec.fail("a traced complex number becomes an ordinary one", "Keep it inside the function")

    def __bool__(self) -> bool:
        return bool(self.rec.api.ufunc(self.rec, np.not_equal, "__call__", (self, 0), {}))

    def __floor__(self) -> Any:
        math.floor(self.value)  # raises Python's own error, or warns that NumPy's number loses its imaginary part
        return math.floor(self.re)

    def __ceil__(self) -> Any:
        math.ceil(self.value)
        return math.ceil(self.re)

    def __trunc__(self) -> Any:
        return math.trunc(self.value)  # raises Python's own error

    def __repr__(self) -> str:
        return repr(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __copy__(self) -> TracedComplexScalar:
        return self

    def __deepcopy__(self, memo: Any) -> TracedComplexScalar:
        return self

    def conjugate(self) -> Any:
        return combined(self.rec, self.re, -self.im, type(self.value))

    def __getattr__(self, name: str) -> Any:
        value = object.__getattribute__(self, "value")
        if name.startswith("__") or not hasattr(value, name):
            raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
        if name in ("dtype", "shape", "ndim", "size", "nbytes", "itemsize", "strides"):
            return getattr(value, name)
        if name == "conj":
            return self.conjugate
        if name == "item":
            return lambda: combined(self.rec, self.re, self.im, complex)
        attribute = getattr(self.as_array(), name)
        return attribute

    def as_array(self) -> TracedComplexArray:
        made = new_complex(self.rec, ())
        assign_parts(made, Parts(self.re, self.im))
        return made

    def __neg__(self) -> Any:
        return combined(self.rec, -self.re, -self.im, type(self.value))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.rec.api.ufunc(self.rec, np.absolute, "__call__", (self,), {})


def _concrete(x: Any) -> Any:
    return x.value if is_traced(x) else x


def _define_operators() -> None:
    python: Callable[[Any, Any], Any]
    ufunc: np.ufunc
    for name, python, ufunc in (
        ("add", operator.add, np.add), ("sub", operator.sub, np.subtract), ("mul", operator.mul, np.multiply),
        ("truediv", operator.truediv, np.divide), ("pow", operator.pow, np.power), ("matmul", operator.matmul, np.matmul),
        ("floordiv", operator.floordiv, np.floor_divide), ("mod", operator.mod, np.remainder),
    ):  # fmt: skip
        setattr(TracedComplexScalar, f"__{name}__", _operator(python, ufunc, reflected=False))
        setattr(TracedComplexScalar, f"__r{name}__", _operator(python, ufunc, reflected=True))
    for name, python, ufunc in (
        ("lt", operator.lt, np.less), ("le", operator.le, np.less_equal), ("gt", operator.gt, np.greater),
        ("ge", operator.ge, np.greater_equal), ("eq", operator.eq, np.equal), ("ne", operator.ne, np.not_equal),
    ):  # fmt: skip
        setattr(TracedComplexScalar, f"__{name}__", _operator(python, ufunc, reflected=False))


def _operator(python: Callable[[Any, Any], Any], ufunc: np.ufunc, reflected: bool) -> Callable[..., Any]:
    def method(self: TracedComplexScalar, other: Any) -> Any:
        if not is_traced(other) and not isinstance(other, (int, float, complex, np.generic, np.ndarray, list, tuple)):
            return NotImplemented
        operands = (other, self) if reflected else (self, other)
        options: dict[str, Any] = {}
        if not isinstance(_concrete(other), (np.ndarray, list, tuple)):
            options["value"] = python(*map(_concrete, operands))  # raises as Python's numbers do
        return self.rec.api.ufunc(self.rec, ufunc, "__call__", operands, options)

    return method


_define_operators()


# ---------------------------------------------------------------------------------------------------- parts


def parts_of(rec: Recorder, x: Any) -> Parts:
    """Real and imaginary part as float64; real operands have the imaginary part 0.0."""
    if type(x) is TracedComplexArray:
        return Parts(x.real, x.imag)
    if type(x) is TracedComplexScalar:
        return Parts(x.re, x.im)
    if type(x) is TracedArray:
        return Parts(x if x.dtype == np.float64 else x.astype(np.float64), 0.0)
    if type(x) is TracedScalar:
        return Parts(x if x.kind == "float64" else TracedScalar(rec, rec.cast(x.place, "float64"), float(x.value)), 0.0)
    if isinstance(x, np.ndarray):
        return parts_of(rec, rec.api.operand(rec, x))
    number = complex(x)
    return Parts(number.real, number.imag if is_complex(x) else 0.0)


def combined(rec: Recorder, re: Any, im: Any, kind: type = np.complex128, shape: tuple[int, ...] | None = None) -> Any:
    """A complex array or number of its parts; with a shape, an array of it unless that is ()."""
    if shape is None:
        shape = np.broadcast_shapes(np.shape(_concrete(re)), np.shape(_concrete(im)))
        arrays = any(isinstance(part, TracedArray) for part in (re, im))
    else:
        arrays = shape != ()
    if not arrays:
        re, im = (part[()] if isinstance(part, TracedArray) else part for part in (re, im))
        if not is_traced(re) and not is_traced(im):
            return kind(complex(re, im))
        return TracedComplexScalar(rec, re, im, kind)
    made = static_complex(rec, np.zeros(shape, np.complex128)) if _are_static(re, im) else new_complex(rec, shape)
    assign_parts(made, Parts(re, im))
    return made


def new_complex(rec: Recorder, shape: tuple[int, ...]) -> TracedComplexArray:
    """An array of which both parts are about to be assigned."""
    return TracedComplexArray(TracedArray(rec, *rec.adopt(np.zeros((*shape, 2)))))


def _are_static(*parts: Any) -> bool:
    return not any(is_traced(part) and part.place.buffer not in part.rec.static for part in parts)
