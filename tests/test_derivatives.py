"""gradient, jacobian, jvp, vjp, hessian, hvp, compile."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead

RNG = np.random.default_rng(5)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def tridiagonal(x):
    out = np.zeros_like(x)
    out[1:-1] = x[:-2] * x[1:-1] - 2 * x[1:-1] + np.sin(x[2:])
    out[0] = x[0] ** 2 + x[1]
    out[-1] = x[-1]
    return out


@pytest.mark.parametrize("mode", [odead.Reverse, odead.Forward])
def test_gradient(mode):
    x = RNG.normal(size=7)
    step = 1e-6
    expected = [(rosenbrock(x + step * e) - rosenbrock(x - step * e)) / (2 * step) for e in np.eye(7)]
    assert_allclose(odead.gradient(rosenbrock, x, mode=mode), expected, rtol=1e-6, atol=1e-6)


def test_gradient_keeps_structure_and_dtype():
    def f(model, x):
        return (model["a"] * x).sum() + model["b"][0] ** 2

    model, x = {"a": np.array([1.0, 2.0]), "b": [3.0]}, np.array([4.0, 5.0])
    value, (d_model, d_x) = odead.value_and_gradient(f, model, x, wrt=(0, 1))
    assert value == 23.0
    assert_array_equal(d_model["a"], [4.0, 5.0])
    assert d_model["b"] == [6.0]
    assert_array_equal(d_x, [1.0, 2.0])
    single = odead.gradient(lambda x: (x * x).sum(), np.ones(3, np.float32))
    assert single.dtype == np.float32
    assert odead.gradient(lambda x: x**3, 2) == 12.0


def test_gradient_does_not_change_its_arguments():
    def f(x):
        x *= 2
        return x.sum()

    x = np.ones(3)
    assert_array_equal(odead.gradient(f, x), 2.0)
    assert_array_equal(odead.gradient(f, x, mode=odead.Forward), 2.0)
    assert_array_equal(x, 1.0)


def test_gradient_of_many_inputs_in_forward_mode_needs_several_sweeps():
    x = RNG.normal(size=75)
    assert_allclose(odead.gradient(rosenbrock, x, mode=odead.Forward), odead.gradient(rosenbrock, x), rtol=1e-12)


def dense(f, x):
    step = 1e-6
    return np.stack([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(x.size)], axis=-1)


@pytest.mark.parametrize("n", [3, 40])
def test_jacobian(n):
    x = RNG.normal(size=n)
    assert_allclose(odead.jacobian(tridiagonal, x), dense(tridiagonal, x), atol=1e-8)
    assert_allclose(odead.jacobian(lambda x: tridiagonal(x)[:2], x), dense(tridiagonal, x)[:2], atol=1e-8)


def test_sparse_jacobian_and_pattern():
    x = RNG.normal(size=50)
    found = odead.jacobian(tridiagonal, x, sparse=True)
    assert_allclose(found.toarray(), odead.jacobian(tridiagonal, x), rtol=1e-13)
    pattern = odead.sparsity(tridiagonal, x)
    assert pattern.dtype == bool
    assert pattern.nnz == 48 * 3 + 2 + 1
    arrow = odead.jacobian(lambda x: x * x[0], x, sparse=True)
    assert_allclose(arrow.toarray(), odead.jacobian(lambda x: x * x[0], x), rtol=1e-13)
    wide = odead.jacobian(lambda x: np.array([x.sum(), x[0] * x[1]]), x, sparse=True)
    assert_allclose(wide.toarray(), odead.jacobian(lambda x: np.array([x.sum(), x[0] * x[1]]), x), rtol=1e-13)


def test_jvp_and_vjp_are_dual():
    x, v, w = RNG.normal(size=9), RNG.normal(size=9), RNG.normal(size=9)
    value, tangent = odead.jvp(tridiagonal, x, v)
    again, pullback = odead.vjp(tridiagonal, x)
    assert_array_equal(value, tridiagonal(x))
    assert_array_equal(again, value)
    (cotangent,) = pullback(w)
    assert_allclose(w @ tangent, cotangent @ v, rtol=1e-13)


def test_pullback_survives_overwritten_inputs_and_repeats():
    def f(x, y):
        return x * y

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    _, first = odead.vjp(f, x, y)
    x[:] = y[:] = 0.0
    _, second = odead.vjp(f, np.array([5.0, 6.0]), np.array([7.0, 8.0]))
    for _ in range(2):
        assert_array_equal(first(np.ones(2))[0], [3.0, 4.0])
        assert_array_equal(second(np.ones(2))[1], [5.0, 6.0])


def test_hessian_and_hvp():
    x, v = RNG.normal(size=20), RNG.normal(size=20)
    hessian = odead.hessian(rosenbrock, x)
    step = 1e-6
    expected = (odead.gradient(rosenbrock, x + step * v) - odead.gradient(rosenbrock, x - step * v)) / (2 * step)
    assert_allclose(hessian, hessian.T, rtol=1e-12, atol=1e-9)
    assert_allclose(hessian @ v, expected, rtol=1e-6, atol=1e-4)
    assert_allclose(odead.hvp(rosenbrock, x, v), hessian @ v, rtol=1e-12)
    assert odead.hessian(lambda x: x**3, 2.0) == 12.0


def test_compile():
    x, v, w = RNG.normal(size=6), RNG.normal(size=6), RNG.normal(size=6)
    compiled = odead.compile(tridiagonal, x)
    out = np.empty(6)
    assert compiled.primal(x, out=out) is out
    assert_array_equal(out, tridiagonal(x))
    jacobian = odead.jacobian(tridiagonal, x)
    assert_allclose(compiled.jvp((x,), (v,)), jacobian @ v, rtol=1e-13)
    assert_allclose(compiled.vjp((x,), w)[0], w @ jacobian, rtol=1e-13)
    assert_allclose(compiled.jac((x,)), jacobian, rtol=1e-13)
    assert_array_equal(pickle.loads(pickle.dumps(compiled)).primal(x), out)
    assert "tridiagonal" in str(compiled.tape)


def test_compiled_in_place_function():
    def rhs(dx, x, p, t):
        dx[:] = p[0] * x * t

    x, p = np.array([1.0, 2.0]), np.array([3.0])
    compiled = odead.compile(rhs, np.zeros(2), x, p, 1.0)
    dx = np.empty(2)
    compiled.primal(dx, x, p, 2.0)
    assert_array_equal(dx, [6.0, 12.0])
    shadows = (np.ones(2), np.zeros(2), np.zeros(1), None)
    compiled.vjp((dx, x, p, 2.0), None, out=shadows)
    assert_array_equal(shadows[0], 0.0)
    assert_array_equal(shadows[1], 6.0)
    assert_array_equal(shadows[2], [6.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: odead.gradient(lambda x: x, np.ones(3)), r"array of shape \(3,\)"),
        (lambda: odead.gradient(lambda x: None, np.ones(3)), "returns nothing"),
        (lambda: odead.gradient(lambda x: x[0] > 1, np.ones(3)), "bool"),
        (lambda: odead.gradient(lambda x: x.sum(), np.ones(3), wrt=1), "wrt=1"),
        (lambda: odead.gradient(lambda x: x.sum(), np.ones(3, int)), "no float"),
        (lambda: odead.jvp(lambda x: x, np.ones(3), np.ones(4)), "tangent"),
        (lambda: odead.vjp(lambda x: x, np.ones(3))[1](np.ones(4)), "cotangent"),
        (lambda: odead.hessian(lambda x: x, np.ones(3)), "one number"),
        (lambda: odead.compile(lambda x: x, np.ones(3)).primal(np.ones(4)), r"shape \(4,\)"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(odead.OdeadError, match=words):
        call()


def test_floats_of_other_widths_are_named():
    with pytest.raises(odead.OdeadError, match="float16"):
        odead.gradient(lambda x: x.sum(), np.ones(2, np.float16))
