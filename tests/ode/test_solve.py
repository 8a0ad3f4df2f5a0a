import pickle

import numpy as np
import pytest
import scipy.integrate

from ode.problems import LOTKA_P, LOTKA_X0, heat_eq, lotka_volterra
from odead.ode import from_scipy, sensitivity, solve, solve_ivp

METHODS = ("RK23", "RK45", "DOP853", "LSODA", "BDF", "Radau")


def plain(t, y, a=1.5, b=1.0, c=3.0, d=1.0):
    return np.array([a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1]])


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_scipy(method):
    times = np.linspace(0, 5, 7)
    found = solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 5), t_eval=times, method=method, rtol=1e-8, atol=1e-10)
    expected = scipy.integrate.solve_ivp(plain, (0, 5), LOTKA_X0, method, times, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-6)
    assert found.success
    assert found.status == 0
    assert found.nsteps > 0


def test_all_forms_of_a_right_hand_side_are_one():
    def returned(x, p, t):
        a, b, c, d = p
        return np.array([a * x[0] - b * x[0] * x[1], -c * x[1] + d * x[0] * x[1]])

    def listed(x, p, t):
        return [p[0] * x[0] - p[1] * x[0] * x[1], -p[2] * x[1] + p[3] * x[0] * x[1]]

    def scaled(dx, x, p, t, unit=1.0):
        lotka_volterra(dx, x, p, t)
        dx *= unit

    expected = solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), t_eval=[3]).y
    for rhs in (returned, listed, scaled, from_scipy(lambda t, y, p: returned(y, p, t))):
        np.testing.assert_allclose(solve(rhs, LOTKA_X0, LOTKA_P, (0, 3), t_eval=[3]).y, expected, rtol=1e-12)
    np.testing.assert_allclose(solve(from_scipy(plain), LOTKA_X0, tuple(LOTKA_P), (0, 3), t_eval=[3]).y, expected, rtol=1e-12)
    np.testing.assert_allclose(solve(from_scipy(plain), LOTKA_X0, None, (0, 3), t_eval=[3]).y, expected, rtol=1e-12)


def test_numbers_and_lists_are_taken_as_in_scipy():
    assert solve(lambda x, p, t: -x, 1, None, (0, 1), t_eval=[1]).y.shape == (1, 1)
    assert solve(lambda x, p, t: -p * x, [1, 2], 3, (0, 1)).y.shape[0] == 2


def test_a_start_with_numbers_in_a_container():
    found = solve(
        lambda x, p, t: {"b": -x["b"], "a": 2 * x["a"]}, {"a": 1.0, "b": np.ones(2)}, None, (0, 1), t_eval=[1], rtol=1e-9
    )
    np.testing.assert_allclose(found.y[:, 0], [np.exp(2), np.exp(-1), np.exp(-1)], rtol=1e-7)


def test_a_changed_global_is_noticed(monkeypatch):
    monkeypatch.setitem(globals(), "RATE", 1.0)
    before = solve(decay, [1.0], None, (0, 1), t_eval=[1], rtol=1e-9).y[0, 0]
    monkeypatch.setitem(globals(), "RATE", 2.0)
    after = solve(decay, [1.0], None, (0, 1), t_eval=[1], rtol=1e-9).y[0, 0]
    np.testing.assert_allclose([before, after], np.exp([-1, -2]), rtol=1e-7)


RATE = 1.0


def decay(x, p, t):
    return -RATE * x


def test_branches_take_part_in_the_jacobian():
    def rhs(dx, x, p, t):
        dx[0] = -p[0] * x[0]
        dx[1] = -p[0] * x[1] + (x[0] if t > 1 else 0.0)

    for method in ("LSODA", "BDF", "Radau", "RK45"):
        y = solve(rhs, [1.0, 0.0], [2.0], (0, 2), t_eval=[1, 2], method=method, rtol=1e-8, max_step=0.1).y
        np.testing.assert_allclose(y[1], [0, np.exp(-4)], atol=1e-5)


def test_compiled_solve_ivp_is_a_drop_in():
    def event(t, y, *args):
        return y[0] - 2

    event.terminal = True
    for method in METHODS:
        found = solve_ivp(plain, (0, 5), [1, 1], method=method, events=event, args=(1.4,), rtol=1e-8, atol=1e-10)
        expected = scipy.integrate.solve_ivp(
            plain, (0, 5), [1, 1], method=method, events=event, args=(1.4,), rtol=1e-8, atol=1e-10
        )
        np.testing.assert_allclose(found.t_events[0], expected.t_events[0], rtol=1e-6)
        assert (found.status, found.success) == (1, True)


def test_print_tells_what_was_computed():
    result = sensitivity(
        lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), t_eval=[0, 1, 3], loss=lambda y: y.sum(), wrt=("p", "x0"), mode="forward"
    )
    text = str(result)
    for words in (
        "lotka_volterra: 2 states, 3 times from 0 to 3, 4 parameters",
        "Tsit5",
        "forward",
        "p[3]",
        "grad_x0",
        "success",
    ):
        assert words in text
    assert "evaluations" in str(solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3)))
    second = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 1), loss=lambda y: y[0, 0], order=2)
    assert f"  hess        (4, 4)           {second.hess.min():.6g} to {second.hess.max():.6g}" in str(second)


def test_results_survive_pickling():
    result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), t_eval=[1, 3], dense_output=True)
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is type(result)
    np.testing.assert_array_equal(again.sens, result.sens)
    np.testing.assert_array_equal(again.sol(2.0), result.sol(2.0))
    assert isinstance(again, type(scipy.integrate.solve_ivp(plain, (0, 1), [1, 1])))


def test_plot_draws_states_and_sensitivities():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3)).plot()
    assert sum(bool(axes.get_title()) for axes in figure.axes) == 5
    pyplot.close(figure)
    figure = solve(heat_eq, np.linspace(300, 310, 101), np.array([15.0, 10.0]), (0, 10)).plot()
    assert figure.axes[0].collections
    pyplot.close(figure)


def test_dense_output_has_the_states_only():
    for mode in ("forward", "continuous"):
        result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), loss=lambda y: y[0, 0], dense_output=True, mode=mode)
        np.testing.assert_allclose(result.sol(result.t), result.y, rtol=1e-4)
    assert solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3)).sol is None
