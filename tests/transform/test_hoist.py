"""What depends on fixed arguments alone runs once, in front."""

import numpy as np
import pytest

import odead
from odead.derivatives.kernel import Kernel
from odead.transform.forward import forward
from odead.transform.reverse import reverse

TABLE = np.array([0, 2, 1, 0])


def table(dx, x, p, t):
    dx[:] = p[TABLE] ** p[1] * x - np.exp(p[0]) * t


def written_again(dx, x, p, t):
    scratch = np.zeros(4)
    scratch[:2] = p[:2] * p[1]
    scratch[2] = x[0] * p[0]  # from here on it is not what p makes of it
    scratch[3] = scratch[0] + 1
    dx[:] = scratch * x


def half_and_half(dx, x, p, t):
    factor = p[0] * p[1]
    early = factor * p[2]
    late = early * x[1]
    early2 = early + 1
    dx[0] = late + early2
    dx[1:] = x[1:] * early2 + factor


def read_between(dx, x, p, t):
    scratch = p[:2] * p[2]
    dx[:2] = scratch * x[:2]
    scratch[:] = p[1:3] * p[0]
    dx[2:] = scratch * x[2:]


def nothing(dx, x, p, t):
    dx[:] = p[0] * x


FUNCTIONS = [table, written_again, half_and_half, read_between, nothing]


def arrays_of(program, rng):
    return [rng.uniform(0.5, 1.5, program.buffers[b].shape or ()) for b in program.arguments]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("derive", "fixed"), [
    (None, (2,)),
    (lambda program: forward(program, (0, 1, 2), 3), (2, 6)),
    (lambda program: reverse(program, (0, 1, 2)), (2,)),
], ids=["value", "tangents", "cotangents"])  # fmt: skip
def test_parts_give_what_the_whole_gives(function, derive, fixed):
    rng = np.random.default_rng(3)
    example = (np.zeros(4), rng.uniform(0.5, 1.5, 4), rng.uniform(0.5, 1.5, 3), 0.3)
    plain, apart = (Kernel(function, example, derive, fixed=f) for f in (None, fixed))
    runs = apart.variant.executable
    given = arrays_of(runs.program, rng)
    for part in ("all", "reverse", "reverse"):
        arrays = arrays_of(runs.program, rng)
        for position in fixed:
            arrays[position] = given[position]
        part = part if runs.program.op != plain.program.op or runs.program.split != plain.program.split else "all"
        expected = [a.copy() for a in arrays]
        assert plain.variant.executable.run(expected) < 0
        if part == "all":
            given = arrays
        arrays = [a.copy() for a in arrays]
        assert runs.run(arrays, part) < 0
        for found, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_what_goes_in_front():
    kernel = Kernel(table, (np.zeros(4), np.ones(4), np.ones(3), 0.3), fixed=(2,))
    program = kernel.program
    assert {"take", "pow", "exp"} <= set(program.op[: program.split])
    assert not {"take", "pow", "exp"} & set(program.op[program.split :])
    assert Kernel(nothing, (np.zeros(4), np.ones(4), np.ones(3), 0.3), fixed=(2,)).program.split is None


def test_guards_and_unknown_indices_stay():
    def guarded(dx, x, p, t):
        dx[:] = x * p[0] if p[0] * p[1] > 0 else -x

    program = Kernel(guarded, (np.zeros(4), np.ones(4), np.ones(3), 0.3), fixed=(2,)).program
    assert "guard" in program.op[program.split :]


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF", "Kvaerno5"])
def test_each_solve_has_its_own(method):
    """A solve after one with other parameters."""
    times = np.array([0.5, 1.0])
    for p in (np.array([0.3, 0.7, 0.5]), np.array([0.1, 0.9, 0.2])):
        for mode in ("forward", "adjoint"):
            found = odead.sensitivity(
                table, np.ones(4), p, (0, 1), t_eval=times, method=method, mode=mode, loss=lambda y: np.sum(y**2), rtol=1e-8
            )
            shifted = [
                odead.solve(table, np.ones(4), p + d, (0, 1), t_eval=times, method=method, rtol=1e-10, atol=1e-12).y
                for d in (1e-5 * np.eye(3)[1], -1e-5 * np.eye(3)[1])
            ]
            expected = (np.sum(shifted[0] ** 2) - np.sum(shifted[1] ** 2)) / 2e-5
            np.testing.assert_allclose(found.grad[1], expected, rtol=2e-5)


def test_prepared_solves_have_their_own():
    """Also those that are prepared once, alone and as an ensemble."""

    def decay(dx, x, p, t):
        dx[0] = -np.exp(p[0]) * x[0]
        dx[1] = p[0] * p[1] * x[0]

    def loss(y):
        return y[0, -1]

    given = [np.array([0.1 * k, 1.0 + k]) for k in range(5)]
    exact = [np.exp(-np.exp(p[0])) for p in given]
    options = {"t_eval": [0.5, 1.0], "method": "Tsit5"}
    solved = odead.ensemble(decay, [[1.0, 0.0]], given, (0, 1), **options)
    np.testing.assert_allclose([found.y[0, -1] for found in solved], exact, rtol=1e-5)
    for p, expected in zip(given, exact, strict=True):
        np.testing.assert_allclose(odead.solve(decay, [1.0, 0.0], p, (0, 1), **options).y[0, -1], expected, rtol=1e-5)
        for mode in ("forward", "adjoint"):
            found = odead.sensitivity(decay, [1.0, 0.0], p, (0, 1), loss=loss, mode=mode, **options)
            np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
            np.testing.assert_allclose(found.grad, [-np.exp(p[0]) * expected, 0], rtol=1e-5, atol=1e-9)
