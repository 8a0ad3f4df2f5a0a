"""Functions that cannot be told apart: a lambda or inner def that is made anew for each call is recorded once."""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Final
from weakref import WeakValueDictionary

__all__ = ["representative"]

_FIRST: Final[WeakValueDictionary[tuple[Any, ...], FunctionType]] = WeakValueDictionary()  # by their parts


def representative(f: Callable[..., Any]) -> Callable[..., Any]:
    """The first function met that is made of the same code, globals, cells and defaults as `f`; all else is itself.

    Cells are compared by identity, not by what they hold: two functions that share them see every later change alike.
    """
    if type(f) is not FunctionType or f.__dict__:
        return f
    key = _parts(f)
    found = _FIRST.get(key)
    if found is f:
        return f
    if found is None or _parts(found) != key:  # it was changed since
        _FIRST[key] = f
        return f
    return found


def _parts(f: FunctionType) -> tuple[Any, ...]:
    """Identities, valid as long as the function lives."""
    keywords = f.__kwdefaults__
    return (
        id(f.__code__),
        id(f.__globals__),
        None if f.__closure__ is None else tuple(map(id, f.__closure__)),
        None if f.__defaults__ is None else tuple(map(id, f.__defaults__)),
        None if keywords is None else tuple((name, id(value)) for name, value in keywords.items()),
    )
