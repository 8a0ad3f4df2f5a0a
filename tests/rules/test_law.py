"""One rule serves all combinations of activities: every one of them, in both modes, against the law.

The function writes x, reads p, is given a number s, and returns a number. Annotations that each argument may have: Const,
Duplicated, DuplicatedNoNeed, BatchDuplicated, BatchDuplicatedNoNeed, Cache (arrays) or Active (the number).
"""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import (
    Active,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    Cache,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)

pytestmark = pytest.mark.unchecked("the enumeration here asks for more")

WIDTH = 2
X, P, S = np.array([0.4, -0.7]), np.array([1.3, 0.6, -0.2]), 0.8


def plain(x, p, s):
    """Opaque for the tracer: it goes through bytes."""
    x = np.frombuffer(bytearray(x.tobytes()))
    return np.sin(x) * p[0] * s + p[1:] * x[::-1], float(s * s * (x @ x) + p.sum() * x[0])


def jacobian(x, p, s):
    """Rows: exit x (2), return; columns: x (2), p (3), s."""
    full = np.zeros((3, 6))
    full[:2, :2] = np.diag(np.cos(x) * p[0] * s) + np.array([[0, p[1]], [p[2], 0]])
    full[0, 2:5] = np.sin(x[0]) * s, x[1], 0
    full[1, 2:5] = np.sin(x[1]) * s, 0, x[0]
    full[:2, 5] = np.sin(x) * p[0]
    full[2, :2] = 2 * s * s * x + np.array([p.sum(), 0])
    full[2, 2:5] = x[0]
    full[2, 5] = 2 * s * (x @ x)
    return full


class Counts:
    def __init__(self):
        self.primal = self.specific = 0
        self.partials = [0, 0, 0]


def make(kind, wrong=False):
    """A primitive with rules of one kind, and its counters."""
    counts = Counts()

    @odead.primitive(writes=("x",))
    def f(x, p, s):
        counts.primal += 1
        x[:], value = plain(x, p, s)
        return value

    def pulled(entry, p, s, value_bar, x_bar):
        rows = jacobian(entry, p, s).T @ np.array([*x_bar, value_bar])
        return (rows[:2], rows[2:5] + (0.1 if wrong else 0.0), rows[5])

    def item(k, bars):
        def evaluate():
            counts.partials[k] += 1
            return bars[k]

        return evaluate

    def default(x, p, s):
        entry = x.copy()
        value = f(x, p, s)

        def pullback(value_bar, x_bar):
            bars = pulled(entry, p, s, value_bar, x_bar)
            return tuple(item(k, bars) for k in range(3))

        return value, pullback

    if kind in ("default", "specific"):
        odead.rule(f)(default)
    if kind == "specific":

        @odead.rule(f, mode=Reverse, activity=(Duplicated, Const, Active))
        def _(config, x, p, s):
            counts.specific += 1
            assert config.width in (1, WIDTH, 3)
            return default(x, p, s)

        @odead.rule(f, mode=Forward, activity=(Duplicated, Const, Active))
        def _(config, x, p, s):
            counts.specific += 1
            assert isinstance(p, Const)
            entry = x.val.copy()
            value = f(x.val, p.val, s.val)
            dots = jacobian(entry, p.val, s.val) @ np.array([*x.dval, 0, 0, 0, s.dval])
            x.dval[:] = dots[:2]
            return value, dots[2]

    if kind == "forward":

        @odead.frule(f)
        def _(primals, tangents):
            (x, p, s), (dx, dp, ds) = primals, tangents
            entry = x.copy()
            value = f(x, p, s)
            dots = jacobian(entry, p, s) @ np.array([*dx, *dp, ds]) + (0.1 if wrong else 0.0)
            dx[:] = dots[:2]
            return value, dots[2]

    return f, counts


ARRAYS = (Const, Duplicated, DuplicatedNoNeed, BatchDuplicated, BatchDuplicatedNoNeed, Cache)
NUMBERS = (Const, Active, Duplicated, DuplicatedNoNeed, BatchDuplicated, BatchDuplicatedNoNeed)
COMBINATIONS = list(itertools.product(ARRAYS, ARRAYS, NUMBERS))
WITHOUT_NEED = (DuplicatedNoNeed, BatchDuplicatedNoNeed)
SINGLE, BATCH = (Duplicated, DuplicatedNoNeed), (BatchDuplicated, BatchDuplicatedNoNeed)


def width_of(kinds):
    """Number of lanes; 0 for a mixture of single and batched shadows, which raises."""
    single, batch = any(k in SINGLE for k in kinds), any(k in BATCH for k in kinds)
    return 0 if single and batch else WIDTH if batch else 1


def annotated(kind, value, shadows):
    if kind in (Const, Active, Cache):
        return kind(value)
    return kind(value, shadows[0]) if kind in SINGLE else kind(value, tuple(shadows))


def is_active(kind):
    return kind not in (Const, Cache)


def check_forward(f, kinds, returns, rng):
    width = width_of(kinds)
    shapes, entry = ((2,), (3,), ()), (X.copy(), P.copy(), S)
    dots = [[rng.normal(size=shape) for _ in range(width)] for shape in shapes]
    shadows = [[d.copy() if d.shape else float(d) for d in lanes] for lanes in dots]
    arguments = [annotated(k, v, s) for k, v, s in zip(kinds, entry, shadows, strict=True)]
    result = autodiff(ForwardWithPrimal, f, returns, *arguments)
    exit_x, value = plain(X, P, S)
    if kinds[0] not in WITHOUT_NEED:
        assert_array_equal(entry[0], exit_x)
    assert result.value == value
    active = [is_active(k) for k in kinds]
    for w in range(width):
        seed = np.concatenate([np.ravel(d[w]) * a for d, a in zip(dots, active, strict=True)])
        expected = jacobian(X, P, S) @ seed
        if active[0]:
            assert_allclose(shadows[0][w], expected[:2], atol=1e-6)
        if returns is Const:
            assert result.derivs is None
        else:
            found = result.derivs[w] if any(k in BATCH for k in kinds) else result.derivs
            assert_allclose(found, expected[2], atol=1e-6)


def check_reverse(f, kinds, returns, rng):
    width = width_of(kinds)
    shapes, entry = ((2,), (3,), ()), (X.copy(), P.copy(), S)
    bars = [[rng.normal(size=shape) for _ in range(width)] for shape in shapes]
    shadows = [[b.copy() for b in lanes] for lanes in bars]
    arguments = [annotated(k, v, s) for k, v, s in zip(kinds, entry, shadows, strict=True)]
    result = autodiff(ReverseWithPrimal, f, returns, *arguments)
    exit_x, value = plain(X, P, S)
    if kinds[0] not in WITHOUT_NEED:
        assert_array_equal(entry[0], exit_x)
    assert result.value == value
    active = [is_active(k) for k in kinds]
    for w in range(width):
        seed = np.array([*(bars[0][w] * active[0]), float(returns is Active)])
        expected = jacobian(X, P, S).T @ seed
        if active[0]:
            assert_allclose(shadows[0][w], expected[:2], atol=1e-6)
        if active[1]:
            assert_allclose(shadows[1][w], bars[1][w] + expected[2:5], atol=1e-6)
        if active[2]:
            lanes = result.derivs[2] if any(k in BATCH for k in kinds) else (result.derivs[2],)
            assert_allclose(lanes[w], expected[5], atol=1e-6)


@pytest.mark.parametrize("kind", ["default", "specific", "forward"])
def test_every_combination(kind):
    rng = np.random.default_rng(1)
    f, _ = make(kind)
    for kinds in COMBINATIONS:
        if not width_of(kinds):
            with pytest.raises(odead.OdeadError):
                autodiff(f, Const, *[annotated(k, v, [0.0 * v] * 2) for k, v in zip(kinds, (X, P, S), strict=True)])
            continue
        if Active not in kinds:
            for returns in (Const, Duplicated):
                check_forward(f, kinds, returns, rng)
        if kinds[2] in (Const, Active):
            for returns in (Const, Active):
                check_reverse(f, kinds, returns, rng)


@pytest.mark.parametrize("kind", ["default", "forward"])
def test_a_wrong_rule_is_caught(kind):
    f, _ = make(kind, wrong=True)
    with pytest.raises(odead.DerivativeError):
        odead.check_rule(f, X, P, S)


@pytest.mark.parametrize("mode", [Forward, Reverse])
def test_a_wrong_specific_rule_beside_a_right_default_is_caught(mode):
    f, _ = make("default")

    def tangent(config, x, p, s):
        entry = x.val.copy()
        value = f(x.val, p.val, s.val)
        dots = jacobian(entry, p.val, s.val) @ np.array([*x.dval, 0, 0, 0, s.dval])
        x.dval[:] = 2 * dots[:2]
        return value, dots[2]

    def adjoint(config, x, p, s):
        entry = x.copy()
        value = f(x, p, s)

        def pullback(value_bar, x_bar):
            rows = jacobian(entry, p, s).T @ np.array([*x_bar, value_bar])
            return rows[:2], rows[2:5], 2 * rows[5]

        return value, pullback

    odead.check_rule(f, X, P, S)
    activity = (Duplicated, Const, Duplicated if mode is Forward else Active)
    odead.rule(f, mode=mode, activity=activity)(tangent if mode is Forward else adjoint)
    with pytest.raises(odead.DerivativeError):
        odead.check_rule(f, X, P, S)


def test_partials_of_const_arguments_are_never_evaluated():
    f, counts = make("default")
    autodiff(f, Active, Duplicated(X.copy(), np.ones(2)), Const(P), Active(S))
    assert counts.partials[0] >= 1
    assert counts.partials[1] == 0
    assert counts.partials[2] >= 1


@pytest.mark.parametrize("kind", ["default", "specific", "forward"])
def test_a_batched_mutating_primal_runs_once(kind):
    f, counts = make(kind)
    dx = tuple(np.ones(2) * (w + 1) for w in range(3))
    for mode in (Forward,) if kind == "forward" else (Forward, Reverse):
        call = (mode, f, Const, BatchDuplicated(X.copy(), dx), Const(P), Const(S))
        autodiff(*call)  # records
        before = counts.primal
        autodiff(*call)
        assert counts.primal == before + 1, mode


def test_the_specific_rule_is_the_one_used():
    f, counts = make("specific")
    autodiff(f, Active, Duplicated(X.copy(), np.ones(2)), Const(P), Active(S))
    used = counts.specific
    assert used > 0
    autodiff(f, Active, Duplicated(X.copy(), np.ones(2)), Duplicated(P, np.zeros(3)), Active(S))
    assert counts.specific == used
    autodiff(f, Active, Duplicated(X.copy(), np.ones(2)), Const(P), Const(S))
    assert counts.specific > used
    report = str(odead.explain(f, Duplicated(X.copy(), np.ones(2)), Const(P), Const(S)))
    assert "reverse rule for (Duplicated, Const, Duplicated)" in report
    assert "lifted" in report
