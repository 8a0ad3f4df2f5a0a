"""What is wrong with a rule is said in a sentence, with the rule's file and line."""

import numpy as np
import pytest

import odead
from odead import Const, Duplicated, RuleError, check_rule, gradient

pytestmark = pytest.mark.unchecked("they are wrong")

X = np.array([0.4, -0.7])
HERE = r"test_bad_input\.py:\d+"


def primitive_with(rule, n=1):
    @odead.primitive
    def f(x, p=0.0):
        return np.frombuffer(bytearray(x.tobytes())) * 2.0

    odead.rule(f)(rule)
    return lambda x: f(x, 1.0).sum()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (lambda bar: (bar,), "returns 1 items; it returns one per positional parameter"),
        (lambda bar: (bar, None, None), "returns 3 items"),
        (lambda bar: (bar[:1], None), r"shape \(1,\) for argument 0 \(x\), which has shape \(2,\)"),
        (lambda bar: (1j * bar, None), "dtype complex128 for argument 0"),
        (lambda bar: (bar.astype(np.float32), None), "dtype float32 for argument 0"),
        (lambda bar: ([bar], None), "shape"),
        (lambda bar: bar, "items"),
    ],
)
def test_wrong_partials(items, message):
    f = primitive_with(lambda x, p: (2.0 * np.asarray(x), items))
    with pytest.raises(RuleError, match=message) as info:
        gradient(f, X)
    assert info.match(HERE)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda x, p: 2.0 * x, r"it returns \(value, pullback\)"),
        (lambda x, p: (x[:1], lambda bar: (bar, None)), r"shape \(1,\), where the recorded call returned shape \(2,\)"),
        (lambda x, p: ([x], lambda bar: (bar, None)), "another container"),
    ],
)
def test_wrong_values(rule, message):
    with pytest.raises(RuleError, match=message) as info:
        gradient(primitive_with(rule), X)
    assert info.match(HERE)


def test_a_rule_that_forgets_the_mutation():
    @odead.primitive(writes=("x",))
    def f(x):
        x *= 2.0

    @odead.rule(f)
    def _(x):
        return None, lambda bar: (2.0 * bar,)

    with pytest.raises(odead.DerivativeError, match=r"does not do the writes of the primal.*unchanged") as info:
        check_rule(f, X)
    assert info.match(HERE)


def test_a_write_that_the_decorator_does_not_say():
    @odead.primitive
    def f(x):
        x *= 2.0
        return x.sum()

    odead.rule(f)(lambda x: (f(x), lambda bar: (2.0 * bar * np.ones(2),)))
    with pytest.raises(odead.TracingError, match=r"writes=\(\.\.\.,\)"):
        gradient(f, X)


def test_no_primitive():
    def f(x):
        return x

    with pytest.raises(RuleError, match="a rule for f, which is no primitive") as info:
        odead.rule(f)(lambda x: None)
    assert info.match(HERE)
    with pytest.raises(RuleError, match="no primitive"):
        odead.easy_rule(f, ("1",))


def test_conflicts_name_both_rules():
    @odead.primitive
    def f(x, y, z):
        return x * y * z

    odead.rule(f)(lambda x, y, z: None)
    with pytest.raises(RuleError, match=rf"{HERE}.*conflicts with.*{HERE}"):
        odead.rule(f)(lambda x, y, z: None)
    odead.rule(f, mode=odead.Reverse, activity=(Duplicated, Duplicated, Const))(lambda config, x, y, z: None)
    with pytest.raises(RuleError, match="nothing tells which one"):
        odead.rule(f, mode=odead.Reverse, activity=(Duplicated, Duplicated, Const))(lambda config, x, y, z: None)
    with pytest.raises(RuleError, match="register first the rule"):
        odead.rule(f, mode=odead.Reverse, activity=(Const, Duplicated, Duplicated))(lambda config, x, y, z: None)
    odead.rule(f, mode=odead.Reverse, activity=(Const, Duplicated, Const))(lambda config, x, y, z: None)
    odead.rule(f, mode=odead.Reverse, activity=(Const, Duplicated, Duplicated))(lambda config, x, y, z: None)


def test_registration():
    @odead.primitive
    def f(x, y):
        return x * y

    with pytest.raises(RuleError, match="activity has 1 entries"):
        odead.rule(f, activity=(Duplicated,))(lambda config, x, y: None)
    with pytest.raises(RuleError, match=r"@odead.frule"):
        odead.rule(f, mode=odead.Forward)(lambda x, y: None)
    with pytest.raises(RuleError, match="no parameter of this name"):
        odead.primitive(writes=("w",))(lambda x: None)
    with pytest.raises(RuleError, match="no parameter of this name"):
        odead.inactive(f, args=("w",))
    with pytest.raises(RuleError, match="has 1 partials"):
        odead.easy_rule(f, ("y",))
    with pytest.raises(RuleError, match="names z"):
        odead.easy_rule(f, ("z", "x"))
    with pytest.raises(RuleError, match="no Python expression"):
        odead.easy_rule(f, ("y +", "x"))
    with pytest.raises(RuleError, match="primitive already"):
        odead.primitive(f)
    with pytest.raises(odead.OdeadError, match="is no primitive"):
        check_rule(lambda x: x, X)


def test_no_rule_prints_the_chain_and_the_remedy():
    @odead.primitive
    def f(x):
        return np.frombuffer(bytearray(x.tobytes()))

    with pytest.raises(RuleError) as info:
        gradient(lambda x: f(x).sum(), X)
    text = str(info.value)
    for part in (
        "no specific rule",
        "no default rule",
        "cannot be traced",
        "finite differences are not opted in",
        "@odead.rule(f)",
    ):
        assert part in text


def test_another_shape_than_recorded():
    @odead.primitive
    def positive(x):
        return np.array([v for v in x.tolist() if v > 0])

    odead.rule(positive)(lambda x: (positive(x), lambda bar: (np.where(x > 0, 1.0, 0.0) * bar.sum(),)))
    f = lambda x: positive(x).sum()  # noqa: E731
    gradient(f, X)
    with pytest.raises(RuleError, match=r"shape \(2,\), where the recorded call returned shape \(1,\)"):
        gradient(f, -X + np.array([1.0, 0.0]))


def test_overlapping_arguments_of_a_primitive_that_writes():
    @odead.primitive(writes=("out",))
    def shift(out, x):
        out[:] = x.tolist()

    odead.rule(shift)(lambda out, x: (shift(out, x), lambda bar: (None, bar)))

    def f(x):
        shift(x[1:], x[:-1])
        return x.sum()

    with pytest.raises(odead.TracingError, match="overlaps another argument"):
        gradient(f, np.arange(3.0))


PLANTED = {
    "factor": lambda f: lambda x: (f(x), lambda bar: (2.1 * bar * x,)),
    "value": lambda f: lambda x: (f(x) * 1.001, lambda bar: (2.0 * bar * x,)),
    "shared state": lambda f, last=[None]: lambda x: (last.__setitem__(0, x) or f(x), lambda bar: (2.0 * bar * last[0],)),
}


@pytest.mark.parametrize("error", PLANTED)
def test_planted_errors_are_caught(error):
    @odead.primitive
    def f(x):
        return np.frombuffer(bytearray(x.tobytes())) ** 2

    odead.rule(f)(PLANTED[error](f))
    with pytest.raises(odead.DerivativeError):
        check_rule(f, X)
