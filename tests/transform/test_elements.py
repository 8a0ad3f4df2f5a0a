"""The derivatives element by element are those of the lanes, whatever the program."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import helpers
import odead
from helpers import smooth_programs
from odead.execute import reference
from odead.ode.problem.problem import make_problem
from odead.ops import TABLE
from odead.tape import Program, Role, verify
from odead.transform import elements
from odead.transform.elements import columns_by_elements, forward_by_elements
from odead.transform.forward import forward


def compare(program: Program, arrays: list[np.ndarray], active: list[int]) -> bool:
    """Whether there is such a program; then it is compared, with a lane for each element."""
    n, sizes = len(program.arguments), [np.size(arrays[k]) for k in active]
    lanes, count = {}, 0
    for number, size in enumerate(sizes[1:], 1):
        lanes |= {(number, place): count + place for place in range(size)}
        count += size
    places = np.arange(count * sizes[0])
    derived = None if count < 2 else forward_by_elements(program, active, count, lanes, places)
    if derived is None:
        return False
    verify(derived)
    seeds = [np.zeros((count, *np.shape(arrays[k]))) for k in active]
    for (which, place), lane in lanes.items():
        seeds[which].reshape(count, -1)[lane, place] = 1.0
    expected = exits(forward(program, active, count), arrays, n, seeds)
    found = exits(derived, arrays, n, [np.full_like(seeds[0], 77.0), *[np.full_like(s, np.nan) for s in seeds[1:]]])
    for one, other in zip(found[:n], expected[:n], strict=True):
        assert_array_equal(one, other)
    scale = 1.0 + np.abs(expected[n][np.isfinite(expected[n])]).max(initial=0.0)
    assert_allclose(found[n], expected[n], rtol=1e-11, atol=1e-13 * scale)
    return True


def compare_columns(program: Program, arrays: list[np.ndarray], active: list[int], *, by_p: bool) -> bool:
    """As `compare`, with three columns that move along x alone behind those of the elements of p."""
    n, (_, of_x, *of_p) = len(program.arguments), [np.size(arrays[k]) for k in active]
    along = sum(of_p) * by_p
    width = along + 3
    derived = columns_by_elements(program, active, width, by_p=by_p)
    if derived is None:
        return False
    verify(derived)
    seeds = [np.zeros((width, *np.shape(arrays[k]))) for k in active]
    seeds[1] += np.random.default_rng(0).normal(size=(width, of_x)).reshape(seeds[1].shape)
    for seed in seeds[2:]:
        seed.reshape(width, -1)[:along] = np.eye(along, sum(of_p))
    expected = exits(forward(program, active, width), arrays, n, seeds)
    found = exits(derived, arrays, n, [np.full_like(seeds[0], 77.0), seeds[1], *[np.full_like(s, np.nan) for s in seeds[2:]]])
    for one, other in zip(found[:n], expected[:n], strict=True):
        assert_array_equal(one, other)
    scale = 1.0 + np.abs(expected[n][np.isfinite(expected[n])]).max(initial=0.0)
    assert_allclose(found[n], expected[n], rtol=1e-10, atol=1e-12 * scale)
    return True


def exits(program: Program, arrays: list[np.ndarray], n: int, shadows: list[np.ndarray]) -> list[np.ndarray]:
    bound = [np.array(a) for a in [*arrays[:n], *shadows, *arrays[n:]]]
    bound += [np.zeros(program.buffers[b].shape or ()) for b in program.results[len(arrays) - n :]]
    assert reference.run(program, bound) == -1
    return bound


@given(smooth_programs(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_program(drawn, random):
    program, arrays = drawn
    floats = [k for k, b in enumerate(program.arguments) if program.buffers[b].dtype == "float64"]
    random.shuffle(floats)
    assume(len(floats) > 1)
    compare(program, arrays, floats)
    compare_columns(program, arrays, floats[:3], by_p=len(floats) > 2)


@pytest.mark.parametrize("op", [op for op in TABLE.values() if op.differentiable and "f" in op.kinds], ids=lambda op: op.name)
@pytest.mark.parametrize("in_place", [False, True])
def test_every_row(op, in_place, monkeypatch):
    monkeypatch.setattr(elements, "MOST_IN_PLACE_OF_ONE", 1000)
    operands = helpers.operands(op, 3)
    program = Program(op.name)
    result = program.bound("float64", (3,), Role.ARGUMENT, "dx")
    views = [program.bound(str(x.dtype), x.shape, Role.ARGUMENT, name) for x, name in zip(operands, "xyz", strict=False)]
    floats = [1 + k for k, x in enumerate(operands) if x.dtype == "float64"]
    out = views[floats[-1] - 1] if in_place else program.temp("float64", (3,))
    program.emit(op.name, out, tuple(views))
    program.emit("mul", result, (out, views[floats[0] - 1]))
    assert compare(program, [np.full(3, np.nan), *operands], [0, *floats]) == (op.name != "cast")
    for by_p in [False, True][: len(floats)]:
        found = compare_columns(program, [np.full(3, np.nan), *operands], [0, *floats[:2]], by_p=by_p)
        assert found == (op.name != "cast")


def goes_by_elements(rhs, x):
    problem = make_problem(rhs, np.array(x), None, (0.3, 1.0), None)
    found = problem.rhs.linearisations
    return found._by_elements(problem.rhs._value.variant.primal, found._current()) is not None


def test_large_or_structured_ones_stay_in_lanes():
    def product(dx, x, p, t):
        dx[:] = np.array([[1.0, 2.0], [3.0, 4.0]]) @ np.sin(x)

    def pairs(dx, x, p, t):
        for i in range(24):
            dx[i] = 0.0
            for j in range(24):
                dx[i] += np.sin(x[j] - x[i])

    def few(dx, x, p, t):
        dx[0] = x[1] * np.sin(t)
        dx[1] = -x[0] * x[1]

    assert not goes_by_elements(product, [0.1, 0.2])
    assert not goes_by_elements(pairs, np.linspace(0, 1, 24))
    assert goes_by_elements(few, [0.1, 0.2])


def test_columns_of_arrays_stay_in_lanes():
    def products(dx, x, p, t):
        dx[:] = p[0] * x + p[1] * np.sin(x)

    def few(dx, x, p, t):
        dx[0] = p[0] * x[1]
        dx[1] = -p[1] * np.sin(x[0])

    for rhs, n, by_elements in ((products, 40, False), (few, 2, True)):
        found = make_problem(rhs, np.ones(n), np.ones(2), (0.0, 1.0), None).rhs
        read = {view.buffer for ins in found.column_kernel(2, by_p=True).program.ins for view in ins}
        assert (found.column_kernel(2, by_p=True).program.arguments[-1] not in read) == by_elements


@pytest.mark.parametrize("wrt", ["p", "x0", ("p", "x0"), ("p", "x0", "t0")])
def test_columns_of_each_kind(wrt):
    """By elements in the loop, in lanes where SciPy steps."""

    def rhs(dx, x, p, t):
        dx[0] = p[0] * x[0] - p[1] * x[0] * x[1] + np.sin(p[2] * t)
        dx[1] = x[0] * x[1] - np.abs(x[1]) * p[2]
        dx[2] = 1.0

    given = (rhs, np.array([1.0, 0.5, 0.0]), np.array([1.5, 1.0, 3.0]), (0.0, 3.0))
    options = {"t_eval": np.linspace(0, 3, 7), "rtol": 1e-9, "atol": 1e-11, "wrt": wrt, "mode": "forward"}
    options["loss"] = lambda y: (y**2).sum()
    found, expected = (odead.sensitivity(*given, engine=engine, method="RK45", **options) for engine in ("native", "scipy"))
    for name in ("y", "sens", "sens_x0", "grad", "grad_x0", "grad_t0"):
        if expected[name] is not None:
            assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", ["Rodas5P", "BDF", "Kvaerno5"])
def test_solves_and_sensitivities(method):
    """Explicit time, a branch with other entries on each side, single elements written again and again."""

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * x[0] + np.sin(p[1] * t)
        dx[1] = 0.0
        dx[2] = p[2] * x[1] ** 2
        if x[0] > 0.4:
            dx[1] += x[0] * x[2]
            dx[2] -= x[0] / (1 + x[2])
        else:
            dx[1] -= p[1] * x[1]
        dx[1] *= 2.0

    given = (rhs, np.array([1.0, 0.5, 0.2]), np.array([3.0, 2.0, 0.7]), (0.0, 2.0))
    options = {"t_eval": np.linspace(0.1, 2.0, 7), "rtol": 1e-9, "atol": 1e-11, "mode": "forward", "wrt": ("p", "x0")}
    found, expected = (odead.sensitivity(*given, method=m, **options) for m in (method, "Tsit5"))
    assert_allclose(found.y, expected.y, rtol=1e-6, atol=1e-8)
    assert_allclose(found.sens, expected.sens, rtol=1e-5, atol=1e-6)
    assert_allclose(found.sens_x0, expected.sens_x0, rtol=1e-5, atol=1e-6)
