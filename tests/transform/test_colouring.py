"""Colourings are valid, few, and undo the compression."""

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, diags_array, eye_array, kron, random_array, vstack

from odead.transform.colouring import Colouring, bandwidths, colour


@st.composite
def patterns(draw: st.DrawFn) -> csr_array:
    m, n = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    density, seed = draw(st.floats(0, 0.6)), draw(st.integers(0, 2**16))
    return csr_array(np.random.default_rng(seed).random((m, n)) < density)


def band(n: int, lower: int, upper: int) -> csr_array:
    offsets = list(range(-lower, upper + 1))
    return csr_array(diags_array([np.ones(n)] * len(offsets), offsets=offsets, shape=(n, n)), dtype=bool)


def five_point(k: int) -> csr_array:
    line = diags_array([1.0, 1.0], offsets=[-1, 1], shape=(k, k))
    return csr_array(kron(line, eye_array(k)) + kron(eye_array(k), line) + eye_array(k * k), dtype=bool)


def decompressed(plan: Colouring, compressed: np.ndarray) -> csr_array:
    parts = plan.entries(compressed), plan.pattern.indices, plan.pattern.indptr
    return csr_array(parts, shape=plan.pattern.shape)


@given(patterns())
@settings(max_examples=200, deadline=None)
def test_columns_of_one_colour_share_no_row(pattern: csr_array) -> None:
    colours = colour(pattern)
    assert colours.shape == (pattern.shape[1],)
    assert set(colours) == set(range(colours.max(initial=-1) + 1))
    for c in set(colours):
        assert (pattern.toarray()[:, colours == c].sum(axis=1) <= 1).all()


@given(patterns())
@settings(max_examples=200, deadline=None)
def test_decompression_undoes_compression(pattern: csr_array) -> None:
    matrix = np.random.default_rng(0).standard_normal(pattern.shape) * pattern.toarray()
    plan = Colouring.of(pattern)
    compressed = plan.seeds() @ (matrix.T if plan.columns else matrix)
    np.testing.assert_array_equal(decompressed(plan, compressed).toarray(), matrix)
    assert plan.count <= min(pattern.shape)


@pytest.mark.parametrize(("lower", "upper"), [(0, 0), (1, 1), (2, 0), (0, 3), (2, 1)])
def test_banded_matrices_need_as_many_colours_as_diagonals(lower: int, upper: int) -> None:
    for n in (5, 6, 50):
        assert Colouring.of(band(n, lower, upper)).count == lower + upper + 1
        assert bandwidths(band(n, lower, upper)) == (lower, upper)


def test_periodic_and_arrow_shaped_matrices() -> None:
    n = 60
    corners = csr_array(([True, True], ([0, n - 1], [n - 1, 0])), shape=(n, n))
    assert Colouring.of(csr_array(band(n, 1, 1) + corners)).count == 3
    assert bandwidths(csr_array(band(n, 1, 1) + corners)) == (n - 1, n - 1)
    full_row = csr_array((np.ones(n, bool), (np.zeros(n, int), np.arange(n))), shape=(n, n))
    arrow = csr_array(full_row + eye_array(n, dtype=bool))
    plan = Colouring.of(arrow)
    assert (plan.columns, plan.count) == (False, 2)
    plan = Colouring.of(csr_array(arrow.T))
    assert (plan.columns, plan.count) == (True, 2)


def test_columns_at_a_tie() -> None:
    assert Colouring.of(band(9, 1, 1)).columns
    assert Colouring.of(csr_array(np.ones((4, 4), bool))).columns


def test_a_grid_needs_few_colours() -> None:
    assert Colouring.of(five_point(30)).count <= 7  # 5 is the least


def test_empty_patterns() -> None:
    assert Colouring.of(csr_array((0, 3), dtype=bool)).entries(np.zeros((1, 0))).shape == (0,)
    assert Colouring.of(csr_array((3, 0), dtype=bool)).count == 0
    assert bandwidths(csr_array((3, 3), dtype=bool)) == (0, 0)


def test_quick() -> None:
    grid, wide = five_point(150), csr_array(vstack([random_array((2000, 20_000), density=1e-3, rng=0), np.ones((1, 20_000))]))
    for pattern in (band(200_000, 1, 1), grid, wide):
        start = perf_counter()
        Colouring.of(pattern)
        assert perf_counter() - start < 3.0  # 0.1 s here
