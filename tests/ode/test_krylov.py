"""Large systems by the backward differentiation formulas: GMRES instead of factors, with products or with known elements."""

import numpy as np
import pytest
import scipy.sparse

import odead
from odead._bdf import BDF
from odead.ode.engines import native
from odead.ode.gradients import backwards, discrete
from odead.ode.rhs import linearised

N = 240
GRID = np.linspace(0.0, 1.0, N)
KERNEL = np.exp(-10 * np.abs(GRID[:, None] - GRID)) * 20 / N
SYMMETRIC_RATES, MODES = np.linalg.eigh(KERNEL)
X0 = 1 + 0.1 * np.sin(5 * GRID)


def integral():
    """A linear integral operator and a fast decay, x' = p[0] K x - p[1] x."""

    def rhs(dx, x, p, t):
        dx[:] = p[0] * (KERNEL @ x) - p[1] * x

    return rhs


def integral_exact(p, t):
    return MODES @ (np.exp((p[0] * SYMMETRIC_RATES - p[1]) * t) * (MODES.T @ X0))


def oscillators():
    """Kuramoto's model, all pairs, stiff where the coupling is strong."""

    def rhs(dx, x, p, t):
        pairs = np.sin(x[None, :] - x[:, None])
        dx[:] = p[1] * GRID + p[0] / N * np.sum(pairs, axis=1)

    return rhs


def collocation(n):
    """The second derivative on Chebyshev's points inside (-1, 1), zero at both ends; and the points."""
    x = np.cos(np.pi * np.arange(n + 2) / (n + 1))
    c = (-1.0) ** np.arange(n + 2)
    c[[0, -1]] *= 2
    first = np.outer(c, 1 / c) / (x[:, None] - x + np.eye(n + 2))
    first -= np.diag(first.sum(axis=1))
    return (first @ first)[1:-1, 1:-1], x[1:-1]


def heat(second):
    def rhs(dx, x, p, t):
        dx[:] = p[0] * (second @ x)

    return rhs


# ------------------------------------------------------------------------------------------------------ solutions


@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_solution_of_a_full_system(rtol):
    p = (1.0, 30.0)
    found = odead.solve(integral(), X0, p, (0.0, 0.3), method="BDF", rtol=rtol, atol=1e-3 * rtol)
    exact = np.array([integral_exact(p, t) for t in found.t]).T
    assert "GMRES" in found.message
    assert "LU" not in found.message
    assert found.nlu == found.njev == 0
    np.testing.assert_allclose(found.y, exact, rtol=0, atol=30 * rtol)


def test_same_steps_as_with_factors(monkeypatch):
    def rhs(dx, x, p, t):  # a recording of its own, which is factored
        dx[:] = p[0] * (KERNEL @ x)
        dx -= p[1] * x

    options = {"method": "BDF", "rtol": 1e-6, "atol": 1e-9}
    by_products = odead.solve(integral(), X0, (1.0, 30.0), (0.0, 0.3), **options)
    monkeypatch.setattr(linearised, "_FULL", N + 1)
    by_factors = odead.solve(rhs, X0, (1.0, 30.0), (0.0, 0.3), **options)
    assert by_factors.nlu > 0
    assert "GMRES" not in by_factors.message
    assert abs(by_products.nsteps - by_factors.nsteps) <= 0.1 * by_factors.nsteps
    np.testing.assert_allclose(by_products.y[:, -1], by_factors.y[:, -1], rtol=2e-6, atol=0)


def test_all_pairs():
    p, times = (40.0, 3.0), np.array([0.05, 0.2, 1.0])
    options = {"t_eval": times, "rtol": 1e-7, "atol": 1e-9}
    found = odead.solve(oscillators(), 2 * GRID, p, (0.0, 1.0), method="BDF", **options)
    reference = odead.solve(oscillators(), 2 * GRID, p, (0.0, 1.0), method="DOP853", **options)
    assert "GMRES" in found.message
    np.testing.assert_allclose(found.y, reference.y, rtol=0, atol=2e-6)


def test_branches_are_followed():
    def rhs(dx, x, p, t):
        mean = KERNEL @ x
        if x[0] > 0.5:
            dx[:] = p[0] * mean - p[1] * x
        else:
            dx[:] = p[0] * mean - 2 * p[1] * x

    options = {"t_eval": [0.3], "rtol": 1e-7, "atol": 1e-9}
    found = odead.solve(rhs, X0, (1.0, 5.0), (0.0, 0.3), method="BDF", **options)
    reference = odead.solve(rhs, X0, (1.0, 5.0), (0.0, 0.3), method="DOP853", **options)
    assert "GMRES" in found.message
    np.testing.assert_allclose(found.y, reference.y, rtol=1e-5)


# -------------------------------------------------------------------------------------------- no convergence


def test_factors_where_the_iteration_stalls():
    second, points = collocation(N)
    shape = np.sin(np.pi * (points + 1) / 2)
    found = odead.solve(heat(second), shape, (0.1,), (0.0, 2.0), method="BDF")
    assert "LU" in found.message
    assert 0 < found.nlu < 100
    np.testing.assert_allclose(found.y[:, -1], np.exp(-0.1 * np.pi**2 / 4 * 2) * shape, rtol=0, atol=1e-4)


class Stubborn(BDF):
    """Goes on iterating."""

    @property
    def direct(self):
        return None

    @direct.setter
    def direct(self, value):
        pass


def test_a_stalled_iteration_shortens_the_step(monkeypatch):
    monkeypatch.setattr(native, "BDF", Stubborn)
    second, points = collocation(N)
    shape = np.sin(np.pi * (points + 1) / 2)
    try:
        found = odead.solve(heat(second), shape, (0.1,), (0.0, 2.0), method="BDF", max_steps=300)
    except odead.IntegrationError as error:
        found = error.result
    assert found.nrejected > 3  # after so many, it would be factored
    assert found.nlu == 0
    exact = np.exp(-0.1 * np.pi**2 / 4 * found.t[-1]) * shape
    np.testing.assert_allclose(found.y[:, -1], exact, rtol=0, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- sensitivities


def test_forward_sensitivities_of_a_full_system():
    p, t = np.array([1.0, 30.0]), 0.2
    found = odead.sensitivity(integral(), X0, p, (0.0, t), t_eval=[t], method="BDF", mode="forward", rtol=1e-7, atol=1e-10)
    exact = integral_exact(p, t)
    by_p = np.array([t * (KERNEL @ exact), -t * exact]).T
    assert "GMRES" in found.message
    np.testing.assert_allclose(found.sens[0], by_p, rtol=0, atol=3e-6 * np.abs(by_p).max())


def test_forward_against_adjoint():
    def loss(y):
        return np.sum(y[:, -1] ** 2)

    options = {"loss": loss, "t_eval": [0.1, 0.2], "method": "BDF", "rtol": 1e-7, "atol": 1e-10}
    p = np.array([1.0, 30.0])
    forward = odead.sensitivity(integral(), X0, p, (0.0, 0.2), mode="forward", **options)
    adjoint = odead.sensitivity(integral(), X0, p, (0.0, 0.2), mode="adjoint", **options)
    np.testing.assert_allclose(forward.grad, adjoint.grad, rtol=1e-5)


def test_sensitivities_where_the_iteration_stalls():
    second, points = collocation(N)
    shape, rate, end = np.sin(np.pi * (points + 1) / 2), np.pi**2 / 4, 2.0
    found = odead.sensitivity(heat(second), shape, (0.1,), (0.0, end), t_eval=[end], method="BDF", mode="forward")
    exact = np.exp(-0.1 * rate * end) * shape
    assert "LU" in found.message
    np.testing.assert_allclose(found.sens[0, :, 0], -rate * end * exact, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------------------------ sparse matrices

SIDE = 8  # points along an edge of a cube


def brusselator(dx, x, p, t):
    """Two species that react and diffuse in a cube, with 0 around it; the factors of its matrix fill in."""
    u, d = x.reshape(2, SIDE, SIDE, SIDE), dx.reshape(2, SIDE, SIDE, SIDE)
    flow = -6 * u
    flow[:, 1:] += u[:, :-1]
    flow[:, :-1] += u[:, 1:]
    flow[:, :, 1:] += u[:, :, :-1]
    flow[:, :, :-1] += u[:, :, 1:]
    flow[:, :, :, 1:] += u[:, :, :, :-1]
    flow[:, :, :, :-1] += u[:, :, :, 1:]
    reaction = u[0] ** 2 * u[1]
    d[0] = p[0] * (SIDE + 1) ** 2 * flow[0] + 1 + reaction - (p[1] + 1) * u[0]
    d[1] = p[0] * (SIDE + 1) ** 2 * flow[1] + p[1] * u[0] - reaction


CUBE_X0 = 1 + 0.1 * np.sin(np.arange(2.0 * SIDE**3))
CUBE_P = np.array([0.05, 3.0])


@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_cube(rtol):
    times = np.array([0.01, 0.3, 2.0])
    options = {"t_eval": times, "rtol": rtol, "atol": 1e-2 * rtol}
    found = odead.solve(brusselator, CUBE_X0, CUBE_P, (0.0, 2.0), method="BDF", **options)
    reference = odead.solve(brusselator, CUBE_X0, CUBE_P, (0.0, 2.0), method="DOP853", t_eval=times, rtol=1e-10, atol=1e-11)
    assert "GMRES" in found.message
    assert "LU" not in found.message
    assert found.nlu == 0
    assert 0 < found.njev < 0.1 * found.nsteps
    np.testing.assert_allclose(found.y, reference.y, rtol=0, atol=50 * rtol)


def test_same_steps_with_elements_as_with_factors(monkeypatch):
    options = {"method": "BDF", "rtol": 1e-6, "atol": 1e-9}
    by_elements = odead.solve(brusselator, CUBE_X0, CUBE_P, (0.0, 2.0), **options)
    monkeypatch.setattr(linearised, "_LARGE", np.inf)
    by_factors = odead.solve(brusselator, CUBE_X0, CUBE_P, (0.0, 2.0), **options)
    assert "GMRES" not in by_factors.message
    assert by_factors.nlu > 0
    assert abs(by_elements.nsteps - by_factors.nsteps) <= 2
    np.testing.assert_allclose(by_elements.y[:, -1], by_factors.y[:, -1], rtol=1e-7)


def test_gradients_in_a_cube():
    options = {"loss": lambda y: np.sum(y[:, -1] ** 2), "t_eval": [0.5], "method": "BDF", "rtol": 1e-7, "atol": 1e-9}
    forward = odead.sensitivity(brusselator, CUBE_X0, CUBE_P, (0.0, 0.5), mode="forward", **options)
    adjoint = odead.sensitivity(brusselator, CUBE_X0, CUBE_P, (0.0, 0.5), mode="adjoint", **options)
    assert "GMRES" in forward.message
    assert adjoint.nlu == 0
    np.testing.assert_allclose(forward.grad, adjoint.grad, rtol=1e-5)

    def loss(p):
        return np.sum(odead.solve(brusselator, CUBE_X0, p, (0.0, 0.5), method="DOP853", rtol=1e-10, atol=1e-11).y[:, -1] ** 2)

    steps = np.diag(1e-4 * CUBE_P)
    differences = [(loss(CUBE_P + step) - loss(CUBE_P - step)) / (2 * step.sum()) for step in steps]
    np.testing.assert_allclose(forward.grad, differences, rtol=1e-5)


def test_elements_of_any_order_and_without_diagonal():
    """A ring of states that only their neighbours move, the last first, with chords that fill the factors in."""
    n = 600
    far = np.random.default_rng(3).permutation(n)

    def rhs(dx, x, p, t):
        dx[:] = np.roll(x, 1) - np.roll(x, -1) + p[0] * (x[far] - x[far[::-1]])

    x0 = np.cos(np.arange(n))
    found = odead.solve(rhs, x0, (0.5,), (0.0, 1.0), method="BDF", t_eval=[1.0], rtol=1e-7, atol=1e-9)
    reference = odead.solve(rhs, x0, (0.5,), (0.0, 1.0), method="DOP853", t_eval=[1.0], rtol=1e-10, atol=1e-11)
    assert "GMRES" in found.message
    np.testing.assert_allclose(found.y, reference.y, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- adjoints


def squares(y):
    return np.sum(y[:, -1] ** 2)


def factored_adjoint(monkeypatch):
    """From now on adjoints factor their matrices, whatever the steps were made with."""
    sweep_over = discrete.sweep_over
    monkeypatch.setattr(discrete, "sweep_over", lambda problem, leg, iterates: sweep_over(problem, leg, False))


@pytest.mark.parametrize(
    ("rhs", "x0", "p"), [(integral(), X0, np.array([1.0, 30.0])), (brusselator, CUBE_X0, CUBE_P)], ids=["products", "elements"]
)
def test_adjoint_is_that_of_the_factors(rhs, x0, p, monkeypatch):
    options = {"loss": squares, "t_eval": [0.1, 0.2], "method": "BDF", "mode": "adjoint", "wrt": ("p", "x0"), "rtol": 1e-7}
    found = odead.sensitivity(rhs, x0, p, (0.0, 0.2), **options)
    assert found.nlu == 0
    factored_adjoint(monkeypatch)
    exact = odead.sensitivity(rhs, x0, p, (0.0, 0.2), **options)
    assert exact.nlu > 0
    np.testing.assert_allclose(found.grad, exact.grad, rtol=1e-9)
    np.testing.assert_allclose(found.grad_x0, exact.grad_x0, rtol=0, atol=1e-9 * np.abs(exact.grad_x0).max())


def test_adjoint_in_closed_form():
    p, end = np.array([1.0, 30.0]), 0.1
    options = {"loss": squares, "t_eval": [end], "method": "BDF", "wrt": ("p", "x0"), "rtol": 1e-8, "atol": 1e-11}
    found = odead.sensitivity(integral(), X0, p, (0.0, end), mode="adjoint", **options)
    x = integral_exact(p, end)
    back = MODES @ (np.exp((p[0] * SYMMETRIC_RATES - p[1]) * end) * (MODES.T @ (2 * x)))
    np.testing.assert_allclose(found.grad, [2 * end * x @ KERNEL @ x, -2 * end * x @ x], rtol=1e-5)
    np.testing.assert_allclose(found.grad_x0, back, rtol=0, atol=1e-5 * np.abs(back).max())


def test_adjoint_factors_where_the_iteration_stalls():
    second, points = collocation(N)
    shape, rate, end = np.sin(np.pi * (points + 1) / 2), np.pi**2 / 4, 2.0
    options = {"loss": squares, "t_eval": [end], "method": "BDF", "rtol": 1e-7, "atol": 1e-9}
    found = odead.sensitivity(heat(second), shape, np.array([0.1]), (0.0, end), mode="adjoint", **options)
    exact = np.exp(-0.1 * rate * end) * shape
    assert found.nlu > 0
    np.testing.assert_allclose(found.grad, [-2 * rate * end * exact @ exact], rtol=1e-4)


def test_adjoint_with_states_of_very_different_sizes():
    sizes = 10.0 ** np.linspace(-6, 3, N)

    def rhs(dx, x, p, t):
        dx[:] = sizes * (KERNEL @ (x / sizes)) * p[0] - p[1] * x

    p, end = np.array([1.0, 30.0]), 0.1
    options = {"loss": lambda y: y[0, -1], "t_eval": [end], "method": "BDF", "rtol": 1e-8, "atol": 1e-10 * sizes}
    found = odead.sensitivity(rhs, sizes * X0, p, (0.0, end), mode="adjoint", **options)
    x = integral_exact(p, end)
    assert found.nlu == 0
    np.testing.assert_allclose(found.grad, sizes[0] * end * np.array([(KERNEL @ x)[0], -x[0]]), rtol=1e-4)


# -------------------------------------------------------------------------------------------------- mass matrices

CUBE = 6  # cells along an edge


def neighbours(u):
    """The sum over the neighbours of each cell, less the cell itself."""
    total = -6 * u
    total[1:] += u[:-1]
    total[:-1] += u[1:]
    total[:, 1:] += u[:, :-1]
    total[:, :-1] += u[:, 1:]
    total[:, :, 1:] += u[:, :, :-1]
    total[:, :, :-1] += u[:, :, 1:]
    return total


def constrained(dx, x, p, t):
    """A field diffuses and reacts; another follows at once, by an elliptic equation in units of its own."""
    u, w = x.reshape(2, CUBE, CUBE, CUBE)
    d = dx.reshape(2, CUBE, CUBE, CUBE)
    d[0] = p[0] * neighbours(u) + p[1] * w - u**2
    d[1] = 1e3 * (neighbours(w) - 3 * w - 0.1 * w**3 + u)


def weighted(dx, x, p, t):
    """Small cells: the equations are those of amounts, and M has the volumes, shared between neighbours."""
    dx[:] = 1e-3 * (p[0] * neighbours(x.reshape(CUBE, CUBE, CUBE)).ravel() - p[1] * x**2)


EDGE = scipy.sparse.diags_array([1 / 6, 4 / 6, 1 / 6], offsets=[-1, 0, 1], shape=(CUBE, CUBE))
MASSES = {
    "singular": (constrained, scipy.sparse.diags_array(np.repeat([1.0, 0.0], CUBE**3))),
    "regular": (weighted, 1e-3 * scipy.sparse.kron(scipy.sparse.kron(EDGE, EDGE), EDGE)),
}


@pytest.mark.parametrize("kind", sorted(MASSES))
def test_mass_matrices(kind, monkeypatch):
    rhs, mass = MASSES[kind]
    monkeypatch.setattr(linearised, "_LARGE", 0)  # where all is dear
    x0 = 0.2 + np.random.default_rng(2).random(mass.shape[0])
    problem = (rhs, x0, np.array([2.0, 0.5]), (0.0, 1.0))
    options = {"t_eval": [0.1, 1.0], "mass_matrix": mass, "rtol": 1e-6, "atol": 1e-9}
    found = odead.solve(*problem, method="BDF", **options)
    derivatives = odead.sensitivity(*problem, method="BDF", **options)
    assert "GMRES" in found.message
    assert "LU" not in found.message
    exact = odead.sensitivity(*problem, method="Rodas5P", **(options | {"rtol": 1e-9, "atol": 1e-12}))
    np.testing.assert_allclose(found.y, exact.y, rtol=0, atol=3e-5 * np.abs(exact.y).max())
    np.testing.assert_allclose(derivatives.sens, exact.sens, rtol=0, atol=3e-5 * np.abs(exact.sens).max())
    discrete_gradient = odead.sensitivity(*problem, method="BDF", mode="adjoint", loss=lambda y: np.sum(y**2), **options).grad
    by_chain_rule = np.einsum("nm,mnk->k", 2 * exact.y, exact.sens)
    np.testing.assert_allclose(discrete_gradient, by_chain_rule, rtol=5e-5)


def test_a_constraint_without_its_own_variable_is_factored(monkeypatch):
    """The diagonal element is 0, on which an incomplete factorisation stops."""

    def rhs(dx, x, p, t):
        dx[:80] = -p[0] * x[:80] + x[80:]
        dx[80:] = x[:80] - np.roll(x[80:], 1)

    monkeypatch.setattr(linearised, "_LARGE", 0)
    mass = np.diag(np.repeat([1.0, 0.0], 80))
    x0 = np.append(np.linspace(0.5, 1.5, 80), np.ones(80))
    options = {"t_eval": [0.5], "mass_matrix": mass, "rtol": 1e-7, "atol": 1e-10}
    found = odead.solve(rhs, x0, np.array([2.0]), (0.0, 0.5), method="BDF", **options)
    exact = odead.solve(rhs, x0, np.array([2.0]), (0.0, 0.5), method="Rodas5P", **options)
    assert "LU" in found.message
    np.testing.assert_allclose(found.y, exact.y, rtol=1e-5)


def test_a_large_regular_mass_matrix_of_one_part():
    mass = scipy.sparse.diags_array([1 / 6, 4 / 6, 1 / 6], offsets=[-1, 0, 1], shape=(600, 600))
    found = odead.solve(
        lambda x, p, t: -p[0] * (mass @ x), np.ones(600), [2.0], (0, 1), t_eval=[1.0], mass_matrix=mass, method="BDF",
        rtol=1e-7, atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(found.y, np.exp(-2), rtol=1e-5)


# ------------------------------------------------------------------------------------------------ continuous adjoint


def crowd(dx, x, p, t):
    """Diffusion with reaction in a cube, and a wind, so that J is not symmetric."""
    u = x.reshape(CUBE, CUBE, CUBE)
    d = dx.reshape(CUBE, CUBE, CUBE)
    d[:] = p[0] * neighbours(u) - u**2
    d[1:] += p[1] * (u[:-1] - u[1:])


@pytest.mark.parametrize("span", [(0.0, 0.3), (0.0, -0.02)])
@pytest.mark.parametrize("kind", ["elements", "products"])
def test_the_continuous_adjoint_iterates_too(kind, span, monkeypatch):
    """In both directions of time."""
    made = []

    def noting(loop):
        found = getattr(loop, "krylov", None)
        made.append(found is not None)
        return loop

    make_loop = native.make_loop
    monkeypatch.setattr(backwards, "make_loop", lambda *options: noting(make_loop(*options)))
    monkeypatch.setattr(linearised, "_LARGE", 0)
    rhs, x0, p = (integral(), X0, [1.0, 30.0])
    if kind == "elements":
        rhs, x0, p = crowd, 0.2 + np.random.default_rng(2).random(CUBE**3), [2.0, 0.5]
    problem = (rhs, x0, np.array(p), span)
    options = {"t_eval": [0.3 * span[1], span[1]], "loss": lambda y: np.sum(y**2)}
    found = odead.sensitivity(*problem, method="BDF", mode="continuous", rtol=1e-7, atol=1e-10, **options)
    exact = odead.sensitivity(*problem, method="DOP853", mode="adjoint", rtol=1e-9, atol=1e-12, **options)
    assert made == [True]
    np.testing.assert_allclose(found.grad, exact.grad, rtol=2e-5)
