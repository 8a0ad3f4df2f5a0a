"""Every exception is odead's and one that a caller would catch; what a message owes is in tests/test_errors.py."""

import pytest

import odead
from odead import errors

CLASSES = {
    "ArgumentValueError": ValueError, "ArgumentTypeError": TypeError, "TracingError": TypeError, "RuleError": TypeError,
    "DerivativeError": AssertionError, "IntegrationError": RuntimeError,
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_the_builtin_that_a_caller_would_catch(name):
    kind = getattr(errors, name)
    assert issubclass(kind, odead.OdeadError)
    assert issubclass(kind, CLASSES[name])


def test_the_table_is_complete():
    kinds = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert kinds == {*CLASSES, "OdeadError", "OdeadWarning"}
    assert issubclass(odead.OdeadWarning, UserWarning)
