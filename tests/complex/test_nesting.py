"""Derivatives at complex numbers, taken by functions that are differentiated themselves."""

from typing import Any

import numpy as np
import pytest

import odead
from odead import Active, Const, Duplicated, Forward, Reverse, autodiff, check_derivatives, gradient, hvp, jacobian, jvp, vjp

Z = np.array([0.7 + 0.4j, -1.3 + 0.2j, -0.4 - 1.5j])
W = np.array([0.1 - 0.3j, 0.8j, 1.1 + 0.6j])
X = np.array([0.3, 0.7, 1.1])


def energy(z: np.ndarray) -> Any:
    return (np.abs(z) ** 4).sum() + (z * z[::-1] ** 2).real.sum()


def cubes(z: np.ndarray) -> np.ndarray:
    return z**3 * z[0]


@pytest.mark.parametrize("inner", [Forward, Reverse])
def test_gradient_of_a_real_function(inner: Any) -> None:
    check_derivatives(lambda z: gradient(energy, z, mode=inner), Z, entries=3)
    np.testing.assert_allclose(jvp(lambda z: gradient(energy, z, mode=inner), (Z,), (W,))[1], hvp(energy, Z, W), rtol=1e-12)


def test_three_times() -> None:
    def slope(z: np.ndarray) -> Any:
        return (hvp(energy, z, W) * W.conj()).sum().real

    check_derivatives(lambda z: gradient(slope, z), Z, entries=2)


def test_complex_numbers() -> None:
    check_derivatives(lambda z, p: gradient(lambda y: abs(y) ** 4 * p + y.real, z), 0.7 + 0.4j, 1.3)
    check_derivatives(lambda z: odead.value_and_gradient(lambda y: abs(y * z) ** 2, 2 - 1j)[1] * z, 0.7 + 0.4j)


@pytest.mark.parametrize("mode", [Forward(holomorphic=True), Reverse(holomorphic=True)])
def test_holomorphic(mode: Any) -> None:
    check_derivatives(lambda z: gradient(lambda y: (cubes(y) * z).sum(), z, mode=mode), Z, entries=2)

    def newton(a: complex) -> Any:
        z = 1.0 + 0.5j
        for _ in range(8):
            z = z - (z**3 - a) / gradient(lambda y: y**3 - a, z, mode=mode)
        return z

    np.testing.assert_allclose(newton(2j), (2j) ** (1 / 3), rtol=1e-12)
    np.testing.assert_allclose(gradient(newton, 2j, mode=mode), (2j) ** (-2 / 3) / 3, rtol=1e-10)


def test_jacobians() -> None:
    check_derivatives(lambda z: jacobian(cubes, z) @ z, Z, entries=2)
    check_derivatives(lambda z: jacobian(lambda y: cubes(y)[:1] * z[1], z), Z, entries=2)  # by rows
    check_derivatives(lambda z: jacobian(np.abs, z), Z, entries=2)
    check_derivatives(lambda x: jacobian(lambda y: np.exp(1j * y * x[0]), x), X, entries=2)


def test_a_function_that_is_not_holomorphic_at_other_values() -> None:
    def f(x: float) -> Any:
        return jacobian(lambda y: x * np.conj(y) + y, Z).real.sum()

    assert gradient(lambda x: f(x - x), 1.0) == 0.0
    with pytest.raises(TypeError, match="is not holomorphic"):
        gradient(f, 1.0)

    def tested(x: float) -> Any:
        return x if x == 0 else f(x)

    assert gradient(tested, 0.0) == 1.0
    with pytest.raises(TypeError, match="is not holomorphic"):
        gradient(tested, 1.0)


def test_products() -> None:
    check_derivatives(lambda z, w: jvp(cubes, (z,), (w,))[1], Z, W, entries=2)
    check_derivatives(lambda z, w: jvp(cubes, (z,), (w,))[0], Z, W, entries=2)

    def pulled(z: np.ndarray) -> Any:
        value, pullback = vjp(cubes, z)
        return pullback(value * W)[0]

    check_derivatives(pulled, Z, entries=2)
    _, pullback = vjp(cubes, Z)
    np.testing.assert_allclose(jacobian(lambda c: pullback(c)[0], W), jacobian(cubes, Z).conj().T, rtol=1e-12)


def moved(out: np.ndarray, z: np.ndarray) -> None:
    out[:2] = z[:2] ** 3
    z[2] *= z[0]


def test_autodiff_obeys_the_law_of_mutation() -> None:
    def forward(z: np.ndarray, w: np.ndarray) -> Any:
        out, dout, z, dz = np.zeros(3, complex), np.zeros(3, complex), z * 1.0, w * 1.0
        autodiff(Forward, moved, Duplicated(out, dout), Duplicated(z, dz))
        return np.concatenate([out, dout, z, dz])

    def reverse(z: np.ndarray, w: np.ndarray) -> Any:
        out, dout, z, dz = np.zeros(3, complex), w * 1.0, z * 1.0, w * z
        autodiff(moved, Duplicated(out, dout), Duplicated(z, dz))
        return np.concatenate([out, dout, z, dz])

    for f in (forward, reverse):
        np.testing.assert_allclose(jvp(f, (Z, W), (W, Z))[0], f(Z, W), rtol=1e-14)
        check_derivatives(f, Z, W, entries=2)


def test_active_numbers() -> None:
    def slope(a: complex, z: np.ndarray) -> Any:
        return autodiff(lambda b, y: abs(b) ** 4 * (y * y.conj()).real.sum(), Active(a), Const(z))[0]

    np.testing.assert_allclose(slope(2j, Z), 32j * (abs(Z) ** 2).sum())
    check_derivatives(slope, 2 - 1j, Z, entries=2)

    def holomorphic(a: complex) -> Any:
        return autodiff(Reverse(holomorphic=True), lambda b: b**3, Active, Active(a))[0]

    check_derivatives(holomorphic, 2 - 1j)
