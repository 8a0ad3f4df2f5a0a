"""`odead.solve` inside differentiated functions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import check_derivatives, gradient, jacobian, jvp

TIMES = np.linspace(0.0, 2.0, 5)
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def logistic(dx, x, p, t):
    dx[:] = p[0] * x * (1 - x / p[1])


def exact(t, x0, r, k):
    return k / (1 + (k / x0 - 1) * np.exp(-r * t))


def test_a_closed_form_in_both_modes():
    def f(p):
        x0 = np.array([p[2] ** 2])
        y = odead.solve(logistic, x0, p[:2] * 2.0, (0, 2), t_eval=TIMES, **TIGHT).y
        return y[0] * TIMES + np.sin(y[0])

    def closed(p):
        y = exact(TIMES, p[2] ** 2, 2 * p[0], 2 * p[1])
        return y * TIMES + np.sin(y)

    p = np.array([0.6, 1.2, 0.5])
    assert_allclose(f(p), closed(p), rtol=1e-7)
    reference = jacobian(closed, p)
    assert_allclose(jacobian(f, p), reference, rtol=1e-7, atol=1e-9)
    weights = np.array([1.0, -2.0, 0.5, 3.0, 1.0])
    for mode in (odead.Forward, odead.Reverse):
        assert_allclose(gradient(lambda q: f(q) @ weights, p, mode=mode), weights @ reference, rtol=1e-7)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P"])
def test_as_sensitivity_with_the_same_loss(mode, method):
    x0, p = np.array([0.4]), np.array([0.9, 2.0])

    def loss(y):
        return (y**2).sum()

    options = {"t_eval": TIMES, "method": method, "mode": mode, **TIGHT}
    by_solve = gradient(lambda p: loss(odead.solve(logistic, x0, p, (0, 2), **options).y), p)
    assert_allclose(by_solve, odead.sensitivity(logistic, x0, p, (0, 2), loss=loss, **options).grad, rtol=1e-8)


def test_times():
    def f(ends):
        t0, t1 = ends
        y = odead.solve(logistic, np.array([0.3]), np.array([0.7, 2.0]), (t0, t1), t_eval=[t0 + 0.5, t1], **TIGHT).y
        return y[0]

    ends = np.array([0.1, 1.5])
    slope = 0.7 * exact(1.4, 0.3, 0.7, 2.0) * (1 - exact(1.4, 0.3, 0.7, 2.0) / 2.0)
    expected = np.array([[0.0, 0.0], [-slope, slope]])
    for mode in (odead.Forward, odead.Reverse):
        rows = [gradient(lambda e, k=k: f(e)[k], ends, mode=mode) for k in range(2)]
        assert_allclose(rows, expected, rtol=1e-7, atol=1e-9)


def test_a_loop_over_experiments():
    starts = np.array([[0.1], [0.5], [1.5]])

    def misfit(p):
        total = 0.0
        for k in range(3):
            result = odead.solve(logistic, starts[k], p, (0, 2), t_eval=TIMES, **TIGHT)
            total += ((result.y[0] - 0.3 * k) ** 2).sum()
        return total

    p = np.array([0.7, 2.0])

    def closed(p):
        return sum(((exact(TIMES, starts[k, 0], p[0], p[1]) - 0.3 * k) ** 2).sum() for k in range(3))

    assert_allclose(gradient(misfit, p), gradient(closed, p), rtol=1e-7)


def test_one_solve_after_another():
    def f(p):
        middle = odead.solve(logistic, np.array([0.2]), p, (0, 1), t_eval=[1.0], **TIGHT).y[:, -1]
        return odead.solve(logistic, middle, p, (1, 2), t_eval=[2.0], **TIGHT).y[0, 0]

    p = np.array([0.7, 2.0])
    assert_allclose(gradient(f, p), gradient(lambda p: exact(2.0, 0.2, p[0], p[1]), p), rtol=1e-7)


def test_what_the_right_hand_side_closes_over():
    def f(r):
        def rhs(x, p, t):
            return r * x * (1 - x / p)

        return odead.solve(rhs, [r / 4], 2.0, (0, 2), t_eval=TIMES, **TIGHT).y[0, -1]

    def scipys(r):
        return odead.solve(
            odead.from_scipy(lambda t, y, k: r * y * (1 - y / k)), [r / 4], (2.0,), (0, 2), t_eval=TIMES, **TIGHT
        ).y[0, -1]

    for g in (f, scipys):
        for mode in (odead.Forward, odead.Reverse):
            expected = gradient(lambda r: exact(2.0, r / 4, r, 2.0), 0.8)
            assert_allclose(gradient(g, 0.8, mode=mode), expected, rtol=1e-7)


def test_containers_and_initial_functions():
    def rhs(x, p, t):
        return {"a": -p["rate"] * x["a"], "b": p["rate"] * x["a"] * p["gain"]}

    def f(rate, gain):
        p = {"rate": rate, "gain": gain}
        y = odead.solve(rhs, lambda p: {"a": np.array([p["rate"]]), "b": np.zeros(1)}, p, (0, 2), t_eval=[1.0, 2.0], **TIGHT).y
        return y[1, 1]

    expected = gradient(lambda v: v[0] * v[1] * (1 - np.exp(-2 * v[0])), np.array([0.7, 1.3]))
    assert_allclose(gradient(f, 0.7, 1.3, wrt=(0, 1)), expected, rtol=1e-7)
    assert_allclose(jvp(f, (0.7, 1.3), (1.0, 0.0))[1], expected[0], rtol=1e-7)


def test_the_law():
    def f(x0, p):
        return odead.solve(logistic, x0, p, (0, 2), t_eval=TIMES, rtol=1e-11, atol=1e-12).y

    check_derivatives(f, np.array([0.4]), np.array([0.9, 2.0]))


def test_what_is_refused_says_so():
    x0, p = np.array([0.4]), np.array([0.9, 2.0])
    with pytest.raises(TypeError, match="rtol"):
        gradient(lambda p: odead.solve(logistic, x0, p, (0, 2), t_eval=TIMES, rtol=p[0]).y[0, -1], p)
    with pytest.raises(TypeError, match="tstops"):
        gradient(lambda p: odead.solve(logistic, x0, p, (0, 2), t_eval=TIMES, tstops=[p[0]]).y[0, -1], p)


def test_a_failed_solve_raises_as_itself():
    def f(p):
        return odead.solve(lambda x, p, t: p * x**2, np.ones(1), p, (0, 2), t_eval=[2.0]).y[0, 0]

    with pytest.raises(odead.IntegrationError):
        gradient(f, np.ones(1))


def test_without_t_eval_the_states_are_those_at_the_steps():
    x0, p = np.array([0.4]), np.array([0.9, 2.0])

    def end(p, t0, t1):
        return odead.solve(logistic, x0, p, (t0, t1), **TIGHT).y[0, -1]

    def closed(p, t0, t1):
        return exact(t1 - t0, x0[0], p[0], p[1])

    for mode in (odead.Forward, odead.Reverse):
        found = gradient(end, p, 0.25, 2.0, wrt=(0, 1, 2), mode=mode)
        for part, reference in zip(found, gradient(closed, p, 0.25, 2.0, wrt=(0, 1, 2)), strict=True):
            assert_allclose(part, reference, rtol=1e-7)
    assert_allclose(gradient(lambda t: odead.solve(logistic, x0, p, (t[0], t[1]), **TIGHT).t[-1], np.array([0.0, 2.0])), [0, 1])


def test_another_number_of_steps_than_recorded():
    x0 = np.array([0.4])
    compiled = odead.compile(lambda p: odead.solve(logistic, x0, p, (0, 2)).y, np.array([0.9, 2.0]))
    for rate in (0.9, 9.0, 0.1, 9.0):
        p = np.array([rate, 2.0])
        plain = odead.solve(logistic, x0, p, (0, 2))
        assert_allclose(compiled.primal(p), plain.y, rtol=1e-13)
    assert plain.t.size != odead.solve(logistic, x0, np.array([0.9, 2.0]), (0, 2)).t.size


def test_without_t_eval_the_last_state_is_that_of_the_event_that_ends_it():
    def half(x, p, t):
        return x[0] - 1.0

    half.terminal = True
    x0, p = np.array([0.4]), np.array([0.9, 2.0])

    def found(p):
        return odead.solve(logistic, x0, p, (0, 9), events=half, **TIGHT)

    def instant(p):
        return np.log((p[1] / 0.4 - 1) / (p[1] - 1)) / p[0]

    assert found(p).t[-1] == pytest.approx(instant(p), rel=1e-7)
    assert_allclose(gradient(lambda p: found(p).t[-1], p), gradient(instant, p), rtol=1e-7)
    assert_allclose(gradient(lambda p: found(p).y[0, -1], p), [0, 0], atol=1e-9)
    assert_allclose(odead.hessian(lambda p: found(p).t[-1], p)[0, 0], 2 * np.log(4.0) / p[0] ** 3, rtol=1e-6)


@pytest.mark.parametrize(("method", "engine"), [("RK45", "native"), ("BDF", "native"), ("auto", "native"), ("Radau", "scipy")])
def test_what_tells_of_the_run(method, engine):
    """Counts are those of each run, also when a recording runs again, and are held constant."""
    names = ("nfev", "njev", "nlu", "nsteps")
    options = {"t_eval": [0.5, 2.0], "method": method, "engine": engine}

    def f(p):
        found = odead.solve(logistic, [0.1], p, (0.0, 2.0), **options)
        assert (found.status, found.success, found.message) == (0, True, "the end was reached")
        assert "being recorded" in str(found)
        assert found.engine == engine
        assert (found.nrejected is None) == (odead.solve(logistic, [0.1], [1.0, 2.0], (0.0, 2.0), **options).nrejected is None)
        return found.y[0, -1] * np.array([found.nfev, found.njev, found.nlu, found.nsteps]).sum()

    for p in (np.array([1.3, 2.0]), np.array([9.0, 1.5]), np.array([30.0, 1.5])):
        plain = odead.solve(logistic, [0.1], p, (0.0, 2.0), **options)
        count = sum(plain[name] for name in names)
        value, slope = odead.value_and_gradient(f, p)
        assert_allclose(value, plain.y[0, -1] * count, rtol=1e-12)
        last = odead.gradient(lambda p: odead.solve(logistic, [0.1], p, (0.0, 2.0), **options).y[0, -1], p)
        assert_allclose(slope, last * count, rtol=1e-12)
