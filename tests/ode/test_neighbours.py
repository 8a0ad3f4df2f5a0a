"""Linear systems of adjoints that are solved with the factors of a step close by."""

from collections.abc import Callable

import numpy as np
import pytest

import odead
from odead.ode.gradients import discrete
from odead.ode.rhs.linearised import Linearisations

SPAN, TIMES = (0.0, 4.0), np.linspace(0.5, 4.0, 8)


def torus(dx, x, p, t):
    """A reaction with two species, which diffuse between k x k places; the factors of its matrix fill in."""
    half = x.size // 2
    k = int(np.sqrt(half))
    u, v = x[:half], x[half:]
    reaction = p[1] * u * u * v
    dx[:half] = p[0] + reaction - (p[2] + 1) * u
    dx[half:] = p[2] * u - reaction
    for start, rate in ((0, p[3]), (half, p[4])):
        place, change = x[start : start + half].reshape(k, k), dx[start : start + half].reshape(k, k)
        for axis in (0, 1):
            change += rate * (np.roll(place, 1, axis) - 2 * place + np.roll(place, -1, axis))


def pulsed(dx, x, p, t):
    """The same with rates that rise and fall by a factor of 100: a step close by has another matrix."""
    torus(dx, x, p, t)
    dx *= 10.0 ** (1 - np.cos(9 * t))


def led(dx, x, p, t):
    """The same with a state that does not act on itself: J has no element for it on the diagonal."""
    torus(dx, x, p, t)
    dx[0] = p[0] * (x[1] - x[2]) + np.sin(t)


def start(k: int) -> np.ndarray:
    return 1 + 0.3 * np.sin(np.arange(2.0 * k * k))


P = np.array([1.0, 1.0, 1.7, 2.0, 3.0])
RELAXING = np.array([1.0, 1.0, 3.0, 2.0, 3.0])  # reactions that wait, and then jump
CASES = {
    "full": (torus, start(5), P),  # 50 states: the matrix is stored as a whole
    "sparse": (torus, start(9), P),
    "pulsed": (pulsed, start(5), P),
    "led": (led, start(5), P),
}


def squares(y):
    return np.sum(y**2)


def gradient(case: str, method: str, rtol: float = 1e-6) -> odead.Sensitivity:
    rhs, x0, p = (pulsed, start(5), RELAXING) if case == "relaxing" else CASES[case]
    tolerances = {"rtol": rtol, "atol": 1e-3 * rtol}
    wrt = ("p", "x0")
    return odead.sensitivity(rhs, x0, p, SPAN, t_eval=TIMES, loss=squares, mode="adjoint", wrt=wrt, method=method, **tolerances)


@pytest.mark.parametrize("method", ["BDF", "Kvaerno5"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_as_with_a_factorisation_for_each_system(case: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    usual: Callable = discrete._go_back

    def twice(*arguments):
        near = usual(*arguments)
        with monkeypatch.context() as patched:
            patched.setattr(Linearisations, "beside", lambda *_, **__: None)
            found.append((near, usual(*arguments)))
        return near

    monkeypatch.setattr(discrete, "_go_back", twice)
    gradient(case, method)
    ((near, exact),) = found
    np.testing.assert_allclose(near.grad_p, exact.grad_p, rtol=1e-9)
    np.testing.assert_allclose(near.grad_x0, exact.grad_x0, rtol=1e-9, atol=1e-10 * np.abs(exact.grad_x0).max())
    assert near.nlu < exact.nlu if case == "pulsed" else near.nlu < 0.5 * exact.nlu


@pytest.mark.parametrize("method", ["BDF", "Kvaerno5"])
@pytest.mark.parametrize("case", [*CASES, "relaxing"])
def test_gradients_within_their_tolerance(case: str, method: str) -> None:
    found, reference = gradient(case, method), gradient(case, "Rodas5P", 1e-10)
    for name in ("grad", "grad_x0"):
        expected = getattr(reference, name)
        assert np.linalg.norm(getattr(found, name) - expected) < 50e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("method", ["BDF", "Kvaerno5"])
def test_a_solve_with_guards_factors_seldom(method: str) -> None:
    found = gradient("full", method)
    systems = 2 * found.nsteps * (1 if method == "BDF" else 6)
    assert found.nlu < 0.5 * systems


def test_a_second_gradient_has_nothing_of_the_first() -> None:
    first, second = gradient("full", "BDF"), gradient("full", "BDF")
    gradient("pulsed", "BDF")
    third = gradient("full", "BDF")
    assert first.nlu == second.nlu == third.nlu
    np.testing.assert_array_equal(second.grad, third.grad)


def test_steps_of_one_size_share_factors_where_j_is_constant() -> None:
    def decay(dx, x, p, t):
        dx[0] = -p[0] * x[0] + p[1] * x[1]
        dx[1] = p[0] * x[0] - (p[1] + p[2]) * x[1] + np.sin(t)

    problem = (decay, [1.0, 0.5], [50.0, 30.0, 1.0], (0.0, 5.0))
    found = odead.sensitivity(*problem, t_eval=TIMES, loss=squares, mode="adjoint", method="Kvaerno5")
    assert found.nlu < 3 * (found.nsteps + found.nrejected)  # one for each step, on either way
    expected = odead.sensitivity(*problem, t_eval=TIMES, loss=squares, mode="forward", method="Rodas5P", rtol=1e-10)
    np.testing.assert_allclose(found.grad, expected.grad, rtol=5e-5)
