import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.sparse import csr_array

from odead.ode.rhs.jacobian import Jacobian, Pattern


def random_jacobian(seed, n=7):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.4)
    pattern = Pattern.of(csr_array(matrix))
    return matrix, Jacobian(pattern, matrix.T[matrix.T != 0])


@pytest.mark.parametrize("seed", range(5))
def test_every_form_is_the_same_matrix(seed):
    matrix, jacobian = random_jacobian(seed)
    np.testing.assert_array_equal(jacobian.dense(), matrix)
    np.testing.assert_array_equal(jacobian.sparse().toarray(), matrix)
    np.testing.assert_array_equal(jacobian.transposed(-1.0).dense(), -matrix.T)
    np.testing.assert_array_equal(jacobian.block_diagonal(3).dense(), block_diag(matrix, matrix, matrix))
    lower, upper = jacobian.pattern.lower, jacobian.pattern.upper
    banded = jacobian.banded(lower, upper)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        assert banded[upper + i - j, j] == matrix[i, j]


@pytest.mark.parametrize("seed", range(3))
def test_block_arrow(seed):
    matrix, jacobian = random_jacobian(seed)
    below = np.random.default_rng(seed).normal(size=(2, jacobian.values.size))
    expected = block_diag(matrix, matrix, matrix)
    for k in range(2):
        expected[7 * (k + 1) : 7 * (k + 2), :7] = Jacobian(jacobian.pattern, below[k]).dense()
    arrow = jacobian.block_arrow(below)
    np.testing.assert_array_equal(arrow.dense(), expected)
    assert arrow.sparse().has_sorted_indices


def test_union_covers_both():
    a, b = random_jacobian(0)[1].pattern, random_jacobian(1)[1].pattern
    np.testing.assert_array_equal(a.union(b).matrix().toarray(), a.matrix().toarray() | b.matrix().toarray())
