"""Members of an ensemble side by side: the results are those of members alone."""

import sys

import numpy as np
import pytest

import odead
from ode.problems import LOTKA_P, LOTKA_X0, explodes, fit, lotka_volterra, modes_of
from odead.errors import IntegrationError
from odead.ode.prepared import lanes, prepared

TIMES = np.linspace(0, 6, 14)
MISFIT, PENALISED = fit(14)
MEMBERS = 70  # more than four for each lane, with the first ones apart


MODES = [
    *modes_of(MISFIT, PENALISED),
    {"mode": "forward", "wrt": ("x0", "p")},
]


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The loops on lanes that a test has made."""
    monkeypatch.setattr(prepared, "_KEPT", prepared.Preparations(32))
    monkeypatch.setattr(sys.modules["odead.ode.ensemble"], "BUSY", 1e3)  # on a busy machine threads would take a few at a time
    found, make = [], lanes.OnLanes.make

    def spy(self, batch):
        found.append(make(self, batch))
        return found[-1]

    monkeypatch.setattr(lanes.OnLanes, "make", spy)
    return found


def parameters(p=LOTKA_P, members=MEMBERS, seed=1):
    return p * np.random.default_rng(seed).uniform(0.8, 1.2, (members, np.size(p)))


def both(rhs, x0s, ps, span=(0.0, 6.0), **options):
    """Results of an ensemble, and of its members alone."""
    options = {"t_eval": TIMES, "method": "Tsit5", **options}
    run = odead.sensitivity if {"mode", "loss", "wrt"} & options.keys() else odead.solve
    threads = options.pop("threads", 1)
    found = odead.ensemble(rhs, x0s, ps, span, threads=threads, **options)
    starts = x0s * len(ps) if len(x0s) == 1 else x0s
    return found, [run(rhs, x0, p, span, **options) for x0, p in zip(starts, ps, strict=True)]


def check_same(found, expected, tolerance=0.0):
    for a, b in zip(found, expected, strict=True):
        if "grad" in b:
            assert a.sens_error == pytest.approx(b.sens_error, rel=1e-9)
        assert a.keys() == b.keys()
        for name, value in b.items():
            if isinstance(value, np.ndarray) and tolerance:
                np.testing.assert_allclose(a[name], value, rtol=tolerance, atol=tolerance)
            elif isinstance(value, np.ndarray):
                np.testing.assert_array_equal(a[name], value, strict=True)
            elif not (tolerance and isinstance(value, float)):
                assert a[name] == value, name


@pytest.mark.parametrize("method", ["Tsit5", "RK45", "DOP853", "RK23", "auto"])
@pytest.mark.parametrize("options", MODES, ids=lambda o: f"{o.get('mode', 'solve')}-{o.get('wrt', '')}")
def test_the_same_to_the_bit(options, method, made):
    rtol = 1e-4 if method == "RK23" else 1e-6
    found, expected = both(lotka_volterra, [LOTKA_X0], parameters(), method=method, rtol=rtol, **options)
    assert made
    check_same(found, expected)


def test_backwards_and_from_different_states(made):
    starts = list(LOTKA_X0 * np.random.default_rng(2).uniform(0.8, 1.2, (MEMBERS, 2)))
    span, times = (6.0, 1.0), np.linspace(6, 1, 9)
    options = {"mode": "adjoint", "loss": lambda y: np.sum(y**2), "wrt": ("p", "x0"), "t_eval": times}
    check_same(*both(lotka_volterra, starts, parameters(), span, **options))
    assert made


def test_more_threads(made):
    found, expected = both(lotka_volterra, [LOTKA_X0], parameters(members=300), threads=3, mode="adjoint", loss=MISFIT)
    check_same(found, expected)
    assert made


def chain(dx, x, p, t):
    """Twenty states: more than a few are combined in another way."""
    dx[1:-1] = p[0] * (x[2:] - 2 * x[1:-1] + x[:-2]) + p[1] * x[1:-1]
    dx[0], dx[-1] = p[2] - x[0], -p[0] * x[-1]


@pytest.mark.parametrize("options", [{}, {"mode": "adjoint", "loss": lambda y: np.sum(y**2)}], ids=["solve", "adjoint"])
def test_many_states(options, made):
    found, expected = both(chain, [np.linspace(0, 1, 20)], parameters(np.array([1.0, -0.3, 0.5]), 40), **options)
    assert made
    check_same(found, expected, 1e-12 if options else 0.0)  # a gradient by p has sums, which lanes take in another order


MATRIX = np.array([[-0.5, 1.0, 0.0], [-1.0, -0.5, 0.2], [0.1, 0.0, -0.4]])


def of_functions(dx, x, p, t):
    """What depends on parameters alone, functions of the C library, a product of matrices, indices and a sum."""
    rate = np.exp(p[0]) + np.sqrt(p[1])
    dx[:] = MATRIX @ x - 0.1 * rate * np.sin(x) + p[1] * np.cos(t)
    dx[[0, 2]] += np.tanh(x[[2, 0]]) * np.sum(x * p[0])


@pytest.mark.parametrize("options", [{}, {"mode": "adjoint", "loss": lambda y: np.sum(y**2)}, {"mode": "forward", "wrt": "p"}])
def test_all_kinds_of_instructions(options, made):
    found, expected = both(of_functions, [np.array([1.0, 0.5, -0.2])], parameters(np.array([0.3, 0.8]), 50), **options)
    assert made
    check_same(found, expected, 1e-9)


def decays(dx, x, p, t):
    dx[:] = -x * np.cos(t)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "adjoint", "loss": lambda y: np.sum(y**2), "wrt": "x0"}], ids=["solve", "adjoint"]
)
def test_without_parameters(options, made):
    starts = list(np.random.default_rng(4).uniform(0.5, 2.0, (50, 2)))
    check_same(*both(decays, starts, [None] * 50, **options))
    assert made


def test_captured_arrays_may_change(made):
    for _ in range(2):
        check_same(*both(of_functions, [np.array([1.0, 0.5, -0.2])], parameters(np.array([0.3, 0.8]), 40)), 1e-9)
        MATRIX[0, 0] -= 0.25
    MATRIX[0, 0] += 0.5
    assert len(made) == 2


def test_members_that_fail_are_described_as_if_alone(made):
    ps = np.full((60, 1), 0.1)
    ps[[21, 40, 41]] = 3.0  # these explode before the end
    found = odead.ensemble(explodes, [np.array([0.5])], ps, (0.0, 1.0), t_eval=[0.5, 1.0], method="Tsit5", threads=1)
    assert made
    for k, (result, p) in enumerate(zip(found, ps, strict=True)):
        if k in (21, 40, 41):
            with pytest.raises(IntegrationError) as alone:
                odead.solve(explodes, np.array([0.5]), p, (0.0, 1.0), t_eval=[0.5, 1.0], method="Tsit5")
            assert type(result) is IntegrationError
            assert str(result) == str(alone.value)
        else:
            check_same([result], [odead.solve(explodes, np.array([0.5]), p, (0.0, 1.0), t_eval=[0.5, 1.0], method="Tsit5")])


def test_a_loss_that_branches(made):
    def loss(y):
        return np.sum(y**2) if y[0, -1] > 1 else 3 * np.sum(y)

    check_same(*both(lotka_volterra, [LOTKA_X0], parameters(), mode="adjoint", loss=loss))
    assert made


def test_linear_algebra_has_no_lanes(made):
    def rhs(dx, x, p, t):
        dx[:] = -np.linalg.solve(np.eye(2) * p[0] + 0.1, x)

    check_same(*both(rhs, [np.ones(2)], parameters(np.array([1.0]), 40)))
    assert not made
