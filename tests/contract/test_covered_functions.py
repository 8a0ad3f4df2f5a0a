"""Every function that the contract names, in every type it can have: against differences, and refused in a sentence else."""

from typing import Final

import numpy as np
import pytest
from scipy import linalg, sparse, special

import odead

DRAW: Final = np.random.default_rng(2)
A = DRAW.normal(size=(3, 3))
S = A @ A.T + 3 * np.eye(3)
B = 1j * DRAW.normal(size=(3, 3))
X = DRAW.uniform(0.3, 0.8, 3)
BANDS = np.array([[0.0, 0.2, 0.3], [3.0, 3.4, 3.2], [0.4, 0.1, 0.0]])
SPARSE = sparse.csr_array(np.where(np.abs(A) > 0.5, A, 0.0))
STACK = np.array([A, np.outer(X, X), np.zeros((3, 3))])  # regular, of rank 1, of rank 0

LINALG: Final = {  # np.linalg and scipy.linalg of section 4; s is symmetric, a is not
    "np.solve": lambda a, s, x: np.linalg.solve(s, x),
    "np.inv": lambda a, s, x: np.linalg.inv(s),
    "np.det": lambda a, s, x: np.linalg.det(a),
    "np.slogdet": lambda a, s, x: np.linalg.slogdet(s)[1],
    "np.norm": lambda a, s, x: np.linalg.norm(a) + np.linalg.norm(x, 1) + np.linalg.norm(a, 2),
    "np.cholesky": lambda a, s, x: np.linalg.cholesky(s),
    "np.eigvalsh": lambda a, s, x: np.linalg.eigvalsh(s),
    "np.qr": lambda a, s, x: np.linalg.qr(a)[1],
    "np.svd": lambda a, s, x: np.linalg.svd(a, compute_uv=False),
    "np.pinv": lambda a, s, x: np.linalg.pinv(a),
    "scipy.solve": lambda a, s, x: linalg.solve(s, x),
    "scipy.solve_banded": lambda a, s, x: linalg.solve_banded((1, 1), BANDS * x[0], x),
    "scipy.cho_solve": lambda a, s, x: linalg.cho_solve(linalg.cho_factor(s), x),
    "scipy.expm": lambda a, s, x: linalg.expm(a),
    "scipy.sparse": lambda a, s, x: SPARSE @ x,
    "np.eigh": lambda a, s, x: np.linalg.eigh(s)[0],
    "np.eigenvectors": lambda a, s, x: np.linalg.eigh(s)[1] ** 2 * np.array([1, 2, 4], s.real.dtype),
    "np.lstsq": lambda a, s, x: np.linalg.lstsq(a, x, rcond=None)[0],
    "np.cond": lambda a, s, x: np.linalg.cond(a),
    "scipy.lu": lambda a, s, x: linalg.lu_solve(linalg.lu_factor(a), x),
    "scipy.sqrtm": lambda a, s, x: linalg.sqrtm(s),
    "scipy.logm": lambda a, s, x: linalg.logm(s),
    "scipy.sylvester": lambda a, s, x: linalg.solve_sylvester(s, s, a),
}
REAL: Final = {
    "np.singular vectors": lambda a, s, x: np.linalg.svd(a)[0] ** 2,
    "generalised": lambda a, s, x: linalg.eigh(s, a @ a.T + np.eye(3, dtype=a.dtype))[1] ** 2,
    "np.eigvals": lambda a, s, x: np.linalg.eigvals(s),
    "scipy.cosm": lambda a, s, x: linalg.cosm(a),
    "scipy.signm": lambda a, s, x: linalg.signm(a),
    "scipy.power": lambda a, s, x: linalg.fractional_matrix_power(s, 0.3),
}
SPECIAL: Final = ("erf", "gamma", "gammaln", "digamma", "expit", "logit", "logsumexp", "j0", "j1")
TYPES: Final = {"float32": 3e-3, "float64": 1e-6, "complex128": 1e-6}


def of_one_number(function, dtype):
    """As a real function of the eight numbers that the matrix and the vector are made of; float32 is one inside."""

    def f(p):
        kind = np.float32 if dtype == "float32" else float
        shift = (np.outer(p[:3], p[3:6]) + np.outer(p[3:6], p[:3])).astype(kind)
        a, s, x = A.astype(kind) + shift, S.astype(kind) + shift, (X + p[5:8]).astype(kind)
        if dtype == "complex128":
            hermitian = B - B.T
            a, s, x = a + B * p[6], s + 0.1 * hermitian * p[7], x + 0.2j * p[:3]
        value = np.asarray(function(a, s, x))
        return (abs(value) ** 2).sum().astype(float) + value.real.sum().astype(float)

    return f


def differences(f, p, h):
    return np.array([(f(p + e) - f(p - e)) / (2 * h) for e in h * np.eye(len(p))])


P = DRAW.uniform(0.1, 0.3, 8)


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate")  # SciPy's, in single precision
@pytest.mark.parametrize(("name", "dtype"), [
    *((name, dtype) for name in LINALG for dtype in TYPES),
    *((name, dtype) for name in REAL for dtype in ("float32", "float64")),
])  # fmt: skip
def test_linear_algebra(name, dtype):
    function = {**LINALG, **REAL}[name]
    f = of_one_number(function, dtype)
    truth = differences(of_one_number(function, "float64" if dtype == "float32" else dtype), P, 1e-5)
    scale = np.abs(truth).max()
    for mode in (odead.Forward, odead.Reverse):
        np.testing.assert_allclose(odead.gradient(f, P, mode=mode), truth, rtol=0, atol=TYPES[dtype] * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name, dtype):
    function = getattr(special, name)
    x = X.astype(dtype)
    tolerance = 1e-3 if dtype == "float32" else 1e-7
    truth = differences(lambda x: np.sum(function(x)), X, 1e-5)
    for mode in (odead.Forward, odead.Reverse):
        found = odead.gradient(lambda x: np.sum(function(x)), x, mode=mode)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, truth, rtol=tolerance)


def test_the_determinant_of_singular_matrices_among_others():
    truth = [differences(lambda v: np.linalg.det(v.reshape(3, 3)), a.ravel(), 1e-4).reshape(3, 3) for a in STACK]
    found = odead.jacobian(np.linalg.det, STACK)
    for k in range(3):
        np.testing.assert_allclose(found[k, k], truth[k], atol=1e-7)
    np.testing.assert_allclose(odead.vjp(np.linalg.det, STACK)[1](np.ones(3))[0], truth, atol=1e-7)


REFUSED: Final = {
    "complex svd": (lambda p: np.linalg.svd(A + B * p[0])[0], "the singular vectors of a complex matrix"),
    "schur": (lambda p: linalg.schur(A * p[0])[0], r"scipy\.linalg\.schur cannot be traced: the order"),
    "mathieu_a": (lambda p: special.mathieu_a(1, p), "mathieu_a cannot be traced.*@odead.primitive"),
    "zeta": (lambda p: special.zeta(p + 2), "its derivative in x has no closed form"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_the_function_and_the_ways_out(name):
    function, message = REFUSED[name]
    with pytest.raises(odead.TracingError, match=rf"test_covered_functions\.py:\d+ in .*{message}"):
        odead.jacobian(function, P)


KINKS: Final = {
    "abs'(0) = 0": (lambda x: abs(x[0]) + np.abs(x[1]), np.zeros(2), [0.0, 0.0]),
    "max(x, x) has 1 in total": (lambda x: max(x[0], x[1]) + np.maximum(x[2], x[2]), np.ones(3), [0.5, 0.5, 1.0]),
    "np.max shares equally": (lambda x: x.max() + np.min(x), np.ones(4), [0.5] * 4),
    "norm'(0) = 0": (lambda x: np.linalg.norm(x) + np.linalg.norm(x, 3), np.zeros(3), [0.0] * 3),
    "std'(0) = 0": (lambda x: np.std(x) + np.nanstd(x) + (x + 1j).std(), np.ones(3), [0.0] * 3),
    "x**0 has 0": (lambda x: x[0] ** 0 + x[1] ** 0.0 + np.power(x[2], 0), np.zeros(3), [0.0] * 3),
    "where never multiplies": (lambda x: np.where(x > 0, np.sqrt(x), x).sum(), np.array([0.0, 4.0]), [1.0, 0.25]),
    "masked write": (lambda x: masked(x), np.array([0.0, 4.0]), [0.0, 0.25]),
}


def masked(x):
    y = np.zeros_like(x)
    y[x > 0] = np.sqrt(x[x > 0])
    return y.sum()


@pytest.mark.parametrize("name", KINKS)
def test_conventions_at_kinks(name):
    f, x, expected = KINKS[name]
    for mode in (odead.Forward, odead.Reverse):
        np.testing.assert_allclose(odead.gradient(f, x, mode=mode), expected)
