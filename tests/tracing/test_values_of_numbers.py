"""The value of each operation on traced numbers is that of the plain call in every bit and in its type, warnings included."""

import itertools
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from odead.tracing.trace import trace

NUMBERS = (
    0.0,
    -0.0,
    1.5,
    -2.25,
    3.0,
    5e-324,
    -1e-308,
    1e-200,
    1.7e308,
    -1e200,
    np.inf,
    -np.inf,
    np.nan,
    0,
    2,
    -7,
    2**53 + 1,
    10**30,
)
BINARY = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.le, operator.eq, operator.ne,
    operator.gt, operator.ge,
)  # fmt: skip


def outcome(function: Callable[[], Any]) -> tuple[Any, ...]:
    """Type and bits of a value, or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            value = function()
        except ArithmeticError as error:
            return type(error), str(error)
    value = getattr(value, "value", value)
    return type(value), np.float64(value).tobytes(), [str(warning.message) for warning in seen]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_operations_of_two(op):
    found = []

    def recorded(x, y):
        for (j, a), (k, b) in itertools.product(enumerate(NUMBERS), enumerate(NUMBERS)):
            operands = (x[j], y[k]), (x[j], b), (x[j], np.float64(b)), (b, x[j])
            plain = (np.float64(a), np.float64(b)), (np.float64(a), b), (b, np.float64(a))
            expected = [outcome(lambda pair=pair: op(*pair)) for pair in plain]
            got = [outcome(lambda pair=pair: op(*pair)) for pair in operands]
            found.append((a, b, got, [expected[0], expected[1], expected[0], expected[2]]))

    trace(recorded, (np.array(NUMBERS, dtype=float), np.array(NUMBERS, dtype=float)))
    for a, b, got, expected in found:
        assert got == expected, (a, b)


@pytest.mark.parametrize("op", [operator.neg, abs], ids=["neg", "abs"])
def test_operations_of_one(op):
    found = []
    trace(lambda x: found.extend([outcome(lambda k=k: op(x[k])) for k in range(x.size)]), (np.array(NUMBERS, dtype=float),))
    assert found == [outcome(lambda a=a: op(np.float64(a))) for a in NUMBERS]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_floats_of_python_stay_floats_of_python(op):
    floats, found = NUMBERS[:13], []

    def recorded(*numbers):
        found.extend([outcome(lambda x=x, b=b: op(x, b)) for x, b in itertools.product(numbers, NUMBERS)])

    trace(recorded, floats)
    assert found == [outcome(lambda a=a, b=b: op(a, b)) for a, b in itertools.product(floats, NUMBERS)]
