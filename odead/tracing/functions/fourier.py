"""The functions of np.fft and scipy.fft, by one operation: the transform of the last axis, without scale.

Transforms over several axes take one after the other. A real transform is half of the complex one, and a transform to real
numbers that of the completed spectrum. Each first calls the function on the concrete values, for its exceptions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import scipy.fft

from ..traced.complexes import TracedComplexArray, static_complex
from .complex_api import as_complex, concatenated
from .creation import as_traced, concrete, recorder_of, returned
from .structured import structured

__all__ = ["FOURIER", "SCIPY_FOURIER"]

Handler = Callable[..., Any]


def _along(x: Any, n: int | None, axis: int, norm: str | None, inverse: bool) -> Any:
    """The transform of an axis, cropped or filled up with zeros to n."""
    rec = recorder_of((x,))
    whole: Any = as_complex(rec, x)
    rows = np.moveaxis(whole, axis, -1)
    rows = rows if n is None else _resized(rows, n)
    pairs = structured(rec, "fft", rows.pairs.shape, rows.pairs, params=inverse)
    scale = _scale(rows.shape[-1], norm, inverse)
    made: Any = TracedComplexArray(pairs if scale == 1.0 else pairs * scale)
    return np.moveaxis(made, -1, axis)


def _resized(rows: TracedComplexArray, n: int) -> Any:
    have = rows.shape[-1]
    if n <= have:
        return rows[..., :n]
    return concatenated((rows, static_complex(rows.rec, np.zeros((*rows.shape[:-1], n - have), np.complex128))), -1)


def _scale(n: int, norm: str | None, inverse: bool) -> float:
    if norm == "ortho":
        return float(1 / np.sqrt(n))
    return 1.0 / n if inverse == (norm in (None, "backward")) else 1.0


def _half(x: Any, n: int | None, axis: int, norm: str | None) -> Any:
    """Of real numbers: the frequencies that are not negative."""
    made = np.moveaxis(_along(x, n, axis, norm, inverse=False), axis, -1)
    return np.moveaxis(made[..., : made.shape[-1] // 2 + 1], -1, axis)


def _to_real(x: Any, n: int | None, axis: int, norm: str | None) -> Any:
    """The inverse of `_half`. The imaginary parts of frequency 0 and, for even n, of the last one have no effect."""
    rec = recorder_of((x,))
    whole: Any = as_complex(rec, x)
    rows = np.moveaxis(whole, axis, -1)
    n = 2 * (rows.shape[-1] - 1) if n is None else n
    rows = _resized(rows, n // 2 + 1)
    mirrored = np.conjugate(as_complex(rec, rows[..., 1 : (n + 1) // 2]))
    full = concatenated((rows, mirrored[..., ::-1]), -1)
    return np.moveaxis(_along(full, None, -1, norm, inverse=True).real, -1, axis)


def _axes(x: Any, s: Sequence[int | None] | None, axes: Sequence[int] | None) -> tuple[list[int], list[int | None]]:
    """The axes of a transform over several ones, and their lengths; None is as it is."""
    ndim = np.ndim(concrete(x))
    if axes is None:
        axes = range(ndim) if s is None else range(ndim - len(s), ndim)
    lengths: list[int | None] = [None] * len(axes) if s is None else [None if n in (None, -1) else n for n in s]
    return list(axes), lengths


def _over(x: Any, axes: Sequence[int], lengths: Sequence[int | None], norm: str | None, inverse: bool) -> Any:
    for axis, n in reversed(list(zip(axes, lengths, strict=True))):
        x = _along(x, n, axis, norm, inverse)
    return x


def _several(x: Any, s: Any, axes: Any, norm: str | None, inverse: bool) -> Any:
    return _over(x, *_axes(x, s, axes), norm, inverse)


def _several_half(x: Any, s: Any, axes: Any, norm: str | None) -> Any:
    places, lengths = _axes(x, s, axes)
    return _over(_half(x, lengths[-1], places[-1], norm), places[:-1], lengths[:-1], norm, inverse=False)


def _several_to_real(x: Any, s: Any, axes: Any, norm: str | None) -> Any:
    places, lengths = _axes(x, s, axes)
    return _to_real(_over(x, places[:-1], lengths[:-1], norm, inverse=True), lengths[-1], places[-1], norm)


def _one(function: Handler, transform: Handler) -> Handler:
    """A transform of one axis."""

    @functools.wraps(function)
    def call(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, *_: Any, out: Any = None, **__: Any) -> Any:
        function(concrete(a), n, axis, norm)
        rec = recorder_of((a,))
        return returned(rec, transform(as_traced(rec, a), n, axis, norm), out, None)

    return call


def _many(function: Handler, transform: Handler, axes: Sequence[int] | None) -> Handler:
    """A transform of several axes; `axes` are those that it takes where none are given."""
    default = axes

    @functools.wraps(function)
    def call(a: Any, s: Any = None, axes: Any = default, norm: str | None = None, *_: Any, out: Any = None, **__: Any) -> Any:
        function(concrete(a), s, axes, norm)
        rec = recorder_of((a,))
        return returned(rec, transform(as_traced(rec, a), s, axes, norm), out, None)

    return call


def _table(module: Any) -> dict[Any, Handler]:
    ones: dict[str, Handler] = {
        "fft": functools.partial(_along, inverse=False), "ifft": functools.partial(_along, inverse=True),
        "rfft": _half, "irfft": _to_real,
    }  # fmt: skip
    many: dict[str, Handler] = {
        "fft": functools.partial(_several, inverse=False), "ifft": functools.partial(_several, inverse=True),
        "rfft": _several_half, "irfft": _several_to_real,
    }  # fmt: skip
    table = {getattr(module, name): _one(getattr(module, name), transform) for name, transform in ones.items()}
    for name, transform in many.items():
        plane, space = getattr(module, f"{name}2"), getattr(module, f"{name}n")
        table |= {plane: _many(plane, transform, (-2, -1)), space: _many(space, transform, None)}
    return table


FOURIER: Final[Mapping[Any, Handler]] = _table(np.fft)
SCIPY_FOURIER: Final[Mapping[Any, Handler]] = {
    **_table(scipy.fft), scipy.fft.fftshift: np.fft.fftshift, scipy.fft.ifftshift: np.fft.ifftshift,
}  # fmt: skip
