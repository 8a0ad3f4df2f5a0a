"""What a call inside one side of an `if` may do: only assignments to elements of arrays can be taken back."""

from __future__ import annotations

import builtins
import dis
import functools
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any, Final

__all__ = ["code_of", "has_effects", "must_be_seen"]

_CHANGING: Final = frozenset({
    "append", "appendleft", "extend", "extendleft", "insert", "remove", "pop", "popleft", "popitem", "clear", "reverse",
    "rotate", "sort", "add", "discard", "update", "setdefault", "difference_update", "intersection_update",
    "symmetric_difference_update",
})  # fmt: skip

_EFFECTS: Final = frozenset({
    "STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL", "DELETE_SUBSCR", "YIELD_VALUE",
    "BEFORE_WITH", "PUSH_EXC_INFO",
})  # fmt: skip
_STORES: Final = ("STORE_SUBSCR", "STORE_SLICE")
_CONTAINERS: Final = (list, dict, set, deque, bytearray)
_TALKING: Final = (builtins.print, builtins.input, builtins.open, builtins.setattr, builtins.delattr, builtins.exec)


def code_of(f: Callable[..., Any]) -> CodeType | None:
    """The code that a call runs, if it is Python's."""
    while isinstance(f, functools.partial):
        f = f.func
    if not isinstance(f, (FunctionType, MethodType, BuiltinFunctionType, type)):
        f = type(f).__call__
    if isinstance(f, MethodType):
        return code_of(f.__func__)
    return f.__code__ if isinstance(f, FunctionType) else None


def has_effects(f: Callable[..., Any]) -> bool:
    """Whether a call of a function that is not the user's changes something for good."""
    if isinstance(f, BuiltinFunctionType):
        return f in _TALKING or (isinstance(f.__self__, _CONTAINERS) and f.__name__ in _CHANGING)
    return False


@lru_cache(maxsize=1024)
def must_be_seen(code: CodeType) -> bool | None:
    """Whether a function of the user stores elements or calls others, which must be seen; None if it has effects itself."""
    seen = False
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        outer = name == "STORE_DEREF" and instruction.argval in code.co_freevars
        if name in _EFFECTS or outer:
            return None
        seen |= name.startswith("CALL") or name in _STORES
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = must_be_seen(constant)
            if inner is None:
                return None
            seen |= inner
    return seen
