"""Sparse Jacobians and patterns of complex functions, and of functions that are differentiated themselves."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import odead

Z = np.array([0.7 + 0.4j, -1.3 + 0.2j, -0.4 - 1.5j, 1.1 - 0.6j])
X = np.array([0.3, 0.7, 1.1, -0.4])


def chain(z: np.ndarray) -> np.ndarray:
    out = z**3
    out[1:] += z[:-1] ** 2 * z[1:]
    return out


def sizes(z: np.ndarray) -> np.ndarray:
    return np.abs(z[1:]) ** 2 * z[:-1].real


def phases(x: np.ndarray) -> np.ndarray:
    return np.exp(1j * x) * x[::-1]


def spread(z: np.ndarray) -> np.ndarray:
    """Fewer colours by rows."""
    return np.stack([(z[:3] * z[1:]).sum(), z[0]])


@pytest.mark.parametrize(("f", "x"), [(chain, Z), (chain, X), (sizes, Z), (phases, X), (spread, Z), (np.abs, Z)])
def test_sparse_jacobian(f: Any, x: np.ndarray) -> None:
    sparse = odead.jacobian(f, x, sparse=True)
    assert isinstance(sparse, scipy.sparse.csr_array)
    dense = odead.jacobian(f, x)
    assert sparse.dtype == dense.dtype
    np.testing.assert_allclose(sparse.toarray(), dense, atol=1e-15)
    pattern = odead.sparsity(f, x)
    assert pattern.dtype == bool
    assert pattern.shape == dense.shape
    np.testing.assert_array_equal(pattern.toarray(), dense != 0)
    assert sparse.nnz == pattern.nnz


def test_containers() -> None:
    def f(p: dict[str, Any]) -> Any:
        return p["z"] * p["x"]

    found = odead.jacobian(f, {"z": Z, "x": X}, sparse=True)
    np.testing.assert_allclose(found["x"].toarray(), np.diag(Z))
    np.testing.assert_allclose(found["z"].toarray(), np.diag(X))
    np.testing.assert_array_equal(odead.sparsity(f, {"z": Z, "x": X}).toarray(), np.hstack([np.eye(4), np.eye(4)]) == 1)


def test_a_function_that_is_not_holomorphic() -> None:
    with pytest.raises(TypeError, match="is not holomorphic: of returned number 0 with respect to number 3"):
        odead.jacobian(lambda z: np.conj(z[::-1]), Z, sparse=True)


@pytest.mark.parametrize("x", [X, Z])
def test_inside(x: np.ndarray) -> None:
    def applied(x: np.ndarray) -> Any:
        matrix = odead.jacobian(chain, x, sparse=True)
        return matrix @ x + x @ matrix + matrix.T @ (x * x)

    def taken_apart(x: np.ndarray) -> Any:
        matrix = odead.jacobian(lambda y: chain(y) * x, x * 2, sparse=True)
        return np.concatenate([matrix.toarray().ravel(), matrix.data, matrix.diagonal(), matrix.diagonal(-1)])

    def by_rows(x: np.ndarray) -> Any:
        return odead.jacobian(spread, x, sparse=True) @ np.outer(x, x)

    for f in (applied, taken_apart, by_rows):
        np.testing.assert_allclose(odead.jvp(f, (x,), (x,))[0], f(x), rtol=1e-13)
        odead.check_derivatives(f, x, entries=2)


def test_what_a_computed_matrix_cannot_do() -> None:
    with pytest.raises(odead.TracingError, match=r"\.tocoo of a sparse matrix that is computed inside.*\.toarray\(\)"):
        odead.jacobian(lambda x: odead.jacobian(chain, x, sparse=True).tocoo() @ x, X)


def test_entries_of_a_captured_matrix_are_read_at_each_run() -> None:
    matrix = scipy.sparse.csr_array(np.diag(X))

    def f(x: np.ndarray) -> Any:
        return matrix.toarray() @ x + matrix.diagonal() * matrix.sum() + matrix.data

    for _ in range(3):
        np.testing.assert_allclose(odead.jvp(f, (X,), (X,))[0], f(X), rtol=1e-14)
        matrix.data *= 2.0
