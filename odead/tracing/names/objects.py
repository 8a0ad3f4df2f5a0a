"""Classes and objects of the user inside the traced function.

A class is copied with its methods rebuilt, so that what it constructs inside the trace runs there too. An object from outside
is seen through a view: an instance of a subclass of that copy which reads the attributes of the true object, translated.
"""

from __future__ import annotations

import enum
import functools
from abc import ABCMeta
from types import CellType, FunctionType, MemberDescriptorType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...holders import attributes
from ..observations import IMMUTABLE, attribute_of, entry_of
from ..recorder import contains_traced

if TYPE_CHECKING:
    from .namespace import Namespace

__all__ = ["class_copy", "object_view"]

_ORIGINAL: Final = "_odead_original"
_OWN: Final = frozenset({"__dict__", "__weakref__", "__doc__"})  # made anew with the class


def class_copy(namespace: Namespace, cls: type) -> type:
    """The class with rebuilt methods; itself where it cannot be copied, or where `except` and `is` must recognise it."""
    if type(cls) not in (type, ABCMeta) or issubclass(cls, (BaseException, enum.Enum)):
        return cls
    cell = CellType()
    declared: Any = getattr(cls, "__slots__", ())
    slots = {declared} if isinstance(declared, str) else {*declared}
    body: dict[str, Any] = {}
    uses_cell = False
    for name, value in vars(cls).items():
        if name in _OWN or (name in slots and isinstance(value, MemberDescriptorType)):
            continue
        body[name], uses = _member(namespace, cls, name, value, cell)
        uses_cell |= uses
    body["__doc__"] = cls.__doc__
    if uses_cell:
        body["__classcell__"] = cell
    bases = tuple([namespace.translate(base) for base in cls.__bases__])
    metaclass: Any = type(cls)
    copy: type = metaclass(cls.__name__, bases, body)
    namespace.originals[copy] = cls
    return copy


def _member(namespace: Namespace, cls: type, name: str, value: Any, cell: CellType) -> tuple[Any, bool]:
    """What stands for an attribute of a class, and whether it uses the cell `__class__`."""
    uses = False

    def rebuilt(f: Any) -> Any:
        nonlocal uses
        if not isinstance(f, FunctionType):
            return f
        cells = {
            id(own): cell for own, free in zip(f.__closure__ or (), f.__code__.co_freevars, strict=True) if free == "__class__"
        }
        uses = uses or bool(cells)
        return namespace.rebuild(f, cells)

    if isinstance(value, FunctionType):
        made: Any = rebuilt(value)
    elif isinstance(value, (staticmethod, classmethod)):
        made = type(value)(rebuilt(value.__func__))
    elif isinstance(value, property):
        made = property(rebuilt(value.fget), rebuilt(value.fset), rebuilt(value.fdel), value.__doc__)
    elif isinstance(value, functools.cached_property):
        made = functools.cached_property(rebuilt(value.func))
    elif name.startswith("__"):
        made = value
    elif isinstance(value, (np.ndarray, list, dict)) or type(value) in IMMUTABLE:
        namespace.observations.note(entry_of, vars(cls), name)
        made = namespace.translate(value, name)
    else:
        made = value
    return made, uses


def object_view(namespace: Namespace, x: Any) -> Any:
    """A view of an object of a user's class; the object itself where its class cannot be copied."""
    copy = namespace.translate(type(x))
    if type(copy) not in (type, ABCMeta) or issubclass(copy, (enum.Enum, BaseException)):
        return x
    own = {"__module__": copy.__module__, "_odead_namespace": namespace, "__odead_class__": copy}
    view_class = type(copy)(copy.__name__, (copy,), {**_VIEW, **own})
    namespace.originals[view_class] = type(x)
    try:
        view: Any = view_class.__new__(view_class) if issubclass(view_class, SimpleNamespace) else object.__new__(view_class)
    except TypeError:  # a subclass of dict or the like
        return x
    object.__getattribute__(view, "__dict__")[_ORIGINAL] = x
    return view


def _read(self: Any, name: str) -> Any:
    own = object.__getattribute__(self, "__dict__")
    if name in own:
        return own[name]
    true = own.get(_ORIGINAL)
    if name.startswith("__") or true is None:
        return object.__getattribute__(self, name)
    namespace = object.__getattribute__(self, "_odead_namespace")
    if not _is_own_attribute(true, name):
        if hasattr(true, "__dict__"):  # it may be given the attribute later, in front of that of its class
            namespace.observations.note(entry_of, vars(true), name)
        return object.__getattribute__(self, name)
    if not namespace.is_held(true, name):
        namespace.observations.note(attribute_of, true, name)
    value = object.__getattribute__(true, name)
    made = own[name] = namespace.entry(true, name, value, name)
    return made


def _is_own_attribute(x: Any, name: str) -> bool:
    """Whether the object itself, not its class, has the attribute."""
    return name in getattr(x, "__dict__", ()) or isinstance(getattr(type(x), name, None), MemberDescriptorType)


def _write(self: Any, name: str, value: Any) -> None:
    if isinstance(getattr(type(self), name, None), property):
        object.__setattr__(self, name, value)
        return
    namespace = object.__getattribute__(self, "_odead_namespace")
    own = object.__getattribute__(self, "__dict__")
    if own.get(name) is value and name in own:  # self.work *= 2 assigns the array that it has updated
        return
    if contains_traced(value):
        namespace.rec.fail(
            f"the attribute .{name} of an object from outside is assigned a traced value",
            "Return the value, or write it into an array that the object already has (self.work[:] = ...)",
        )
    before = attribute_of(own[_ORIGINAL], name)
    setattr(own[_ORIGINAL], name, namespace.original(value))
    namespace.observations.note_change(attribute_of, own[_ORIGINAL], name, before)
    own[name] = value


def _shown(self: Any) -> dict[str, Any]:
    """The attributes, translated."""
    true = object.__getattribute__(self, "__dict__")[_ORIGINAL]
    return {name: getattr(self, name) for name in attributes(true)}


_VIEW: Final = {"__getattribute__": _read, "__setattr__": _write, "__odead_attributes__": _shown}
