"""TracedScalar: a number that was read from an array, given as a float argument, or computed from such numbers.

Its value has the type the plain call would have, Python's `float` or NumPy's `float64`, so that promotion, exceptions
and warnings are those of the plain call. An operation on two float64 numbers is the hot path of every element loop and
appends to the program at once; all others go through the ufunc of the same name.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import numpy as np

from ..._traced import Number
from ...ops import TABLE
from ..leaving import formats_text, is_ours
from ..recorder import Traced, is_traced

__all__ = ["TracedScalar", "scalar_dtype"]

_float64: Final = np.float64
_DTYPES: Final = {float: "float64", np.float64: "float64", bool: "bool", np.bool_: "bool", np.int64: "int64", int: "int64",
                  np.float32: "float32"}  # fmt: skip

_ROWS: Final = {
    getattr(np, op.numpy): (op.name, op.result or "float64")
    for op in TABLE.values()
    if "f" in op.kinds and isinstance(getattr(np, op.numpy, None), np.ufunc)
}
_ON_INTEGERS: Final = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, np.invert)
"""Not in the table: they hold on to the values."""

_DIVIDING: Final = {np.floor_divide: "floor_divide", np.remainder: "remainder"}
_FACTS: Final = ("dtype", "shape", "ndim", "size", "nbytes", "itemsize", "strides")


def scalar_dtype(value: Any) -> str:
    """dtype of the buffer that holds a number."""
    return _DTYPES.get(type(value)) or np.asarray(value).dtype.name


class TracedScalar(Number, Traced):
    """A traced number; see the module's docstring.

    Attributes
    ----------
    kind : str
        dtype of its buffer.
    """

    __slots__ = ()
    __array_priority__ = 1001.0
    __iter__ = None  # or NumPy would take a number for a sequence, as it can be indexed

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # `isinstance(x, float)` behaves as for the real number
        return type(self.value)

    # ------------------------------------------------------------------------------------------ protocols of NumPy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        row = _ROWS.get(ufunc)
        if row is not None and method == "__call__" and not kwargs:
            rec, views, values = self.rec, [], []
            for x in inputs:
                kind = type(x)
                if kind is TracedScalar and x.kind == "float64":
                    views.append(x.place)
                    values.append(x.value)
                elif kind is float or kind is int or kind is _float64:
                    views.append(rec.number(x))
                    values.append(x)
                else:
                    break
            else:
                op, result = row
                return TracedScalar(rec, rec.record(op, result, tuple(views)), ufunc(*values), result)
        return self.rec.api.ufunc(self.rec, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.rec.api.function(self.rec, function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.rec.leaves(
            "a traced number",
            "is put into an ordinary NumPy array, or handed to code that cannot be traced",
            "Make the array inside the function (np.zeros, np.array), or pass it as an argument",
        )

    # ------------------------------------------------------------------------------------------ conversions

    def __bool__(self) -> bool:
        value = bool(self.value)
        view = self.rec.cast(self.place, "bool")
        self.rec.guard(view, value)
        if self.rec.met is not None:
            self.rec.met(sys._getframe(1), view)
        return value

    def __float__(self) -> float:
        if formats_text(sys._getframe(1)):  # text % x: printing and logging are side effects as others are
            return self.rec.texts.note_number(float(self.value))
        self.rec.leaves(
            "a traced number",
            "becomes an ordinary float, in an ordinary array or in code that cannot be traced",
            "Make the array inside the function or pass it as an argument; use functions of numpy and math on traced numbers",
        )

    def __complex__(self) -> NoReturn:
        self.rec.fail("a traced number becomes an ordinary complex number", "Use x + 0j, or complex(x) by its own name")

    def __int__(self) -> int:
        return self._integer(int(self.value))

    __trunc__ = __int__

    def __index__(self) -> int:
        return self._integer(operator.index(self.value))

    def __floor__(self) -> TracedScalar:
        return self._rounded("floor", math.floor(self.value))

    def __ceil__(self) -> TracedScalar:
        return self._rounded("ceil", math.ceil(self.value))

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is None:
            return self._rounded("rint", round(self.value))
        if isinstance(self.value, np.generic):
            return self.rec.api.function(self.rec, np.round, (self, ndigits), {})
        self.rec.fail("round(x, digits) of a Python float rounds in decimal", "Use np.round, or leave the rounding out")

    def __hash__(self) -> int:
        """A set or dict branches on the value, which integers are guarded for."""
        if self.kind != "int64":
            reason = f"a traced {type(self.value).__name__} is an entry of a set, or the key of a dict or cache"
            if is_ours(sys._getframe(1)):  # we only ask whether it has a hash
                raise TypeError(reason)
            self.rec.fail(reason, "Use an integer, such as int(x), a list, or comparisons")
        return hash(operator.index(self))

    def _rounded(self, op: str, value: int) -> TracedScalar:
        if self.kind[0] != "f":
            return self.truncated(value)
        view = self.rec.record(op, self.kind, (self.place,))
        return TracedScalar(self.rec, view, self.value, self.kind).truncated(value)

    def truncated(self, value: Any) -> TracedScalar:
        """The number cut to an integer that varies as it does; `value` in the recorded run."""
        self._check_size(value)
        rec, place = self.rec, self.place
        if self.kind == "int64":
            return TracedScalar(rec, place, value, "int64")
        if self.kind[0] == "f":  # an infinity or nan raises in the plain call
            bound = rec.program.constant(2.0**63, self.kind)
            fits = rec.record("less", "bool", (rec.record("abs", self.kind, (place,)), bound))
            rec.guard(fits, True)
        return TracedScalar(rec, rec.record("cast", "int64", (place,)), value, "int64")

    def _check_size(self, value: int) -> None:
        if not -(2**63) <= value < 2**63:
            self.rec.fail(f"the integer {value} does not fit 64 bits", "Keep the number a float")

    def _integer(self, value: int) -> int:
        """`value`, guarded: the program holds only while the number, cut to an integer, is this one."""
        self._check_size(value)
        self.rec.guard(self.rec.cast(self.place, "int64"), value)
        return value

    def __repr__(self) -> str:
        return self.rec.texts.note(repr(self.value))

    def __str__(self) -> str:
        return self.rec.texts.note(str(self.value))

    def __format__(self, spec: str) -> str:
        return self.rec.texts.note(format(self.value, spec))

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.rec.fail("a traced number is pickled or handed to another process", "Keep it inside the function")

    def __copy__(self) -> TracedScalar:
        return self

    def __deepcopy__(self, memo: Any) -> TracedScalar:
        return self

    def __getattr__(self, name: str) -> Any:
        """Attributes and methods of NumPy's numbers are those of a 0-d array, of Python's floats the few there are."""
        value = object.__getattribute__(self, "value")
        if name.startswith("__") or not hasattr(value, name):
            raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
        if name in _FACTS:
            return getattr(value, name)
        if name == "real":
            return self
        if name in ("conjugate", "conj"):
            return lambda: self
        if name == "imag":
            return type(value)(0)
        if isinstance(value, np.generic):
            return self._of_array(name)
        if name == "is_integer":
            return lambda: self == self.rec.api.ufunc(self.rec, np.floor, "__call__", (self,), {})
        if isinstance(value, int):
            return getattr(operator.index(self), name)
        self.rec.fail(f"float.{name} cannot be traced", "Use functions of numpy and math")

    def _of_array(self, name: str) -> Any:
        """An attribute or method of NumPy's numbers: that of a 0-d array, with a number for a 0-d result."""
        if not hasattr(np.ndarray, name):
            self.rec.fail(f"the method .{name} of a number cannot be traced", "Use functions of numpy and math")
        attribute = getattr(self._array(), name)
        if not callable(attribute):
            return attribute[()]

        def method(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            return result[()] if isinstance(result, np.ndarray) and not result.ndim else result

        return method

    def _array(self) -> Any:
        return self.rec.api.function(self.rec, np.copy, (self,), {})

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(self.value, np.generic):
            raise TypeError(f"{type(self.value).__name__!r} object is not subscriptable")
        return self._array()[key]

    # ------------------------------------------------------------------------------------------ unary operators

    def __pos__(self) -> Any:
        return self if self.kind != "bool" else self.slow(np.positive, operator.pos)

    def __invert__(self) -> Any:
        return self.slow(np.invert, operator.invert)

    def slow(self, ufunc: np.ufunc, python: Callable[..., Any], *others: Any, reflected: bool = False) -> Any:
        """An operation that is not between float64 numbers, by the ufunc; numbers keep the value Python gives them."""
        operands = (*others, self) if reflected else (self, *others)
        if self.kind == "int64":
            if ufunc in _ON_INTEGERS or (type(self.value) is int and any(isinstance(x, (list, tuple, str)) for x in others)):
                return python(*[operator.index(x) if is_traced(x) else x for x in operands])
            if ufunc in _DIVIDING and not reflected and type(others[0]) is int and others[0]:
                rec = self.rec  # exact: float64 has no remainder or quotient of integers below 2**53 wrong
                real = rec.record(_DIVIDING[ufunc], "float64", (rec.cast(self.place, "float64"), rec.number(others[0])))
                return TracedScalar(rec, rec.cast(real, "int64"), python(self.value, others[0]), "int64")
        values = [x.value if is_traced(x) else x for x in operands]
        if all(isinstance(x, (bool, int, float, complex, np.generic)) for x in values):
            value = python(*values)
            return self.rec.api.ufunc(self.rec, ufunc, "__call__", operands, {"value": value})
        if any(isinstance(x, (np.ndarray, list, tuple, complex)) for x in values):
            return self.rec.api.ufunc(self.rec, ufunc, "__call__", operands, {})
        return NotImplemented

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self


def _define_operators() -> None:
    python: Callable[..., Any]
    ufunc: np.ufunc
    for name, python, ufunc in (
        ("and", operator.and_, np.bitwise_and),
        ("or", operator.or_, np.bitwise_or),
        ("xor", operator.xor, np.bitwise_xor),
        ("lshift", operator.lshift, np.left_shift),
        ("rshift", operator.rshift, np.right_shift),
    ):
        setattr(TracedScalar, f"__{name}__", _logical(python, ufunc, reflected=False))
        setattr(TracedScalar, f"__r{name}__", _logical(python, ufunc, reflected=True))


def _logical(python: Callable[[Any, Any], Any], ufunc: np.ufunc, reflected: bool) -> Callable[..., Any]:
    def method(self: TracedScalar, other: Any) -> Any:
        return self.slow(ufunc, python, other, reflected=reflected)

    return method


_define_operators()
