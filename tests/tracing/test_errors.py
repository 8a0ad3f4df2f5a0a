"""Every message: the user's file and line, the array, the reason, the rewrite."""

import copy
import dataclasses
import math
import pickle
import random
import time

import numpy as np
import pytest

from odead.errors import ArgumentValueError, OdeadError, TracingError
from odead.tracing.trace import trace

X = np.array([0.3, 1.2, 2.5])
stored = None
generator = np.random.default_rng(0)
plain = [np.zeros(3)]


class Holder:
    value = None


holder = Holder()


def assigns_global(x):
    global stored
    stored = x[0] * 2


def assigns_outer():
    outer = 0.0

    def f(x):
        nonlocal outer
        outer = x[0]

    return f


opaque = len


class MadeInside:
    def __init__(self, x):
        self.x = x


UFUNC = np.frompyfunc(opaque, 1, 1)


ERRORS = [
    (lambda x: math.frexp(x[0]), "math.frexp of a traced number cannot be traced. Write it"),
    (lambda x: np.linalg.eig(np.outer(x, x)), r"linalg.eig"),
    (lambda x: x.view(int), r"x.view as another dtype"),
    (lambda x: x.byteswap(), r"array method .byteswap cannot be traced. Write it with arithmetic"),
    (lambda x: np.quantile(x, 0.5, method="nearest"), "np.quantile with method="),
    (lambda x: list(np.nditer(x, flags=["external_loop"])), r"np.nditer with external_loop cannot be traced"),
    (lambda x: x.byteswap(), r"array method .byteswap"),
    (lambda x: np.random.normal(), r"numpy.random.normal is called: its outcome would be recorded once"),  # noqa: NPY002
    (lambda x: generator.normal(), r"Generator.normal is called"),
    (lambda x: random.random(), r"random.random is called"),
    (lambda x: time.time(), r"time.time is called: .*pass its value as an argument"),
    (lambda x: x.astype(np.complex64), "complex64 numbers cannot be traced. Convert with .astype"),
    (lambda x: np.unique(x * 1j), "np.unique of complex numbers cannot be traced"),
    (lambda x: (x * 1j).byteswap(), "the method .byteswap of a complex array cannot be traced"),
    (lambda x: np.multiply.reduceat(x * 1j, [0]), "np.multiply.reduceat of complex numbers cannot be traced"),
    (lambda x: x.astype(np.float16), "float16 cannot be traced. Convert with .astype to one of float64"),
    (lambda x: np.array([x[0], "a"], dtype=object), "arrays of dtype object cannot be traced"),
    (lambda x: np.ndarray.sum(x), "code that cannot be traced says: descriptor 'sum'"),
    (lambda x: x[0].as_integer_ratio(), "the method .as_integer_ratio of a number cannot be traced"),
    (lambda x: np.exp(x, where=x > 0), "without out= leaves elements undefined"),
    (lambda x: np.hypot.reduce(x, where=x > 0, initial=0.0), "np.hypot.reduce with where= cannot be traced"),
    (lambda x: np.unique(np.outer(x, x), axis=0), "np.unique with axis= cannot be traced"),
    (lambda x: np.histogram(x, bins="auto"), "np.histogram with bins='auto' cannot be traced"),
    (lambda x: np.nanquantile(x, 0.5, method="nearest"), "np.nanquantile with method="),
    (lambda x: np.frexp(x), "np.frexp cannot be traced"),
    (lambda x: np.modf(x, out=(x, x)), "several out= arrays"),
    (lambda x: np.divmod(x, 2, dtype=float), "np.divmod with where= or dtype="),
    (lambda x: np.linalg.svd(np.outer(x, x[:2])), "np.linalg.svd with full_matrices=True"),
    (lambda x: np.linalg.qr(np.outer(x, x), "raw"), "np.linalg.qr with mode='raw'"),
    (lambda x: np.arange(3) @ (x > 0).astype(int), "matrix product of int64"),
    (lambda x: 2 // (x > 0).astype(int), "np.floor_divide of int64 cannot be traced. Convert to float"),
    (lambda x: (x > 0).astype(int) & 1, "np.bitwise_and of int64"),
    (lambda x: round(x.item(0), 1), r"round\(x, digits\) of a Python float"),
    (lambda x: int(1e300 * x[0]), "does not fit 64 bits"),
    (lambda x: x.item(0).hex(), r"float.hex cannot be traced"),
    (lambda x: np.outer(x, x)[:, ::2].flat[0], "x.flat of an array that is not contiguous"),
    (lambda x: setattr(holder, "value", x[0]), "the attribute .value of an object from outside is assigned a traced value"),
    (assigns_global, "the global variable stored is assigned a traced value. Return the value"),
    (assigns_outer(), "the outer variable outer is assigned a traced value"),
    (lambda x: MadeInside(x), "returns an object of MadeInside made inside it. Return arrays"),
    (lambda x: lambda: x, "returns an object of function made inside it"),
    (lambda x: pickle.dumps(copy.deepcopy(x)), "a traced array is pickled"),
    (lambda x: pickle.dumps(x[0]), "a traced number is pickled"),
    (lambda x: UFUNC(x), r"len \(vectorized\), made by np.frompyfunc outside, cannot be traced"),
    (lambda x: np.ones(3, np.float16) * x, "float16"),
    (lambda x: np.float16(x[0]), "becomes an ordinary float|ordinary NumPy array"),
    (lambda x: np.cross(x[:2], x[:2]), "np.cross of vectors with other than three components"),
]


@pytest.mark.parametrize(("f", "message"), ERRORS)
def test_message(f, message):
    x = X.copy()
    with pytest.raises(TracingError, match=message):
        trace(f, (x,))
    np.testing.assert_array_equal(x, X)
    assert stored is None
    assert holder.value is None


def test_the_message_names_file_line_and_function():
    def f(x):
        y = x * 2
        return helper(y)

    def helper(y):
        return np.linalg.eig(np.outer(y, y))

    with pytest.raises(TracingError) as caught:
        trace(f, (X,))
    assert str(caught.value).startswith(f"{__file__}:{helper.__code__.co_firstlineno + 1} in helper: ")
    assert isinstance(caught.value, (OdeadError, TypeError))


@pytest.mark.parametrize("write", [
    lambda a, x: a.__setitem__(0, x[0]), lambda a, x: a.__setitem__(slice(None), x), lambda a, x: a.__iadd__(x),
    lambda a, x: np.add(x, x, out=a), lambda a, x: np.copyto(a, x), lambda a, x: a.fill(x[0]),
    lambda a, x: np.add.at(a, [0], x[0]),
])  # fmt: skip
def test_a_traced_value_never_enters_an_ordinary_array(write):
    ordinary = np.zeros(3)
    opaque = type("Opaque", (), {"__module__": "numpy"})()  # stands for an object of a library that is not traced
    opaque.array = ordinary
    with pytest.raises(TracingError, match=r"ordinary NumPy array|ordinary float"):
        trace(lambda x: write(opaque.array, x), (X,))
    assert not ordinary.any()


def test_code_that_catches_the_error_does_not_hide_it():
    def f(x):
        try:
            return np.linalg.eig(np.outer(x, x))
        except TypeError:
            return x

    with pytest.raises(TracingError, match="eig"):
        trace(f, (X,))


@pytest.mark.parametrize(("value", "message"), [
    (np.ones(3, np.complex64), "x is complex64: this dtype cannot be traced"), (np.complex64(1j), "x is complex64"),
    (np.ones(3, np.float16), "x is float16"), (np.float16(1), "x is float16"),
    (np.ones(3, np.longdouble), "x is (longdouble|float128)"), (np.array(["a"]), "x is <U1"),
    (np.ones(3, np.int32), "x is int32: this dtype cannot be traced. Convert with .astype to one of float64"),
    (np.ones(3, ">f8"), "x is >f8"), (np.ma.ones(3), "x: arrays of class MaskedArray cannot be traced"),
])  # fmt: skip
def test_argument(value, message):
    with pytest.raises(TracingError, match=message):
        trace(lambda x: x, (value,))


def test_arguments_that_overlap():
    x = np.zeros(5)
    with pytest.raises(ArgumentValueError, match=r"y and x overlap in memory: .*different dtypes"):
        trace(lambda x, y: None, (x[:3], x[2:].view(int)))
    with pytest.raises(ArgumentValueError, match=r"p\['b'\] and p\['a'\] overlap"):
        trace(lambda p: None, ({"a": x, "b": x[:].view(int)},))
    assert len(trace(lambda x, y: None, (x[:3], x[2:])).program.arguments) == 1
    assert len(trace(lambda x, y: None, (x[::2], x[1::2])).program.arguments) == 2


@dataclasses.dataclass
class State:
    k: float


def test_an_entry_of_a_container_argument_is_replaced():
    for f, value in (
        (lambda p: p.__setitem__("a", 2.0), {"a": 1.0}),
        (lambda p: setattr(p, "k", p.k * 2), State(1.0)),
    ):
        with pytest.raises(TracingError, match="puts another object in the place of"):
            trace(f, (value,))
