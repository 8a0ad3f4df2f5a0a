"""Every exception and warning of odead.

Each one derives from `OdeadError` and from the builtin a caller would catch. A message says what is wrong, in which
argument (name and index), where in the user's code, and what to do about it.
"""

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any

__all__ = [
    "ArgumentTypeError",
    "ArgumentValueError",
    "DerivativeError",
    "IntegrationError",
    "OdeadError",
    "OdeadWarning",
    "RuleError",
    "TracingError",
    "argument_name",
    "warn",
]


class OdeadError(Exception):
    """Base of everything odead raises on purpose."""


class ArgumentValueError(OdeadError, ValueError):
    """An argument has the right type and an unusable value: shape, order, overlap, NaN."""


class ArgumentTypeError(OdeadError, TypeError):
    """An argument has an unusable type: dtype, annotation, container."""


class TracingError(OdeadError, TypeError):
    """The user's function does something that cannot be recorded; the message names the file and the line."""


class ImpureError(TracingError):
    """The user's function reads a clock or a source of randomness: at the same arguments it does not give the same."""


class RuleError(OdeadError, TypeError):
    """No rule covers a call, or a rule is wrong; the message names its file and line, or the two lines that would help."""


class DerivativeError(OdeadError, AssertionError):
    """`check_derivatives` found an entry that is wrong."""


class IntegrationError(OdeadError, RuntimeError):
    """A forward or backward solve stopped before its end.

    Attributes
    ----------
    result : OdeResult or None
        What was computed so far (`t`, `y`, `success=False`); never a gradient.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class OdeadWarning(UserWarning):
    """odead did something right that is probably not what was wanted."""


def argument_name(f: Callable[..., Any], number: int) -> str:
    """How messages name a positional argument of the user's function: `argument 0, x`."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature
        return f"argument {number}"
    named = [x.name for x in parameters if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]
    return f"argument {number}, {named[number]}" if number < len(named) else f"argument {number}"


def warn(message: str) -> None:
    """Issue an `OdeadWarning` at the line outside of odead that led here."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, OdeadWarning, stacklevel=level)
