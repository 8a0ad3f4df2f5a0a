"""Every elementwise function of complex numbers: values, derivatives in both modes, branch cuts, promotion."""

import warnings
from typing import Any, Final

import numpy as np
import pytest

import odead
from odead.tracing.functions.complex_functions import FORMULAS

POINTS: Final = np.array([0.7 + 0.4j, -1.3 + 0.2j, -0.4 - 1.5j, 2.1 - 0.3j])
OTHERS: Final = np.array([1.2 - 0.5j, 0.3 + 0.8j, -0.6 + 0.1j, 0.9 + 0.4j])
CUTS: Final = np.array([complex(x, y) for x in (-3.0, -0.5, 0.5, 3.0) for y in (0.0, -0.0)] + [2j, -2j, 0.5j])
TESTS: Final = {"isnan", "isinf", "isfinite", "logical_and", "logical_or", "logical_xor", "logical_not", "equal", "not_equal",
                "less", "less_equal", "greater", "greater_equal"}  # fmt: skip
SMOOTH: Final = sorted(FORMULAS.keys() - TESTS - {"rint"})


def operands(name: str) -> tuple[np.ndarray, ...]:
    return (POINTS, OTHERS)[: getattr(np, name).nin]


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str) -> None:
    ufunc = getattr(np, name)
    odead.check_derivatives(lambda *xs: ufunc(*xs), *operands(name))
    odead.check_derivatives(lambda *xs: ufunc(*[x[1] for x in xs]), *operands(name))  # numbers
    if name != "absolute":
        odead.check_derivatives(lambda *xs: write(ufunc, xs), *operands(name))
        odead.check_derivatives(lambda *xs: write(ufunc, [x[::-2] for x in xs]), *operands(name))
        odead.check_derivatives(lambda *xs: write(ufunc, [x.reshape(()) for x in xs]), *(x[:1] for x in operands(name)))


def write(ufunc: np.ufunc, xs: Any) -> None:
    ufunc(*xs, out=xs[0])


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_values(name: str) -> None:
    ufunc = getattr(np, name)
    z = np.concatenate([POINTS, CUTS])
    xs = (z, np.resize(OTHERS, z.size))[: ufunc.nin]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = odead.compile(lambda *xs: ufunc(*xs), *xs).primal(*xs), ufunc(*xs)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["sqrt", "log", "arcsin", "arccosh"])
def test_derivative_on_a_cut_is_that_of_the_side_of_the_signed_zero(name: str) -> None:
    ufunc = getattr(np, name)
    z = np.array([complex(-3.0, 0.0), complex(-3.0, -0.0)])
    tangent = odead.jvp(ufunc, z, np.ones(2, complex))[1]
    inside = odead.jvp(ufunc, z + np.array([1e-9j, -1e-9j]), np.ones(2, complex))[1]
    np.testing.assert_allclose(tangent, inside, rtol=1e-8)


def test_kinks_have_finite_derivatives() -> None:
    np.testing.assert_array_equal(odead.gradient(lambda z: np.abs(z).sum(), np.zeros(2, complex)), 0)
    np.testing.assert_array_equal(odead.gradient(lambda z: (z**2 + z**2.5).real.sum(), np.zeros(2, complex)), 0)
    np.testing.assert_array_equal(odead.jvp(np.sign, np.zeros(1, complex), np.ones(1, complex))[1], 0)


def test_where_never_lets_a_cotangent_into_the_side_not_chosen() -> None:
    z = np.array([0j, 1 + 1j])
    gradient = odead.gradient(lambda z: np.where(z == 0, 0, 1 / np.where(z == 0, 1, z)).real.sum(), z)
    np.testing.assert_allclose(gradient, [0, np.conj(-1 / (1 + 1j) ** 2)])


def test_large_and_small_numbers_divide_without_overflow() -> None:
    z = np.array([1e200 + 1e200j, 1e-200 - 1e-200j])
    value, tangent = odead.jvp(lambda z, w: z / w, (z, z * (1 - 2j)), (z, z))
    np.testing.assert_allclose(value, 1 / (1 - 2j), rtol=1e-14)
    np.testing.assert_allclose(tangent, 1 / (1 - 2j) - 1 / (1 - 2j) ** 2, rtol=1e-14)
    np.testing.assert_allclose(odead.gradient(lambda z: np.tanh(z).real.sum(), np.array([500 + 1j])), 0, atol=1e-30)


OPERANDS: Final = {
    "bool": np.array([True, True]), "int64": np.array([2, 3]), "float64": np.array([0.5, 2.0]),
    "complex128": np.array([1j, 2 + 0j]), "int": 2, "float": 0.5, "complex": 1 + 2j, "np.float64": np.float64(3.0),
    "np.complex128": np.complex128(1j),
}  # fmt: skip


@pytest.mark.parametrize("left", sorted(OPERANDS))
@pytest.mark.parametrize("right", ["complex", "complex128", "np.complex128"])
def test_promotion_is_that_of_numpy(left: str, right: str) -> None:
    a, b = OPERANDS[left], OPERANDS[right]
    for f in (lambda x, y: x + y, lambda x, y: y - x, lambda x, y: x * y, lambda x, y: y / (x + 3), lambda x, y: x**y):
        found, expected = odead.compile(f, a, b).primal(a, b), f(a, b)
        assert type(found) is type(expected)
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def test_complex_into_float_raises_as_in_numpy() -> None:
    x, z = np.ones(2), np.ones(2, complex)

    def element(x: np.ndarray) -> None:
        x[0] = 1j * complex(x[1])

    def in_place(x: np.ndarray, z: np.ndarray) -> None:
        x *= z

    def out(x: np.ndarray, z: np.ndarray) -> None:
        np.exp(z, out=x)

    with pytest.raises(TypeError, match=r"complex|real number"):
        odead.jvp(element, (x,), (x,))
    for f in (in_place, out):
        with pytest.raises(TypeError, match=r"Cannot cast ufunc .* from dtype\('complex128'\)"):
            odead.jvp(f, (x, z), (x, z))

    def discard(x: np.ndarray, z: np.ndarray) -> None:
        x[:] = z

    with pytest.warns(np.exceptions.ComplexWarning):
        odead.jvp(discard, (x, z), (x, z))
    with pytest.raises(TypeError, match="ufunc 'floor' not supported"):
        odead.jvp(np.floor, (z,), (z,))


def test_complex64_is_refused() -> None:
    with pytest.raises(odead.TracingError, match="complex64: this dtype cannot be traced"):
        odead.compile(np.exp, np.ones(2, np.complex64)).primal(np.ones(2, np.complex64))
    with pytest.raises(odead.TracingError, match=r"complex64 numbers cannot be traced\. Convert"):
        odead.jvp(lambda x: x * 1j, np.ones(2, np.float32), np.ones(2, np.float32))
