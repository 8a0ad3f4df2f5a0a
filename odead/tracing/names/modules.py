"""Views of modules and of NumPy's index tricks, and the things a traced function must not call."""

from __future__ import annotations

import datetime
import os
import random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from ...errors import ImpureError
from ..observations import attribute_of
from ..recorder import Recorder, is_traced

if TYPE_CHECKING:
    from .namespace import Namespace

__all__ = ["Forbidden", "Joining", "ModuleView", "clock", "forbidden_name"]

_FORBIDDEN: Final = ("time", "random", "secrets", "uuid", "numpy.random")
_SOURCES: Final = {getattr(os, name): f"os.{name}" for name in ("urandom", "getrandom") if hasattr(os, name)}
_CLOCKS: Final = (datetime.datetime, datetime.date)
_CONSTANT: Final = ("numpy", "scipy", "math", "cmath")  # whose attributes never change


class ModuleView:
    """A module whose attributes are translated when they are read."""

    def __init__(self, namespace: Namespace, module: ModuleType) -> None:
        self.__dict__.update(_namespace=namespace, _module=module, __name__=module.__name__)

    def __getattr__(self, name: str) -> Any:
        module, namespace = self._module, self._namespace
        value = getattr(module, name)
        if module.__name__.partition(".")[0] in _CONSTANT:
            made = namespace.translate(value)
            self.__dict__[name] = made
            return made
        names = namespace.names(vars(module))
        if name in vars(module):
            return names[name]
        namespace.observations.note(attribute_of, module, name)
        return namespace.translate(value, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._namespace.names(vars(self._module))[name] = value

    def __repr__(self) -> str:
        return repr(self._module)


class Joining:
    """`np.r_` or `np.c_`, whose code is Python's."""

    def __init__(self, original: Any, get: FunctionType) -> None:
        self._original = original
        self._get = get

    def __getitem__(self, key: Any) -> Any:
        return self._get(self._original, key)


class Forbidden:
    """A source of randomness or time, or a part of one: raises when it is called."""

    def __init__(self, rec: Recorder, name: str) -> None:
        self._rec = rec
        self._name = name

    def __getattr__(self, name: str) -> Forbidden:
        if name.startswith("__"):
            raise AttributeError(name)
        return Forbidden(self._rec, f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._rec.error(
            f"{self._name} is called: its outcome would be recorded once and repeated at every later call",
            "Call it outside and pass its value as an argument",
            ImpureError,
        )


_NOW: Final = ("now", "utcnow", "today")


class _Dates(type):
    """What is a date or time of the true class is one of the class that stands for it."""

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.__mro__[1])


def clock(rec: Recorder, cls: type) -> type | None:
    """`datetime` or `date` without the methods that read the clock; None for another class."""
    if cls not in _CLOCKS:
        return None
    forbidden = {name: Forbidden(rec, f"{cls.__name__}.{name}") for name in _NOW if hasattr(cls, name)}
    return _Dates(cls.__name__, (cls,), forbidden)


def forbidden_name(x: Any) -> str | None:
    """What to call `x` if it is a source of randomness or time, else None."""
    if isinstance(x, ModuleType):
        return x.__name__ if x.__name__ in _FORBIDDEN else None
    if is_traced(x) or isinstance(x, type):
        return None
    if isinstance(x, (random.Random, np.random.Generator, np.random.RandomState)):
        return type(x).__name__
    if isinstance(x, (FunctionType, BuiltinFunctionType, MethodType)):
        if x in _SOURCES:
            return _SOURCES[x]
        owner: Any = getattr(x, "__self__", None)
        if x.__name__ in _NOW and any(owner is clock for clock in _CLOCKS):  # not `in`: arrays compare element by element
            return f"{owner.__name__}.{x.__name__}"
        if getattr(x, "__module__", None) in _FORBIDDEN:
            return f"{x.__module__}.{x.__name__}"
        if isinstance(owner, (random.Random, np.random.RandomState, np.random.Generator)):
            return f"{'random' if isinstance(owner, random.Random) else 'np.random'}.{x.__name__}"
    return None
