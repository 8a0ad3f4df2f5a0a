"""`odead.solve` of right-hand sides that cannot be recorded: they run as they are, with a warning."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import OdeadWarning
from odead.errors import ArgumentValueError, TracingError

ndimage = pytest.importorskip("scipy.ndimage")

P = np.array([5.0])
X0 = np.sin(np.linspace(0.0, 3.0, 30))


def opaque(dx, x, p, t):
    dx[:] = p[0] * ndimage.laplace(x, mode="nearest")


def plain(dx, x, p, t):
    dx[1:-1] = p[0] * (x[2:] - 2 * x[1:-1] + x[:-2])
    dx[0] = p[0] * (x[1] - x[0])
    dx[-1] = p[0] * (x[-2] - x[-1])


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "Rodas5P", "Kvaerno5", "BDF", "Radau", "LSODA"])
def test_the_same_as_the_recorded_form(method):
    options = {"method": method, "rtol": 1e-8, "atol": 1e-10, "t_eval": [1.0, 10.0]}
    with pytest.warns(OdeadWarning, match=r"opaque runs as Python, not compiled.*scipy\.ndimage\.laplace cannot be traced"):
        found = odead.solve(opaque, X0, P, (0, 10), **options)
    assert_allclose(found.y, odead.solve(plain, X0, P, (0, 10), **options).y, rtol=1e-7, atol=1e-9)


def test_each_form_and_containers():
    def returning(x, p, t):
        return {"u": -p * ndimage.laplace(x["u"]), "v": x["v"] * 0}

    x0 = {"u": X0, "v": np.ones(2)}
    with pytest.warns(OdeadWarning, match="returning runs as Python"):
        found = odead.solve(returning, x0, 0.1, (0, 0.1))
    assert_allclose(found.y[30:], 1)
    with pytest.warns(OdeadWarning, match="<lambda> runs as Python"):
        other = odead.solve(lambda x, p, t: -0.1 * ndimage.laplace(x), X0, None, (0, 0.1))
    assert_allclose(found.y[:30, -1], other.y[:, -1], rtol=1e-9)


def test_events_and_mass_matrices():
    def half(x, p, t):
        return x[15] - 0.5

    half.terminal = True
    for mass in (None, 2 * np.eye(30)):
        with pytest.warns(OdeadWarning):
            found = odead.solve(opaque, X0, P, (0, 50), events=half, mass_matrix=mass, method="BDF")
        reference = odead.solve(plain, X0, P, (0, 50), events=half, mass_matrix=mass, method="BDF")
        assert_allclose(found.t_events[0], reference.t_events[0], rtol=1e-5)


@pytest.mark.filterwarnings("ignore::odead.OdeadWarning")
def test_derivatives_raise():
    for derivative in (
        lambda: odead.sensitivity(opaque, X0, P, (0, 1)),
        lambda: odead.gradient(lambda p: odead.solve(opaque, X0, p, (0, 1)).y[0, -1], P),
    ):
        with pytest.raises(TracingError, match=r"scipy\.ndimage\.laplace cannot be traced"):
            derivative()


def test_randomness_is_refused_all_the_same():
    with pytest.raises(TracingError, match=r"rand is called: its outcome would be recorded once"):
        odead.solve(lambda x, p, t: -x * np.random.rand(), X0, P, (0, 1))  # noqa: NPY002


@pytest.mark.filterwarnings("ignore::odead.OdeadWarning")
def test_errors():
    def late(dx, x, p, t):
        opaque(dx, x, p, t)
        if t > 0.5:
            raise KeyError("mine")

    def nothing(dx, x, p, t):
        ndimage.laplace(x)

    with pytest.raises(KeyError, match="mine"):
        odead.solve(late, X0, P, (0, 1))
    with pytest.raises(ArgumentValueError, match=r"nothing is not finite at the start: the derivative of x\[0\] is nan"):
        odead.solve(nothing, X0, P, (0, 1))


def test_code_that_refuses_what_is_recorded_by_an_exception_of_its_own():
    def by_text(x, p, t):
        return [-float(value) for value in json.loads(json.dumps([float(value) for value in x]))]

    with pytest.warns(OdeadWarning, match="by_text runs as Python.*it raises TypeError .* when it is recorded"):
        result = odead.solve(by_text, [1.0, 2.0], None, (0, 1), rtol=1e-8)
    np.testing.assert_allclose(result.y[:, -1], np.exp(-1) * np.array([1.0, 2.0]), rtol=1e-6)
    with pytest.raises(KeyError):
        odead.solve(lambda x, p, t: -x * {}["rate"], [1.0], None, (0, 1))


def test_what_is_said_only_to_recorded_numbers_has_a_line_where_derivatives_are_wanted():
    def by_text(x, p, t):
        total = 2 * x
        return [-p[0] * float(value) for value in json.loads(json.dumps([float(value) for value in total]))]

    def mistaken(x, p, t):
        raise LookupError("no such rate")

    def gradient(rhs):
        return odead.sensitivity(rhs, [1.0, 2.0], np.ones(1), (0, 1), loss=lambda y: y[0, -1])

    with pytest.raises(TracingError, match=r"test_uncompiled.py:\d+ in by_text: TypeError .*primitive") as caught:
        gradient(by_text)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(LookupError, match="no such rate"):
        gradient(mistaken)
