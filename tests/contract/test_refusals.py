"""What cannot be differentiated is refused in one sentence with the user's line: no wrong number, no bare traceback."""

import array
import datetime
import decimal
import inspect
import os
import random
import secrets
import struct
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.spatial
import scipy.special

import odead
from odead import Const, Duplicated, autodiff

X = np.array([0.5, 0.7, 0.9])

LEAVING = [
    (lambda x: float(f"{x[0]:.2f}") * x[1], r"float\('0.50'\) reads a text made of a traced number.*np.round"),
    (lambda x: float("%.3f" % x[0]) * x[1], r"float\('0.500'\) reads a text"),  # noqa: UP031
    (lambda x: float("{:.1f}".format(x[0])) * x[1], r"float\('0.5'\) reads a text"),  # noqa: UP032
    (lambda x: int(f"{x[2]:.0f}") * x[1], r"int\('1'\) reads a text"),
    (lambda x: float(str(x)[1:-1].split()[0]) * x[1], r"float\('0.5'\) reads a text"),
    (lambda x: len(set(x)) * x[1], "a traced float64 is an entry of a set, or the key of a dict"),
    (lambda x: {x[0]: 1.0}[x[0]] * x[1], "the key of a dict.*Use an integer"),
    (lambda x: scipy.linalg.schur(np.outer(x, x))[0].sum(), r"scipy\.linalg\.schur cannot be traced: the order of the eigen"),
    (
        lambda x: scipy.ndimage.laplace(x).sum(),
        r"scipy\.ndimage\.laplace cannot be traced, and x is handed to it.*@odead\.rule",
    ),
    (lambda x: scipy.interpolate.interp1d([0, 1.0], [1.0, 3.0])(x).sum(), r"scipy\.interpolate\.interp1d cannot be traced"),
    (lambda x: scipy.optimize.minimize(lambda v: (v - x[0]) ** 2, 0.0).fun, r"scipy\.optimize\.minimize cannot be traced"),
    (lambda x: scipy.spatial.distance.cdist(x[:, None], x[:, None]).sum(), r"scipy\.spatial\.distance\.cdist cannot"),
    (
        lambda x: scipy.special.pbdv(1, x)[0].sum(),
        r"scipy\.special\.pbdv cannot be traced.*@odead\.primitive with @odead\.rule",
    ),
    (lambda x: array.array("d", x)[0] * x[1], "a traced number becomes an ordinary float"),
    (lambda x: struct.pack("d", x[0]), "a traced number becomes an ordinary float"),
    (lambda x: decimal.Decimal(x[0]), "code that cannot be traced says: conversion from TracedScalar to Decimal"),
    (lambda x: memoryview(x)[0], "code that cannot be traced says: memoryview"),
]


@pytest.mark.parametrize(("f", "message"), LEAVING)
def test_a_value_that_leaves_the_recording(f, message):
    line = inspect.getsourcelines(f)[1]
    with pytest.raises(odead.TracingError, match=message) as caught:
        odead.gradient(f, X)
    assert f"{Path(__file__).name}:{line} in" in str(caught.value)


def test_texts_that_were_not_made_of_traced_numbers_are_read():
    def f(x):
        print(f"{x[0]:.3f} {x}")
        return float("3.25") * x[0] + int("4") * x[1]

    np.testing.assert_array_equal(odead.gradient(f, X), [3.25, 4.0, 0.0])


def square(x):
    return (x * x).sum()


STRANGE = {
    "masked": np.ma.array(X, mask=[0, 1, 0]),
    "strided and masked": np.ma.array(np.arange(6.0), mask=[0, 1] * 3)[::2],
    "matrix": X[None].copy().view(np.matrix),
}
CALLS = {
    "gradient": lambda x: odead.gradient(square, x),
    "autodiff": lambda x: autodiff(square, Duplicated(x, np.zeros(x.shape))),
    "const": lambda x: autodiff(lambda y, k: (y * k).sum(), Duplicated(X, np.zeros(3)), Const(x)),
    "captured": lambda x: odead.gradient(lambda y: (x * y).sum(), X),
    "compiled": lambda x: odead.compile(square, np.zeros(x.shape)).vjp((x,), 1.0),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", STRANGE)
def test_arrays_of_classes_with_a_meaning_of_their_own(kind, call):
    x = STRANGE[kind]
    odead.gradient(square, np.zeros(x.shape))  # what is recorded for an ordinary array must not be taken for these
    with pytest.raises(odead.OdeadError, match=r"MaskedArray|matrix"):
        CALLS[call](x)


INPUTS = {
    "integers": (lambda: odead.gradient(square, np.arange(3)), TypeError, r"argument 0: there is no float.*\.astype\(float\)"),
    "objects": (lambda: odead.gradient(square, np.array([1.0, None])), TypeError, "argument 0: there is no float"),
    "text": (lambda: odead.gradient(square, "abc"), TypeError, "argument 0: there is no float"),
    "byte order": (lambda: odead.gradient(square, X.astype(">f8")), TypeError, r"x is >f8.*\.astype"),
    "no function": (lambda: odead.gradient(3, X), TypeError, "a int, which cannot be called"),
    "no function to check": (lambda: odead.check_derivatives(3, X), TypeError, "a int, which cannot be called"),
    "no arguments": (lambda: odead.gradient(square), ValueError, "wrt=0: there are 0 arguments"),
    "annotated keyword": (
        lambda: autodiff(lambda x, k: (k * x).sum(), Duplicated(X, np.zeros(3)), k=odead.Active(2.0)),
        TypeError,
        "keyword argument k is a Active.*positional",
    ),
    "nothing in Active": (lambda: autodiff(lambda s: 1.0, odead.Active("a")), TypeError, r"argument 0, s \(Active\).*no float"),
    "no tuple for a compiled function": (lambda: odead.compile(square, X).jac(X), TypeError, r"args is a tuple.*\(x,\)"),
    "shape that depends on values": (
        lambda: odead.check_derivatives(lambda x: x[x > 0.7], X),
        ValueError,
        r"near these arguments.*shape \([12],\), and .*shape \(1,\).*smooth",
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_wrong_inputs(name):
    call, builtin, message = INPUTS[name]
    with pytest.raises(builtin, match=message) as caught:
        call()
    assert isinstance(caught.value, odead.OdeadError)


CLOCKS = {
    "datetime.now": lambda x: x[0] * datetime.datetime.now().second,
    "datetime.utcnow": lambda x: x[0] * datetime.datetime.utcnow().second,
    "date.today": lambda x: x[0] * datetime.date.today().day,
    "now": lambda x: x[0] * NOW().second,
    "os.urandom": lambda x: x[0] * os.urandom(1)[0],
    "urandom": lambda x: x[0] * URANDOM(1)[0],
    "random.random": lambda x: x[0] * random.random(),
    "gauss": lambda x: x[0] * GAUSS(0, 1),
    "random.SystemRandom": lambda x: x[0] * random.SystemRandom().random(),
    "secrets.randbelow": lambda x: x[0] * secrets.randbelow(5),
    "randbelow": lambda x: x[0] * RANDBELOW(5),
    "uuid.uuid4": lambda x: x[0] * uuid.uuid4().int,
    "time.time": lambda x: x[0] * time.time(),
}
NOW, URANDOM, GAUSS, RANDBELOW = datetime.datetime.now, os.urandom, random.gauss, secrets.randbelow


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks_and_randomness(name):
    with pytest.raises(
        odead.TracingError, match=r"test_refusals\.py:\d+ in <lambda>: .* is called: its outcome would be recorded once"
    ):
        odead.gradient(CLOCKS[name], X)


def test_dates_that_are_given():
    start = datetime.datetime(2024, 5, 1)

    def f(x):
        day = datetime.date(2024, 2, 29)
        assert isinstance(start, datetime.datetime)
        assert isinstance(day, datetime.date)
        return x[0] * (start - datetime.datetime(2024, 4, 1)).days + x[1] * day.day

    np.testing.assert_array_equal(odead.gradient(f, X), [30.0, 29.0, 0.0])


def test_methods_of_arrays_are_no_clocks():
    """A method of an array, held by name: its owner is looked at, and arrays compare element by element."""
    matrix = np.arange(9.0).reshape(3, 3)
    product, total = matrix.dot, matrix.sum
    np.testing.assert_array_equal(odead.gradient(lambda x: (x * total()).sum(), X), [36.0] * 3)
    with pytest.raises(odead.TracingError, match=r"test_refusals\.py:\d+ in <lambda>: x is put into an ordinary NumPy array"):
        odead.gradient(lambda x: product(x).sum(), X)
