"""What is done in C with the sensitivities that a loop has written, against NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from odead._results import chain_rule, columns_in, copy_of_columns

TIMES, STATES, WIDTH = 7, 3, 5


def written():
    """Rows as a loop writes them, and the same as an array of shape (m, n, W)."""
    rows = np.random.default_rng(0).normal(size=(TIMES, (1 + WIDTH) * STATES))
    return rows, rows[:, STATES:].reshape(TIMES, WIDTH, STATES).transpose(0, 2, 1)


def test_columns_in_rows():
    rows, expected = written()
    found = columns_in(rows, STATES)
    assert_array_equal(found, expected, strict=True)
    assert found.base is rows
    found[2, 1, 4] = 77.0
    assert (rows == 77.0).sum() == 1
    assert columns_in(rows[:, :STATES].copy(), STATES).shape == (TIMES, STATES, 0)


@pytest.mark.parametrize(("first", "stop"), [(0, 5), (0, 2), (3, 5), (2, 2)])
def test_copies_of_columns(first, stop):
    rows, expected = written()
    for given in (columns_in(rows, STATES), np.asfortranarray(expected)):
        found = copy_of_columns(given, first, stop)
        assert_array_equal(found, expected[:, :, first:stop], strict=True)
        assert found.flags.c_contiguous
        assert not np.shares_memory(found, given)


@pytest.mark.parametrize("order", ["C", "F"])
def test_chain_rule(order):
    rows, derivatives = written()
    cotangents = np.asarray(np.random.default_rng(1).normal(size=(STATES, TIMES)), order=order)
    found = chain_rule(cotangents, columns_in(rows, STATES))
    assert_allclose(found, np.einsum("nm,mnw->w", cotangents, derivatives), rtol=1e-12)
    assert_array_equal(chain_rule(cotangents, np.ascontiguousarray(derivatives)), found)  # to the bit, however it lies
    assert_array_equal(chain_rule(np.zeros((STATES, 0)), np.zeros((0, STATES, WIDTH))), np.zeros(WIDTH))


def test_what_does_not_fit_is_refused():
    rows, derivatives = written()
    with pytest.raises(ValueError, match="do not fit"):
        chain_rule(np.zeros((STATES, TIMES + 1)), derivatives)
    with pytest.raises(ValueError, match="none from 2 to 6"):
        copy_of_columns(derivatives, 2, 6)
    with pytest.raises(ValueError, match="expected"):
        copy_of_columns(rows, 0, 1)
    with pytest.raises(ValueError, match="contiguous"):
        columns_in(rows[::2], STATES)
