"""C functions by their address: `scipy.LowLevelCallable`, Numba's `cfunc`, ctypes function pointers.

They take doubles, integers and pointers to arrays of doubles, six at most, and return a double or nothing. One of doubles
alone may be called with arrays: it is applied to each element. Programs call them without the GIL.
"""

from __future__ import annotations

import ctypes
import re
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from .._calls import opened, run_pointer
from ..errors import ArgumentTypeError, RuleError

__all__ = ["Argument", "Pointer", "as_pointer"]

MOST: Final = 6  # ODEAD_MOST_ARGUMENTS of _pointers.h
_INTEGERS: Final = ("int", "long", "long long", "int64_t", "intptr_t", "size_t", "ssize_t", "Py_ssize_t", "npy_intp")
_SOURCE: Final = {"constant": 0, "number": 1, "integer": 2, "row": 3, "out": 4}  # as in _pointers.h

Kind = Literal["double", "integer", "array", "context", "zero"]


class Parameter(NamedTuple):
    """One parameter of a C function.

    Attributes
    ----------
    name : str
    kind : {"double", "integer", "array", "context", "zero"}
        A context is filled with the user data of a `LowLevelCallable`, a zero with 0; neither is an argument of the call.
    const : bool
        It is declared as not written.
    """

    name: str
    kind: Kind
    const: bool = False


class Argument(NamedTuple):
    """What is handed for a parameter: a number that is the same at every run, or a place in the row of operands."""

    constant: float | int | None
    start: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = "float64"

    @property
    def is_integer(self) -> bool:
        return self.dtype in ("int64", "bool") if self.constant is None else isinstance(self.constant, int)


class Pointer:
    """A C function. Called, it behaves as a Python function with the same arguments.

    Attributes
    ----------
    parameters : tuple of Parameter
    names : tuple of str
        Of the parameters that are arguments.
    body : callable or None
        The same in Python, for the tracer: what Numba has compiled.
    """

    def __init__(self, name: str, address: int, returns: bool, parameters: Sequence[Parameter], context: int = 0,
                 body: Callable[..., Any] | None = None, owner: Any = None) -> None:  # fmt: skip
        self.__name__ = self.__qualname__ = name
        self.parameters = tuple(parameters)
        self.body = body
        self.writes: tuple[str, ...] = ()
        self._address, self._returns, self._context = address, returns, context
        self._owner = owner  # frees the function
        given = [p for p in self.parameters if p.kind not in ("context", "zero")]
        self.names = tuple(p.name for p in given)
        self._given = given
        self._elementwise = returns and all(p.kind == "double" for p in given)

    def __repr__(self) -> str:
        return f"<C function {self.__name__}>"

    def writing(self, writes: Sequence[str]) -> Pointer:
        """The same, after a check of what it is said to write."""
        for p in self._given:
            if p.name in writes and (p.kind != "array" or p.const):
                declared = "a const array" if p.kind == "array" else f"a {p.kind}"
                raise RuleError(f"{self.__name__}: writes={p.name!r}, which its signature declares as {declared}")
        if not writes and not self._returns:
            arrays = ", ".join(p.name for p in self._given if p.kind == "array" and not p.const) or "none"
            raise RuleError(
                f"{self.__name__} returns nothing: say into which of its arrays it writes, writes=(...,) (there are: {arrays})"
            )
        self.writes = tuple(writes)
        return self

    def __call__(self, *args: Any) -> Any:
        if len(args) != len(self._given):
            raise TypeError(f"{self.__name__}() takes {len(self._given)} arguments ({', '.join(self.names)}), got {len(args)}")
        arguments, parts, start = [], [np.zeros(1)], 1  # the row is never empty
        for arg, name in zip(args, self.names, strict=True):
            value = np.asarray(arg)
            if value.dtype.kind not in "fiub" or (name in self.writes and not isinstance(arg, np.ndarray)):
                raise ArgumentTypeError(f"{self.__name__}() takes numbers and arrays of float64, not {type(arg).__name__}")
            if value.ndim:
                arguments.append(Argument(None, start, value.shape, value.dtype.name))
                parts.append(value.reshape(-1).astype(np.float64))
                start += value.size
            else:
                arguments.append(Argument(value.item()))
        plan, shape, writes = self.plan(arguments)
        out = np.zeros(start + _size(shape))
        row = np.concatenate(parts)
        run_pointer(np.array(plan, dtype=np.int64), out, row)
        self._check_unwritten(row, arguments, parts)
        for k, begin in writes:
            args[k][...] = out[begin : begin + args[k].size].reshape(args[k].shape)
        if not self._returns:
            return None
        return out[: _size(shape)].reshape(shape) if shape else float(out[0])

    def _check_unwritten(self, row: np.ndarray, arguments: Sequence[Argument], parts: Sequence[np.ndarray]) -> None:
        """The row is a copy, so what a function writes into an array without saying so would be lost."""
        arrays = [(name, a) for name, a in zip(self.names, arguments, strict=True) if a.constant is None]
        for (name, argument), part in zip(arrays, parts[1:], strict=True):
            if not np.array_equal(row[argument.start : argument.start + part.size], part, equal_nan=True):
                raise RuleError(
                    f"{self.__name__} writes into its argument {name}, which its primitive does not say: odead.primitive(..., "
                    f"writes=({name!r},))"
                )

    def plan(self, arguments: Sequence[Argument]) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
        """What `_pointers.h` is told about a call, the shape that it returns, and (argument, where in `out`) of what it writes.

        Raises
        ------
        ArgumentTypeError
            An argument does not fit its parameter.
        """
        shape = self._shape(arguments)
        at = _size(shape) if self._returns else 0
        words, copies, writes = [], [], []
        given = iter(enumerate(arguments))
        for p in self.parameters:
            if p.kind in ("context", "zero"):
                words += [_SOURCE["constant"], self._context if p.kind == "context" else 0, 0]
                continue
            k, argument = next(given)
            self._check(p, argument)
            if p.name in self.writes:
                writes.append((k, at))
                copies += [at, argument.start, _size(argument.shape)]
                words += [_SOURCE["out"], at, 0]
                at += _size(argument.shape)
            else:
                words += _source(p, argument)
        doubles = sum(1 << k for k, p in enumerate(self.parameters) if p.kind == "double")
        head = (self._address, int(self._returns), len(self.parameters), doubles, _size(shape), len(writes))
        return (*head, *words, *copies), shape, writes

    def _shape(self, arguments: Sequence[Argument]) -> tuple[int, ...]:
        """Of what is returned."""
        if not self._elementwise:
            return ()
        shapes = {a.shape for a in arguments if a.shape}
        if len(shapes) > 1:
            said = " and ".join(map(str, sorted(shapes)))
            raise ArgumentTypeError(f"{self.__name__} is applied elementwise to arrays of one shape, not of {said}")
        return next(iter(shapes), ())

    def _check(self, p: Parameter, argument: Argument) -> None:
        what = f"{self.__name__}: the parameter {p.name} is "
        if p.kind == "array" and (argument.constant is not None or not argument.shape or argument.dtype != "float64"):
            raise ArgumentTypeError(f"{what}an array of float64, and was given {_described(argument)}")
        if p.kind == "integer" and (argument.shape or not argument.is_integer):
            raise ArgumentTypeError(f"{what}an integer, and was given {_described(argument)}")
        if p.kind == "double" and argument.shape and not self._elementwise:
            raise ArgumentTypeError(f"{what}one double, and was given {_described(argument)}")


def _source(p: Parameter, argument: Argument) -> list[int]:
    if argument.constant is not None:
        constant = argument.constant
        return [_SOURCE["constant"], _bits(float(constant)) if p.kind == "double" else int(constant), 0]
    source = {"double": "number", "integer": "integer", "array": "row"}[p.kind]
    return [_SOURCE[source], argument.start, int(p.kind == "double" and bool(argument.shape))]


def _bits(x: float) -> int:
    """A double as the integer of the same bits."""
    word: int = struct.unpack("<q", struct.pack("<d", x))[0]
    return word


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _described(argument: Argument) -> str:
    if argument.constant is not None or not argument.shape:
        return f"a number ({argument.dtype if argument.constant is None else argument.constant!r})"
    return f"an array of {argument.dtype} and shape {argument.shape}"


# ---------------------------------------------------------------------------------------------------- what there is


def as_pointer(function: Any, writes: Sequence[str]) -> Any:
    """The C function that this is a pointer to; anything else is given back.

    Raises
    ------
    RuleError
        Its signature is not known, or none that can be called.
    """
    if isinstance(function, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        return _of_ctypes(function, _name_of(function, "c_function"), (), None, function).writing(writes)
    if type(function).__module__.startswith("numba.") and hasattr(function, "ctypes") and hasattr(function, "__wrapped__"):
        body = function.__wrapped__
        names = body.__code__.co_varnames[: body.__code__.co_argcount]
        return _of_ctypes(function.ctypes, body.__name__, names, body, function).writing(writes)
    if type(function).__name__ == "LowLevelCallable" and type(function).__module__.startswith("scipy."):
        return _of_scipy(function).writing(writes)
    return function


def _name_of(function: Any, default: str) -> str:
    name = getattr(function, "__name__", default)
    return str(name)


_CTYPES: Final[dict[Any, Kind]] = {
    ctypes.c_double: "double", ctypes.c_int: "integer", ctypes.c_long: "integer", ctypes.c_longlong: "integer",
    ctypes.c_ssize_t: "integer", ctypes.c_size_t: "integer", ctypes.POINTER(ctypes.c_double): "array",
}  # fmt: skip


def _of_ctypes(function: Any, name: str, names: Sequence[str], body: Any, owner: Any) -> Pointer:
    if function.argtypes is None:
        raise RuleError(
            f"{name}: ctypes does not know its signature: set {name}.argtypes and {name}.restype, for instance to "
            f"[ctypes.c_double] and ctypes.c_double"
        )
    if function.restype not in (ctypes.c_double, None):
        raise RuleError(f"{name}: {_refused(f'a result {function.restype.__name__}')}")
    parameters = []
    for k, kind in enumerate(function.argtypes):
        known = _CTYPES.get(kind)
        if known is None and getattr(kind, "_dtype_", None) == np.float64:  # np.ctypeslib.ndpointer
            known = "array"
        if known is None:
            raise RuleError(f"{name}: {_refused(f'a parameter {kind.__name__}')}")
        parameters.append(Parameter(names[k] if k < len(names) else f"arg{k}", known))
    address = ctypes.cast(function, ctypes.c_void_p).value
    if not address:
        raise RuleError(f"{name}: the function pointer is NULL")
    _check_number(name, parameters)
    return Pointer(name, address, function.restype is not None, parameters, 0, body, owner)


def _of_scipy(function: Any) -> Pointer:
    text = function.signature
    address, context = opened(tuple.__getitem__(function, 0))
    name = _name_of(function.function, "c_function") if callable(function.function) else "c_function"
    if text is None:
        raise RuleError(
            f"{name}: the LowLevelCallable has no signature: LowLevelCallable(pointer, signature='double (double)')"
        )
    return Pointer(name, address, *_parsed(name, text), context, None, function)


def _parsed(name: str, text: str) -> tuple[bool, list[Parameter]]:
    """Whether a signature in C returns something, and its parameters."""
    whole = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text)
    if whole is None or whole[1] not in ("double", "void"):
        raise RuleError(f"{name}: {_refused(f'the signature {text!r}')}")
    parameters: list[Parameter] = []
    for k, part in enumerate(whole[2].split(",")):
        found = re.fullmatch(r"\s*(const\s+)?((?:long\s+)?\w+)\s*(\*?)\s*(\w*)\s*", part)
        kind = _kind(found[2], bool(found[3]), found[4]) if found else None
        if found is None or kind is None or (kind == "context" and k != whole[2].count(",")):
            raise RuleError(f"{name}: {_refused(f'the parameter {part.strip()!r} of {text!r}')}")
        parameters.append(Parameter(found[4] or f"arg{k}", kind, bool(found[1])))
    _check_number(name, parameters)
    return whole[1] == "double", parameters


def _kind(base: str, pointer: bool, name: str) -> Kind | None:
    if name == "__pyx_skip_dispatch":  # Cython adds it to what it exports
        return "zero"
    if pointer:
        return {"double": "array", "void": "context"}.get(base)  # type: ignore[return-value]
    return "double" if base == "double" else "integer" if base in _INTEGERS else None


def _check_number(name: str, parameters: Sequence[Parameter]) -> None:
    if not 1 <= len(parameters) <= MOST:
        raise RuleError(f"{name}: {_refused(f'{len(parameters)} parameters')}")
    if sys.maxsize < 2**32:
        raise RuleError(f"{name}: C functions are called on 64-bit platforms only")


def _refused(what: str) -> str:
    return (
        f"{what} is none that can be called here. C functions return double or void and take one to {MOST} parameters: double, "
        f"an integer ({', '.join(_INTEGERS)}), double *, and last, in a LowLevelCallable, void * for its user data"
    )
