"""SciPy's functions and constant sparse matrices: the program holds at other values, and its derivatives are right."""
# ruff: noqa: E501  (a table of expressions)

import numpy as np
import pytest
from scipy import linalg, sparse, special

import odead

X = np.array([0.3, 1.2, 2.5, 0.7, 0.4])
S = np.array([[4.0, 0.3, -1.0], [0.5, 3.0, 0.2], [0.1, -0.7, 2.0]])
AB = np.array([[0.0, 1.0, -0.5, 0.3, 0.2], [4.0, 5.0, 6.0, 5.0, 4.0], [1.0, 0.4, -1.0, 0.5, 0.0]])

M = np.diag([1.0, 2.0, 3.0]) + 0.1
LU = linalg.lu_factor(M)
CSR = sparse.random_array((4, 5), density=0.5, rng=np.random.default_rng(0), format="csr")
CSC, COO, DIA = CSR.tocsc(), CSR.tocoo(), sparse.diags_array([np.ones(4), -2 * np.ones(5), np.ones(4)], offsets=[-1, 0, 1])
OLD = sparse.csr_matrix(CSR)

NAMES = {
    "np": np,
    "linalg": linalg,
    "special": special,
    "sparse": sparse,
    "M": M,
    "LU": LU,
    "CSR": CSR,
    "CSC": CSC,
    "COO": COO,
    "DIA": DIA,
    "OLD": OLD,
}

EXPRESSIONS = """
linalg.solve(s, x[:3]); linalg.solve(s, s @ s); linalg.solve(s, x[:3], transposed=True); linalg.solve(s @ s.T, x[:3], assume_a='pos'); linalg.solve(s, x[:3], assume_a='sym', lower=True)
linalg.inv(s); linalg.det(s); linalg.lu_solve(linalg.lu_factor(s), x[:3]); linalg.lu_solve(linalg.lu_factor(s), s, trans=1); linalg.lu_solve(LU, x[:3]); linalg.lu_solve(LU, s, 1)
linalg.lu_factor(s)[0]; linalg.lu_factor(s[::-1])[0]; linalg.solve_triangular(s, x[:3]); linalg.solve_triangular(s, s, lower=True); linalg.solve_triangular(s, x[:3], trans=1, unit_diagonal=True)
linalg.solve_banded((1, 1), ab, x); linalg.solve_banded((1, 1), ab, np.outer(x, x[:2])); linalg.solve_banded((2, 0), np.roll(ab, -1, 0), x); linalg.solve_banded((0, 2), np.roll(ab, 1, 0), x)
linalg.cholesky(s @ s.T); linalg.cholesky(s @ s.T, lower=True); linalg.cho_solve(linalg.cho_factor(s @ s.T), x[:3]); linalg.cho_solve(linalg.cho_factor(s @ s.T, lower=True), s)
linalg.eigh(s)[0]; linalg.eigh(s, lower=False)[1] ** 2; linalg.eigh(s, eigvals_only=True); linalg.eigvalsh(s); linalg.svd(s)[1]; linalg.svdvals(ab); linalg.svd(ab, full_matrices=False)[2] ** 2
linalg.qr(s)[1]; linalg.qr(ab[:, 1:].T + M[0], mode='economic')[0]; linalg.pinv(ab); linalg.norm(ab); linalg.norm(x, 1); linalg.expm(s); linalg.expm(-0.1 * ab[:, :3]); linalg.block_diag(s, x, ab); linalg.expm(M * x[0])
special.erf(x); special.erfc(x); special.gamma(x); special.gammaln(x); special.digamma(x); special.psi(x); special.polygamma(1, x); special.polygamma(2, x); special.polygamma(0, x[0])
special.expit(x); special.logit(x / 3); special.log_expit(x); special.xlogy(x, x); special.erfinv(x / 3); special.ndtr(x); special.ndtri(x / 3); special.log_ndtr(x); special.gamma(x[0]) * x
special.j0(x); special.j1(x); special.y0(x); special.y1(x); special.i0(x); special.i1(x); special.k0(x); special.k1(x); special.j0(x[1]); special.gammaln(x.astype(np.float32)).sum()
special.logsumexp(x); special.logsumexp(s, axis=0); special.logsumexp(s, axis=1, keepdims=True, b=[1.0, 2.0, 3.0]); special.softmax(x); special.softmax(s, axis=1); special.log_softmax(s, axis=0)
CSR @ x; CSC @ x; COO @ x; DIA @ x; OLD @ x; OLD * x; CSR.dot(x); CSR @ np.outer(x, x[:2]); CSR.T @ x[:4]; x[:4] @ CSR; np.outer(x, x[:4]) @ CSR; CSR.toarray() @ x; (CSR.T @ (CSR @ x)); x * CSR.shape[0]; OLD.T * x[:4]
""".strip()


def functions():
    return [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split("; ")]


@pytest.mark.parametrize("expression", functions())
def test_expression(replays, expression):
    replays(eval(f"lambda x, s, ab: {expression}", NAMES), X.copy(), S.copy(), AB.copy())


@pytest.mark.parametrize("expression", [e for e in functions() if "float32" not in e])
def test_derivatives(expression):
    f = eval(f"lambda x, s, ab: np.sum(np.sin({expression}))", NAMES)
    odead.check_derivatives(f, X.copy(), S.copy(), AB.copy())


def test_the_numbers_of_a_sparse_matrix_are_read_at_each_run():
    matrix = sparse.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]]))

    def f(x):
        return np.sum(matrix @ x)

    x = np.array([1.0, 1.0])
    assert odead.gradient(f, x).tolist() == [3.0, 3.0]
    matrix.data *= 2
    assert odead.gradient(f, x).tolist() == [6.0, 6.0]


def test_a_singular_matrix_raises_as_in_the_plain_call():
    def f(x):
        return np.sum(np.linalg.solve(np.outer(x, x) + np.diag([1.0, 0.0]), x))

    compiled = odead.compile(f, np.array([1.0, 2.0]))
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        compiled.primal(np.array([1.0, 0.0]))

    def g(x):
        try:
            return np.sum(np.linalg.cholesky(np.diag(x)))
        except np.linalg.LinAlgError:
            return 7 * x[0]

    assert odead.gradient(g, np.array([1.0, 4.0])).tolist() == [0.5, 0.25]
    assert odead.gradient(g, np.array([1.0, -4.0])).tolist() == [7.0, 0.0]


BAND, SHIFT = sparse.csr_matrix(np.eye(4) * 2 + np.eye(4, k=1)), sparse.csr_matrix(np.eye(4, k=-1))
SCALED = [
    lambda p, x: (p[0] * BAND) @ x + (BAND * p[1] - SHIFT / p[0]) @ x,
    lambda p, x: (p[0] * BAND - p[1] * SHIFT).T @ x,
    lambda p, x: (-BAND + 2 * SHIFT).dot(x) * (p[0] * BAND + SHIFT).diagonal(),
]


@pytest.mark.parametrize("f", SCALED)
def test_sparse_matrices_are_scaled_and_added(f):
    p, x = np.array([0.7, 1.3]), np.array([0.3, 1.2, 2.5, 0.8])
    np.testing.assert_allclose(odead.compile(f, p, x).primal(p, x), f(p, x), rtol=1e-14)
    odead.check_derivatives(f, p, x)


@pytest.mark.parametrize("kind", ["dia", "coo", "bsr", "lil", "dok", "csc", "csr"])
def test_every_format_of_a_sparse_matrix(kind):
    matrix = BAND.asformat(kind)
    odead.check_derivatives(lambda x: matrix @ (x * x), np.array([0.3, 1.2, 2.5, 0.8]))
