"""Complex states in `odead.solve`: Schroedinger equations with known answers."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg

import odead

H = np.array([[1.0, 0.5 - 0.2j, 0.0], [0.5 + 0.2j, -0.3, 0.7j], [0.0, -0.7j, 0.2]])
START = np.array([1.0, 0.5j, -0.2 + 0.1j])


def schroedinger(dpsi: np.ndarray, psi: np.ndarray, h: np.ndarray, t: float) -> None:
    dpsi[:] = -1j * (h @ psi)


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Rodas5P", "BDF", "Radau"])
def test_schroedinger_equation(method: str) -> None:
    times = np.linspace(0, 3, 7)
    result = odead.solve(schroedinger, START, H, (0, 3), t_eval=times, method=method, rtol=1e-8, atol=1e-10)
    exact = np.stack([scipy.linalg.expm(-1j * H * t) @ START for t in times], axis=1)
    assert result.y.dtype == complex
    assert result.y.shape == (3, 7)
    np.testing.assert_allclose(result.y, exact, atol=2e-6)


def test_returned_slope_dense_output_and_one_tolerance_per_state() -> None:
    result = odead.solve(
        lambda psi, h, t: -1j * h @ psi, START, H, (0, 2), method="RK45", rtol=1e-9, atol=np.full(3, 1e-11), dense_output=True
    )
    assert result.sol is not None
    np.testing.assert_allclose(result.sol(1.3), scipy.linalg.expm(-1.3j * H) @ START, atol=1e-6)


def test_plane_wave_by_the_spectral_method() -> None:
    """i u_t = -u_xx: a plane wave of wave number k turns with frequency k**2."""
    n, k = 16, 3
    x = 2 * np.pi * np.arange(n) / n
    square = (np.fft.fftfreq(n, 1 / n)) ** 2

    def free(du: np.ndarray, u: np.ndarray, p: None, t: float) -> None:
        du[:] = -1j * np.fft.ifft(square * np.fft.fft(u))

    result = odead.solve(free, np.exp(1j * k * x), None, (0, 0.5), t_eval=[0.5], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result.y[:, -1], np.exp(1j * (k * x - k**2 * 0.5)), atol=1e-6)


def test_containers_of_real_and_complex_arrays() -> None:
    def rhs(x: dict[str, Any], p: complex, t: float) -> dict[str, Any]:
        return {"z": p * x["z"], "r": -x["r"]}

    result = odead.solve(rhs, {"z": np.array([[1.0, 1j]]), "r": np.ones(1)}, 1j, (0, 1), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result.y[:, -1], [np.exp(1j), 1j * np.exp(1j), np.exp(-1)], atol=1e-7)


def test_a_number() -> None:
    result = odead.solve(lambda z, p, t: p * z, 1 + 0j, 2j, (0, 1), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result.y[0, -1], np.exp(2j), atol=1e-7)


def test_what_is_not_covered_says_so() -> None:
    with pytest.raises(ValueError, match=r"atol has shape \(6,\); one entry per state is \(3,\)"):
        odead.solve(schroedinger, START, H, (0, 1), atol=np.full(6, 1e-9))
    with pytest.raises(odead.IntegrationError) as caught:
        odead.solve(lambda z, p, t: z * z, np.array([1 + 0j]), None, (0, 2), method="RK45")
    assert caught.value.result.y.dtype == complex
