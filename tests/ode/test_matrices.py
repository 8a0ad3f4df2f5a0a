"""Matrices that are factored again and again, against NumPy."""

import numpy as np
import pytest

from odead._matrices import Band, Dense, Sparse

CASES = [
    (Dense, 1, 0, 0), (Dense, 3, 2, 2), (Dense, 4, 3, 3), (Dense, 6, 5, 5), (Dense, 20, 19, 19), (Dense, 23, 22, 22),
    (Dense, 50, 49, 49),
    (Band, 1, 0, 0), (Band, 101, 1, 1), (Band, 30, 3, 2), (Band, 50, 0, 2), (Band, 50, 2, 0), (Band, 80, 20, 9),
]  # fmt: skip


def matrix_and_entries(kind, n, lower, upper, rng):
    """A matrix of this kind and, for its entries in scrambled order, the values and the full matrix."""
    i, j = np.indices((n, n))
    full = np.where((i - j <= lower) & (j - i <= upper), rng.normal(size=(n, n)), 0.0) + 5 * np.eye(n)
    rows, columns = np.nonzero((i - j <= lower) & (j - i <= upper))
    source = rng.permutation(rows.size)
    values = np.empty(rows.size)
    values[source] = full[rows, columns]
    return kind(n, rows, columns, source), values, full


@pytest.mark.parametrize(("kind", "n", "lower", "upper"), CASES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_solves(kind, n, lower, upper, transposed, count):
    rng = np.random.default_rng(n)
    matrix, values, full = matrix_and_entries(kind, n, lower, upper, rng)
    for scale in (0.3, -2.0):  # again and again with the same storage
        system = np.eye(n) - scale * full
        expected = rng.normal(size=(count, n))
        b = expected @ (system if transposed else system.T)
        np.testing.assert_allclose(matrix.solved(values, scale, b, transposed), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [1, 3, 20, 23, 100])
@pytest.mark.parametrize("count", [2, 3, 8, 9, 18, 20])
def test_many_right_hand_sides_are_solved_as_one_by_one(n, count):
    rng = np.random.default_rng(n)
    matrix, values, _ = matrix_and_entries(Dense, n, n - 1, n - 1, rng)
    b = rng.normal(size=(count, n))
    alone = [matrix.solved(values, 0.3, row)[0] for row in b]
    np.testing.assert_array_equal(matrix.solved(values, 0.3, b), alone)


@pytest.mark.parametrize("kind", [Dense, Band])
@pytest.mark.parametrize("n", [3, 60])
def test_rows_are_exchanged(kind, n):
    """A zero on the diagonal."""
    rows, columns = np.array([0, 0, 1]), np.array([0, 1, 0])
    matrix = kind(n, rows, columns, np.arange(3))
    b = np.arange(1.0, n + 1)
    expected = b.copy()
    expected[:2] = b[1::-1]
    np.testing.assert_allclose(matrix.solved([1.0, -1.0, -1.0], 1.0, b)[0][1:], np.append(b[0], b[2:]) if n > 2 else b[0])


@pytest.mark.parametrize(("kind", "n"), [(Dense, 3), (Dense, 50), (Band, 50)])
def test_singular(kind, n):
    matrix = kind(n, np.arange(n), np.arange(n), np.arange(n))
    assert matrix.solved(np.ones(n), 1.0, np.ones(n)) is None
    np.testing.assert_allclose(matrix.solved(np.ones(n), 0.5, np.ones(n)), 2 * np.ones((1, n)))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 100, 257])
@pytest.mark.parametrize("diagonal", [5.0, 0.3])
@pytest.mark.parametrize("transposed", [False, True])
def test_tridiagonal_systems(n, diagonal, transposed):
    """By cyclic reduction, and with a diagonal that needs row exchanges."""
    rng = np.random.default_rng(n)
    full = np.diag(rng.normal(size=n - 1), 1) + np.diag(rng.normal(size=n - 1), -1) + diagonal * np.eye(n)
    rows, columns = np.nonzero(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1)
    matrix = Band(n, rows, columns, np.arange(rows.size))
    system = np.eye(n) + 0.7 * full
    expected = rng.normal(size=(3, n))
    found = matrix.solved(full[rows, columns], -0.7, expected @ (system if transposed else system.T), transposed)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
def test_tridiagonal_systems_again(transposed):
    """What one matrix leaves behind, be it infinite, does not show in the next."""
    n = 13
    rows, columns = np.nonzero(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1)
    matrix = Band(n, rows, columns, np.arange(rows.size))
    rng = np.random.default_rng(0)
    for large in (1.0, np.inf, 1.0, 1e300, 1.0):
        full = rng.normal(size=(n, n)) - 5 * np.eye(n)
        system = np.where(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1, np.eye(n) - full, 0.0)
        expected = rng.normal(size=(2, n))
        b = large * (expected @ (system if transposed else system.T))
        found = matrix.solved(full[rows, columns], 1.0, b, transposed)
        if large == 1:
            np.testing.assert_allclose(found, expected, rtol=1e-10)
        if large == 1e300:  # a matrix that is given up, with the values of the others in its place
            assert matrix.solved(np.full(rows.size, np.nan), 1.0, b, transposed) is None


def test_wrong_size():
    with pytest.raises(ValueError, match="3 numbers"):
        Dense(3, [0], [0], [0]).solved([1.0], 1.0, np.ones(4))


# ---------------------------------------------------------------------------------------------------------------- sparse


def grid(n, rng, diagonal=4.0):
    """Entries of a matrix on a periodic n x n grid, every cell with its four neighbours."""
    cells = np.arange(n * n).reshape(n, n)
    pairs = [(cells.ravel(), np.roll(cells, shift, axis).ravel()) for shift in (1, -1) for axis in (0, 1)]
    rows = np.concatenate([cells.ravel(), *(pair[0] for pair in pairs)])
    columns = np.concatenate([cells.ravel(), *(pair[1] for pair in pairs)])
    values = np.append(np.full(n * n, diagonal), rng.normal(size=4 * n * n))
    return rows, columns, values


@pytest.mark.parametrize("diagonal", [4.0, 0.0, 1 / 0.7])
@pytest.mark.parametrize("transposed", [False, True])
def test_sparse_systems(diagonal, transposed):
    """With a large diagonal, without one in J, and with one that cancels, so that rows have to be exchanged."""
    rng = np.random.default_rng(0)
    rows, columns, values = grid(8, rng, diagonal)
    keep = values != 0
    rows, columns, values = rows[keep], columns[keep], values[keep]
    matrix = Sparse(64, rows, columns, np.arange(rows.size), Sparse.ordering(64, rows, columns))
    full = np.zeros((64, 64))
    full[rows, columns] = values
    for scale in (0.7, 0.1, 0.7):
        system = np.eye(64) - scale * full
        expected = rng.normal(size=(3, 64))
        b = expected @ (system if transposed else system.T)
        np.testing.assert_allclose(matrix.solved(values, scale, b, transposed), expected, rtol=1e-6, atol=1e-8)


def test_elimination_fills_in_little():
    rows, columns, _ = grid(20, np.random.default_rng(0))
    matrix = Sparse(400, rows, columns, np.arange(rows.size), Sparse.ordering(400, rows, columns))
    assert matrix.work_to_factor < 400**3 / 3 / 50


def test_a_singular_sparse_matrix():
    matrix = Sparse(70, np.arange(70), np.arange(70), np.arange(70), np.arange(70))
    assert matrix.solved(np.ones(70), 1.0, np.ones(70)) is None
    np.testing.assert_allclose(matrix.solved(np.ones(70), 0.5, np.ones(70)), 2 * np.ones((1, 70)))
