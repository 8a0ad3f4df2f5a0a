"""Functions and objects as holders of arrays and numbers: closure cells, attributes, defaults, and what lies in those.

`held` lists them in an order that depends on structure alone, so that a function and its shadow are gone through side by side.
Globals and attributes of classes are not held: they are shared with other functions.
"""

from __future__ import annotations

import argparse
import enum
import functools
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np

from .containers import Place
from .errors import ArgumentTypeError

__all__ = [
    "PLAIN_OBJECTS",
    "Held",
    "attributes",
    "class_of",
    "held",
    "held_with_shadows",
    "is_holder",
    "is_user_module",
    "is_user_object",
]

PLAIN_OBJECTS: Final = (SimpleNamespace, argparse.Namespace)  # of the standard library, used as bags of parameters
_STDLIB: Final = Path(sysconfig.get_path("stdlib")).resolve()
_LIBRARIES: Final = frozenset({"numpy", "scipy", "odead"})  # work by dispatch on traced values, or raise


@functools.lru_cache(maxsize=1024)
def is_user_module(name: str | None) -> bool:
    """Whether functions and classes of this module are the user's, which are traced into."""
    if name is None or name == "__main__":
        return True
    if name.partition(".")[0] in _LIBRARIES:
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        return name not in sys.builtin_module_names and name.partition(".")[0] not in sys.stdlib_module_names
    path = Path(file).resolve()
    return not path.is_relative_to(_STDLIB) or "site-packages" in path.parts or "dist-packages" in path.parts


def is_user_object(x: Any) -> bool:
    """Whether x is an instance of a class of the user's, or a bag of parameters."""
    if isinstance(x, PLAIN_OBJECTS):
        return True
    plain = not isinstance(x, (type, enum.Enum, BaseException, FunctionType, np.ndarray, np.generic))
    return plain and is_user_module(type(x).__module__) and (hasattr(x, "__dict__") or hasattr(type(x), "__slots__"))


def is_holder(x: Any) -> bool:
    """Whether x is a function or an object of the user's, which may hold arrays."""
    if isinstance(x, (MethodType, functools.partial)):
        return is_holder(x.func if isinstance(x, functools.partial) else x.__func__)
    if isinstance(x, FunctionType):
        return is_user_module(x.__globals__.get("__name__"))
    return is_user_object(x)


class Held(NamedTuple):
    """An array or float that a function or object holds.

    Attributes
    ----------
    path : str
        What the user calls it: `weights`, `.rate`, `.table['a']`.
    owner, key : object
        Where: a closure cell (key None), an object (name of the attribute), a list, dict or tuple (index or key).
    value : ndarray or float
    place : Place or None
        For a number: where another one can be put; None in a tuple, a `functools.partial` or a frozen dataclass.
    """

    path: str
    owner: Any
    key: Any
    value: Any
    place: Place | None


def held(x: Any) -> list[Held]:
    """All arrays and floats that a function or object holds, each place once."""
    return list(_walk(x, "", set()))


def held_with_shadows(x: Any, shadows: Sequence[Any], what: str) -> tuple[list[Held], list[list[Held]]]:
    """What x holds, and the same of each of its shadows; raises ArgumentTypeError where that is something else."""
    items, lanes = held(x), [held(shadow) for shadow in shadows]
    for shadow, lane in zip(shadows, lanes, strict=True):
        if class_of(shadow) is not class_of(x) or [item.path for item in lane] != [item.path for item in items]:
            raise ArgumentTypeError(
                f"{what}: the shadow of {getattr(x, '__name__', class_of(x).__name__)} holds other arrays than it; "
                f"odead.make_zero(f) builds one that fits"
            )
    return items, lanes


def attributes(x: Any) -> dict[str, Any]:
    """The attributes of the object itself, in order: those in slots first."""
    seen: Any = getattr(type(x), "__odead_attributes__", None)
    if seen is not None:  # a view of it inside a recorded function
        return dict(seen(x))
    names = [name for kind in type(x).__mro__ for name in _slots(kind)]
    found = {name: getattr(x, name) for name in names if hasattr(x, name)}
    return {**found, **getattr(x, "__dict__", {})}


def class_of(x: Any) -> type:
    """The class of x; of a view inside a recorded function, that of what it shows."""
    kind: type = getattr(type(x), "__odead_class__", type(x))
    return kind


def _slots(kind: type) -> tuple[str, ...]:
    declared = vars(kind).get("__slots__", ())
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _walk(x: Any, path: str, seen: set[int]) -> Iterator[Held]:
    if id(x) in seen:
        return
    if isinstance(x, MethodType):
        yield from _walk(x.__func__, path, seen)
        yield from _walk(x.__self__, path, seen)
        return
    if isinstance(x, functools.partial):
        yield from _walk(x.func, path, seen)
        yield from _items(x.args, path, seen, False)
        yield from _items(x.keywords, path, seen, False)
        return
    seen.add(id(x))
    if isinstance(x, FunctionType):
        if is_user_module(x.__globals__.get("__name__")):
            yield from _of_function(x, path, seen)
    elif isinstance(x, (list, dict, tuple)):
        yield from _items(x, path, seen, not isinstance(x, tuple))
    elif is_user_object(x):
        parameters = getattr(type(x), "__dataclass_params__", None)
        frozen = parameters is not None and parameters.frozen
        for name, value in attributes(x).items():
            yield from _entry(x, name, value, f"{path}.{name}", seen, not frozen)


def _of_function(f: FunctionType, path: str, seen: set[int]) -> Iterator[Held]:
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        if id(cell) not in seen:
            seen.add(id(cell))
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            yield from _entry(cell, None, value, f"{path}.{name}" if path else name, seen, True)
    for owner in (f.__defaults__ or (), f.__kwdefaults__ or {}, vars(f)):
        for key, value in owner.items() if isinstance(owner, dict) else enumerate(owner):
            if not isinstance(value, (float, complex)):  # a default is an argument that the call leaves out
                yield from _entry(owner, key, value, f"{path or f.__name__}'s default", seen, False)


def _items(x: Any, path: str, seen: set[int], settable: bool) -> Iterator[Held]:
    for key, value in x.items() if isinstance(x, dict) else enumerate(x):
        yield from _entry(x, key, value, f"{path}[{key!r}]", seen, settable)


def _entry(owner: Any, key: Any, value: Any, path: str, seen: set[int], settable: bool) -> Iterator[Held]:
    if isinstance(value, (np.ndarray, float, complex, np.inexact)):
        yield Held(path, owner, key, value, Place(owner, key) if settable else None)
    else:
        yield from _walk(value, path, seen)
