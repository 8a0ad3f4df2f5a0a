"""Linear algebra, order and lookups of complex numbers, against plain calls and their differences, in both modes."""

import re
from typing import Any, Final

import numpy as np
import pytest
import scipy.linalg as sl
import scipy.sparse as sp
import scipy.special as ss

import odead

Z: Final = np.array([0.7 + 0.4j, -1.3 + 0.2j, -0.4 - 1.5j])
A: Final = np.outer(Z, Z[::-1]) + 3 * np.eye(3) + 0.1 * np.arange(9).reshape(3, 3)
W: Final = Z[::-1] * 1j
X: Final = np.array([0.4, 1.7, -0.8])
SPARSE: Final = sp.csr_array(np.array([[1, 2j, 0], [0, 0, 3 - 1j], [0.5, 0, 0], [0, 1, 1j]]))
REAL: Final = sp.csc_array(np.array([[1.0, 2.0, 0], [0, 0, 3.0], [0.5, 0, 0], [0, 1, 0]]))

ROWS: Final = """
np.linalg.solve(a, z)
np.linalg.solve(a, np.array([z, z * z]).T)
np.linalg.solve(a, x)
np.linalg.solve(np.stack([a, a * 2]), np.stack([z, z * z])[..., None])
np.linalg.inv(a)
np.linalg.det(a)
np.linalg.det(a[::-1])
np.linalg.slogdet(a).sign
np.linalg.slogdet(a)[1]
np.linalg.cholesky(a @ a.conj().T)
np.linalg.cholesky(a @ a.conj().T, upper=True)
np.linalg.qr(a)[0]
np.linalg.qr(a)[1]
np.linalg.qr(a[:, :2])[0]
np.linalg.qr(a[:2])[1]
np.linalg.qr(a, mode='r')
np.linalg.eigvalsh(a + a.conj().T)
np.linalg.eigvalsh(a, 'U')
np.linalg.eigvals(a)
np.linalg.eig(a)[0]
abs(np.linalg.eig(a)[1]) ** 2
np.linalg.eig(a)[1] * np.linalg.eig(a).eigenvectors[0].conj()
np.linalg.eig(a.real - 2 * a.imag)[1] ** 2
np.linalg.eigvals(np.stack([a.real, a.imag + a.real.T]))
np.roots(z)
np.roots(x)
sl.eigvals(a)
sl.eigvals(a.real)
sl.eig(a)[1] * sl.eig(a)[1]
sl.eig(a.real, right=False)
np.linalg.svd(a, compute_uv=False)
np.linalg.svd(a[:, :2], compute_uv=False)
np.linalg.pinv(a[:, :2])
np.linalg.norm(a, 2) * z
np.linalg.norm(a, -2)
np.linalg.norm(a, 'nuc', keepdims=True)
np.linalg.matrix_power(a, 3)
np.linalg.multi_dot([a, a, z])
sl.solve(a, z)
sl.solve(a, z, assume_a='her')
sl.solve(a @ a.conj().T, z, assume_a='pos', lower=True)
sl.inv(a)
sl.det(a)
sl.solve_triangular(a, z)
sl.solve_triangular(a, z, lower=True, unit_diagonal=True)
sl.solve_triangular(a, z, trans='C')
sl.solve_triangular(a, z, trans=1, lower=True)
sl.solve_banded((1, 1), a, z)
sl.solve_banded((1, 1), a, np.array([z, z * z]).T)
sl.solve_banded((0, 2), a, x)
sl.solve_banded((2, 0), a, z)
sl.cho_solve(sl.cho_factor(a @ a.conj().T), z)
sl.cho_solve(sl.cho_factor(a @ a.conj().T, lower=True), z)
sl.cholesky(a @ a.conj().T)
sl.qr(a)[1]
sl.eigvalsh(a, lower=False)
sl.svdvals(a)
sl.pinv(a[:, :2])
sl.norm(a, 'nuc')
np.linalg.det(np.stack([a, a * 2]))
np.linalg.slogdet(np.stack([a, a * 2]))[1]
np.linalg.cholesky(np.stack([a @ a.conj().T, 2 * a @ a.conj().T]))
np.linalg.qr(np.stack([a, a[::-1]]))[0]
np.linalg.eigh(a)[1]
np.linalg.eigh(a)[0] * z
np.linalg.eigh(a, 'U')[1]
np.linalg.eigh(np.stack([a, a.T * 2]))[1]
np.abs(sl.eigh(a)[1])
np.abs(sl.eigh(a, lower=False)[1])
sl.eigh(a, eigvals_only=True)
np.linalg.lstsq(a[:, :2], z, rcond=None)[0]
np.linalg.lstsq(a[:, :2], z, rcond=None)[1]
np.linalg.lstsq(a[:2], np.array([z[:2], w[:2]]).T, rcond=None)[0]
sl.lstsq(a, z)[0]
np.linalg.cond(a)
np.linalg.cond(a, -2)
np.linalg.cond(a, 1)
sl.lu_factor(a)[0]
sl.lu_solve(sl.lu_factor(a), z)
sl.lu_solve(sl.lu_factor(a), np.array([z, w]).T, trans=1)
sl.lu_solve(sl.lu_factor(a), z, trans=2)
sl.lu_solve(sl.lu_factor(a), x)
sl.lu(a)[1]
sl.lu(a, permute_l=True)[0]
sl.lu(a)[0] @ sl.lu(a)[2]
sl.lu(a.real)[2] * z
sl.solve(a, z, assume_a='sym')
sl.sqrtm(a)
sl.logm(a)
sl.cosm(a)
sl.tanhm(0.3 * a)
sl.fractional_matrix_power(a, 0.4)
sl.solve_sylvester(a, a.T, np.outer(z, w))
sl.solve_continuous_lyapunov(a, np.outer(z, w))
sl.solve_discrete_lyapunov(0.1 * a, np.outer(z, w))
sl.toeplitz(z)
sl.toeplitz(z, w)
sl.solve_toeplitz(z + 5, w)
sl.solve_toeplitz((z + 5, w), z)
sl.block_diag(a, z)
sl.pinvh(a)
sl.expm(a)
ss.logsumexp(a, axis=0)
ss.logsumexp(z, keepdims=True)
np.sort(z)
np.sort(np.array([2 + 1j, 2 - 1j, 1 + 5j]) * x[0] + z.sum())
np.sort(a, axis=0)
np.sort(a, axis=None)
np.partition(z, 1)
z[np.argsort(z)]
np.take_along_axis(z, np.array([0, 2, 1]), 0)
z.max() * w
np.max(a, axis=1)
np.min(a, axis=0, keepdims=True)
np.min(z)
np.round(z, 1) * w
np.linspace(z[0], z[1], 5)
np.linspace(z[0], 2.0, 4, endpoint=False)
np.nan_to_num(z) * w
np.interp(x[0], [0.0, 1.0, 2.0], z)
np.interp(x, np.array([0.0, 1.0, 2.0]), z)
np.vectorize(lambda v, u: v * v + u)(z, x)
np.vecdot(z, w)
np.cov(a)
SPARSE @ z
SPARSE @ x
SPARSE @ a
REAL @ z
REAL @ a
z @ SPARSE.T
SPARSE.T @ (SPARSE @ z)
SPARSE.toarray() @ z
(SPARSE.data * z[0]).sum()
SPARSE.diagonal() * z
np.add.at(z, [0, 0, 2], w)
np.subtract.at(z, [0, 0, 2], w)
np.add.at(z, [1, 1], x[:2])
np.add.at(a, ([0, 0], [1, 1]), z[:2])
z.sort()
"""


def function(row: str) -> Any:
    names: dict[str, Any] = {"np": np, "sl": sl, "ss": ss, "SPARSE": SPARSE, "REAL": REAL, "w": W, "x": X}
    exec(f"def f(a, z):\n    {row if '.at(' in row or row == 'z.sort()' else 'return ' + row}\n", names)
    return names["f"]


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_function(row: str) -> None:
    odead.check_derivatives(function(row), A, Z, entries=1)


def test_factors_are_of_the_matrix_at_hand() -> None:
    """Pivots, reflections and phases are chosen anew at each run."""
    for f in (
        np.linalg.det,
        lambda a: np.linalg.slogdet(a)[1],
        lambda a: np.linalg.qr(a)[1],
        lambda a: sl.lu_factor(a)[0],
        lambda a: np.linalg.eigh(a)[1],
        lambda a: sl.eigh(a, lower=False)[1],
        lambda a: sl.eigh(a.real)[1],
        lambda a: np.linalg.eigh(a.real, "U")[1],
    ):
        compiled = odead.compile(f, A)
        for a in (A, A[::-1].copy(), A.conj(), A - 3 * np.eye(3) + np.diag([0, 1, 2])):
            np.testing.assert_allclose(compiled.primal(a), f(a), rtol=1e-12)
            np.testing.assert_allclose(compiled.jvp((a,), (A,)), odead.jvp(f, (a,), (A,))[1], rtol=1e-12)


def test_maximum_of_nan() -> None:
    z = np.array([1 + 1j, complex(np.nan, 0), 2.0])
    for f in (np.max, np.min, lambda x: np.maximum(x, x[::-1]), lambda x: np.minimum(x[::-1], x)):
        np.testing.assert_array_equal(odead.jvp(f, (z,), (z,))[0], f(z))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("sl.eigh(a, driver='evd')[1]", "scipy.linalg.eigh with driver='evd'.*other signs"),
        ("sl.eigh(a, subset_by_index=[0, 1])", "scipy.linalg.eigh with a subset"),
        ("sl.schur(a)", "scipy.linalg.schur cannot be traced: the order of the eigenvalues"),
        ("sl.fractional_matrix_power(a, z[0].real)", r"Write scipy\.linalg\.expm\(t"),
        ("np.linalg.svd(a)", "the singular vectors of a complex matrix.*compute_uv=False"),
        ("sl.svd(a)", "the singular vectors of a complex matrix"),
        ("np.linalg.det(a * 0)", "the determinant of a singular complex matrix"),
        ("np.linalg.eigvals(a * 0)", "eigenvalues that are equal to rounding"),
        ("sl.eig(a, left=True)", "with b=, left= or homogeneous_eigvals="),
        ("sl.logm(a.real - 20 * np.eye(3))", "eigenvalues on the negative real axis"),
        ("ss.erf(z)", "scipy.special.erf of complex numbers cannot be traced"),
        ("z.astype(np.complex64)", "complex64 numbers cannot be traced. Convert with .astype"),
    ],
)
def test_what_is_refused(row: str, message: str) -> None:
    with pytest.raises(odead.TracingError, match=message) as caught:
        odead.jvp(function(row), (A, Z), (A, Z))
    assert re.search(r"in f: ", str(caught.value))


def test_eigenvalues_are_real_or_complex_as_numpys() -> None:
    """The kind is a branch of the recording; where two eigenvalues meet there is no derivative."""
    compiled = odead.compile(lambda p: abs(np.roots(p)).max(), np.array([1.0, 0.0, 1.0]))
    for p in ([1.0, 0.5, 1.0], [1.0, 3.0, 1.0], [2.0, 1.0, 5.0], [1.0, -4.0, 1.0]):
        np.testing.assert_allclose(compiled.primal(np.array(p)), abs(np.roots(p)).max(), rtol=1e-14)
        a, b, c = p
        root = np.sqrt(abs(b * b - 4 * a * c))
        if b * b < 4 * a * c:  # |z|^2 = c / a
            exact = np.array([-c / a**2, 0, 1 / a]) / (2 * np.sqrt(c / a))
        else:
            z = (abs(b) + root) / (2 * a)
            exact = np.array([z * z, -np.sign(b) * z, 1.0]) / -(2 * a * z - abs(b))
        np.testing.assert_allclose(compiled.jac((np.array(p),)), exact, atol=1e-14)
    with pytest.raises(odead.TracingError, match="eigenvalues that are equal to rounding"):
        compiled.primal(np.array([1.0, 2.0, 1.0]))
    single = odead.jvp(np.linalg.eigvals, (np.diag([1, 2]).astype(np.float32),), (np.eye(2, dtype=np.float32),))
    for found, exact in zip(single, ([1, 2], [1, 1]), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, exact)
    with pytest.raises(odead.TracingError, match="float32 matrix are complex64"):
        odead.gradient(lambda a: np.linalg.eigvals(a).real.sum(), np.array([[0, 1], [-1, 0]], np.float32))


def test_second_derivatives_of_eigenvectors() -> None:
    """By differences of gradients; the Hessian is symmetric although the vectors' phases are fixed by a convention."""

    def f(a: np.ndarray) -> Any:
        w, v = np.linalg.eig(a)
        return (abs(w) ** 3).sum() + (abs(v[0]) ** 2 * [1, 2, 3]).sum() + (v * v).imag[1, 0]

    a, h = A.real - 2 * A.imag, 1e-6
    assert np.linalg.eigvals(a).dtype == complex
    hessian = odead.hessian(f, a).reshape(9, 9)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12 * abs(hessian).max())
    steps = h * np.eye(9).reshape(9, 3, 3)
    rows = [(odead.gradient(f, a + e) - odead.gradient(f, a - e)).ravel() / (2 * h) for e in steps]
    np.testing.assert_allclose(hessian, rows, atol=1e-7 * abs(hessian).max())


def test_a_pivot_that_vanishes_at_another_call() -> None:
    compiled = odead.compile(np.linalg.det, A)
    compiled.primal(A)
    with pytest.raises(odead.TracingError, match="singular complex matrix"):
        compiled.primal(np.zeros((3, 3), complex))


def test_single_precision_is_refused() -> None:
    single = Z.astype(np.complex64)
    for call in (
        lambda: odead.gradient(lambda z: abs(z).sum(), single),
        lambda: odead.autodiff(lambda z: abs(z).sum(), odead.Active, odead.Duplicated(single, single * 0)),
        lambda: odead.jacobian(lambda x: x * single, np.ones(3)),
        lambda: odead.compile(np.abs, single).primal(single),
    ):
        with pytest.raises(odead.OdeadError, match=r"complex64.*[Cc]onvert"):
            call()
