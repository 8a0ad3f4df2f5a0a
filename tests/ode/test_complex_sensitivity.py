"""Derivatives of complex states and of complex parameters: u_x + i u_y."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import gradient

TIMES = np.array([0.4, 1.1])
START = np.array([1.0, 0.5j])
P = np.array([0.7, 1.3, 0.4])
TIGHT = {"rtol": 1e-9, "atol": 1e-11, "t_eval": TIMES}


def driven(dz, z, p, t):
    """z0' = (i p0 - p2) z0, z1' = i p1 z1 + z0."""
    dz[0] = (1j * p[0] - p[2]) * z[0]
    dz[1] = 1j * p[1] * z[1] + z[0]


def exact(z0, z1, p):
    a, b = 1j * p[0] - p[2], 1j * p[1]
    first = z0 * np.exp(a * TIMES)
    return np.array([first, z1 * np.exp(b * TIMES) + z0 * (np.exp(a * TIMES) - np.exp(b * TIMES)) / (a - b)])


def loss(y):
    return (abs(y[1]) ** 2).sum() + (y[0].real * y[1].imag)[-1] + 0.3 * y[0].imag[0]


def differences(f, x, step=1e-6):
    return np.array([(f(x + d) - f(x - d)) / (2 * step) for d in step * np.eye(x.size, dtype=x.dtype)])


BY_P = differences(lambda p: loss(exact(*START, p)), P)
BY_START = differences(lambda z: loss(exact(*z, P)), START) + 1j * np.array(
    [(loss(exact(*(START + d), P)) - loss(exact(*(START - d), P))) / 2e-6 for d in 1e-6j * np.eye(2)]
)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF", "Radau"])
def test_gradients(mode, method):
    if method == "Radau" and mode == "adjoint":
        pytest.skip("the continuous one")
    result = odead.sensitivity(driven, START, P, (0, 1.1), loss=loss, wrt=("p", "x0"), mode=mode, method=method, **TIGHT)
    assert_allclose(result.y, exact(*START, P), atol=1e-7)
    assert_allclose(result.grad, BY_P, rtol=1e-6)
    assert result.grad_x0.dtype == complex
    assert_allclose(result.grad_x0, BY_START, rtol=1e-6)


def test_sensitivities_of_states():
    result = odead.sensitivity(driven, START, P, (0, 1.1), wrt=("p", "x0"), **TIGHT)
    by_p = differences(lambda p: exact(*START, p).T, P)
    assert_allclose(result.sens, by_p.transpose(1, 2, 0), atol=1e-7)
    by_z0 = exact(1.0, 0.0, P).T
    assert result.sens_x0.shape == (2, 2, 4)  # by real and imaginary parts
    assert_allclose(result.sens_x0[:, :, 0], by_z0, atol=1e-7)
    assert_allclose(result.sens_x0[:, :, 1], 1j * by_z0, atol=1e-7)
    assert result.parameter_names == ["p[0]", "p[1]", "p[2]"]


def test_a_complex_parameter_a_number_as_state_and_one_tolerance_per_state():
    def f(q, z0):
        return abs(z0 * np.exp(q * 1.1) - 1j) ** 2

    q, z0 = 0.3 + 1.1j, 0.8 - 0.2j
    result = odead.sensitivity(
        lambda z, p, t: p * z, z0, q, (0, 1.1), loss=lambda y: abs(y[0, -1] - 1j) ** 2, wrt=("p", "x0"), rtol=1e-9, atol=[1e-11]
    )
    assert_allclose(result.grad, gradient(f, q, z0), rtol=1e-7)
    assert_allclose(result.grad_x0, [gradient(f, q, z0, wrt=1)], rtol=1e-7)


def test_events_and_resets_of_complex_states():
    """A rotating state is multiplied where its real part vanishes."""

    def crossing(z, p, t):
        return z[0].real

    def kick(z, p, t):
        z[0] = z[0] * p[1]

    crossing.direction = -1
    crossing.reset = kick

    def rotating(z, p, t):
        return (1j * p[0] - 0.1) * z

    def exact(p):
        return p[1] * np.exp((1j * p[0] - 0.1) * 2.0)

    p = np.array([1.2, 0.6])
    options = {"events": crossing, "t_eval": [2.0], "rtol": 1e-9, "atol": 1e-11}
    result = odead.solve(rotating, [1.0 + 0j], p, (0, 2), **options)
    assert_allclose(result.y[0], exact(p), rtol=1e-7)
    assert_allclose(result.t_events[0], np.pi / 2 / p[0], rtol=1e-7)
    assert_allclose(result.y_events[0][0], 1j * np.exp(-0.1 * np.pi / 2 / p[0]), atol=1e-7)
    found = odead.sensitivity(rotating, [1.0 + 0j], p, (0, 2), loss=lambda y: abs(y[0, 0] - 1) ** 2, **options)
    assert_allclose(found.grad, gradient(lambda p: abs(exact(p) - 1) ** 2, p), rtol=1e-6)


def test_inside_a_differentiated_function():
    def f(p):
        return loss(odead.solve(driven, START * p[0], p, (0, 1.1), **TIGHT).y)

    def closed(p):
        return loss(exact(START[0] * p[0], START[1] * p[0], p))

    for mode in (odead.Forward, odead.Reverse):
        assert_allclose(gradient(f, P, mode=mode), gradient(closed, P), rtol=1e-6)
    assert_allclose(odead.hessian(f, P), odead.hessian(closed, P), rtol=1e-5, atol=1e-6)


def test_a_jacobian_is_refused():
    with pytest.raises(TypeError, match="jac"):
        odead.solve(driven, START, P, (0, 1), jac=np.eye(2))
