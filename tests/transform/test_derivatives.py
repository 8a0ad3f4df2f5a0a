"""Forward and reverse mode by the one law, on random programs, against the complex step."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from helpers import ALL_OPS, smooth_programs
from odead.execute import reference
from odead.tape import Program, Role, verify
from odead.transform.forward import forward
from odead.transform.reverse import reverse

WIDTHS = (None, 1, 3)


def float_arguments(program: Program) -> list[int]:
    return [k for k, b in enumerate(program.arguments) if program.buffers[b].dtype == "float64"]


def float_results(program: Program) -> list[int]:
    return [k for k, b in enumerate(program.results) if program.buffers[b].dtype == "float64"]


def random(rng: np.random.Generator, arrays: Sequence[np.ndarray], width: int | None) -> list[np.ndarray]:
    lanes = () if width is None else (width,)
    return [rng.uniform(-1, 1, (*lanes, *np.shape(a))) for a in arrays]


def lane(arrays: Sequence[np.ndarray], k: int, width: int | None) -> list[np.ndarray]:
    return [a if width is None else a[k] for a in arrays]


@st.composite
def cases(draw):
    program, arrays = draw(smooth_programs())
    floats = float_arguments(program)
    active = draw(st.lists(st.sampled_from(floats), unique=True)) if floats else []
    return program, arrays, sorted(active), draw(st.sampled_from(WIDTHS)), np.random.default_rng(draw(st.integers(0, 1000)))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_forward_is_jacobian_times_tangent(case):
    program, arrays, active, width, rng = case
    n, results = len(program.arguments), float_results(program)
    derived = forward(program, active, width)
    verify(derived)
    tangents = random(rng, [arrays[k] for k in active], width)
    bound = [*copies(arrays[:n]), *copies(tangents), *copies(arrays[n:]), *random(rng, [arrays[n + k] for k in results], width)]
    assert reference.run(derived, bound) == -1
    primal = helpers.exits(program, arrays)
    exits = [*bound[:n], *bound[n + len(active) : n + len(active) + len(program.results)]]
    for expected, found in zip(primal, exits, strict=True):
        assert_array_equal(found, expected)
    shadows = [*bound[n : n + len(active)], *bound[n + len(active) + len(program.results) :]]
    for k in range(width or 1):
        _, exact = helpers.tangent(program, arrays, dict(zip(active, lane(tangents, k, width), strict=True)))
        wanted = [exact[j] for j in active] + [exact[n + j] for j in results]
        for found, expected in zip(lane(shadows, k, width), wanted, strict=True):
            assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * scale(wanted))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_reverse_is_transposed_jacobian_times_cotangent(case):
    program, arrays, active, width, rng = case
    n, results = len(program.arguments), float_results(program)
    derived = reverse(program, active, width)
    verify(derived)
    cotangents = random(rng, [arrays[k] for k in (*active, *(n + j for j in results))], width)
    bound = [*copies(arrays[:n]), *copies(cotangents), *copies(arrays[n:])]
    assert reference.run(derived, bound) == -1
    primal = helpers.exits(program, arrays)
    for expected, found in zip(primal, [*bound[:n], *bound[n + len(cotangents) :]], strict=True):
        assert_array_equal(found, expected)
    shadows = bound[n : n + len(cotangents)]
    for consumed in shadows[len(active) :]:
        assert not consumed.any()
    jacobian = helpers.jacobian(program, arrays, active)
    for k in range(width or 1):
        given_lane = lane(cotangents, k, width)
        full = dict(zip((*active, *(n + j for j in results)), given_lane, strict=True))
        exit_cotangents = helpers.flat_floats(program, [full.get(j, np.zeros(np.shape(a))) for j, a in enumerate(arrays)])
        expected = jacobian.T @ exit_cotangents
        found = np.concatenate([np.ravel(a) for a in lane(shadows, k, width)[: len(active)]]) if active else np.zeros(0)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * scale([jacobian]))


@given(cases())
@settings(max_examples=100, deadline=None)
def test_forward_over_reverse_is_symmetric_with_reverse_over_forward(case):
    program, arrays, active, _, rng = case
    n = len(program.arguments)
    if not active:
        return
    gradient = reverse(program, active)
    m = len(gradient.arguments)
    inner = [
        *copies(arrays[:n]),
        *random(rng, [np.zeros(gradient.buffers[b].shape or ()) for b in gradient.arguments[n:]], None),
    ]
    results = copies(arrays[n:])
    floats = float_arguments(gradient)
    tangents = random(rng, [inner[k] for k in floats], None)
    cotangents = random(rng, [inner[k] for k in floats], None)
    tangent_program, adjoint_program = forward(gradient, floats), reverse(gradient, floats)
    verify(tangent_program)
    verify(adjoint_program)
    forward_bound = [*copies(inner), *copies(tangents), *copies(results)]
    forward_bound += [np.zeros(np.shape(results[k])) for k in float_results(gradient)]
    reverse_bound = [
        *copies(inner),
        *copies(cotangents),
        *(np.zeros(np.shape(results[k])) for k in float_results(gradient)),
        *copies(results),
    ]
    assert reference.run(tangent_program, forward_bound) == -1
    assert reference.run(adjoint_program, reverse_bound) == -1
    image, preimage = forward_bound[m : m + len(floats)], reverse_bound[m : m + len(floats)]
    left = sum(float(np.vdot(c, i)) for c, i in zip(cotangents, image, strict=True))
    right = sum(float(np.vdot(p, t)) for p, t in zip(preimage, tangents, strict=True))
    terms = sum(float(np.abs(np.ravel(c) * np.ravel(i)).sum()) for c, i in zip(cotangents, image, strict=True))
    assert_allclose(left, right, rtol=1e-8, atol=1e-9 * (1 + terms))


@pytest.mark.parametrize("op", [op for op in ALL_OPS if op.differentiable], ids=lambda op: op.name)
@pytest.mark.parametrize("in_place", [False, True])
def test_every_row_forward_against_reverse(op, in_place):
    operands = helpers.operands(op, 5)
    program = Program(op.name)
    views = [program.bound(str(x.dtype), x.shape, Role.ARGUMENT, name) for x, name in zip(operands, "xyz", strict=False)]
    floats = [k for k, x in enumerate(operands) if x.dtype == "float64"]
    out = views[floats[-1]] if in_place else program.bound("float64", (5,), Role.ARGUMENT, "out")
    program.emit(op.name, out, tuple(views))
    arrays = [*operands] if in_place else [*operands, np.full(5, np.nan)]
    active = float_arguments(program)
    rng = np.random.default_rng(1)
    tangents, cotangents = random(rng, [arrays[k] for k in active], None), random(rng, [arrays[k] for k in active], None)
    forward_bound = copies([*arrays, *tangents])
    reverse_bound = copies([*arrays, *cotangents])
    reference.run(forward(program, active), forward_bound)
    reference.run(reverse(program, active), reverse_bound)
    n = len(arrays)
    left = sum(np.vdot(c, t) for c, t in zip(cotangents, forward_bound[n:], strict=True))
    right = sum(np.vdot(c, t) for c, t in zip(reverse_bound[n:], tangents, strict=True))
    assert_allclose(left, right, rtol=1e-12)


def scale(arrays: Sequence[np.ndarray]) -> float:
    return 1.0 + max((float(np.abs(a).max()) for a in arrays if np.size(a)), default=0.0)


def copies(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.array(a) for a in arrays]
