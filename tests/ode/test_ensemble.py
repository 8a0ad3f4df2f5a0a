"""Ensembles: order, failures, executors, pickling."""

import copy
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import odead
from ode.problems import LOTKA_P, LOTKA_X0, explodes, lotka_volterra, sum_of_squares  # where another process finds them
from odead.errors import ArgumentTypeError, ArgumentValueError, IntegrationError

SPAN = (0.0, 5.0)
PS = LOTKA_P * np.linspace(0.8, 1.2, 7)[:, None]
OPTIONS = {"t_eval": np.linspace(0, 5, 6), "rtol": 1e-8, "atol": 1e-10}


def check_members(members, **options):
    assert len(members) == len(PS)
    for member, p in zip(members, PS, strict=True):
        alone = (odead.sensitivity if "loss" in options else odead.solve)(lotka_volterra, LOTKA_X0, p, SPAN, **options)
        np.testing.assert_array_equal(member.y, alone.y)
        if "loss" in options:
            np.testing.assert_array_equal(member.grad, alone.grad)


@pytest.mark.parametrize("method", ["Tsit5", "LSODA"])
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_threads(method, threads):
    options = OPTIONS | {"method": method}
    check_members(odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, threads=threads, **options), **options)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_gradients(mode):
    options = OPTIONS | {"method": "RK45", "mode": mode, "loss": sum_of_squares}
    check_members(odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, threads=4, **options), **options)


def test_new_branches_are_recorded_in_any_thread():
    def rhs(dx, x, p, t):
        dx[0] = -x[0] if p[0] > 0 else -2 * x[0] + p[0]

    members = odead.ensemble(
        rhs, [np.array([1.0])], [np.array([k % 2 - 0.5]) for k in range(40)], SPAN, threads=8, method="RK45"
    )
    for k, member in enumerate(members):
        np.testing.assert_array_equal(member.y, members[k % 2].y)


def turns(dx, x, p, t):
    dx[0], dx[1] = x[1], -x[0]


def test_threads_run_at_the_same_time():
    """Two callbacks that wait for each other."""
    meeting = threading.Barrier(2, timeout=30)

    def x0(p):
        meeting.wait()
        return np.array([1.0])

    members = odead.ensemble(explodes, x0, np.full((2, 1), -1.0), SPAN, threads=2, method="RK45")
    assert all(member.success for member in members)


def test_ctrl_c_stops_the_members_of_all_threads():
    """It reaches the thread of the caller only, which waits for the others."""
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        odead.ensemble(
            turns, np.ones((4, 2)), [None], (0.0, 1e9), t_eval=[1e9], threads=3, method="RK45", rtol=1e-9, max_steps=10**9
        )
    assert time.perf_counter() - start < 1.5
    assert odead.ensemble(turns, np.ones((4, 2)), [None], (0.0, 1.0), threads=3)[3].success


def test_process_pool():
    options = OPTIONS | {"method": "Tsit5", "loss": sum_of_squares}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        check_members(odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, executor=pool, **options), **options)
        with pytest.raises(ArgumentTypeError, match="top level of a module"):
            odead.ensemble(lambda x, p, t: -x, [LOTKA_X0], PS, SPAN, executor=pool)
        failed = odead.ensemble(explodes, [np.array([1.0])], [[1.0]], SPAN, executor=pool, method="Tsit5")
        assert isinstance(failed[0], IntegrationError)
        assert failed[0].result.t[-1] == pytest.approx(1.0, abs=1e-3)
        assert pool.submit(abs, -1).result() == 1  # still open


def test_dask():
    distributed = pytest.importorskip("distributed")
    options = OPTIONS | {"method": "Tsit5", "loss": sum_of_squares}
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        members = odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, executor=client.get_executor(), **options)
    check_members(members, **options)


def test_failures_take_the_place_of_results():
    members = odead.ensemble(explodes, [np.array([1.0])], [[0.1], [1.0], [0.05], [np.nan]], SPAN, method="Tsit5")
    assert [type(member) for member in members] == [odead.Solution, IntegrationError, odead.Solution, ArgumentValueError]
    again = pickle.loads(pickle.dumps(members))
    np.testing.assert_array_equal(again[1].result.y, members[1].result.y)
    assert str(again[1]) == str(members[1])


@pytest.mark.parametrize(
    "options", [{"dense_output": True}, {"dense_output": True, "method": "RK45"}, {"wrt": "p", "method": "RK45"}]
)
def test_results_pickle(options):
    (member,) = odead.ensemble(lotka_volterra, [LOTKA_X0], [LOTKA_P], SPAN, **options)
    again = pickle.loads(pickle.dumps(member))
    np.testing.assert_array_equal(again.y, member.y)
    if "wrt" in options:
        np.testing.assert_array_equal(again.sens, member.sens)
    else:
        np.testing.assert_array_equal(again.sol(2.5), member.sol(2.5))


def many(count=400, **options):
    ps = LOTKA_P * np.random.default_rng(3).uniform(0.9, 1.1, (count, len(LOTKA_P)))
    members = odead.ensemble(lotka_volterra, [LOTKA_X0], ps, SPAN, **OPTIONS | {"method": "Tsit5", "threads": 2} | options)
    return ps, members


GRADIENTS = {"loss": sum_of_squares, "mode": "adjoint", "wrt": ("p", "x0")}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_members_are_in_their_order(threads):
    """Of so many that each thread takes several times some, and fewer at the end."""
    ps, members = many(1500, threads=threads)
    assert type(members) is list
    assert all(type(member) is odead.Solution for member in members)
    for k in (0, 1, 15, 16, 17, 270, 529, 1200, 1430, 1499):
        alone = odead.solve(lotka_volterra, LOTKA_X0, ps[k], SPAN, method="Tsit5", **OPTIONS)
        np.testing.assert_allclose(members[k].y, alone.y, rtol=1e-12)
    ends = np.array([member.y[:, -1] for member in members])
    assert len(np.unique(ends, axis=0)) == len(ps)


@pytest.mark.parametrize("options", [{}, GRADIENTS, GRADIENTS | {"mode": "forward"}])
def test_a_change_in_one_member_is_in_no_other(options):
    _, members = many(**options)
    _, untouched = many(**options)
    for value in members[100].values():
        if isinstance(value, np.ndarray):
            value[...] = np.nan
        elif isinstance(value, list):
            value.clear()
    members[101].y[:] = 7.0
    assert (members[101].sens_error if options else 0.0) == (untouched[101].sens_error if options else 0.0)
    for k in (99, 102, 399):
        assert members[k].keys() == untouched[k].keys()
        for name, value in members[k].items():
            np.testing.assert_array_equal(value, untouched[k][name])


@pytest.mark.parametrize("options", [GRADIENTS, GRADIENTS | {"mode": "forward"}])
def test_members_pickle_copy_and_print(options):
    _, members = many(**options)
    _, others = many(**options)
    member = members[33]
    copies = pickle.loads(pickle.dumps(member)), copy.copy(others[33]), copy.deepcopy(others[33])
    assert "sens_error" in repr(member)
    for made in copies:
        assert type(made) is odead.Sensitivity
        assert made.sens_error == member.sens_error > 0
        assert made.keys() == member.keys()
        np.testing.assert_array_equal(made.grad, member.grad)
        np.testing.assert_array_equal(made.y, member.y)
    assert len(pickle.dumps(member)) < 4000  # and not those that were solved with it
    with pytest.raises(AttributeError):
        member.sens_erro  # noqa: B018


def test_many_members_of_which_some_fail():
    ps = np.linspace(0.01, 0.1, 300)[:, None]
    ps[[7, 130, 299]] = [[1.0], [np.nan], [2.0]]
    members = odead.ensemble(explodes, [np.array([1.0])], ps, SPAN, method="Tsit5", t_eval=np.array([1.0, 5.0]), threads=2)
    failed = {k: type(member) for k, member in enumerate(members) if isinstance(member, Exception)}
    assert failed == {7: IntegrationError, 130: ArgumentValueError, 299: IntegrationError}
    np.testing.assert_allclose(members[131].y[0, -1], 1 / (1 - 5 * ps[131, 0]), rtol=1e-2)


def test_ctrl_c_stops_many_members_side_by_side():
    def run(count, end):
        return odead.ensemble(
            turns, np.ones((count, 2)), [None], (0.0, end), t_eval=[end], threads=2, method="RK45", rtol=1e-9, max_steps=10**9
        )

    run(100, 1.0)
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run(100_000, 100.0)
    assert time.perf_counter() - start < 2


def test_one_item_serves_all():
    starts = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    members = odead.ensemble(lotka_volterra, starts, [LOTKA_P], SPAN, method="RK45")
    assert [member.y[:, 0].tolist() for member in members] == starts.tolist()
    assert odead.ensemble(lotka_volterra, [], [LOTKA_P], SPAN) == []
    numbers = odead.ensemble(lambda x, p, t: -x, [1.0, 2.0], None, SPAN, method="RK45")
    assert [member.y[0, 0] for member in numbers] == [1, 2]


def test_bad_arguments():
    with pytest.raises(ArgumentValueError, match=r"write \[x0\]"):
        odead.ensemble(lotka_volterra, LOTKA_X0, PS, SPAN)
    with pytest.raises(ArgumentValueError, match="x0s has 2 items and ps 7"):
        odead.ensemble(lotka_volterra, [LOTKA_X0] * 2, PS, SPAN)
    with pytest.raises(ArgumentTypeError, match="ps must be a list"):
        odead.ensemble(lotka_volterra, [LOTKA_X0], {"a": 1.0}, SPAN)
    with pytest.raises(ArgumentTypeError, match="get_executor"):
        odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, executor=object())
    with ThreadPoolExecutor(1) as pool, pytest.raises(ArgumentValueError, match="threads="):
        odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, executor=pool, threads=2)
    with pytest.raises(ArgumentValueError, match="positive"):
        odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, threads=0)
    with pytest.raises(ArgumentTypeError, match="no option 'teval'; with these it has those of solve: t_eval, "):
        odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, teval=[1.0])


def test_progress(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, progress=True, method="RK45")
    assert "7/7" in capsys.readouterr().err


def test_progress_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ArgumentValueError, match="pip install"):
        odead.ensemble(lotka_volterra, [LOTKA_X0], PS, SPAN, progress=True)
