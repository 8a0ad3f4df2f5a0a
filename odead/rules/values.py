"""Values in slots: private copies, sums and stacks, of ordinary and of traced values alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .signature import Slot, shape_of

__all__ = ["copied", "described", "dotted", "filled", "is_float", "stack", "stacked", "total"]


def copied(value: Any) -> Any:
    """A private copy, also of a traced array."""
    return value.copy() if isinstance(value, np.ndarray) else value


def is_float(x: Any) -> bool:
    return isinstance(x, (float, np.floating)) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def dotted(a: Any, b: Any) -> Any:
    """The sum of products."""
    return (a * b).sum() if shape_of(a) else a * b


def total(terms: Iterable[Any]) -> Any:
    result: Any = None
    for term in terms:
        result = term if result is None else result + term
    return 0.0 if result is None else result


def stacked(numbers: list[Any], slot: Slot) -> Any:
    """Numbers as the array of a slot."""
    return stack(numbers).reshape(slot.shape) if slot.kind is np.ndarray else numbers[0]


def stack(items: list[Any]) -> Any:
    """As `np.stack`, also of traced items."""
    return (
        np.stack(items)
        if items and any(hasattr(type(item), "__array_function__") for item in items)
        else np.array(items, float)
    )


def filled(value: Any, slot: Slot) -> Any:
    """The value, or zero."""
    return slot.zero() if value is None else value


def described(x: Any) -> str:
    """For messages."""
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else f"a {type(x).__name__}"
