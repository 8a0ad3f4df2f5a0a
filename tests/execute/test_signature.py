"""Calls that are bound without a second look: what they accept, and that they do as the long way does."""

import numpy as np
import pytest

import odead
from odead import Active, Const, Duplicated, Forward, ReverseWithPrimal, autodiff
from odead.execute.compiled import Signature, disjoint

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [X.T, X[:1], X.astype(np.float32), X.astype(">f8"), X.tolist(), np.ma.array(X), X[0], 1.0, None],
    ids=["transposed", "short", "float32", "swapped", "list", "subclass", "row", "number", "nothing"],
)
def test_only_arrays_of_the_same_kind_are_accepted(other):
    signature = Signature((X, 1.0), (0, 1))
    assert signature.accepts((X.copy(), 2.0))
    assert not signature.accepts((other, 2.0))
    assert signature.with_shadows((X, 2.0), (other, None)) is None


@pytest.mark.parametrize("other", [1, np.float64(1.0), np.ones(()), True, "1", 1j])
def test_only_floats_are_accepted_as_numbers(other):
    signature = Signature((X, 1.0), (0,))
    assert not signature.accepts((X, other))
    assert not signature.accepts((X, 1.0, other))
    assert not signature.accepts((X,))


def test_only_plain_examples_are_described():
    assert Signature.describes([X, X.T, 1.0, np.arange(3)])
    assert not any(Signature.describes([other]) for other in (X.astype(">f8"), np.ma.array(X), 1, 1j, [1.0], np.float64(1.0)))


def test_strides_count_where_they_decide():
    strided = np.zeros((2, 6))[:, ::2]
    assert Signature((X,), ()).accepts((strided,))
    assert not Signature((X,), (), True).accepts((strided,))


def test_a_number_without_a_shadow_gets_zero_and_an_array_needs_one():
    signature = Signature((X, 1.0, X), (0, 1))
    assert signature.with_shadows((X, 2.0, X), (X, None, None)) == [X, 2.0, X, X, 0.0]
    assert signature.with_shadows((X, 2.0, X), (None, None, None)) is None
    assert signature.with_shadows((X, 2.0, X), [X, None, None]) is None
    assert signature.with_shadows((X, 2.0, X), (X, np.ones(1), None)) is None


def test_annotated_arrays_must_not_share_memory_nor_have_read_only_shadows():
    signature = Signature((X, 1.0), (0,), True)
    frozen = X.copy()
    frozen.flags.writeable = False
    assert signature.of_annotated((Duplicated(X, X.copy()), Const(1.0)), 0) is not None
    assert signature.of_annotated((len, Duplicated(X, X.copy()), Const(1.0)), 1) is not None
    assert signature.of_annotated((Duplicated(X, X), Const(1.0)), 0) is None
    assert signature.of_annotated((Duplicated(X, frozen), Const(1.0)), 0) is None
    assert not disjoint(X, 1.0, X[1:])


def square(out, x, c):
    out[:] = c * x * x


def test_compiled_calls_start_from_zero_each_time():
    out, x = np.zeros(3), np.array([1.0, 2.0, 3.0])
    compiled = odead.compile(square, out, x, 2.0)
    for scale in (2.0, 5.0):
        d_out, d_x = np.ones(3), np.zeros(3)
        shadows = (d_out, d_x, None)
        assert compiled.vjp((out, x, scale), None, out=shadows) is shadows
        np.testing.assert_array_equal(d_x, 2 * scale * x)
        np.testing.assert_array_equal(d_out, 0.0)
        tangents = (np.zeros(3), np.ones(3), None)
        assert compiled.jvp((out, x, scale), tangents) is None
        np.testing.assert_array_equal(tangents[0], 2 * scale * x)
        derivative = np.zeros(())
        compiled.vjp((out, x, scale), None, out=(np.ones(3), np.zeros(3), derivative))
        assert derivative == (x * x).sum()
    with pytest.raises(odead.OdeadError, match="shape"):
        compiled.vjp((out, x, 1.0), None, out=(np.zeros(3), np.zeros(4), None))
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        compiled.primal(frozen, x, 1.0)


rate = 2.0


def scaled(out, x):
    if x[0] > 0:
        out[:] = rate * x
    else:
        out[:] = -x


def test_a_repeated_call_sees_new_globals_and_other_branches(monkeypatch):
    out, x = np.zeros(2), np.ones(2)
    compiled = odead.compile(scaled, out, x)

    def derivatives(x):
        d_out, d_x, again = np.ones(2), np.zeros(2), np.zeros(2)
        compiled.vjp((out, x), None, out=(d_out, d_x))
        assert autodiff(scaled, Duplicated(out, np.ones(2)), Duplicated(x, again)) == (None, None)
        np.testing.assert_array_equal(d_x, again)
        return d_x[0]

    assert [derivatives(x), derivatives(x), derivatives(-x), derivatives(x)] == [2.0, 2.0, -1.0, 2.0]
    monkeypatch.setitem(globals(), "rate", 3.0)
    assert [derivatives(x), derivatives(-x), derivatives(x)] == [3.0, -1.0, 3.0]


def test_repeated_calls_return_what_the_first_did():
    out, x = np.zeros(2), np.ones(2)

    def pair():
        return Duplicated(out, np.ones(2)), Duplicated(x, np.zeros(2))

    for _ in range(3):
        assert autodiff(ReverseWithPrimal, scaled, *pair()) == ((None, None), None)
        assert autodiff(Forward, scaled, *pair()) is None
        with pytest.raises(odead.OdeadError, match="return activity"):
            autodiff(scaled, Duplicated, *pair())
        with pytest.raises(odead.OdeadError, match="shadow"):
            autodiff(scaled, Duplicated(out, np.ones(2)), Duplicated(x, np.zeros(3)))


def norm(x, c=1.0):
    x *= c
    return (x * x).sum() if x[0] > 0 else x.sum()


def test_repeated_gradients():
    x = np.array([1.0, 2.0])
    for c in (1.0, 3.0, 3):
        for sign in (1.0, -1.0, 1.0):
            value, gradient = odead.value_and_gradient(norm, sign * x, c)
            expected = (c * c * x @ x, 2 * c * c * x) if sign > 0 else (-c * x.sum(), [c, c])
            assert value == pytest.approx(expected[0], rel=1e-14)
            np.testing.assert_allclose(gradient, expected[1], rtol=1e-14)
            by_both = odead.gradient(norm, sign * x, float(c), wrt=(0, 1))
            np.testing.assert_allclose(by_both[0], expected[1], rtol=1e-14)
            assert by_both[1] == pytest.approx(expected[0] * (2 if sign > 0 else 1) / c, rel=1e-14)
    np.testing.assert_array_equal(x, [1.0, 2.0])
    for _ in range(2):
        assert odead.gradient(lambda t: t * t, 3.0) == 6.0
        with pytest.raises(odead.OdeadError, match="shape"):
            odead.gradient(square_of, x)
        assert autodiff(square_of, Active, Active(3.0)) == (6.0,)


def square_of(x):
    return x * x
