"""Products of vectors and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..views import View, broadcast
from .creation import as_traced, copy_of, empty, recorder_of, returned
from .elementwise import is_static
from .movement import diagonal, ravel, reshape, transpose
from .recorder import dtype_name
from .reductions import reduced_to, sum_

__all__ = ["convolve", "cross", "dot", "einsum", "inner", "matmul", "outer", "vdot"]


def matmul(x: Any, y: Any, out: Any = None) -> Any:
    rec = recorder_of((x, y, out))
    a, b = as_traced(rec, x), as_traced(rec, y)
    value = np.matmul(a.value, b.value)
    if is_static(a) and is_static(b):
        return returned(rec, value, out, None)
    dtype = dtype_name(value.dtype)
    if not dtype.startswith("float"):
        rec.fail(f"the matrix product of {dtype} arrays cannot be traced", "Convert to float with .astype(float)")
    left, right = (rec.cast(rec.reads(operand.place), dtype) for operand in (a, b))
    left = _with_axis(left, 0) if a.ndim == 1 else left
    right = _with_axis(right, 1) if b.ndim == 1 else right
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (broadcast(view, batch + view.shape[-2:]) for view in (left, right))
    product_ = rec.program.temp(dtype, (*batch, left.shape[-2], right.shape[-1]))
    rec.emit("matmul", product_, (left, right))
    return returned(rec, reduced_to(rec, product_, value), out, None)


def _with_axis(view: View, place: int) -> View:
    (n,), (stride,) = view.shape, view.strides
    return View(view.buffer, view.offset, (1, n) if place == 0 else (n, 1), (0, stride) if place == 0 else (stride, 0))


def dot(x: Any, y: Any, out: Any = None) -> Any:
    rec = recorder_of((x, y, out))
    a, b = as_traced(rec, x), as_traced(rec, y)
    if not a.ndim or not b.ndim:
        return returned(rec, a * b, out, None)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b, out)
    value = np.dot(a.value, b.value)
    flat = matmul(a.reshape(-1, a.shape[-1]), np.moveaxis(b, -2, 0).reshape(b.shape[-2], -1))
    return returned(rec, reshape(flat, value.shape), out, None)


def inner(x: Any, y: Any) -> Any:
    rec = recorder_of((x, y))
    a, b = as_traced(rec, x), as_traced(rec, y)
    return a * b if not a.ndim or not b.ndim else dot(a, np.moveaxis(b, -1, -2) if b.ndim > 1 else b)


def vdot(x: Any, y: Any) -> Any:
    rec = recorder_of((x, y))
    return dot(ravel(as_traced(rec, x)), ravel(as_traced(rec, y)))


def outer(x: Any, y: Any, out: Any = None) -> Any:
    rec = recorder_of((x, y))
    a, b = ravel(as_traced(rec, x)), ravel(as_traced(rec, y))
    return np.multiply(a[:, None], b, out) if out is not None else a[:, None] * b


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    rec = recorder_of((a, b))
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = np.moveaxis(as_traced(rec, a), axisa, -1), np.moveaxis(as_traced(rec, b), axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        rec.fail("np.cross of vectors with other than three components cannot be traced", "Write out the products")
    components = [x[..., i] * y[..., j] - x[..., j] * y[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.moveaxis(np.stack([as_traced(rec, component) for component in components], -1), -1, axisc)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The longer operand, shifted and weighted by each element of the shorter."""
    rec = recorder_of((a, v))
    x, y = as_traced(rec, a), as_traced(rec, v)
    whole = np.convolve(x.value, y.value, mode)  # type: ignore[call-overload]  # raises NumPy's own errors
    x, y = (x, y) if x.size >= y.size else (y, x)
    full_ = empty(rec, x.size + y.size - 1, whole.dtype)
    for k in range(y.size):
        full_[k : k + x.size] += x * y[k]
    first = {"full": 0, "same": (y.size - 1) // 2, "valid": y.size - 1}[mode]
    return full_[first : first + whole.size]


def einsum(subscripts: str, *operands: Any, **options: Any) -> Any:
    """Subscripts without an ellipsis: the operands multiplied over all letters, then summed over those not asked for."""
    rec = recorder_of(operands)
    if not isinstance(subscripts, str) or "." in subscripts:
        rec.fail("np.einsum with an ellipsis or with lists of axes cannot be traced", "Write out the letters")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    names = left.split(",")
    letters = sorted({*left} - {","})
    result = right if arrow else "".join(c for c in letters if left.count(c) == 1)
    order = [*result, *(c for c in letters if c not in result)]
    total: Any = None
    for name, operand in zip(names, operands, strict=True):
        x = as_traced(rec, operand)
        while len({*name}) < len(name):  # a letter twice is a diagonal
            twice = next(c for c in name if name.count(c) > 1)
            i = name.index(twice)
            j = name.index(twice, i + 1)
            x, name = diagonal(x, 0, i, j), name[:i] + name[i + 1 : j] + name[j + 1 :] + twice
        x = transpose(x, [name.index(c) for c in order if c in name])
        x = x[tuple(slice(None) if c in name else None for c in order)]
        total = x if total is None else total * x
    reduced = tuple(range(len(result), len(order)))
    made = sum_(total, reduced) if reduced else copy_of(total)
    return returned(rec, made, options.get("out"), None)
