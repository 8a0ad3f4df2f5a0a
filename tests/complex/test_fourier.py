"""The functions of np.fft and scipy.fft."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
import scipy.fft

import odead

RNG: Final = np.random.default_rng(3)
REAL, COMPLEX = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 5)) + 1j * RNG.normal(size=(4, 5))
NAMES: Final = [head + tail for head in ("fft", "ifft", "rfft", "irfft") for tail in ("", "2", "n")]
MODULES: Final = {"numpy": np.fft, "scipy": scipy.fft}


def transform(module: str, name: str, **options: Any) -> Callable[[np.ndarray], np.ndarray]:
    library = MODULES[module]
    return {
        "fft": lambda x: library.fft(x, **options), "ifft": lambda x: library.ifft(x, **options),
        "rfft": lambda x: library.rfft(x, **options), "irfft": lambda x: library.irfft(x, **options),
        "fft2": lambda x: library.fft2(x, **options), "ifft2": lambda x: library.ifft2(x, **options),
        "rfft2": lambda x: library.rfft2(x, **options), "irfft2": lambda x: library.irfft2(x, **options),
        "fftn": lambda x: library.fftn(x, **options), "ifftn": lambda x: library.ifftn(x, **options),
        "rfftn": lambda x: library.rfftn(x, **options), "irfftn": lambda x: library.irfftn(x, **options),
    }[name]  # fmt: skip


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("module", MODULES)
def test_transform(module: str, name: str, norm: str | None) -> None:
    x = REAL if name.startswith("r") else COMPLEX
    odead.check_derivatives(transform(module, name, norm=norm), x, entries=2)


@pytest.mark.parametrize(("name", "options"), [
    ("fft", {"n": 3, "axis": 0}), ("fft", {"n": 8}), ("ifft", {"axis": 0}), ("rfft", {"n": 6}), ("rfft", {"axis": 0}),
    ("irfft", {"n": 7}), ("irfft", {"n": 4, "axis": 0}), ("fft2", {"s": (3, 6)}), ("fftn", {"axes": (0,)}),
    ("irfft2", {"s": (4, 7)}), ("irfftn", {"axes": (1, 0)}), ("rfftn", {"s": (3, 5), "axes": (0, 1)}),
])  # fmt: skip
def test_options(name: str, options: dict[str, Any]) -> None:
    x = REAL if name.startswith("r") else COMPLEX
    odead.check_derivatives(transform("numpy", name, **options), x, entries=2)
    odead.check_derivatives(transform("scipy", name, **options), x[:, ::-1], entries=2)


def test_real_operand_of_a_complex_transform() -> None:
    odead.check_derivatives(lambda x: np.fft.fft(x, norm="ortho"), REAL, entries=2)


def test_in_place_and_shifts() -> None:
    def filtered(z: np.ndarray, out: np.ndarray) -> None:
        spectrum = np.fft.fftshift(np.fft.fft(z))
        spectrum[..., :2] = 0
        out[:] = np.fft.ifft(np.fft.ifftshift(spectrum)) * np.fft.fftfreq(5)
        z[:] = scipy.fft.fftshift(z)

    odead.check_derivatives(filtered, COMPLEX, np.zeros_like(COMPLEX), entries=2)


def test_parseval() -> None:
    """The energy of the spectrum is n times that of the signal, so its gradient is 2 n z."""
    z = COMPLEX[0]
    np.testing.assert_allclose(odead.gradient(lambda z: (abs(np.fft.fft(z)) ** 2).sum(), z), 2 * z.size * z, rtol=1e-13)
    np.testing.assert_allclose(odead.gradient(lambda z: (abs(np.fft.fft(z, norm="ortho")) ** 2).sum(), z), 2 * z, rtol=1e-13)
    v = COMPLEX[1]
    np.testing.assert_allclose(odead.hvp(lambda z: (abs(np.fft.fft(z)) ** 2).sum(), z, v), 2 * z.size * v, rtol=1e-13)


def test_jacobian_is_the_matrix_of_the_transform() -> None:
    np.testing.assert_allclose(odead.jacobian(np.fft.fft, COMPLEX[0]), np.fft.fft(np.eye(5)), atol=1e-14)


def test_spectral_derivative() -> None:
    n = 16
    x = 2 * np.pi * np.arange(n) / n
    wave = 1j * np.fft.rfftfreq(n, 1 / n)

    def slope(u: np.ndarray) -> np.ndarray:
        return np.fft.irfft(wave * np.fft.rfft(u), n)

    np.testing.assert_allclose(odead.compile(slope, x).primal(np.sin(x)), np.cos(x), atol=1e-13)
    np.testing.assert_allclose(odead.jacobian(slope, np.sin(x)) @ np.sin(x), np.cos(x), atol=1e-13)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="Invalid number of FFT data points"):
        odead.jvp(lambda z: np.fft.fft(z, n=0), COMPLEX, COMPLEX)
    with pytest.raises(ValueError, match="norm"):
        odead.jvp(lambda z: np.fft.fft(z, norm="other"), COMPLEX, COMPLEX)
