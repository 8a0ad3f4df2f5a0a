"""TracedArray: an array of the recorded run, its concrete values beside the program's view of the same elements.

Both are views: the concrete one of the storage of the buffer, so that slices, transposes and views of views alias exactly as
in NumPy, and where they lie is read off their address and strides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from ..._traced import Elements
from ...views import View, is_injective
from ..recorder import Recorder, Traced, dtype_name, is_traced
from .lookups import look_up, looks_up, store, stores
from .scalar import TracedScalar, scalar_dtype

__all__ = ["TracedArray", "gather", "moved", "scalar_at", "wrap"]


class TracedArray(Elements, Traced):
    """A traced array; see the module's docstring. Behaves as the `ndarray` it stands for."""

    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]  # as of ndarray

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # `isinstance(x, np.ndarray)` behaves as for the real array
        return np.ndarray

    # ------------------------------------------------------------------------------------------ facts

    shape = property(lambda self: self.value.shape, lambda self, shape: self._set_shape(shape))
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    nbytes = property(lambda self: self.value.nbytes)
    itemsize = property(lambda self: self.value.itemsize)
    strides = property(lambda self: self.value.strides)
    flags = property(lambda self: self.value.flags)
    base = property(lambda self: self.value.base if self.value.base is None else moved(self, self.value.base))
    real = property(lambda self: self, lambda self, value: self.__setitem__(..., value))
    T = property(lambda self: moved(self, self.value.T))
    mT = property(lambda self: moved(self, self.value.mT))  # noqa: N815

    @property
    def imag(self) -> Any:
        return self.rec.api.function(self.rec, np.zeros_like, (self,), {})

    @property
    def flat(self) -> Any:
        flat = self.value.reshape(-1)
        view = self.rec.part(self.place.buffer, flat)
        if view is None and self.size:
            self.rec.fail("x.flat of an array that is not contiguous cannot be traced", "Index the array itself")
        return moved(self, flat)

    @flat.setter
    def flat(self, value: Any) -> None:
        self.flat[...] = self.rec.api.function(self.rec, np.resize, (value, (self.size,)), {})  # NumPy repeats what is short

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return self.rec.texts.note(repr(self.value))

    def __str__(self) -> str:
        return self.rec.texts.note(str(self.value))

    def __format__(self, spec: str) -> str:
        return self.rec.texts.note(format(self.value, spec))

    def __copy__(self) -> Any:
        return self.rec.api.function(self.rec, np.copy, (self,), {})

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.rec.fail("a traced array is pickled or handed to another process", "Keep it inside the function")

    # ------------------------------------------------------------------------------------------ protocols of NumPy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.rec.api.ufunc(self.rec, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.rec.api.function(self.rec, function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.rec.leaves(
            self.rec.name(self),
            "is put into an ordinary NumPy array, or handed to code that cannot be traced",
            "Make the array inside the function (np.zeros, np.array), or pass it as an argument",
        )

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        function = self.rec.api.methods.get(name)
        if function is None:
            self.rec.fail(f"the array method .{name} cannot be traced", "Write it with arithmetic, slices and ufuncs")
        return lambda *args, **kwargs: function(self, *args, **{k: x for k, x in kwargs.items() if x is not np._NoValue})

    def _set_shape(self, shape: Any) -> None:
        value = self.value.reshape(shape)
        view = self.rec.part(self.place.buffer, value)
        if view is None:
            raise AttributeError("incompatible shape for in-place modification; use x = x.reshape(...)")
        self.value, self.place = value, view

    # ------------------------------------------------------------------------------------------ conversions

    def _only(self) -> Any:
        """The single element."""
        if self.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        return self[(0,) * self.ndim]

    def __bool__(self) -> bool:
        if self.size != 1:
            return bool(self.value)  # raises NumPy's own error
        return bool(self._only())

    def __int__(self) -> int:
        return int(self._only())

    def __float__(self) -> float:
        return float(self._only())

    def __complex__(self) -> complex:
        return complex(self._only())

    def __index__(self) -> int:
        operator.index(self.value)  # raises NumPy's own error
        return operator.index(self._only())

    def __round__(self, ndigits: int | None = None) -> Any:
        return self.rec.api.function(self.rec, np.round, (self, ndigits or 0), {})

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self.value)))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    # ------------------------------------------------------------------------------------------ reading

    def _item(self, key: Any) -> Any:
        if looks_up(self, key):
            return look_up(self, key)
        return self[int(key)] if isinstance(key, np.integer) else self._get(concrete_key(self.rec, key))

    def _element(self, position: int, value: Any) -> Any:
        return scalar_at(self, position, value)

    def _get(self, key: Any) -> Any:
        value = self.value[key]
        if not isinstance(value, np.ndarray):
            return scalar_at(self, self._position(key), value)
        if _is_basic(key):
            return moved(self, value)
        if self.ndim == 1 and isinstance(key, np.ndarray):  # along the axis of the view, whatever its place in the buffer
            return gather(self, value, self.place, np.arange(self.size)[key])
        return gather(self, value, *_window(self.place, self.place.indices()[key]))

    def _position(self, key: Any) -> int:
        """Where in the buffer the element is that an index of every axis picks."""
        indices = key if type(key) is tuple else (key,)
        if len(indices) != self.ndim or not all(isinstance(k, (int, np.integer)) for k in indices):
            return int(self.place.indices()[key])
        steps = zip(indices, self.place.shape, self.place.strides, strict=True)
        return self.place.offset + sum(int(k if k >= 0 else k + n) * stride for k, n, stride in steps)

    # ------------------------------------------------------------------------------------------ writing

    def _set_item(self, key: Any, item: Any) -> None:
        self._set(key, self.rec.api.operand(self.rec, item))

    def _set(self, key: Any, item: Any) -> None:
        rec = self.rec
        if np.iscomplexobj(item.value if is_traced(item) else item):
            probe = self.value.copy()
            probe[concrete_key(rec, key)] = item.value if is_traced(item) else item  # raises, or warns that a part is discarded
            item = item.real
        if stores(self, key) and np.ndim(item.value if is_traced(item) else item) == 0:
            self._store(key, item)
            return
        if _masks(self, key) and np.ndim(item.value if is_traced(item) else item) == 0:
            self._select(key, item)
            return
        key = concrete_key(rec, key)
        value = item.value if is_traced(item) else item
        static = not is_traced(item) or item.place.buffer in rec.static
        target = self.value[key]
        if not isinstance(target, np.ndarray):
            _check_cast(value, self.value.dtype)
            position = self._position(key)
            self._write(View(self.place.buffer, position, (), ()), key, item, value, static)
        elif _is_basic(key):
            view = rec.part(self.place.buffer, target)
            if view is None:  # no elements
                self.value[key] = value
            else:
                self._write(view, key, item, value, static)
        else:
            self._scatter(key, item, value, static)

    def _store(self, key: Any, item: Any) -> None:
        """Assign to the element at a place that varies."""
        value = item.value if is_traced(item) else item
        self._check_assignable(int(key.value) if self.rec.side is None else 0, value)
        dtype = dtype_name(self.value.dtype)
        source = self.rec.cast(self.rec.reads(item.place), dtype) if is_traced(item) else self._constant(value)
        store(self, key, View(source.buffer, source.offset, (), ()), value)

    def _write(self, view: View, key: Any, item: Any, value: Any, static: bool) -> None:
        """Assign to elements that are a view."""
        rec = self.rec
        if static and rec.is_private(view.buffer):
            self.value[key] = value
            return
        self._check_assignable(key, value)
        if static:
            source = self._constant(value)
        else:
            source = rec.reads(item.place)
        rec.writes(view, varies=not static, replaces_all=True)
        self.value[key] = value
        rec.assign(view, source)

    def _scatter(self, key: Any, item: Any, value: Any, static: bool) -> None:
        """Assign to elements picked by arrays; of an element picked twice the last assignment holds."""
        rec = self.rec
        if static and rec.is_private(self.place.buffer):
            self.value[key] = value
            return
        self._check_assignable(key, value)
        if self.ndim == 1 and isinstance(key, np.ndarray) and is_injective(self.place):
            window, places = self.place, np.arange(self.size)[key]
        else:
            window, places = _window(self.place, self.place.indices()[key])
        source = self._constant(value) if static else rec.reads(item.place)
        rec.writes(self.place, varies=not static)
        self.value[key] = value
        if not places.size:
            return
        spread = rec.program.temp(dtype_name(self.value.dtype), places.shape)
        rec.assign(spread, source)
        flat = places.reshape(-1)
        spread = View(spread.buffer, 0, flat.shape, (1,))
        last = flat.size - 1 - np.unique(flat[::-1], return_index=True)[1]
        if last.size < flat.size:
            picked = rec.program.temp(dtype_name(self.value.dtype), last.shape)
            rec.emit("take", picked, (spread, rec.program.constant(last, "int64")))
            spread, flat = picked, flat[last]
        rec.emit("put", window, (window, spread, rec.program.constant(flat, "int64")))

    def _select(self, mask: Any, item: Any) -> None:
        """`x[mask] = number` with a mask that varies: a select, so the program holds for every mask."""
        rec = self.rec
        value = item.value if is_traced(item) else item
        self._check_assignable(mask.value, value)
        dtype = dtype_name(self.value.dtype)
        source = rec.cast(rec.reads(item.place), dtype) if is_traced(item) else self._constant(value)
        rec.writes(self.place)
        shape = self.value.shape
        chosen = View(source.buffer, source.offset, shape, (0,) * len(shape))
        rec.emit("where", self.place, (mask.place, chosen, self.place))
        self.value[mask.value] = value

    def _constant(self, value: Any) -> View:
        converted = np.asarray(value).astype(self.value.dtype)
        return self.rec.program.constant(converted, dtype_name(self.value.dtype))

    def _check_assignable(self, key: Any, value: Any) -> None:
        """Raise what NumPy would, before anything is recorded."""
        _check_cast(value, self.value.dtype)
        if not self.value.flags.writeable:
            self.value[key] = value
        target = self.value[key]
        shape = np.shape(value)
        while len(shape) > np.ndim(target) and shape[0] == 1:
            shape = shape[1:]
        if np.broadcast_shapes(shape, np.shape(target)) != np.shape(target):
            self.value[key] = value

    # The operators are made by `_define_operators`.
    __eq__: Callable[..., Any]
    __ne__: Callable[..., Any]


def wrap(rec: Recorder, view: View, value: Any) -> Any:
    """A traced array, or a traced number where NumPy's result is a number."""
    if isinstance(value, np.ndarray):
        return TracedArray(rec, view, value)
    return TracedScalar(rec, view, value, scalar_dtype(value))


def scalar_at(x: TracedArray, position: int, value: Any) -> Any:
    """The number at a position of the buffer, read now: later writes do not change it."""
    rec, buffer = x.rec, x.place.buffer
    if buffer in rec.static:
        return value
    kind = dtype_name(x.value.dtype)
    out = rec.program.temp(kind, ())
    element = View(buffer, position, (), ())
    rec.emit("copy", out, (element,))
    if kind == "int64" and buffer in rec.captured:
        rec.integers[out.buffer] = element
    return TracedScalar(rec, out, value, kind)


def moved(x: TracedArray, value: np.ndarray) -> TracedArray:
    """What an operation that only moves the elements of `x` made of its storage: a view, where NumPy made one."""
    view = x.rec.part(x.place.buffer, value)
    if view is not None:
        return TracedArray(x.rec, view, value)
    copy = np.array(value)
    if x.place.buffer in x.rec.static or not value.size:
        return TracedArray(x.rec, *x.rec.adopt_static(copy))
    raise AssertionError("a copy is gathered, see `gather`")


def gather(x: TracedArray, value: np.ndarray, source: View, index: np.ndarray) -> TracedArray:
    """A new array with the elements `index` of the one-dimensional view `source` of the buffer of `x`."""
    rec = x.rec
    if source.buffer in rec.static or not value.size:
        return TracedArray(rec, *rec.adopt_static(np.array(value)))
    view, value = rec.adopt(np.array(value))  # in the order that NumPy gives it
    rec.emit("take", view, (source, rec.program.constant(index, "int64")))
    return TracedArray(rec, view, value)


def concrete_key(rec: Recorder, key: Any) -> Any:
    """An index without traced values: integers and arrays that vary are guarded."""
    if type(key) is tuple:
        return tuple([concrete_key(rec, item) for item in key])
    if not is_traced(key):
        return concrete_list(rec, key) if type(key) is list else key
    if type(key) is TracedArray:
        if key.value.dtype.kind not in "bi":
            return key.value  # raises NumPy's own error
        return rec.concretise(key.place, key.value)
    if key.kind == "bool":
        return bool(key)
    return operator.index(key)


def concrete_list(rec: Recorder, key: list[Any]) -> list[Any]:
    return [concrete_key(rec, item) for item in key]


def _masks(x: TracedArray, key: Any) -> bool:
    """Whether `key` is a mask of the whole of x that varies."""
    return (
        type(key) is TracedArray
        and key.value.dtype == bool
        and key.value.shape == x.value.shape
        and key.place.buffer not in x.rec.static
        and x.value.ndim > 0
    )


def _is_basic(key: Any) -> bool:
    """Whether NumPy makes a view."""
    if type(key) is tuple:
        return all(_is_basic(item) for item in key)
    return (
        key is None
        or key is Ellipsis
        or isinstance(key, slice)
        or (isinstance(key, (int, np.integer)) and not isinstance(key, bool))
    )


def _window(view: View, positions: np.ndarray) -> tuple[View, np.ndarray]:
    """A one-dimensional view of the stretch of the buffer that holds `positions`, and the positions in it."""
    indices = view.indices()
    low, high = (int(indices.min()), int(indices.max())) if indices.size else (0, -1)
    return View(view.buffer, low, (high - low + 1,), (1,)), np.asarray(positions) - low


def _check_cast(value: Any, dtype: np.dtype[Any]) -> None:
    """Raise what NumPy raises when `value` cannot be stored as `dtype`."""
    kind = np.asarray(value).dtype.kind
    if kind not in "fiub":
        np.zeros(1, dtype)[0] = value


def _operator(ufunc: np.ufunc, reflected: bool) -> Callable[[TracedArray, Any], Any]:
    def method(self: TracedArray, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return self.rec.api.ufunc(self.rec, ufunc, "__call__", (other, self) if reflected else (self, other), {})

    return method


def _in_place(ufunc: np.ufunc) -> Callable[[TracedArray, Any], Any]:
    def method(self: TracedArray, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return self.rec.api.ufunc(self.rec, ufunc, "__call__", (self, other), {"out": (self,)})

    return method


def _is_operand(x: Any) -> bool:
    return is_traced(x) or isinstance(x, (int, float, complex, np.generic, np.ndarray, list, tuple))


def _define_operators() -> None:
    name: str
    ufunc: np.ufunc
    for name, ufunc in (
        ("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("truediv", np.divide), ("pow", np.power),
        ("floordiv", np.floor_divide), ("mod", np.remainder), ("matmul", np.matmul), ("and", np.bitwise_and),
        ("or", np.bitwise_or), ("xor", np.bitwise_xor), ("divmod", np.divmod), ("lshift", np.left_shift),
        ("rshift", np.right_shift),
    ):  # fmt: skip
        setattr(TracedArray, f"__{name}__", _operator(ufunc, reflected=False))
        setattr(TracedArray, f"__r{name}__", _operator(ufunc, reflected=True))
        if name != "divmod":
            setattr(TracedArray, f"__i{name}__", _in_place(ufunc))
    for name, ufunc in (
        ("lt", np.less), ("le", np.less_equal), ("gt", np.greater), ("ge", np.greater_equal), ("eq", np.equal),
        ("ne", np.not_equal),
    ):  # fmt: skip
        setattr(TracedArray, f"__{name}__", _operator(ufunc, reflected=False))
    for name, ufunc in (("neg", np.negative), ("pos", np.positive), ("abs", np.absolute), ("invert", np.invert)):
        setattr(TracedArray, f"__{name}__", _unary(ufunc))


def _unary(ufunc: np.ufunc) -> Callable[[TracedArray], Any]:
    return lambda self: self.rec.api.ufunc(self.rec, ufunc, "__call__", (self,), {})


_define_operators()
