"""What is kept from one call for the next: the same results to the bit, and nothing that has changed since."""

import gc
import signal
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest

import odead
from ode.problems import LOTKA_P, LOTKA_X0, explodes, fit, lotka_volterra, modes_of
from odead.errors import IntegrationError, TracingError
from odead.ode.prepared import prepared

SPAN = (0.0, 5.0)
TIMES = np.linspace(0, 5, 12)
MISFIT, PENALISED = fit(12)
METHODS = ("Tsit5", "RK45", "DOP853", "RK23", "auto", "Rodas5P", "BDF", "Kvaerno5")


MODES = [
    *modes_of(MISFIT, PENALISED),
    {"mode": "forward", "loss": MISFIT, "wrt": ("x0", "p")},
    {"mode": "forward"},
    {"mode": "forward", "wrt": "x0", "sens_rtol": 1e-4},
    {"t_eval": None},
    {"mode": "adjoint", "loss": lambda y, p: np.sum(y**2) + np.sum(p**2), "wrt": ("p", "x0"), "t_eval": None},
    {"mode": "forward", "loss": lambda y, p: np.sum(y**2) + np.sum(p**2), "wrt": ("p", "x0"), "t_eval": None},
    {"mode": "forward", "t_eval": None},
]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(prepared, "_KEPT", prepared.Preparations(32))


def call(rhs, x0, p, **options):
    run = odead.sensitivity if {"mode", "loss", "wrt"} & options.keys() else odead.solve
    return run(rhs, x0, p, SPAN, **{"t_eval": TIMES, "method": "Tsit5", **options})


def long_way(*args, **options):
    prepared._KEPT = prepared.Preparations(32)
    return call(*args, **options)


def was_quick():
    """How many solves went the short way."""
    return sum(each.done for each in prepared._KEPT._items.values())


def check_same(found, expected):
    for result in (found, expected):
        if "grad" in result:
            assert result.sens_error >= 0
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value, strict=True)
        else:
            assert found[name] == value
    assert str(found) == str(expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", MODES)
def test_the_same_to_the_bit(options, method):
    options = {"method": method, **options}
    expected, other = call(lotka_volterra, LOTKA_X0, LOTKA_P, **options), 1.1 * LOTKA_P
    check_same(call(lotka_volterra, LOTKA_X0, LOTKA_P, **options), expected)
    second = call(lotka_volterra, 1.2 * LOTKA_X0, other, **options)
    assert was_quick() == 2
    check_same(call(lotka_volterra, LOTKA_X0, LOTKA_P, **options), expected)
    check_same(second, long_way(lotka_volterra, 1.2 * LOTKA_X0, other, **options))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("options", MODES)
def test_members_are_the_same_to_the_bit(options, threads):
    starts, ps = LOTKA_X0 * np.linspace(0.8, 1.2, 40)[:, None], LOTKA_P * np.linspace(1.2, 0.8, 40)[:, None]
    same = {"t_eval": TIMES, "method": "RK45", "threads": threads, **options}
    members = odead.ensemble(lotka_volterra, starts, ps, SPAN, **same)
    assert was_quick() > 20
    for member, x0, p in zip(members, starts, ps, strict=True):
        check_same(member, long_way(lotka_volterra, x0, p, **{**options, "method": "RK45"}))


def test_other_engines_go_the_long_way():
    for options in ({"method": "LSODA"}, {"method": "Radau"}, {"method": "RK45", "engine": "scipy"}):
        first = call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="forward", **options)
        check_same(call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="forward", **options), first)
        assert first.engine == "scipy"
    assert was_quick() == 0


def test_backwards_in_time_and_other_times():
    for span, times in (
        ((0.0, 5.0), TIMES),
        ((5.0, 0.0), TIMES[::-1]),
        ((1.0, 1.0), [1.0]),
        ((0.0, 4.0), [3.0]),
        ((1.0, 1.0), None),
        ((5.0, 0.0), None),
    ):
        results = [
            odead.sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, span, t_eval=times, loss=lambda y: y.sum(), method="RK45")
            for _ in range(3)
        ]
        for result in results[1:]:
            check_same(result, results[0])
    times = TIMES.copy()
    for _ in range(2):
        first = call(lotka_volterra, LOTKA_X0, LOTKA_P, t_eval=times)
        times[3] += 0.01
        second = call(lotka_volterra, LOTKA_X0, LOTKA_P, t_eval=times)
        assert first.t[3] != second.t[3]
        check_same(second, long_way(lotka_volterra, LOTKA_X0, LOTKA_P, t_eval=times))


class Rates(NamedTuple):
    growth: float
    others: np.ndarray


def test_containers():
    def rhs(dx, x, p, t):
        growth, others = (p["growth"], p["others"]) if isinstance(p, dict) else (p.growth, p.others)
        dx[0] = growth * x[0] - others[0] * x[0] * x[1]
        dx[1] = -others[1] * x[1] + others[2] * x[0] * x[1]

    vector = None
    for make in (lambda f: {"growth": f * 1.5, "others": f * LOTKA_P[1:]}, lambda f: Rates(f * 1.5, f * LOTKA_P[1:])):
        for factor in (1.0, 1.1, 1.2):
            p = make(factor)
            found = call(rhs, LOTKA_X0, p, loss=MISFIT, mode="adjoint")
            assert type(found.grad) is type(p)
        gradient = found.grad
        gradient = gradient["others"] if isinstance(gradient, dict) else gradient.others
        expected = call(lotka_volterra, LOTKA_X0, 1.2 * LOTKA_P, loss=MISFIT, mode="adjoint").grad[1:]
        np.testing.assert_allclose(gradient, expected, rtol=1e-12)
        assert vector is None or np.array_equal(vector, gradient)
        vector = gradient
    assert was_quick() >= 4


def test_other_sizes_of_p_and_x0():
    def rhs(x, p, t):
        return -x if p is None else -np.sum(p) * x

    for _ in range(2):
        for n, n_p in ((1, 2), (2, 1), (2, 2), (1, 0)):
            p = np.full(n_p, 0.5)
            found = call(rhs, np.ones(n), p if n_p else None, loss=lambda y: y[0, -1], mode="adjoint", rtol=1e-9)
            np.testing.assert_allclose(found.loss, np.exp(-0.5 * n_p * 5 if n_p else -5), rtol=1e-6)
            if n_p:
                np.testing.assert_allclose(found.grad, np.full(n_p, -5 * found.loss), rtol=1e-6)


# ----------------------------------------------------------------------------------------------------- what may change

RATE = 1.0


def decay(x, p, t):
    return -RATE * p[0] * x


def test_globals_cells_and_captured_arrays_of_the_right_hand_side():
    rate, rates = 1.0, np.ones(1)

    def by_cell(x, p, t):
        return -rate * p[0] * x

    def by_array(x, p, t):
        return -rates * p[0] * x

    def end(rhs):
        return call(rhs, np.ones(1), np.ones(1), loss=lambda y: y[0, -1], rtol=1e-10).loss

    global RATE
    for value in (1.0, 1.0, 2.0, 2.0, 1.0, 1.0):
        RATE, rate, rates[0] = value, value, value
        for rhs in (decay, by_cell, by_array):
            assert end(rhs) == pytest.approx(np.exp(-5 * value), rel=1e-6)
    rates = np.full(1, 3.0)
    assert end(by_array) == pytest.approx(np.exp(-15), rel=1e-4)
    assert was_quick() >= 2


def test_the_loss_may_change():
    weights, factor = np.ones(12), 1.0

    def weighted(y):
        return factor * np.sum(weights * y[0])

    def check(loss, expected):
        found = call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=loss, mode="adjoint")
        assert found.loss == pytest.approx(expected(found.y))

    for value in (1.0, 1.0, 2.0, 2.0):
        weights[:] = value
        check(weighted, lambda y: value * y[0].sum())  # noqa: B023
        check(lambda y: value * y[1].sum(), lambda y: value * y[1].sum())  # noqa: B023
    factor = 3.0
    check(weighted, lambda y: 6.0 * y[0].sum())
    weights = np.arange(24.0)[::2]  # not contiguous
    for scale in (1.0, 2.0):
        weights *= scale
        check(weighted, lambda y: 3.0 * weights @ y[0])  # noqa: B023
    assert was_quick() >= 2  # of those kept


def test_losses_with_branches_and_losses_that_write():
    def larger(y):
        return y[0, -1] if y[0, -1] > y[1, -1] else 2 * y[1, -1]

    def writes(y):
        y[0] *= 2
        return y.sum()

    for p in (LOTKA_P, LOTKA_P, LOTKA_P[::-1].copy(), LOTKA_P):
        for loss in (larger, writes):
            found = call(lotka_volterra, LOTKA_X0, p, loss=loss, mode="adjoint")
            assert found.loss == loss(found.y.copy())
            check_same(found, long_way(lotka_volterra, LOTKA_X0, p, loss=loss, mode="adjoint"))


def test_branches_on_parameters():
    def rhs(x, p, t):
        return -x if p[0] > 0 else -2 * x + p[0]

    ps = np.where(np.arange(30) % 3 == 0, -0.5, 0.5)[:, None]
    members = odead.ensemble(rhs, [np.ones(1)], ps, SPAN, t_eval=TIMES, method="Tsit5", loss=lambda y: y[0, -1], threads=2)
    for member, p in zip(members, ps, strict=True):
        assert member.y[0, -1] == pytest.approx(np.exp(-5) if p > 0 else 1.25 * np.exp(-10) - 0.25, rel=1e-3)
        assert member.grad[0] == pytest.approx(0.0 if p > 0 else 0.5 * (1 - np.exp(-10)), rel=1e-3)


def test_an_array_read_in_two_ways_is_refused_again():
    p = LOTKA_P.copy()

    def rhs(dx, x, q, t):
        dx[0] = q[0] * x[0] - p[1] * x[0] * x[1]
        dx[1] = -q[2] * x[1] + q[3] * x[0] * x[1]

    for _ in range(2):
        call(rhs, LOTKA_X0, LOTKA_P, loss=MISFIT)
        with pytest.raises(TracingError, match="reads the array passed as p"):
            call(rhs, LOTKA_X0, p, loss=MISFIT)
    assert was_quick() == 1


# ------------------------------------------------------------------------------------------- what is not ordinary


def test_failures_say_the_same():
    for _ in range(3):
        call(explodes, np.ones(1), np.array([0.1]))
    messages = []
    for _ in range(2):
        with pytest.raises(IntegrationError) as caught:
            call(explodes, np.ones(1), np.array([1.0]))
        messages.append((str(caught.value), caught.value.result.t.tolist()))
    with pytest.raises(IntegrationError) as caught:
        long_way(explodes, np.ones(1), np.array([1.0]))
    assert messages == 2 * [(str(caught.value), caught.value.result.t.tolist())]


def test_a_failure_at_first_does_not_slow_all_that_follow():
    call(explodes, np.ones(1), np.array([0.1]))
    with pytest.raises(IntegrationError):
        call(explodes, np.ones(1), np.array([1.0]))
    for _ in range(3):
        call(explodes, np.ones(1), np.array([0.1]))
    assert was_quick() == 3


def test_failures_of_members():
    ps = np.tile([[0.1], [1.0], [0.05], [np.nan], [0.1]], (12, 1))
    members = odead.ensemble(explodes, [np.ones(1)], ps, SPAN, method="Tsit5", t_eval=TIMES, threads=2)
    for member, p in zip(members, ps, strict=True):
        if p == 0.1 or p == 0.05:
            check_same(member, long_way(explodes, np.ones(1), p))
        else:
            with pytest.raises(type(member)) as caught:
                long_way(explodes, np.ones(1), p)
            assert str(member) == str(caught.value)


def test_stiffness_is_found_anew():
    def rhs(x, p, t):
        return np.array([-p[0] * (x[0] - np.cos(t))])

    for rate in (1.0, 1.0, 1e5, 1.0, 1e5):
        found = call(rhs, np.zeros(1), np.array([rate]), method="auto")
        assert ("Rodas5P" in found.method) == (rate > 10)


def test_an_index_that_leaves_the_table():
    table = np.array([1.0, 2.0, 3.0])

    def rhs(x, p, t):
        return table[int(p[0])] * -x

    for p in (1.5, 1.5, 2.5, 1.5):
        assert call(rhs, np.ones(1), np.array([p])).y[0, -1] == pytest.approx(np.exp(-5 * table[int(p)]), rel=1e-3)
    with pytest.raises(IndexError):
        call(rhs, np.ones(1), np.array([7.0]))


def test_callable_starts_and_annotations():
    def start(p):
        return np.array([p[0], 1.0])

    for _ in range(3):
        found = call(lotka_volterra, start, LOTKA_P, loss=MISFIT, mode="adjoint")
        moved = call(lotka_volterra, start(LOTKA_P), LOTKA_P, loss=MISFIT, mode="adjoint", wrt=("p", "x0"))
        np.testing.assert_allclose(found.grad[0], moved.grad[0] + moved.grad_x0[0], rtol=1e-4)
        shadow = np.zeros(4)
        call(lotka_volterra, LOTKA_X0, odead.Duplicated(LOTKA_P, shadow), loss=MISFIT, mode="adjoint")
        np.testing.assert_array_equal(shadow, call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="adjoint").grad)


def test_results_are_apart():
    same = {"t_eval": TIMES, "method": "Tsit5", "loss": MISFIT, "mode": "adjoint"}
    members = odead.ensemble(lotka_volterra, [LOTKA_X0], [LOTKA_P] * 8, SPAN, threads=1, **same)
    last = members[-1].grad.copy(), members[-1].y.copy(), members[-1].t.copy()
    for member in members[:-1]:
        member.grad[:], member.y[:], member.t[:] = 0, 0, 0
        member.parameter_names.clear()
    for kept, now in zip(last, (members[-1].grad, members[-1].y, members[-1].t), strict=True):
        np.testing.assert_array_equal(kept, now)
    assert len(members[-1].parameter_names) == 4


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_an_ensemble(threads):
    same = {"t_eval": TIMES, "method": "Tsit5", "loss": MISFIT, "mode": "adjoint", "threads": threads}
    odead.ensemble(lotka_volterra, [LOTKA_X0], [LOTKA_P] * 20, SPAN, **same)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # Hypothesis has a callback in the collector, in which an interrupt is lost
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        began = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            odead.ensemble(lotka_volterra, [LOTKA_X0], [LOTKA_P] * 200_000, SPAN, **same)
        assert time.perf_counter() - began < 2.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_threads_have_loops_of_their_own():
    def work(k):
        p = LOTKA_P * (1 + 0.01 * k)
        gradients[k] = [call(lotka_volterra, LOTKA_X0, p, loss=MISFIT, mode="adjoint").grad for _ in range(20)]

    gradients = {}
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        expected = long_way(lotka_volterra, LOTKA_X0, LOTKA_P * (1 + 0.01 * k), loss=MISFIT, mode="adjoint").grad
        for gradient in gradients[k]:
            np.testing.assert_array_equal(gradient, expected)


def test_arguments_of_every_layout_mean_the_same():
    wide = np.repeat(LOTKA_P, 2)
    expected = long_way(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="adjoint")
    for p in (LOTKA_P, wide[::2], LOTKA_P.astype(">f8")):
        for times in (TIMES, np.repeat(TIMES, 2)[::2], TIMES.tolist()):
            found = call(lotka_volterra, LOTKA_X0, p, loss=MISFIT, mode="adjoint", t_eval=times)
            np.testing.assert_array_equal(found.grad, expected.grad)
    for p in (np.append(LOTKA_P[:-1], np.nan), np.append(LOTKA_P[:-1], np.inf)):
        with pytest.raises(ValueError, match=r"p\[3\] is (nan|inf)"):
            call(lotka_volterra, LOTKA_X0, p, loss=MISFIT, mode="adjoint")
    for times in (TIMES[::-1], np.append(TIMES, 6.0)):
        with pytest.raises(ValueError, match="t_eval"):
            call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="adjoint", t_eval=times)


def test_members_of_different_layouts_in_one_ensemble():
    ps = [LOTKA_P, LOTKA_P.tolist(), np.repeat(LOTKA_P, 2)[::2], np.append(LOTKA_P[:-1], np.nan)] * 3
    same = {"t_eval": TIMES, "method": "Tsit5", "loss": MISFIT, "mode": "adjoint", "threads": 1}
    found = odead.ensemble(lotka_volterra, [LOTKA_X0], ps, SPAN, **same)
    expected = call(lotka_volterra, LOTKA_X0, LOTKA_P, loss=MISFIT, mode="adjoint").grad
    for k, member in enumerate(found):
        if k % 4 == 3:
            assert isinstance(member, ValueError)
        else:
            np.testing.assert_array_equal(np.array(member.grad), expected)
