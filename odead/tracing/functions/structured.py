"""Structured operations on traced arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...structured import STRUCTURED
from ...views import broadcast
from ..recorder import Recorder
from ..traced.array import TracedArray
from .creation import as_traced, astype, from_numpy
from .elementwise import is_static
from .movement import transpose

__all__ = ["as_float", "broadcast_array", "last_axis", "part", "structured"]


def structured(
    rec: Recorder, op: str, shape: tuple[int, ...], *operands: TracedArray, params: Any = None, dtype: Any = None
) -> Any:
    """Record an operation; its value in the recorded run is that of the oracle, and so are its exceptions."""
    value = np.empty(shape, operands[0].dtype if dtype is None else dtype)
    with np.errstate(all="ignore"):
        STRUCTURED[op].value(value, tuple(operand.value for operand in operands), params)
    if all(map(is_static, operands)) or not value.size:
        return from_numpy(rec, value)
    view, value = rec.adopt(value)
    rec.emit(op, view, [operand.place for operand in operands], params)
    return TracedArray(rec, view, value)


def part(pack: TracedArray, start: int, shape: tuple[int, ...]) -> TracedArray:
    """An array in the rows of a pack, from position `start` on: a view."""
    size = int(np.prod(shape))
    made: TracedArray = pack[..., start : start + size].reshape(pack.shape[:-1] + shape)
    return made


def as_float(rec: Recorder, x: Any) -> TracedArray:
    """An operand of linear algebra, as NumPy converts it."""
    made: TracedArray = as_traced(rec, x)
    if made.dtype.kind == "c":
        rec.fail("a function that is traced for real numbers only gets complex ones", "Give it real and imaginary part")
    return made if made.dtype.kind == "f" else astype(made, float)


def broadcast_array(x: TracedArray, shape: tuple[int, ...]) -> TracedArray:
    """Repeated along leading axes without a copy."""
    if x.shape == shape:
        return x
    value = np.broadcast_to(x.value, shape)
    return TracedArray(x.rec, broadcast(x.place, shape), value)


def last_axis(x: TracedArray, axis: int) -> TracedArray:
    """With that axis behind the others."""
    return transpose(x, [*(k for k in range(x.ndim) if k != axis), axis])
