"""Derivatives of functions that take derivatives themselves, in any order."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import check_derivatives, gradient, hessian, hvp, jacobian, jvp, value_and_gradient, vjp

X = np.array([0.3, 0.7, 1.1])
V = np.array([0.2, -1.0, 0.5])
A = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 3.0]])


def energy(x):
    total = 0.0
    for k in range(3):
        total += np.sin(x[k]) * x[(k + 1) % 3] ** 2
    return total + x @ A @ x


def shifted(x):
    """Writes into an array of its own, in place."""
    y = np.zeros(3)
    y[1:] = x[:-1] ** 2
    y *= x
    return y + np.exp(x)


def test_gradient_three_times():
    def first(x):
        return gradient(lambda y: np.sin(y) * y**3, x)

    def second(x):
        return gradient(first, x)

    x = 0.7
    exact = -np.cos(x) * x**3 - 3 * 3 * x**2 * np.sin(x) + 3 * 6 * x * np.cos(x) + 6 * np.sin(x)
    assert_allclose(gradient(second, x), exact, rtol=1e-12)


@pytest.mark.parametrize("outer", [odead.Forward, odead.Reverse])
@pytest.mark.parametrize("inner", [odead.Forward, odead.Reverse])
def test_modes_in_any_order(outer, inner):
    def slope(x):
        return gradient(energy, x, mode=inner) @ V

    assert_allclose(gradient(slope, X, mode=outer), hessian(energy, X) @ V, rtol=1e-12)


def test_jacobian_of_gradient_is_the_hessian():
    assert_allclose(jacobian(lambda x: gradient(energy, x), X), hessian(energy, X), rtol=1e-12)
    assert_allclose(jacobian(lambda x: value_and_gradient(energy, x)[1], X), hessian(energy, X), rtol=1e-12)


def test_jacobian_inside():
    check_derivatives(lambda x: (jacobian(shifted, x) ** 2).sum(), X)
    check_derivatives(lambda x: jacobian(lambda y: shifted(y)[:2], x) @ x, X)  # by rows


def test_hessian_and_products_inside():
    check_derivatives(lambda x: np.sum(hessian(energy, x) * A), X)
    check_derivatives(lambda x, v: hvp(energy, x, v), X, V)


def test_jvp_of_vjp():
    def pulled(x):
        value, pullback = vjp(shifted, x)
        return pullback(value * V)[0]

    tangent = jvp(pulled, (X,), (V,))[1]
    step = 1e-6
    assert_allclose(tangent, (pulled(X + step * V) - pulled(X - step * V)) / (2 * step), rtol=1e-8)
    check_derivatives(pulled, X)


def test_vjp_of_jvp():
    check_derivatives(lambda x, v: jvp(shifted, (x,), (v,))[1], X, V)
    check_derivatives(lambda x, v: jvp(lambda y, s: y * s, (x, 2.0), (v, x[0]))[1], X, V)


def test_pullback_of_a_run_outside():
    _, pullback = vjp(shifted, X)
    assert_allclose(jacobian(lambda c: pullback(c)[0], V), jacobian(shifted, X).T, rtol=1e-12)


def test_pullback_is_valid_after_the_input_is_overwritten():
    def product(x):
        y = x * 1.0
        _, pullback = vjp(lambda z: z**3, y)
        y[:] = 0.0
        return pullback(np.ones(3))[0] + pullback(x)[0]

    assert_allclose(jacobian(product, X), np.diag(6 * X + 9 * X**2), rtol=1e-12)


def test_the_inner_derivative_holds_constant_what_it_closes_over():
    """d/dx (x d/dy (x + y)) = 1, and 2 for who confuses the two perturbations."""
    for inner in (odead.Forward, odead.Reverse):
        for outer in (odead.Forward, odead.Reverse):
            assert gradient(lambda x: x * gradient(lambda y: x + y, 1.0, mode=inner), 1.0, mode=outer) == 1.0  # noqa: B023
    check_derivatives(lambda x: gradient(lambda y: (x * y**2).sum() + energy(x), x * 2.0), X)
    check_derivatives(lambda x: gradient(lambda y, z: (z[0] * z[1] * y**3).sum(), x, [x, x**2]), X)
    check_derivatives(lambda x: jacobian(lambda y, s=x: y**2 * s, x), X)  # in a default


def test_functions_that_close_over_functions_and_lists():
    def f(x):
        parts = [x[0], x * 2.0]

        def inner(y):
            return (y * parts[1] * parts[0]).sum()

        return gradient(lambda y: inner(y) ** 2, x)

    check_derivatives(f, X)


def of_globals(x):
    """Looks up names of the module."""
    return np.sin(x) * TABLE[: len(x)] + odead.stop_gradient(x)


class Scaled:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return self.scale * np.exp(x)


@pytest.mark.parametrize("f", [of_globals, Scaled(2.0), Scaled(np.array([1.0, 2.0, 3.0]))])
def test_functions_and_objects_in_closures_at_every_depth(f):
    """What a closure made inside holds has been translated once already."""
    exact = jacobian(lambda x: np.diag(jacobian(f, x)), X)
    assert_allclose(jacobian(lambda x: gradient(lambda y: f(y).sum(), x), X), exact)
    assert_allclose(jacobian(lambda x: jacobian(lambda y: f(y), x) @ V, X), exact * V)
    check_derivatives(lambda x: gradient(lambda y: gradient(lambda z: f(z).sum(), y) @ y, x), X)


def test_a_zero_shadow_made_inside():
    def f(x):
        shadow = odead.make_zero({"a": x, "b": [x[0], x], "n": 3})
        assert shadow["a"] is shadow["b"][1]
        odead.autodiff(
            lambda p: (p["a"] ** 2).sum() * p["b"][0], odead.Active, odead.Duplicated({"a": x, "b": [x[0], x], "n": 3}, shadow)
        )
        return shadow["a"] * shadow["b"][0]

    check_derivatives(f, X)
    assert_allclose(f(X), 2 * X * X[0] * (X @ X))


def test_in_a_loop():
    def newton(a):
        x = 1.0
        for _ in range(6):
            value, slope = value_and_gradient(lambda y: y**3 - a, x)
            x = x - value / slope
        return x

    assert_allclose(newton(2.0), 2 ** (1 / 3), rtol=1e-12)
    assert_allclose(gradient(newton, 2.0), 2 ** (-2 / 3) / 3, rtol=1e-10)


def test_guards_of_the_inner_function():
    def inner(x):
        return x**2 if x > 0 else -5.0 * x

    def outer(x):
        return x * gradient(inner, x)

    assert gradient(outer, 2.0) == 8.0
    assert gradient(outer, -2.0) == -5.0
    assert gradient(outer, 3.0) == 12.0


TABLE = np.array([1.0, 2.0, 4.0])


def with_table(x):
    return (TABLE * x**2).sum()


def test_global_arrays_are_read_at_each_call():
    def outer(x):
        return gradient(with_table, x)

    assert_allclose(jacobian(outer, X), np.diag(2 * TABLE))
    before = TABLE.copy()
    try:
        TABLE[:] = 7.0
        assert_allclose(jacobian(outer, X), 14 * np.eye(3))
    finally:
        TABLE[:] = before


def test_a_changed_number_is_noticed():
    scale = 2.0

    def inner(x):
        return scale * (x**2).sum()

    def outer(x):
        return gradient(inner, x)

    assert_allclose(jacobian(outer, X), 4 * np.eye(3))
    scale = 3.0
    assert_allclose(jacobian(outer, X), 6 * np.eye(3))


def test_hamiltonian_dynamics():
    """H = p^2/2 + (1 - cos q): the pendulum, whose force is the gradient of its potential."""

    def potential(q, length):
        return (1.0 - np.cos(q[0])) / length

    def rhs(dx, x, p, t):
        dx[:1] = x[1:]
        dx[1:] = -gradient(potential, x[:1], p[0])

    def written_out(dx, x, p, t):
        dx[0] = x[1]
        dx[1] = -np.sin(x[0]) / p[0]

    options = {"t_eval": np.linspace(0, 3, 7), "rtol": 1e-9, "atol": 1e-11}
    x0, p = np.array([1.0, 0.0]), np.array([1.3])
    for method in ("Tsit5", "Rodas5P"):
        got = odead.sensitivity(rhs, x0, p, (0, 3), method=method, **options)
        exact = odead.sensitivity(written_out, x0, p, (0, 3), method=method, **options)
        assert_allclose(got.sens, exact.sens, rtol=1e-7, atol=1e-9)
    loss = odead.sensitivity(rhs, x0, p, (0, 3), loss=lambda y: (y**2).sum(), mode="adjoint", method="Tsit5", **options)
    reference = odead.sensitivity(
        written_out, x0, p, (0, 3), loss=lambda y: (y**2).sum(), mode="adjoint", method="Tsit5", **options
    )
    assert_allclose(loss.grad, reference.grad, rtol=1e-7)


def test_lines_are_those_of_the_inner_function():
    def outer(x):
        return gradient(energy, x).sum()

    lines = {line.function for line in odead.compile(outer, X).tape.lines}
    assert "energy" in lines


def test_a_written_global_read_inside_is_refused():
    scratch = np.zeros(3)

    def inner(x):
        return (scratch * x).sum()

    def outer(x):
        scratch[:] = x
        return gradient(inner, x).sum()

    with pytest.raises(odead.TracingError, match="scratch"):
        gradient(outer, X)


# ---------------------------------------------------------------------------------------------------- autodiff inside


def cubes(out, x):
    out[:2] = x[:2] ** 3
    x[2] *= x[0]


def test_autodiff_inside_obeys_the_law_of_mutation():
    def forward(x, v):
        y, dy = np.zeros(3), np.zeros(3)
        x, dx = x * 1.0, v * 1.0
        odead.autodiff(odead.Forward, cubes, odead.Duplicated(y, dy), odead.Duplicated(x, dx))
        return np.concatenate([y, dy, x, dx])

    def reverse(x, v):
        y, dy = np.zeros(3), v * 1.0
        x, dx = x * 1.0, v * x
        odead.autodiff(cubes, odead.Duplicated(y, dy), odead.Duplicated(x, dx))
        return np.concatenate([y, dy, x, dx])

    for f in (forward, reverse):
        assert_allclose(jvp(f, (X, V), (V, X))[0], f(X, V), rtol=1e-14)
        check_derivatives(f, X, V)


def test_active_numbers_inside():
    def slope(a, x):
        return odead.autodiff(lambda b, y: b**3 * (y * y).sum(), odead.Active(a), odead.Const(x))[0]

    assert_allclose(slope(2.0, X), 12 * (X @ X))
    check_derivatives(slope, 2.0, X)


def test_autodiff_inside_checks_its_arguments():
    def f(x):
        return odead.autodiff(cubes, odead.Duplicated(x, x), odead.Const(x))

    with pytest.raises(odead.OdeadError, match="shares memory"):
        jacobian(f, X)


@pytest.mark.parametrize("example", [X, X + 1j * V])
def test_a_compiled_function_inside(example):
    def f(x):
        y = x * 1.0
        y[1:] *= x[:-1] ** 2
        return y * x[0]

    compiled, kind = odead.compile(f, example), example.dtype

    def into_buffers(x):
        value, tangent, matrix, shadow = np.zeros(3, kind), np.zeros(3, kind), np.zeros((3, 3), kind), np.zeros(3, kind)
        compiled.primal(x, out=value)
        compiled.jvp((x,), (x * 2,), out=tangent)
        compiled.jac((x,), out=matrix)
        compiled.vjp((x,), value * 1.0, out=(shadow,))
        return np.concatenate([value, tangent, matrix.ravel(), shadow])

    def returned(x):
        shadow = compiled.vjp((x,), compiled.primal(x))[0]
        return np.concatenate([compiled.primal(x), compiled.jvp((x,), (x * 2,)), compiled.jac((x,)).ravel(), shadow])

    for g in (into_buffers, returned):
        assert_allclose(jvp(g, (example,), (example,))[0], g(example), rtol=1e-14)
        check_derivatives(g, example, entries=2)


def test_a_compiled_function_that_writes_inside():
    compiled = odead.compile(cubes, np.zeros(3), X)

    def f(x):
        y, x, dy, dx = np.zeros(3), x * 1.0, np.ones(3), np.sin(x)
        compiled.primal(y, x)
        compiled.jvp((y, x), (dy, dx))
        compiled.vjp((y, x), None, out=(dy, dx))
        return np.concatenate([y, x, dy, dx])

    assert_allclose(jvp(f, (X,), (V,))[0], f(X), rtol=1e-14)
    check_derivatives(f, X)


def test_a_compiled_function_of_numbers_inside():
    compiled = odead.compile(lambda a, p: a**3 * p["k"] if a > 1 else a * p["k"], 2.0, {"k": 1.5})

    def f(a):
        return compiled.primal(a, {"k": a}) * a + compiled.jvp((a, {"k": 2.0}), (1.0, {"k": a})) + compiled.jac((a, {"k": a}))

    for a in (1.7, 0.6, 1.2):
        check_derivatives(f, a)


def test_compile_inside_is_refused():
    with pytest.raises(TypeError, match="compile before it"):
        jacobian(lambda x: odead.compile(shifted, x).primal(x), X)
