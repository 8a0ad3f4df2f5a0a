"""Products of vectors and matrices."""

from __future__ import annotations

from math import prod
from string import ascii_letters
from typing import Any

import numpy as np

from ...views import View, broadcast
from ..recorder import dtype_name
from ..traced.array import TracedArray
from .creation import as_traced, concrete, copy_of, empty, recorder_of, returned
from .elementwise import is_static
from .movement import diagonal, ravel, reshape, transpose
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


def einsum(*args: Any, **options: Any) -> Any:
    """The operands two by two, each pair by a matrix product where letters are summed over."""
    rec = recorder_of(args)
    try:
        np.einsum_path(*concrete(args), optimize=False)
    except ValueError:
        np.einsum(*concrete(args))  # raises in its own words
        raise
    names, result, operands = _lettered(args)
    tensors = [_distinct(name, as_traced(rec, x)) for name, x in zip(names, operands, strict=True)]
    while len(tensors) > 1:
        (a, x), (b, y), *others = tensors
        later = {*result}.union(*[name for name, _ in others])
        tensors = [_paired(a, x, b, y, "".join(c for c in dict.fromkeys(a + b) if c in later)), *others]
    ((name, total),) = tensors
    total = _summed(total, name, result)
    kept = [c for c in name if c in result]
    made = transpose(total, [kept.index(c) for c in result]) if kept != [*result] else total
    if not result and type(made) is TracedArray:
        made = made[()]
    return returned(rec, made if made is not operands[0] else copy_of(made), options.get("out"), None)


def _lettered(args: tuple[Any, ...]) -> tuple[list[str], str, tuple[Any, ...]]:
    """The letters of the operands and of the result, without ellipses; the operands."""
    if isinstance(args[0], str):
        subscripts, operands = args[0].replace(" ", ""), args[1:]
    else:  # operand, list of axes, operand, list of axes, ..., perhaps the list of axes of the result
        operands = args[: len(args) // 2 * 2 : 2]
        lists = [*args[1::2], *([args[-1]] if len(args) % 2 else [])]
        texts = ["".join("..." if k is Ellipsis else ascii_letters[k] for k in axes) for axes in lists]
        subscripts = ",".join(texts[: len(operands)]) + ("->" + texts[-1] if len(args) % 2 else "")
    left, arrow, right = subscripts.partition("->")
    names = left.split(",")
    letters = [c for c in sorted({*left}) if c.isalpha()]
    rest = [np.ndim(x) - len(name) + 3 for name, x in zip(names, operands, strict=True) if "..." in name]
    spare = "".join(c for c in ascii_letters if c not in subscripts)[: max(rest, default=0)]
    for k, (name, x) in enumerate(zip(names, operands, strict=True)):
        names[k] = name.replace("...", spare[len(spare) - (np.ndim(x) - len(name) + 3) :] if "..." in name else "")
    if not arrow:
        return names, spare + "".join(c for c in letters if left.count(c) == 1), operands
    return names, right.replace("...", spare), operands


def _distinct(name: str, x: Any) -> tuple[str, Any]:
    """A letter twice is a diagonal."""
    while len({*name}) < len(name):
        twice = next(c for c in name if name.count(c) > 1)
        i = name.index(twice)
        j = name.index(twice, i + 1)
        base = x
        x, name = diagonal(x, 0, i, j), name[:i] + name[i + 1 : j] + name[j + 1 :] + twice
        if type(x) is TracedArray and base.value.flags.writeable:
            x.value.flags.writeable = True  # einsum gives a view to write into, where np.diagonal gives one to read
    return name, x


def _summed(x: Any, name: str, kept: str) -> Any:
    """The sum over the letters that are not kept."""
    axes = tuple([k for k, c in enumerate(name) if c not in kept])
    return sum_(x, axes) if axes else x


def _paired(a: str, x: Any, b: str, y: Any, kept: str) -> tuple[str, Any]:
    """The product of two operands, summed over the letters that are not kept; its letters are in this order."""
    x, a = _summed(x, a, kept + b), "".join(c for c in a if c in kept + b)
    y, b = _summed(y, b, kept + a), "".join(c for c in b if c in kept + a)
    both = [c for c in a if c in b]
    inner = [c for c in both if c not in kept]
    batch = [c for c in both if c in kept]
    floats = x.value.dtype.kind == y.value.dtype.kind == "f"
    if not inner or not floats or any(x.shape[a.index(c)] != y.shape[b.index(c)] for c in both):
        order = [*kept, *inner]
        x, y = (
            transpose(z, [name.index(c) for c in order if c in name])[tuple(slice(None) if c in name else None for c in order)]
            for z, name in ((x, a), (y, b))
        )
        return kept, _summed(x * y, "".join(order), kept)
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    sizes = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}

    def arranged(z: Any, name: str, *groups: list[str]) -> Any:
        ordered = transpose(z, [name.index(c) for group in (batch, *groups) for c in group])
        return reshape(ordered, [*(sizes[c] for c in batch), *(prod(sizes[c] for c in group) for group in groups)])

    product_ = matmul(arranged(x, a, left, inner), arranged(y, b, inner, right))
    order = [*batch, *left, *right]
    shaped = reshape(product_, [sizes[c] for c in order])
    return kept, transpose(shaped, [order.index(c) for c in kept])
