"""What is wrong is said before anything runs, with the name of the argument and what to write instead."""

import math

import numpy as np
import pytest

from ode.problems import LOTKA_P, LOTKA_X0, lotka_volterra
from odead.activity import Cache, Duplicated
from odead.errors import ArgumentTypeError, ArgumentValueError, IntegrationError, OdeadError, TracingError
from odead.ode import ensemble, sensitivity, solve

X0 = np.array([1.0, 2.0])
P = np.array([3.0, 4.0])


def good(dx, x, p, t):
    dx[:] = -p[0] * x


def total(y):
    return y.sum()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tspan": (1.0,)}, ValueError, "tspan must be two numbers"),
        ({"tspan": 5.0}, ValueError, "tspan must be two numbers"),
        ({"tspan": "ab"}, TypeError, "tspan must be two numbers"),
        ({"tspan": (0, np.inf)}, ValueError, "tspan must be finite"),
        ({"t_eval": [0.5, 0.2]}, ValueError, r"t_eval must be sorted .* t_eval\[0\]"),
        ({"t_eval": [0.2, 0.5], "tspan": (1, 0)}, ValueError, "t_eval must be sorted from t0 = 1"),
        ({"t_eval": [0.5, 2.0]}, ValueError, r"t_eval\[1\] = 2 is outside tspan"),
        ({"t_eval": [np.nan]}, ValueError, r"t_eval\[0\] = nan is outside"),
        ({"t_eval": []}, ValueError, "t_eval"),
        (
            {"t_eval": np.arange(4) * 0.1, "tspan": (0, 0.3)},
            ValueError,
            "= 0.30000000000000004 is outside .* by rounding",
        ),
        ({"t_eval": np.array([0.5j])}, TypeError, "t_eval must be a sequence of real numbers"),
        ({"t_eval": ["0.5"]}, TypeError, "t_eval must be a sequence of real numbers"),
        ({"tspan": ("0", "1")}, TypeError, "tspan must be two numbers"),
        ({"rtol": "1e-3"}, TypeError, "rtol must be a positive number"),
        ({"tstops": ["0.5"]}, TypeError, "tstops must be a sequence of times"),
        ({"wrt": ("p", "t_eval"), "loss": total}, ValueError, 'wrt="t_eval" needs t_eval='),
        ({"method": "rk45"}, ValueError, "method='rk45' is unknown; use \"auto\" or one of .*RK45.*Tsit5.*BDF.*LSODA"),
        ({"t_eval": [[0.5]]}, ValueError, "t_eval must be one-dimensional"),
        ({"x0": np.array([1.0, np.nan])}, ValueError, r"x0\[1\] is nan"),
        ({"x0": np.array(["a"])}, TypeError, "x0 has dtype"),
        ({"x0": [[1.0], [2.0, 3.0]]}, ValueError, "x0 is a ragged list"),
        ({"x0": []}, ValueError, "x0"),
        ({"x0": lambda: X0}, TypeError, "x0.* one positional parameter"),
        ({"p": np.array([1.0, np.inf])}, ValueError, r"p\[1\] is inf"),
        ({"rtol": 0.0}, ValueError, "rtol must be positive"),
        ({"rtol": [1e-6, 1e-6]}, ValueError, "rtol must be one number"),
        ({"atol": -1e-9}, ValueError, "atol must be positive"),
        ({"atol": np.ones(3)}, ValueError, "atol must be a number or have one entry per state"),
        ({"sens_rtol": 0}, ValueError, "sens_rtol must be positive"),
        ({"sens_atol": np.ones(3)}, ValueError, "sens_atol must be a number or have shape"),
        ({"first_step": -1.0}, ValueError, "first_step must be positive"),
        ({"first_step": 3.0}, ValueError, "first_step = 3 is longer than tspan"),
        ({"max_step": 0}, ValueError, "max_step must be positive"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"method": "euler"}, ValueError, "method='euler'"),
        ({"method": "Radau", "engine": "native"}, ValueError, "Radau"),
        ({"method": "Kvaerno5", "engine": "scipy"}, ValueError, "Kvaerno5"),
        ({"engine": "fortran"}, ValueError, "engine='fortran'"),
        ({"mode": "backsolve"}, ValueError, "mode='backsolve'"),
        ({"mode": "adjoint"}, ValueError, "needs a loss="),
        ({"wrt": "q"}, ValueError, "wrt='q'"),
        ({"wrt": None}, TypeError, "wrt must be one or a tuple of p, x0"),
        ({"wrt": ("p", "t1")}, ValueError, 'wrt="t1" needs a loss='),
        ({"loss": lambda: 0.0}, TypeError, "loss.* requires 0 positional"),
        ({"loss": lambda y, p, t: 0.0}, TypeError, "loss.* requires 3 positional"),
        ({"loss": 3}, TypeError, "loss is a int, which cannot be called"),
        ({"loss": lambda y: y}, TypeError, "loss.* must return one float"),
        ({"loss": lambda y: None}, TypeError, "loss.* must return one float"),
        ({"running": lambda x, t: 0.0}, TypeError, r"running\(x, p, t\)"),
        ({"running": lambda t, x, p: x[0]}, TypeError, r"running: .*\(t, x, p\) has t before its last parameter"),
        ({"events": lambda t, x, p: x[0]}, TypeError, r"events\[0\]: .*\(t, x, p\) has t before its last parameter"),
        ({"jac": lambda t, x, p: np.eye(2)}, TypeError, r"jac: .*\(t, x, p\) has t before its last parameter"),
        ({"mass_matrix": np.ones((2, 3))}, ValueError, r"mass_matrix must have shape \(2, 2\)"),
        ({"mass_matrix": np.array([[1.0, np.nan], [0.0, 1.0]])}, ValueError, "mass_matrix must be finite"),
        ({"mass_matrix": 1j * np.eye(2)}, TypeError, "mass_matrix must be real"),
        ({"mass_matrix": "diagonal"}, TypeError, "mass_matrix must be an array"),
        ({"mass_matrix": lambda t: np.eye(2)}, TypeError, "mass_matrix must be a constant matrix"),
        ({"checkpoints": 10}, NotImplementedError, "checkpoints="),
        ({"order": 3}, ValueError, "order"),
        ({"progress": 1}, ValueError, "progress must be True or False"),
        ({"p": Duplicated(P, np.zeros(3)), "loss": total}, ValueError, "p: the shadow of Duplicated"),
        ({"p": Duplicated(P, np.zeros(2))}, ValueError, "p: Duplicated needs a loss="),
        ({"p": Cache(P)}, TypeError, "p: Cache has no meaning here"),
    ],
)
def test_arguments(change, error, words):
    arguments = {"x0": X0, "p": P, "tspan": (0.0, 1.0)} | change
    with pytest.raises(error, match=words) as caught:
        sensitivity(good, arguments.pop("x0"), arguments.pop("p"), arguments.pop("tspan"), **arguments)
    assert isinstance(caught.value, (OdeadError, NotImplementedError))


def untouched(dx, x, p, t):
    dx = -p[0] * x  # noqa: F841 - the mistake


def partly(dx, x, p, t):
    dx[0] = x[1]


def accumulating(dx, x, p, t):
    dx += x


def returning(dx, x, p, t):
    dx[:] = -x
    return dx


def only_returning(dx, x, p, t):
    return -x


def returns_nothing(dx, x, t):
    dx[:] = -x


def scipys(t, y):
    return -y


def five(dx, x, p, t, q):
    dx[:] = x


def anything(*args):
    return -args[0]


def scipys_with_parameters(t, y, p):
    return -p * y


def odeints(y, time, k):
    return -k * y


def time_first(t, dx, x, p):
    dx[:] = -p * x


def writes_x(dx, x, p, t):
    x[0] = 0.0
    dx[:] = x


def too_long(x, p, t):
    return np.zeros(3) + x[0]


def a_number(x, p, t):
    return x[0]


def too_short(x, p, t):
    return [x[0]]


def nested(x, p, t):
    return [[x[0]], [x[1]]]


@pytest.mark.parametrize(
    ("rhs", "error", "words"),
    [
        (untouched, ValueError, r"leaves dx untouched .*write dx\[:\] = "),
        (partly, ValueError, r"leaves dx\[1\] untouched \(1 of 2"),
        (accumulating, ValueError, r"reads dx before writing it .*test_bad_input.py:\d+.*begin with dx\[:\] = 0"),
        (returning, TypeError, "returns a value"),
        (only_returning, TypeError, "returns a value"),
        (returns_nothing, TypeError, "returned None"),
        (scipys, TypeError, r"requires 2 positional parameters; .*from_scipy"),
        (five, TypeError, "requires 5 positional parameters"),
        (scipys_with_parameters, TypeError, r"\(t, y, p\) has t before its last parameter, .*rhs\(x, p, t\); .*from_scipy"),
        (odeints, TypeError, r"\(y, time, k\) has time before its last parameter"),
        (time_first, TypeError, r"has t before its last parameter, .*rhs\(dx, x, p, t\)"),
        (anything, TypeError, "wrap it in a def with named parameters"),
        (writes_x, ValueError, r"writes into x, .*test_bad_input.py:\d+"),
        (too_long, ValueError, r"returned an array of shape \(3,\), and x has shape \(2,\)"),
        (a_number, ValueError, r"returned an array of shape \(\), and x has shape \(2,\)"),
        (too_short, ValueError, "returned 1 values"),
        (nested, ValueError, r"returned a list of lists, and x has shape \(2,\)"),
        (3.0, TypeError, "rhs is a float, which cannot be called"),
    ],
)
def test_right_hand_sides(rhs, error, words):
    with pytest.raises(error, match=words) as caught:
        solve(rhs, X0, P, (0, 1))
    assert isinstance(caught.value, OdeadError)


def test_numbers_in_a_container_cannot_be_written_in_place():
    with pytest.raises(ArgumentTypeError, match="container of plain numbers"):
        solve(good, {"a": 1.0}, None, (0, 1))


def test_an_exception_of_the_user_passes():
    def rhs(dx, x, p, t):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        solve(rhs, X0, P, (0, 1))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_at_the_start_names_the_line():
    def rhs(dx, x, p, t):
        scaled = 2 * x
        dx[:] = np.sqrt(scaled - 3)

    with pytest.raises(
        ArgumentValueError, match=r"not finite at the start: the derivative of x\[0\] is nan .*test_bad_input.py:\d+ in rhs"
    ):
        solve(rhs, X0, None, (0, 1))


def test_a_captured_parameter_array_is_refused():
    def rhs(dx, x, p, t):
        dx[:] = -P[0] * x + 0 * p[1]

    with pytest.raises(TracingError, match="reads the array passed as p through a closure or global"):
        sensitivity(rhs, X0, P, (0, 1))
    assert solve(rhs, X0, P, (0, 1)).success


def explode(dx, x, p, t):
    dx[:] = p[0] * x**2


@pytest.mark.parametrize("method", ["RK45", "DOP853", "BDF", "Radau", "LSODA"])
@pytest.mark.filterwarnings("ignore:lsoda")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_singularity_is_reported_with_what_was_computed(method):
    with pytest.raises(IntegrationError, match=r"stopped at t = (0\.99|1).*Worst state: x\[0\].*Likely cause.*Try") as caught:
        solve(explode, [1.0], [1.0], (0, 2), method=method)
    result = caught.value.result
    assert not result.success
    assert result.status == -1
    assert result.t.size == result.y.shape[1] > 3
    assert 0.9 < result.t[-1] <= 1.01


@pytest.mark.parametrize("mode", ["forward", "continuous"])
def test_too_many_steps(mode):
    with pytest.raises(IntegrationError, match="max_steps=7 steps were taken") as caught:
        sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 10), loss=total, mode=mode, max_steps=7)
    assert caught.value.result.grad is None
    assert caught.value.result.y.shape[0] == 2


def test_a_backward_solve_that_stops_keeps_the_forward_solution():
    """x is in equilibrium and needs a few steps; its adjoint is stiff."""
    options = {"t_eval": [0.0, 1.0], "loss": lambda y: y[0, 1], "mode": "continuous", "method": "RK45", "max_steps": 60}
    with pytest.raises(IntegrationError, match=r"the backward solve of the adjoint .*the adjoint of x") as caught:
        sensitivity(lambda x, p, t: -p * (x - 1), [1.0], 500.0, (0, 1), **options)
    result = caught.value.result
    assert result.grad is None
    assert result.y.shape == (1, 2)
    assert not result.success
    assert result.status == -1


@pytest.mark.parametrize("mode", ["forward", "continuous"])
@pytest.mark.filterwarnings("ignore:lsoda")
@pytest.mark.filterwarnings("ignore:LSODA")
def test_lsoda_that_makes_no_progress(mode):
    """At a pole it goes on with steps that leave the time as it is."""
    with pytest.raises(IntegrationError, match="below the spacing of floating-point numbers") as caught:
        sensitivity(lambda x, p, t: p * x**2, [1.0], [1.0], (0, 3), loss=total, mode=mode, method="LSODA")
    assert caught.value.result.t[-1] == pytest.approx(1.0, abs=1e-4)
    assert caught.value.result.grad is None


def test_leaving_the_domain_is_named():
    def rhs(dx, x, p, t):
        dx[0] = -1.0 - 0 * math.sqrt(x[0])

    with pytest.raises(IntegrationError, match="left its domain"):
        solve(rhs, [1.0], None, (0, 2), method="RK45")


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"p": "abc"}, "p is 'abc', not a number"),
        ({"x0": "abc"}, "x0 is 'abc', not a number"),
        ({"running": lambda x, p, t: x}, r"running: <lambda> must return one float.*array of shape \(2,\)"),
        ({"running": lambda x, p, t: 1j * x[0]}, "running: <lambda> must return one float"),
        ({"running": lambda x, p, t: None}, "running: <lambda> must return one float.*None"),
        ({"running": lambda x, p, t: "a"}, "running: <lambda> must return one float.*'a'"),
        ({"running": lambda x, p, t: [x[0]]}, "running: <lambda> must return one float"),
        ({"loss": lambda y: y}, r"loss: <lambda> must return one float.*array of shape \(2, 1\)"),
        ({"loss": lambda y: 1j * np.sum(y)}, "loss: <lambda> must return one float.*a complex number"),
        ({"loss": lambda y: None}, "loss: <lambda> must return one float"),
        ({"loss": lambda y: (np.sum(y), np.sum(y))}, "loss: <lambda> must return one float.*2 values"),
        ({"events": lambda x, p, t: x}, r"events: <lambda> must return one float.*array of shape \(2,\)"),
        ({"events": lambda x, p, t: None}, "events: <lambda> must return one float.*None"),
        ({"events": lambda x, p, t: 1j * x[0]}, "events: <lambda> must return one float"),
    ],
)
def test_what_is_no_number(mode, wrong, message):
    def rhs(dx, x, p, t):
        dx[0], dx[1] = -p[0] * x[0], x[0] - x[1]

    given = {"x0": [1.0, 1.0], "p": np.ones(1), "tspan": (0, 1), "loss": lambda y: np.sum(y**2)} | wrong
    with pytest.raises(ArgumentTypeError, match=message):
        sensitivity(rhs, mode=mode, **given)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_loss_without_a_derivative_is_blamed(mode):
    def rhs(dx, x, p, t):
        dx[:] = -p[0] * x

    with np.errstate(invalid="ignore"), pytest.raises(IntegrationError, match="loss is nan and its derivative") as caught:
        sensitivity(rhs, [1.0], [1.0], (0, 1), loss=lambda y: np.sqrt(y[0, -1] - 1), mode=mode)
    assert caught.value.result.y[0, -1] == pytest.approx(np.exp(-1), rel=1e-5)
    assert caught.value.result.grad is None
    assert isinstance(caught.value, OdeadError)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_a_right_hand_side_without_a_derivative_at_the_start(mode):
    """The first step cannot be taken, and nothing is known of a solution."""

    def rhs(x, p, t):
        return [-p[0] * np.sqrt(np.maximum(x[0] - 1.5, 0)) + t]

    with pytest.raises(IntegrationError, match="stopped at t = 0 "):
        sensitivity(rhs, [1.5], [0.3], (0, 4), loss=lambda y: y[0, -1], mode=mode)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("method", ["Tsit5", "BDF"])
@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_a_loss_without_a_derivative_is_blamed_after_others(mode, method):
    """Once the call is prepared, and where members are solved side by side."""

    def rhs(x, p, t):
        return [-p[0] * x[0], 0.0 * x[1]]

    def loss(y, p):
        return y[0, -1] + np.sqrt(y[1, -1]) + np.sqrt(p[1])

    def gradient(x0, p):
        return sensitivity(rhs, x0, p, (0, 1), loss=loss, mode=mode, method=method, t_eval=[0.5, 1.0]).grad

    for _ in range(3):
        np.testing.assert_allclose(gradient([1.0, 0.5], [1.0, 1.0]), [-np.exp(-1), 0.5], rtol=1e-4)
        with pytest.raises(IntegrationError, match="its derivative by y is not finite"):
            gradient([1.0, 0.0], [1.0, 1.0])
        with pytest.raises(IntegrationError, match="its derivative by p is not finite"):
            gradient([1.0, 0.5], [1.0, 0.0])

    x0s, ps = [[1.0, k % 3] for k in range(9)], [[1.0, 0.5 * (k % 4)] for k in range(9)]
    members = ensemble(rhs, x0s, ps, (0, 1), wrt="p", loss=loss, mode=mode, method=method, t_eval=[0.5, 1.0])
    for x0, p, member in zip(x0s, ps, members, strict=True):
        if x0[1] and p[1]:
            np.testing.assert_allclose(member.grad, [-np.exp(-1), 0.5 / np.sqrt(p[1])], rtol=1e-4)
        else:
            assert isinstance(member, IntegrationError)
