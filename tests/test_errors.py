"""Every message of the calls that users make: its class, the argument by name and number, the user's line, what to do.

After an error no array of the user's has changed. What cannot be traced has a suite of its own; here, that its messages
reach the user through every call.
"""

import dataclasses
import inspect
import re
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import Active, BatchDuplicated, Cache, Const, Duplicated, DuplicatedNoNeed, Forward, Reverse, autodiff

X, D, P = np.array([0.5, 1.5, 2.5]), np.zeros(3), np.array([0.3, 0.7])


def energy(x, p=1.0):
    return (x * x).sum() * p


def doubled(x):
    return x * 2


def scaled(x, p):
    x *= p


def pair(x):
    return x.sum(), x.max()


def counted(x):
    return 3


def compare(x):
    return x > 1


def lookup(table):
    return table["a"].sum()


@dataclasses.dataclass(frozen=True)
class Model:
    rate: float


MESSAGES = {
    # ------------------------------------------------------------------------------------ annotations
    "no function": (lambda: autodiff(Forward), TypeError, ["autodiff needs a function"]),
    "not callable": (lambda: autodiff(X, Duplicated(X, D)), TypeError, ["is a ndarray, which cannot be called"]),
    "bare array": (lambda: autodiff(energy, X), TypeError, ["argument 0, x", "bare ndarray", "Duplicated(x, dx)"]),
    "bare number": (lambda: autodiff(energy, Duplicated(X, D), 2.0), TypeError, ["argument 1, p", "bare float", "Active(x)"]),
    "array under Active": (
        lambda: autodiff(energy, Active(X)),
        TypeError,
        ["argument 0, x (Active)", "shape (3,)", "Duplicated(x, dx)"],
    ),
    "array in Active": (
        lambda: autodiff(lookup, Active({"a": X})),
        TypeError,
        ["argument 0, table (Active)", "odead.gradient"],
    ),
    "Active in forward mode": (
        lambda: autodiff(Forward, energy, Duplicated(X, D), Active(2.0)),
        TypeError,
        ["argument 1, p (Active)", "Duplicated(x, dx)"],
    ),
    "number in reverse mode": (
        lambda: autodiff(energy, Const(X), Duplicated(1.0, 0.0)),
        TypeError,
        ["argument 1, p (Duplicated)", "Active(x)", "odead.gradient"],
    ),
    "number in a tuple in reverse mode": (
        lambda: autodiff(sum, Duplicated((1.0,), (0.0,))),
        TypeError,
        ["argument 0", "Active(x)"],
    ),
    "number in a frozen dataclass in reverse mode": (
        lambda: autodiff(lambda m: m.rate, Duplicated(Model(1.0), Model(0.0))),
        TypeError,
        ["argument 0, m", "Active(x)"],
    ),
    "option of a mode": (lambda: Reverse(strong=True), TypeError, ["no option 'strong'", "strong_zero, check, holomorphic"]),
    "list that is appended to": (
        lambda: autodiff(lambda xs: xs.append(xs[0] * 2), Duplicated([X], [D])),
        odead.TracingError,
        ["appends to a list or dict among its arguments", "list(x)"],
    ),
    "return activity": (lambda: autodiff(energy, Cache, Duplicated(X, D)), TypeError, ["Cache is no return activity", "Const"]),
    "Duplicated return in reverse mode": (
        lambda: autodiff(Reverse, energy, Duplicated, Duplicated(X, D)),
        TypeError,
        ["return activity Duplicated", "Active or Const"],
    ),
    # ------------------------------------------------------------------------------------ shadows
    "shape": (lambda: autodiff(energy, Duplicated(X, np.zeros(4))), ValueError, ["argument 0, x (Duplicated)", "(4,)", "(3,)"]),
    "dtype": (
        lambda: autodiff(energy, Duplicated(X, np.zeros(3, np.float32))),
        TypeError,
        ["argument 0, x", "float32", "float64"],
    ),
    "integers": (lambda: autodiff(energy, Duplicated(X, np.zeros(3, int))), TypeError, ["argument 0, x", "int64"]),
    "list for an array": (
        lambda: autodiff(energy, Duplicated(X, [0.0] * 3)),
        TypeError,
        ["argument 0, x", "another container"],
    ),
    "number for an array": (
        lambda: autodiff(energy, Duplicated(X, 0.0)),
        TypeError,
        ["argument 0, x", "float", "np.zeros_like"],
    ),
    "array for a number": (
        lambda: autodiff(Forward, energy, Const(X), Duplicated(2.0, D)),
        TypeError,
        ["argument 1, p", "a number is a number"],
    ),
    "read-only": (
        lambda: autodiff(energy, Duplicated(X, np.broadcast_to(0.0, 3))),
        ValueError,
        ["argument 0, x", "read-only", "in place"],
    ),
    "itself": (lambda: autodiff(energy, Duplicated(X, X)), ValueError, ["argument 0, x", "its own value", "np.zeros_like"]),
    "a view of itself": (lambda: autodiff(energy, Duplicated(X, X[::-1])), ValueError, ["argument 0, x", "its own value"]),
    "the value of another": (
        lambda: autodiff(scaled, Duplicated(X, D), Duplicated(P, X[:2])),
        ValueError,
        ["argument 1, p", "value of argument 0, x"],
    ),
    "the shadow of another": (
        lambda: autodiff(scaled, Duplicated(X, D), Duplicated(P, D[1:])),
        ValueError,
        ["argument 1, p", "that of argument 0, x"],
    ),
    "a Const value": (
        lambda: autodiff(scaled, Duplicated(X, D), Const(D)),
        ValueError,
        ["argument 0, x", "value of argument 1, p"],
    ),
    "two shadows of one array": (
        lambda: autodiff(scaled, Duplicated(X, D), Duplicated(X, np.zeros(3))),
        ValueError,
        ["argument 1, p", "same shadow twice"],
    ),
    "NaN": (
        lambda: autodiff(Reverse(check=True), scaled, Const(X), Duplicated(P, np.full(2, np.nan))),
        ValueError,
        ["argument 1, p", "NaN"],
    ),
    "widths": (
        lambda: autodiff(scaled, BatchDuplicated(X, (D, np.ones(3))), BatchDuplicated(P, (np.zeros(2),))),
        ValueError,
        ["argument 0: 2", "argument 1: 1"],
    ),
    "width zero": (lambda: autodiff(energy, BatchDuplicated(X, ())), ValueError, ["argument 0: 0"]),
    "one lane among many": (
        lambda: autodiff(scaled, BatchDuplicated(X, (D,)), DuplicatedNoNeed(P, np.zeros(2))),
        TypeError,
        ["argument 1, p (DuplicatedNoNeed)", "BatchDuplicated"],
    ),
    # ------------------------------------------------------------------------------------ what is returned
    "an array in reverse mode": (
        lambda: autodiff(doubled, Duplicated(X, D)),
        TypeError,
        ["doubled", "odead.vjp", "odead.jacobian"],
    ),
    "several values in reverse mode": (lambda: autodiff(pair, Duplicated(X, D)), TypeError, ["pair", "several", "odead.vjp"]),
    "gradient of an array": (lambda: odead.gradient(doubled, X), TypeError, ["doubled", "(3,)", "odead.jacobian"]),
    "gradient of several values": (lambda: odead.gradient(pair, X), TypeError, ["pair returns several values"]),
    "gradient of nothing": (
        lambda: odead.gradient(scaled, X, 2.0),
        TypeError,
        ["scaled returns nothing", "an array it writes"],
    ),
    "gradient of an int": (lambda: odead.gradient(counted, X), TypeError, ["counted returns nothing", "a float"]),
    "gradient of bools": (lambda: odead.gradient(compare, X), TypeError, ["compare", "bool"]),
    "Hessian of an array": (lambda: odead.hessian(doubled, X), TypeError, ["doubled", "(3,)", "one number"]),
    "Hessian in a container": (lambda: odead.hessian(lookup, {"a": X}), TypeError, ["hessian", "hvp"]),
    # ------------------------------------------------------------------------------------ helpers
    "wrt too large": (lambda: odead.gradient(energy, X, wrt=1), ValueError, ["wrt=1", "1 argument"]),
    "wrt by name": (lambda: odead.gradient(energy, X, wrt="x"), TypeError, ["wrt", "'x'"]),
    "gradient of integers": (lambda: odead.gradient(energy, np.arange(3)), TypeError, ["argument 0", "float"]),
    "number of tangents": (lambda: odead.jvp(energy, (X, 1.0), (X,)), ValueError, ["2 arguments", "1 tangents"]),
    "shape of a tangent": (lambda: odead.jvp(energy, (X,), (P,)), ValueError, ["argument 0", "(2,)", "(3,)"]),
    "structure of a tangent": (
        lambda: odead.jvp(lookup, ({"a": X},), ({"b": X},)),
        TypeError,
        ["argument 0", "another container"],
    ),
    "shape of a cotangent": (lambda: odead.vjp(doubled, X)[1](P), ValueError, ["doubled", "(3,)", "(2,)"]),
    "number of cotangents": (lambda: odead.vjp(pair, X)[1]((1.0,)), ValueError, ["pair returns 2", "has 1"]),
    "shape in compile": (lambda: odead.compile(doubled, X).primal(P), ValueError, ["(2,)", "(3,)"]),
    "dtype in compile": (lambda: odead.compile(doubled, X).primal(X.astype(np.float32)), TypeError, ["float32", "float64"]),
    "number of arguments in compile": (lambda: odead.compile(energy, X).primal(X, X), TypeError, ["1 arguments"]),
    "shape of out": (lambda: odead.compile(doubled, X).primal(X, out=P), ValueError, ["out", "(2,)", "(3,)"]),
    "dtype of out": (lambda: odead.compile(doubled, X).primal(X, out=np.zeros(3, int)), TypeError, ["out", "int64"]),
    "number of tangents in compile": (lambda: odead.compile(doubled, X).jvp((X,), ()), TypeError, ["tangent", "1"]),
    "arguments that overlap": (
        lambda: autodiff(scaled, Const(X.view(int)[:2]), Const(X[1:])),
        ValueError,
        ["p and x", "overlap", "different dtypes", "copy"],
    ),
    # ------------------------------------------------------------------------------------ dtypes
    "float16": (lambda: odead.gradient(energy, X.astype(np.float16)), TypeError, ["float16", "float64"]),
    "longdouble": (lambda: odead.gradient(energy, X.astype(np.longdouble)), TypeError, ["longdouble|float128", "float64"]),
    "strings": (lambda: autodiff(energy, Duplicated(X, D), Const(np.array(["a"]))), TypeError, ["p", "<U1"]),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_message(case):
    call, builtin, words = MESSAGES[case]
    users = {"X": X, "D": D, "P": P}
    before = {name: array.copy() for name, array in users.items()}
    with pytest.raises(builtin) as caught:
        call()
    assert isinstance(caught.value, odead.OdeadError), "an error of odead's own"
    for word in words:
        assert any(part in str(caught.value) for part in word.split("|")), f"{word!r} is not in {str(caught.value)!r}"
    for name, array in users.items():
        assert_array_equal(array, before[name])


# -------------------------------------------------------------------------------------------- the user's line


def writes_then_fails(x, p):
    x[0] = 100.0
    p[:] = x[:2]
    return sorting(x)


def sorting(x):
    return np.unique(x, axis=0).sum()  # the line


def random_step(x):
    return x.sum() + np.random.rand()  # the line  # noqa: NPY002


def timed(x):
    return x.sum() + time.time()  # the line


def grows(x):
    total = 0.0
    for k in range(3):
        total += np.linalg.qr(np.outer(x, x) + k, "raw")[1].sum()  # the line
    return total


UNTRACEABLE = [random_step, timed, grows]
CALLS = {
    "reverse": lambda f, x: autodiff(f, Duplicated(x, np.zeros(3))),
    "forward": lambda f, x: autodiff(Forward, f, Duplicated(x, np.zeros(3))),
    "gradient": odead.gradient,
    "jvp": lambda f, x: odead.jvp(f, (x,), (x,)),
    "vjp": odead.vjp,
    "hessian": odead.hessian,
    "compile": lambda f, x: odead.compile(f, x).primal(x),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("f", UNTRACEABLE, ids=lambda f: f.__name__)
def test_what_cannot_be_traced_names_the_users_line(f, call):
    lines, first = inspect.getsourcelines(f)
    number = first + next(k for k, line in enumerate(lines) if "the line" in line)
    x = X.copy()
    with pytest.raises(odead.TracingError) as caught:
        CALLS[call](f, x)
    assert re.search(rf"{Path(__file__).name}:{number}\b", str(caught.value)), str(caught.value)
    assert_array_equal(x, X)


def test_the_line_of_a_helper_and_nothing_changed():
    x, p, d_x = X.copy(), P.copy(), np.ones(3)
    with pytest.raises(odead.TracingError, match=r"test_errors\.py:\d+ in sorting"):
        autodiff(writes_then_fails, Duplicated(x, d_x), Const(p))
    assert_array_equal(x, X)
    assert_array_equal(p, P)
    assert_array_equal(d_x, 1.0)


def test_a_missed_branch_that_cannot_be_traced_changes_nothing():
    def f(x):
        x[0] = 9.0
        if x[1] > 1:
            x[2] = np.linalg.qr(np.outer(x, x), "raw")[1].max()
        return x.sum()

    autodiff(f, Active, Duplicated(np.array([0.0, 0.5, 0.0]), np.zeros(3)))
    x, d_x = np.array([1.0, 2.0, 3.0]), np.ones(3)
    with pytest.raises(odead.TracingError, match=r"test_errors\.py:\d+"):
        autodiff(f, Active, Duplicated(x, d_x))
    assert_array_equal(x, [1.0, 2.0, 3.0])
    assert_array_equal(d_x, 1.0)
    x = np.array([1.0, 0.5, 3.0])
    autodiff(f, Active, Duplicated(x, d_x))
    assert_array_equal(x, [9.0, 0.5, 3.0])


# -------------------------------------------------------------------------------------------- warnings


def test_a_mutating_function_that_returns_a_number_warns_once_at_the_users_line():
    def f(x):
        x *= 2
        return x.sum()

    with pytest.warns(odead.OdeadWarning, match=r"autodiff\(f, Active, \.\.\.\)") as caught:
        autodiff(f, Duplicated(X.copy(), np.zeros(3)))
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_too_many_branches_warn_with_the_line():
    def f(x):
        total = 0.0
        for k in range(len(x)):
            if x[k] > 0:
                with np.errstate(all="raise"):
                    total += x[k] ** 2
            else:
                total -= x[k]
        return total

    rng = np.random.default_rng(0)
    xs = rng.normal(size=(90, 9))
    with pytest.warns(odead.OdeadWarning, match=r"(?s)np\.where.*test_errors\.py:\d+"):
        found = [odead.gradient(f, x) for x in xs]
    assert_allclose(found, np.where(xs > 0, 2 * xs, -1), rtol=1e-14)
