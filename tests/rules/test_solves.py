"""Calls of opaque rules in right-hand sides: every method that does without second derivatives of them, in each mode."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import check_rule, sensitivity

X, P = np.array([0.3, 0.7, 1.1]), np.array([0.7, 0.4])


def opaque(x):
    """The same values, by a way that no tracer follows."""
    return np.frombuffer(bytearray(np.asarray(x, dtype=float).tobytes())).reshape(np.shape(x))


@pytest.fixture
def sin():
    @odead.primitive
    def sin(x):
        return np.sin(opaque(x))

    odead.rule(sin)(lambda x: (sin(x), lambda bar: (bar * np.cos(opaque(x)),)))
    check_rule(sin, X)
    return sin


def model(law):
    def rhs(dx, x, p, t):
        dx[:] = -p[0] * law(x) + p[1] * x[::-1]

    return rhs


METHODS = [("scipy", method) for method in ("BDF", "Radau", "LSODA")] + [("native", "Tsit5"), ("native", "BDF")]


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
@pytest.mark.parametrize(("engine", "method"), METHODS)
def test_every_engine(sin, engine, method, mode):
    options = {"loss": lambda x: x.sum(), "mode": mode, "method": method, "engine": engine, "rtol": 1e-8, "atol": 1e-10}
    found, plain = (sensitivity(model(law), X, P, (0.0, 1.0), **options) for law in (sin, np.sin))
    assert_allclose(found.grad, plain.grad, rtol=2e-6)


def test_a_method_with_second_derivatives_says_what_it_needs(sin):
    with pytest.raises(odead.RuleError, match="must be traceable"):
        sensitivity(model(sin), X, P, (0.0, 1.0), mode="forward", method="Rodas5P", loss=lambda x: x.sum())
