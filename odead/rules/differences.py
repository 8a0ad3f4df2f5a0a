"""Finite differences, as a rule of forward mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..containers import flatten
from .primitive import Primitive
from .values import copied, is_float

__all__ = ["Differences"]


class Differences:
    """A rule of forward mode by central differences of the function."""

    def __init__(self, primitive: Primitive) -> None:
        self._primitive = primitive
        self.__name__ = f"finite differences of {primitive.__name__}"

    def __call__(self, primals: tuple[Any, ...], tangents: tuple[Any, ...], **kwargs: Any) -> tuple[Any, Any]:
        structure = flatten(primals)[1]
        points, directions = flatten(primals)[0], flatten(tangents)[0]
        moving = [(p, d) for p, d in zip(points, directions, strict=True) if d is not None]
        length = max((float(np.abs(d).max(initial=0.0)) for _, d in moving), default=0.0)
        scale = max((float(np.abs(p).max(initial=0.0)) for p, _ in moving), default=1.0)
        step = float(np.finfo(float).eps ** (1 / 3)) * max(scale, 1.0) / length if length else 1.0
        ends = []
        for sign in (step, -step):
            moved = [copied(p) if d is None else p + sign * d for p, d in zip(points, directions, strict=True)]
            result = self._primitive.function(*structure.unflatten(moved), **kwargs)
            ends.append((flatten(result), moved))
        value = self._primitive.function(*primals, **kwargs)
        for k, (p, d) in enumerate(zip(points, directions, strict=True)):
            if isinstance(p, np.ndarray) and d is not None:
                d[...] = (ends[0][1][k] - ends[1][1][k]) / (2 * step)
        (high, result), (low, _) = ends[0][0], ends[1][0]
        return value, result.unflatten([(a - b) / (2 * step) if is_float(a) else None for a, b in zip(high, low, strict=True)])
