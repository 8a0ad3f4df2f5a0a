"""The benchmarks' own logic; what they time is tested elsewhere."""

import math

import numpy as np
import pytest

import odead
from adjoint import cases, ratio
from comparison import diagrams, problems, report
from comparison.measure import Row, measure
from comparison.peers import Variant
from comparison.progress import Bar
from comparison.remote import FailedError, Remote
from engine_level import native, programs, stencil, table
from engine_level.timing import Timer

SMALL = [name for name in problems.BUILDERS if name not in ("brusselator_17", "diffusion_64", "diffusion_316", "heat_1001")]


def gradient_row(peer, seconds, error, problem="heat_101"):
    return Row(problem, peer, "some variant", "gradient", 1.0, seconds=seconds, gradient_error=error)


@pytest.mark.parametrize("name", SMALL)
def test_both_forms_of_a_right_hand_side_agree(name):
    problem = problems.load(name)
    p = problem.p if problem.members == 1 else problem.p[0]
    x, dx = problem.x0 + 0.1, np.empty(problem.n)
    problem.rhs_in_place(dx, x, p, 0.3)
    np.testing.assert_allclose(dx, problem.rhs(0.3, x, p), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["lotka_volterra", "robertson"])
def test_stored_references_are_what_odead_finds(name):
    problem = problems.load(name)
    result = odead.sensitivity(
        problem.rhs_in_place, problem.x0, problem.p, problem.t_span, t_eval=problem.t_eval, loss=problem.loss.value,
        mode="adjoint", method="Rodas5P" if problem.stiff else "DOP853", rtol=1e-10, atol=1e-13,
    )  # fmt: skip
    assert problem.gradient_error(result.grad) < 1e-7
    assert problem.loss_error(result.loss) < 1e-8


def test_network_of_the_ratios_is_what_its_name_says():
    case = cases.network([4, 3])
    assert (case.name, case.p.size) == ("network 2-4-3-2", 12 + 15 + 8)
    dx = np.empty(2)
    case.rhs(dx, case.x0, case.p, 0.0)
    w, b, v, c, u, d = np.split(case.p, [8, 12, 24, 27, 33])
    hidden = np.tanh(v.reshape(3, 4) @ np.tanh(w.reshape(4, 2) @ case.x0 + b) + c)
    np.testing.assert_allclose(dx, u.reshape(2, 3) @ hidden + d, rtol=1e-14)
    found = ratio.row(case, "Tsit5", 0.0)
    assert len(found) == len(ratio.HEAD)


def test_every_problem_has_a_reference_of_the_shape_of_its_parameters():
    for name in problems.BUILDERS:
        problem = problems.load(name)
        p = problem.p if problem.referenced is None else problem.p[problem.referenced]
        assert problem.reference["gradient"].shape == p.shape
        assert math.isfinite(problem.reference["loss"])


def test_doses_cut_the_time_span_and_no_datum_is_lost():
    problem = problems.load("pkpd")
    segments = problem.segments()
    assert [(s.t0, s.t1) for s in segments] == [(0.0, 24.0), (24.0, 48.0), (48.0, 50.0)]
    np.testing.assert_array_equal(np.concatenate([s.t_eval for s in segments]), problem.t_eval)
    assert [s.t_eval[0] > s.t0 for s in segments] == [False, True, True]


def test_errors_relative_to_the_parameters():
    problem = problems.load("robertson")
    wrong = problem.reference["gradient"].copy()
    wrong[2] *= 1.5  # the largest entry after multiplication by p is the third or near it
    assert 0.1 < problem.gradient_error(wrong) <= 0.5
    assert problem.gradient_error(problem.reference["gradient"]) == 0.0


def test_fastest_counts_accurate_rows_only():
    rows = [
        gradient_row("odead", 2.0, 1e-6),
        gradient_row("diffrax", 1.0, 1e-2),
        gradient_row("diffrax", 3.0, 1e-6),
        Row("heat_101", "casadi", "bdf adjoint", "gradient", 1.0, failure="ended"),
    ]
    assert report.fastest(rows, "heat_101", 1e-5, ours=False) is rows[2]
    assert report.fastest(rows, "heat_101", 1e-1, ours=False) is rows[1]
    assert report.fastest(rows, "heat_101", 1e-9, ours=True) is None
    text = report.summary(rows, ["heat_101"])
    assert "| 1.5 " in text
    assert "none" in text


def test_a_loss_stands_out():
    rows = [gradient_row("odead", 2.0, 1e-6), gradient_row("casadi", 1.0, 1e-6)]
    assert "**0.5**" in report.summary(rows, ["heat_101"])


def test_frontier_keeps_what_nothing_beats():
    assert diagrams.frontier([(1e-3, 1.0), (1e-5, 2.0), (1e-4, 3.0)]) == [(1e-5, 2.0), (1e-3, 1.0)]


def test_diagrams_are_drawn(tmp_path):
    rows = [gradient_row("odead", 2.0, 1e-6), gradient_row("casadi", 1.0, 1e-6), gradient_row("casadi", 0.5, 1e-4)]
    diagrams.draw(rows, ["heat_101"], "caption", tmp_path / "new" / "picture.svg")
    assert "casadi" in (tmp_path / "new" / "picture.svg").read_text()


def test_a_problem_is_measured_in_turns_by_processes_of_their_own():
    variants = [("odead", Variant("Tsit5", "solve")), ("odead", Variant("Tsit5", "discrete adjoint"))]
    rows = measure(problems.load("lotka_volterra"), variants, (1.0, 0.1), 0.01, 60.0, False, Bar(7).tick)
    assert [(row.kind, row.tolerance) for row in rows] == [("solve", 1.0), ("gradient", 1.0), ("gradient", 0.1)]
    assert all(row.runs > 1 and not row.failure for row in rows)
    assert rows[2].gradient_error < rows[1].gradient_error < 1e-4
    assert rows[1].first_seconds > rows[1].seconds
    assert rows[2].first_seconds is None


def test_a_failure_is_a_row_and_ends_the_process():
    (row,) = measure(problems.load("robertson"), [("odead", Variant("Euler", "solve"))], (1.0,), 0.01, 60.0, True, Bar(1).tick)
    assert "Euler" in row.failure
    assert row.seconds is None
    assert "failed" in report.details([row], problems.load("robertson"))


def test_what_takes_too_long_is_ended():
    remote = Remote("neural_ode", "odead", Variant("Tsit5", "continuous adjoint"))
    with pytest.raises(FailedError, match=r"more than 0\.01 s"):
        remote.ask(0.01, rtol=1e-6, atol=1e-9, seconds=0.0, shared=False)
    remote.close()


def test_times_are_those_of_one_call_each():
    found = Timer(0.0).medians({"much": lambda: sum(range(20_000)), "little": lambda: sum(range(20))})
    assert 0 < found["little"] < found["much"] < 0.1


def test_a_row_without_peers_has_no_ratio():
    one = table.Table("Title", "Note.", lambda timer, quick: {})
    text = table.markdown(
        one, {"slow": {"odead": 2e-6, "C": 1e-6}, "fast": {"odead": 1e-6, "C": 2e-6}, "alone": {"odead": 1.0}}
    )
    assert [line.split("|")[-2].strip() for line in text.splitlines()[6:]] == ["**2**", "0.5", ""]
    assert "2 us" in text


@pytest.mark.skipif(native.library() is None, reason="there is no C compiler")
def test_hand_written_c_computes_the_same():
    rng = np.random.default_rng(1)
    n = 9
    dx, x, p = np.zeros(n), rng.random(n), rng.random(2)
    shadows = rng.random(n), rng.random(n), rng.random(2)
    expected, found = ([a.copy() for a in (dx, *shadows)] for _ in range(2))
    odead.compile(stencil.heat, dx, x, p, 0.0).vjp((expected[0], x, p, 0.0), None, out=(*expected[1:], None))
    dx, d_dx, d_x, d_p = found
    native.calls(n, {"vjp": ("stencil_vjp", (dx, d_dx, x, d_x, p, d_p))})["vjp"]["C"]()
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13, atol=1e-15)
    y, w, b = np.zeros(n), rng.random((n, n)), rng.random(n)
    native.calls(n, {"primal": ("layer_primal", (y, w, x, b))})["primal"]["C"]()
    np.testing.assert_allclose(y, np.tanh(w @ x + b), rtol=1e-13)
    assert programs.chain(x) == pytest.approx(float(odead.compile(programs.chain, x).primal(x)), rel=1e-14)
