"""Complex arguments and results under every annotation, mode and helper: the shadow of z = x + i y is u_x + i u_y."""

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest

import odead
from odead import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)

Z = np.array([0.7 + 0.4j, -1.3 + 0.2j, -0.4 - 1.5j])


def energy(z: np.ndarray) -> Any:
    return (np.abs(z) ** 2).sum()


def square(out: np.ndarray, z: np.ndarray) -> None:
    out[:] = z * z


def test_gradient_of_a_real_function_is_u_x_plus_i_u_y() -> None:
    for mode in (Reverse, Forward):
        np.testing.assert_allclose(odead.gradient(energy, Z, mode=mode), 2 * Z, rtol=1e-14)
    value, gradient = odead.value_and_gradient(lambda z: abs(z) ** 2 + z.imag, 1 + 2j)
    assert isinstance(gradient, complex)
    np.testing.assert_allclose([value, gradient], [7, 2 + 5j])


def test_shadow_is_a_complex_array_updated_in_place() -> None:
    dz = np.zeros_like(Z)
    assert autodiff(Reverse, energy, Active, Duplicated(Z.copy(), dz)) == (None,)
    np.testing.assert_allclose(dz, 2 * Z)
    autodiff(Reverse, energy, Active, Duplicated(Z.copy(), dz))
    np.testing.assert_allclose(dz, 4 * Z)  # it accumulates


def test_in_place_write_consumes_the_shadow_of_the_output() -> None:
    out, bar, dz = np.zeros_like(Z), Z[::-1].copy(), np.zeros_like(Z)
    autodiff(Reverse, square, Duplicated(out, bar), Duplicated(Z, dz))
    np.testing.assert_allclose(out, Z * Z)
    np.testing.assert_array_equal(bar, 0)
    np.testing.assert_allclose(dz, np.conj(2 * Z) * Z[::-1])
    tangent, dz = np.zeros_like(Z), 1j * Z
    autodiff(Forward, square, Duplicated(out, tangent), Duplicated(Z, dz))
    np.testing.assert_allclose(tangent, 2 * Z * dz)


def test_strided_and_fortran_ordered_shadows() -> None:
    matrix = np.asfortranarray(np.outer(Z, Z))
    shadow = np.zeros((6, 3), complex)[::2]
    autodiff(Reverse, energy, Active, Duplicated(matrix, shadow))
    np.testing.assert_allclose(shadow, 2 * matrix)
    shadow[...] = 0
    autodiff(Reverse, lambda z: energy(z.T[1:]), Active, Duplicated(matrix[:, ::-1], shadow))
    expected = 2 * matrix[:, ::-1]
    expected[:, 0] = 0
    np.testing.assert_allclose(shadow, expected)


def test_batch() -> None:
    lanes = tuple(np.eye(3, dtype=complex) * 1j)
    out = BatchDuplicated(np.zeros_like(Z), tuple(np.zeros((3, 3), complex)))
    autodiff(Forward, square, out, BatchDuplicated(Z, lanes))
    np.testing.assert_allclose(np.array(out.dval), np.diag(2j * Z))


def test_active_numbers_and_containers() -> None:
    def f(z: complex, pair: tuple[complex, float]) -> Any:
        return (z * pair[0]).real * pair[1]

    result = autodiff(ReverseWithPrimal, f, Active, Active(1 + 2j), Active((3 - 1j, 2.0)))
    assert result.value == 10
    np.testing.assert_allclose(result.derivs[0], 2 * np.conj(3 - 1j))
    np.testing.assert_allclose(result.derivs[1], (2 * np.conj(1 + 2j), 5.0))


class State(NamedTuple):
    psi: np.ndarray
    mass: float


def test_container_with_make_zero() -> None:
    state = State(Z, 2.0)
    shadow = State(np.zeros_like(Z), 0.0)
    assert odead.make_zero(state).psi.dtype == complex
    gradient = odead.gradient(lambda s: energy(s.psi) * s.mass, state)
    np.testing.assert_allclose(gradient.psi, 4 * Z)
    np.testing.assert_allclose(gradient.mass, energy(Z))
    assert shadow.mass == 0


def test_forward_returns_the_complex_tangent() -> None:
    result = autodiff(ForwardWithPrimal, lambda z: z[0] * z[1], Duplicated(Z, np.array([1j, 0, 0])))
    np.testing.assert_allclose(result.value, Z[0] * Z[1])
    np.testing.assert_allclose(result.derivs, 1j * Z[1])
    assert autodiff(Forward, lambda z: z**2, Duplicated(1 + 1j, 1j)) == 2j * (1 + 1j)


def test_const_and_captured_arrays_and_numbers() -> None:
    phase = np.exp(1j * np.arange(3))
    half = 0.5j

    def f(z: np.ndarray, weight: complex) -> Any:
        return (z * phase * half * weight).sum().real

    np.testing.assert_allclose(odead.gradient(f, Z, 2j), np.conj(phase * half * 2j))
    phase[:] = 1  # captured arrays are read at each call
    np.testing.assert_allclose(odead.gradient(f, Z, 2j), np.conj(half * 2j) * np.ones(3))


def test_views_of_one_captured_array_are_one_array() -> None:
    base = np.arange(6) * (1 + 1j)
    view = base[::2]

    def f(z: np.ndarray) -> Any:
        return (z * view + base[:3]).sum().real

    np.testing.assert_allclose(odead.gradient(f, Z), np.conj(view))


def test_jvp_vjp_hvp() -> None:
    value, tangent = odead.jvp(lambda z: z**3, (Z,), (Z,))
    np.testing.assert_allclose(value, Z**3)
    np.testing.assert_allclose(tangent, 3 * Z**3)
    value, pullback = odead.vjp(lambda z: z**3, Z)
    for _ in range(2):
        np.testing.assert_allclose(pullback(1j * Z)[0], np.conj(3 * Z**2) * 1j * Z)
    np.testing.assert_allclose(odead.hvp(energy, Z, 1j * Z), 2j * Z)


def test_hessian_is_by_real_and_imaginary_parts() -> None:
    """Of the real part of h(z): u_xx = -u_yy = re h'', u_xy = -im h''."""
    second = 6 * (1 + 2j)
    by_parts = [[second.real, -second.imag], [-second.imag, -second.real]]
    np.testing.assert_allclose(odead.hessian(lambda z: (z**3).real, 1 + 2j), by_parts)

    def quartic(z: np.ndarray) -> Any:
        return energy(z) ** 2 + (z[0] * z[1] ** 2).real

    hessian, v = odead.hessian(quartic, Z), 1j * Z[::-1] + 0.3
    assert hessian.shape == (3, 2, 3, 2)
    assert hessian.dtype == np.float64
    product = np.tensordot(hessian, np.stack([v.real, v.imag], axis=-1), 2)
    np.testing.assert_allclose(product[:, 0] + 1j * product[:, 1], odead.hvp(quartic, Z, v))
    traced = odead.gradient(lambda a: odead.hessian(lambda z: (z**4).real, a * (1 + 2j)).sum(), 1.0)
    np.testing.assert_allclose(traced, -48 * ((1 + 2j) ** 2).imag)


def test_jacobians() -> None:
    matrix = np.outer(Z, Z) + np.eye(3)
    np.testing.assert_allclose(odead.jacobian(lambda z: matrix @ z, Z), matrix)
    np.testing.assert_allclose(odead.jacobian(lambda z: (matrix @ z)[:1], Z), matrix[:1])
    np.testing.assert_allclose(odead.jacobian(lambda x: np.exp(1j * x), np.ones(2)), 1j * np.exp(1j) * np.eye(2))
    np.testing.assert_allclose(odead.jacobian(np.abs, Z), np.diag(Z / abs(Z)))


def test_holomorphic() -> None:
    mode = Reverse(holomorphic=True)
    np.testing.assert_allclose(odead.gradient(lambda z: (z**3).sum(), Z, mode=mode), 3 * Z**2)
    np.testing.assert_allclose(odead.gradient(np.exp, 1j, mode=Forward(holomorphic=True)), np.exp(1j))
    assert autodiff(mode, lambda z: z**2, Active, Active(1 + 2j)) == (2 + 4j,)
    dz = np.zeros_like(Z)
    autodiff(mode, square, Duplicated(np.zeros_like(Z), np.ones_like(Z)), Duplicated(Z, dz))
    np.testing.assert_allclose(dz, 2 * Z)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odead.gradient(np.sum, Z), "returns complex numbers; return a real one"),
        (lambda: odead.gradient(np.sum, Z, mode=Forward), "returns complex numbers; return a real one"),
        (lambda: odead.gradient(lambda z: z[0].conj() * z[1], Z, mode=Reverse(holomorphic=True)), "is not holomorphic: of ret"),
        (lambda: odead.jacobian(np.conj, Z), "is not holomorphic"),
        (lambda: odead.gradient(energy, Z, mode=Reverse(holomorphic=True)), "has complex arguments and returns complex"),
        (lambda: autodiff(Reverse, np.sum, Active, Duplicated(Z, Z * 0)), "returns a complex number, and reverse mode starts"),
        (lambda: autodiff(Reverse(holomorphic=True), lambda x: 1j * x, Active, Active(1.0)), "a real one is annotated"),
        (lambda: autodiff(Reverse, energy, Active, Duplicated(Z, np.zeros(3))), "shadow has dtype float64, the value compl"),
        (lambda: odead.hessian(lambda x: np.sum(1j * x), np.ones(2)), "a Hessian is of a real one"),
        (lambda: odead.gradient(lambda z: abs(z[0]), Z.astype(np.complex64)), "complex64; convert it"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def cubed(z: np.ndarray) -> np.ndarray:
    return z**3


def test_compiled() -> None:
    compiled = pickle.loads(pickle.dumps(odead.compile(cubed, Z)))
    out = np.empty_like(Z)
    assert compiled.primal(Z, out=out) is out
    np.testing.assert_allclose(out, Z**3)
    compiled.jvp((Z,), (1j * Z,), out=out)
    np.testing.assert_allclose(out, 3j * Z**3)
    np.testing.assert_allclose(compiled.vjp((Z,), Z)[0], np.conj(3 * Z**2) * Z)
    with pytest.raises(TypeError, match="out has dtype float64"):
        compiled.primal(Z, out=np.empty(3))
    np.testing.assert_allclose(compiled.jac((Z,)), np.diag(3 * Z**2))
    with pytest.raises(TypeError, match="out has dtype float64"):
        compiled.jac((Z,), out=np.empty((3, 3)))


@pytest.mark.parametrize(
    ("f", "x", "exact"),
    [
        (lambda z: np.outer(Z, z).ravel(), Z, np.kron(Z[:, None], np.eye(3))),  # by columns
        (lambda z: (z * z[0])[1:], Z, np.array([[Z[1], Z[0], 0], [Z[2], 0, Z[0]]])),  # by rows
        (abs, Z, np.diag(Z / abs(Z))),
        (lambda x: np.exp(1j * x), np.ones(2), 1j * np.exp(1j) * np.eye(2)),
        (lambda x: np.exp(1j * x).sum(), np.ones(2), 1j * np.exp(1j) * np.ones(2)),
        (lambda z: z**2, 1 + 2j, 2 + 4j),
    ],
)
def test_compiled_jacobians(f: Any, x: Any, exact: Any) -> None:
    out = np.empty(np.shape(exact), complex)
    compiled = odead.compile(f, x)
    assert compiled.jac((x,), out=out) is out
    np.testing.assert_allclose(out, exact, atol=1e-14)
    np.testing.assert_allclose(odead.jacobian(f, x), exact, atol=1e-14)
    with pytest.raises(TypeError, match="is not holomorphic"):
        odead.compile(np.conj, x).jac((x,)) if np.iscomplexobj(x) else odead.jacobian(np.conj, 1j)


def test_compiled_number() -> None:
    compiled = odead.compile(lambda z, x: (z * x).real, 1 + 2j, 2.0)
    assert compiled.primal(1 + 3j, 3.0) == 3
    assert compiled.vjp((1 + 3j, 3.0), 1.0) == (3 + 0j, 1.0)


def test_const_arguments_may_be_complex() -> None:
    dx = np.zeros(3)
    autodiff(Reverse, lambda x, z: (x * z).sum().imag, Active, Duplicated(np.ones(3), dx), Const(Z))
    np.testing.assert_allclose(dx, Z.imag)


def test_branch_on_a_complex_value() -> None:
    def f(z: np.ndarray) -> Any:
        total = 0j
        for k in range(len(z)):
            if z[k].imag > 0:
                total = total + z[k] ** 2
            else:
                total = total - 3 * z[k]
        return total.real

    expected = np.where(Z.imag > 0, np.conj(2 * Z), -3)
    np.testing.assert_allclose(odead.gradient(f, Z), expected)
    np.testing.assert_allclose(odead.gradient(f, np.conj(Z)), np.where(Z.imag > 0, -3, np.conj(2 * np.conj(Z))))


def test_overlapping_arguments_and_held_arrays() -> None:
    def shifted(out: np.ndarray, z: np.ndarray) -> None:
        out[:] = 2j * z

    base, shadow = np.arange(4) * (1 + 1j), np.ones(4, complex)
    autodiff(Reverse, shifted, Duplicated(base[1:], shadow[1:]), Duplicated(base[:-1], shadow[:-1]))
    np.testing.assert_allclose(base, [0, 0, -2 + 2j, -4 + 4j])
    np.testing.assert_allclose(shadow, [1 - 2j, -2j, -2j, 0])

    weights, factor = np.array([1j, 2.0]), 3j

    def held(z: np.ndarray) -> Any:
        return (weights * z * factor).sum().real

    d_held, z = odead.make_zero(held), np.array([1 + 1j, 2j])
    autodiff(Reverse, Duplicated(held, d_held), Active, Const(z))
    cells = dict(zip(held.__code__.co_freevars, d_held.__closure__ or (), strict=True))
    np.testing.assert_allclose(cells["weights"].cell_contents, np.conj(z * factor))
    np.testing.assert_allclose(cells["factor"].cell_contents, np.conj(weights @ z))
