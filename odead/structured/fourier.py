"""The discrete Fourier transform of complex numbers that are pairs of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from ..views import View
from .base import AbstractStructured, Accumulate, Site

__all__ = ["Fourier"]


class Fourier(AbstractStructured):
    """Along the last axis but one of (..., n, 2), real part first: out[k] = sum of x[j] exp(-2 pi i j k / n).

    With `params` True the sign of the exponent is plus. Nothing is scaled, so that either one is the adjoint of the other:
    the matrix is symmetric, and its conjugate has the other sign.
    """

    name = "fft"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape, f"{where}: shapes differ"
        assert len(out.shape) >= 2 and out.shape[-1] == 2 and out.shape[-2] >= 1, f"{where}: an fft takes pairs"
        assert isinstance(params, bool), f"{where}: an fft has a direction"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        pairs = np.ascontiguousarray(ins[0])
        x: Any = pairs.view(np.complex64 if pairs.dtype == np.float32 else np.complex128)[..., 0]
        made = scipy.fft.ifft(x, norm="forward") if params else scipy.fft.fft(x)
        out[..., 0], out[..., 1] = made.real, made.imag

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        build.emit(self.name, dout, dins, site.params)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        made = build.temp_like(dout)
        build.emit(self.name, made, (dout,), not site.params)
        accumulate(0, made)
