"""Primitive: a function that the tracer calls, and does not look into, while a rule covers the call."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..containers import flatten
from ..errors import RuleError
from .pointers import Pointer, as_pointer

if TYPE_CHECKING:
    from .registry import Rule

__all__ = ["Primitive", "adopt", "place", "primitive", "primitive_of", "replace", "replayed", "see_as", "standin_of"]


class Primitive:
    """A function with rules. On ordinary values it is the function itself.

    Attributes
    ----------
    function : callable
        The function.
    writes : tuple of str
        Parameters into which it writes.
    inactive : frozenset of str, or None
        Parameters through which no derivative flows; None: all of them.
    finite_differences : bool
        Where no rule helps, take central differences of the function.
    rules : list of Rule
    version : int
        Grows with each rule, so that what was derived before is derived again.
    """

    def __init__(self, function: Callable[..., Any], writes: Sequence[str] = (), finite_differences: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.writes = (writes,) if isinstance(writes, str) else tuple(writes)
        self.finite_differences = finite_differences
        self.inactive: frozenset[str] | None = frozenset()
        self.rules: list[Rule] = []
        self.version = 0
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        try:
            self.signature: inspect.Signature | None = _signature(function)
        except (TypeError, ValueError):  # some builtins have none
            self.signature = None
        self.check_names(self.writes, "writes")

    @property
    def is_covered(self) -> bool:
        """Whether it is called and not traced: something is known of its derivative, or it is a C function."""
        return bool(self.rules) or self.inactive is None or self.finite_differences or self.pointer is not None

    @property
    def pointer(self) -> Pointer | None:
        """The C function that it is made of."""
        return self.function if isinstance(self.function, Pointer) else None

    @property
    def parameters(self) -> tuple[str, ...]:
        return () if self.signature is None else tuple(self.signature.parameters)

    def check_names(self, names: Sequence[str], option: str) -> None:
        for name in names:
            if self.signature is not None and name not in self.parameters:
                raise RuleError(f"{place(self.function)}: {option}={name!r}: {self.__name__} has no parameter of this name")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for leaf in flatten((args, kwargs))[0]:
            if hasattr(type(leaf), "__odead_call__"):
                return leaf.__odead_call__(self, args, kwargs)
        replay = getattr(_REPLAY, "memo", None)
        return self.function(*args, **kwargs) if replay is None else replay.call(self, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<odead primitive {self.__name__}, {len(self.rules)} rules>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """By name, as functions are."""
        return self.__qualname__  # type: ignore[no-any-return, attr-defined]


def primitive(
    function: Callable[..., Any] | None = None, *, writes: Sequence[str] = (), finite_differences: bool = False
) -> Any:
    """Make a function opaque to the tracer, so that rules give its derivative: ``@odead.primitive``.

    Parameters
    ----------
    function : callable
        Anything that runs on arrays and numbers: SciPy, Numba, C, a lookup table. It must depend on nothing but its arguments
        and what it captures, and may run more often than the plain program would.

        C functions are called without the GIL, also inside a compiled solve: a `scipy.LowLevelCallable`, a Numba ``cfunc`` or
        a ctypes function pointer that returns double or void and takes up to six of double, integers and ``double *``. One
        of doubles alone is applied elementwise to arrays. Parameters are named as in the signature, or ``arg0``, ``arg1``.
    writes : sequence of str
        Names of the parameters into whose arrays it writes.
    finite_differences : bool
        If no rule covers a call and its body cannot be traced, take central differences.

    Returns
    -------
    Primitive
        Behaves as the function on ordinary values.
    """
    if function is None:
        return lambda decorated: primitive(decorated, writes=writes, finite_differences=finite_differences)
    if isinstance(function, Primitive):
        raise RuleError(f"{place(function.function)}: {function.__name__} is a primitive already")
    function = as_pointer(function, (writes,) if isinstance(writes, str) else writes)
    if not callable(function):
        raise RuleError(f"a primitive is made of a function, not of a {type(function).__name__}")
    return Primitive(function, writes, finite_differences)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if isinstance(function, Pointer):
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in function.names])
    return inspect.signature(function)


def place(function: Any) -> str:
    """File and line of a function, for messages."""
    function = inspect.unwrap(function) if callable(function) else function
    if isinstance(function, Pointer):
        return repr(function) if function.body is None else place(function.body)
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
    return f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}"


# ---------------------------------------------------------------------------------------------------- library functions

_ADOPTED: Final[dict[Any, Primitive]] = {}  # functions of other packages
_REPLACED: Final[dict[Any, Any]] = {}  # functions and classes of other packages, and what stands for them when traced
_SEEN_AS: Final[dict[type, Callable[[Any], Any]]] = {}  # classes of other packages, and what makes a stand-in of an instance
_SHIPPED: Final = {  # imported when something of the package on the left is first met inside a traced function
    "scipy.optimize": "odead.interop.scipy_optimize",
    "scipy.interpolate": "odead.interop.scipy_interpolate",
    "scipy.integrate": "odead.interop.scipy_integrate",
    "scipy.sparse.linalg": "odead.interop.scipy_sparse",
    "scipy.special": "odead.interop.scipy_special",
    "scipy.stats": "odead.interop.scipy_stats",
    "SuperLU": "odead.interop.scipy_sparse",  # says that it is a builtin
}
_FUNCTIONS: Final = (FunctionType, BuiltinFunctionType, np.ufunc, type)


def adopt(function: Callable[..., Any], made: Primitive | None = None) -> Primitive:
    """The primitive that stands for a function of another package wherever a traced function calls it."""
    known = _ADOPTED.get(function)
    if known is None:
        known = _ADOPTED[function] = made or Primitive(function)
    return known


def replace(function: Any, standin: Any) -> None:
    """Say what stands for a function or class of another package inside traced functions."""
    _REPLACED[function] = standin


def see_as(cls: type, standin: Callable[[Any], Any]) -> None:
    """Say what makes the stand-in of an instance of a class of another package inside traced functions."""
    _SEEN_AS[cls] = standin


def primitive_of(x: Any) -> Primitive | None:
    """The primitive that stands for `x` inside a traced function, if there is one."""
    if isinstance(x, Primitive):
        return x
    if not isinstance(x, _FUNCTIONS):
        return None
    _import_shipped(x)
    return _ADOPTED.get(x)


def standin_of(x: Any) -> Any:
    """What else stands for `x` inside a traced function; None if nothing does."""
    if isinstance(x, _FUNCTIONS):
        _import_shipped(x)
        return _REPLACED.get(x)
    cls = type(x)
    if cls.__module__.startswith("scipy.") or cls.__name__ in _SHIPPED:
        _import_shipped(cls)
        standin = next((made for base in cls.__mro__ if (made := _SEEN_AS.get(base))), None)
        return None if standin is None else standin(x)
    return None


def _import_shipped(x: Any) -> None:
    module = "scipy.special" if isinstance(x, np.ufunc) and _is_special(x) else getattr(x, "__module__", None) or ""
    for package, rules in _SHIPPED.items():
        if module == package or module.startswith(package + ".") or getattr(x, "__name__", "") == package:
            importlib.import_module(rules)


def _is_special(x: np.ufunc) -> bool:
    special = sys.modules.get("scipy.special")
    return special is not None and getattr(special, x.__name__, None) is x


# ---------------------------------------------------------------------------------------------------- one run for W lanes

_REPLAY: Final = threading.local()


class _Memo:
    """What the calls of primitives gave in the first lane; the other lanes are at the same values."""

    def __init__(self) -> None:
        self._calls: list[tuple[Primitive, list[Any], list[Any], Any]] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def call(self, f: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves = flatten((args, kwargs))[0]
        self._next += 1
        if self._next <= len(self._calls):
            known, entry, after, result = self._calls[self._next - 1]
            if known is f and len(entry) == len(leaves) and all(map(_same, entry, leaves)):
                for leaf, value in zip(leaves, after, strict=True):
                    if isinstance(leaf, np.ndarray) and leaf.flags.writeable:
                        leaf[...] = value
                return _copied(result)
            del self._calls[self._next - 1 :]
        entry = [_copied(leaf) for leaf in leaves]
        result = f.function(*args, **kwargs)
        self._calls.append((f, entry, [_copied(leaf) for leaf in leaves], _copied(result)))
        return result


@contextmanager
def replayed(memo: _Memo | None = None) -> Iterator[_Memo]:
    """Within, a primitive that is called again at the same values in the same place gives what it gave before."""
    memo, before = memo or _Memo(), getattr(_REPLAY, "memo", None)
    memo.rewind()
    _REPLAY.memo = memo
    try:
        yield memo
    finally:
        _REPLAY.memo = before


def _copied(x: Any) -> Any:
    leaves, structure = flatten(x)
    return structure.unflatten([leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a is b or (type(a) is type(b) and bool(a == b))
