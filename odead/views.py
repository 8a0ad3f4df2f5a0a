"""Views: how an operand or a result lies in its buffer, and the algebra of such layouts."""

from functools import lru_cache
from math import gcd, prod
from typing import Final, NamedTuple

import numpy as np

__all__ = ["View", "broadcast", "contiguous", "covers_extent", "extent", "is_injective", "overlap"]


class View(NamedTuple):
    """Elements `offset + sum(i_k * strides[k])` of a buffer, 0 <= i_k < shape[k]; all in elements, not bytes."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_broadcast(self) -> bool:
        """Whether elements repeat by a stride of 0."""
        return bool(self.shape) and any(s == 0 and n > 1 for n, s in zip(self.shape, self.strides, strict=True))

    def indices(self) -> np.ndarray:
        """Positions in the buffer, int64, of the shape of the view."""
        if prod(self.shape) > _KEPT_INDICES:
            return _indices.__wrapped__(self.offset, self.shape, self.strides)
        return _indices(self.offset, self.shape, self.strides)


@lru_cache(maxsize=4096)
def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """C-order strides, in elements."""
    strides = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        strides[k] = strides[k + 1] * shape[k + 1]
    return tuple(strides)


def broadcast(view: View, shape: tuple[int, ...]) -> View:
    """`view` with stride 0 along the axes that NumPy would add or stretch to reach `shape`."""
    if view.shape == shape:
        return view
    added = len(shape) - len(view.shape)
    strides = [0] * len(shape)
    for k, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        if n == shape[added + k]:
            strides[added + k] = stride
        elif n != 1:
            raise ValueError(f"a view of shape {view.shape} does not broadcast to {shape}")
    return View(view.buffer, view.offset, shape, tuple(strides))


_KEPT_INDICES: Final = 4096  # elements up to which the indices of a view are kept: at most 32 MB in all


@lru_cache(maxsize=1024)
def _indices(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    index = np.full(shape, offset, dtype=np.int64)
    for k, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        index += (np.arange(n) * stride).reshape((n,) + (1,) * (len(shape) - 1 - k))
    index.flags.writeable = False
    return index


def extent(view: View) -> tuple[int, int]:
    """First and last element touched (last < first for an empty view)."""
    low = high = view.offset
    for n, stride in zip(view.shape, view.strides, strict=True):
        if n == 0:
            return 0, -1
        if stride > 0:
            high += (n - 1) * stride
        else:
            low += (n - 1) * stride
    return low, high


def overlap(a: View, b: View) -> bool:
    """Whether two views share an element; exact but for huge interleaved views, where it may say yes too often."""
    if a.buffer != b.buffer:
        return False
    if a == b:
        return a.size > 0
    return _overlap(a, b)


_EXACT: Final = 1 << 16  # elements up to which interleaved views are compared one by one


@lru_cache(maxsize=65536)
def _overlap(a: View, b: View) -> bool:
    (low_a, high_a), (low_b, high_b) = extent(a), extent(b)
    if high_a < low_b or high_b < low_a:
        return False
    steps = [s for v in (a, b) for n, s in zip(v.shape, v.strides, strict=True) if n > 1]
    step = gcd(*steps) if steps else 0
    if step > 1 and (a.offset - b.offset) % step:
        return False
    if step == 0 or (covers_extent(a) and covers_extent(b)):
        return True
    if a.size + b.size > _EXACT:
        return True
    return bool(np.isin(a.indices(), b.indices()).any())


def covers_extent(view: View) -> bool:
    """Whether every element between the first and the last is touched."""
    low, high = extent(view)
    return is_injective(view) and view.size == high - low + 1


def is_injective(view: View) -> bool:
    """Whether no element repeats (sufficient: sorted strides exceed what the smaller ones span)."""
    if not view.shape or 0 in view.shape:
        return True
    span = 0
    for stride, n in sorted((abs(s), n) for n, s in zip(view.shape, view.strides, strict=True) if n > 1):
        if stride <= span:
            return False
        span += (n - 1) * stride
    return True
