"""Every structured operation, in both modes and twice, against finite differences of the oracle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from odead.execute import reference
from odead.tape import Program, verify
from odead.transform.forward import forward
from odead.transform.passes import optimise
from odead.transform.reverse import reverse
from structured import CASES, LAYOUTS, Case, program_of

ACTIVE = [case for case in CASES if case.is_active]
LAYOUT_OF = {case: list(LAYOUTS)[k % len(LAYOUTS)] for k, case in enumerate(ACTIVE)}  # all layouts occur, not all pairs


def run(program: Program, arrays: list[np.ndarray]) -> list[np.ndarray]:
    verify(program)
    bound = [np.array(x) for x in arrays]
    assert reference.run(program, bound) == -1
    return bound


def directions(rng: np.random.Generator, arrays: list[np.ndarray], width: int | None) -> list[np.ndarray]:
    return [rng.standard_normal(x.shape if width is None else (width, *x.shape)) for x in arrays]


def dot(xs: list[np.ndarray], ys: list[np.ndarray]) -> float:
    return float(sum(np.vdot(x, y) for x, y in zip(xs, ys, strict=True)))


@pytest.mark.parametrize("case", ACTIVE, ids=str)
@pytest.mark.parametrize("width", [None, 3])
def test_tangent_is_the_difference_quotient(case: Case, width: int | None) -> None:
    rng = np.random.default_rng(1)
    program, arrays = program_of(case, LAYOUT_OF[case])
    n = len(arrays)
    tangents = directions(rng, arrays, width)
    found = run(forward(program, range(n), width), [*arrays, *tangents])[n:]
    for lane in range(width or 1):
        seeds = tangents if width is None else [x[lane] for x in tangents]
        expected = helpers.finite_difference(program, arrays, dict(enumerate(seeds)))
        for a, b in zip(found, expected, strict=True):
            assert_allclose(a if width is None else a[lane], b, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("case", ACTIVE, ids=str)
@pytest.mark.parametrize("width", [None, 2])
def test_adjoint_is_the_transposed_tangent(case: Case, width: int | None) -> None:
    """For all operands active, and for each alone."""
    rng = np.random.default_rng(2)
    program, arrays = program_of(case, LAYOUT_OF[case], seed=1)
    n = len(arrays)
    for active in [[*range(n)], *([k, n - 1] for k in range(n - 1) if n > 2)]:
        chosen = [arrays[k] for k in active]
        tangents, cotangents = directions(rng, chosen, None), directions(rng, chosen, width)
        images = run(forward(program, active), [*arrays, *tangents])[n:]
        preimages = run(reverse(program, active, width), [*arrays, *cotangents])[n:]
        for lane in range(width or 1):
            given, back = ([x if width is None else x[lane] for x in xs] for xs in (cotangents, preimages))
            assert_allclose(dot(back, tangents), dot(given, images), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("case", ACTIVE, ids=str)
def test_derivatives_of_derivatives(case: Case) -> None:
    """Forward over reverse against the difference quotient, reverse over reverse against it."""
    if case.label == "singular":
        pytest.skip("cofactors of a singular matrix have a derivative that is not implemented")
    rng = np.random.default_rng(3)
    program, arrays = program_of(case, seed=2)
    gradient = optimise(reverse(program, range(len(arrays))))
    inner = [*arrays, *directions(rng, arrays, None)]
    n = len(inner)
    tangents, cotangents = directions(rng, inner, None), directions(rng, inner, None)
    images = run(forward(gradient, range(n)), [*inner, *tangents])[n:]
    expected = helpers.finite_difference(gradient, inner, dict(enumerate(tangents)))
    for a, b in zip(images, expected, strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    preimages = run(reverse(gradient, range(n)), [*inner, *cotangents])[n:]
    assert_allclose(dot(preimages, tangents), dot(cotangents, images), rtol=1e-7, atol=1e-8)
