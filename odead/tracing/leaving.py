"""Traced values that leave the recording: handed to code that is not traced, or made text."""

from __future__ import annotations

import dis
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

from ..tape import SourceLine

__all__ = ["WAYS_OUT", "Texts", "foreign_function", "formats_text", "is_ours", "place_of", "stumbled"]

WAYS_OUT: Final = (
    "Give it a rule by @odead.primitive with @odead.rule, or write it with what is traced: arithmetic, slices, sums, matrix "
    "products and ufuncs"
)
_GENERIC: Final = frozenset({"wrapper", "wrapped", "inner", "call", "<lambda>", "<genexpr>", "<listcomp>", "__ua_function__"})
_BINARY: Final = dis.opmap["BINARY_OP"]
_REMAINDERS: Final = frozenset({6, 19})  # NB_REMAINDER and NB_INPLACE_REMAINDER of CPython
# A class, as C names it; not as Python does.
_TRACED: Final = re.compile(r"(?<!object of type ')Traced\w+(?!\w|' object)|(?<=apply to a ')Traced")
_BETWEEN: Final = re.compile(r"[\s,()\[\]]+")


class Texts:
    """The texts that were made of traced numbers. A number read from one of them would be a constant of the recording."""

    __slots__ = ("_numbers", "_tokens")

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._numbers: list[float] = []

    def note(self, text: str) -> str:
        """`text`, after it is remembered."""
        self._tokens.update(_BETWEEN.split(text))
        return text

    def note_number(self, value: float) -> float:
        """`value`, of which `%` makes a text that is not seen."""
        self._numbers.append(value)
        return value

    def holds(self, text: str) -> bool:
        """Whether a number was perhaps written as `text`."""
        text = text.strip()
        return text in self._tokens or any(_may_be_written(value, text) for value in self._numbers)


def _may_be_written(value: float, text: str) -> bool:
    """Whether a number differs from its text by at most one unit of the last digit."""
    try:
        digits = Decimal(text)
        return bool(abs(Decimal(value) - digits) <= Decimal(10) ** int(digits.as_tuple().exponent))
    except (InvalidOperation, ValueError):  # no number, or infinite
        return False


def is_ours(frame: FrameType) -> bool:
    """Whether a frame is of odead itself."""
    return str(frame.f_globals.get("__name__")).startswith("odead.")


def formats_text(frame: FrameType | None) -> bool:
    """Whether the operation going on in the nearest frame that is not ours is `text % values`, whose result is a text."""
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    if frame is None:
        return False
    code = frame.f_code.co_code
    return code[frame.f_lasti] == _BINARY and code[frame.f_lasti + 1] in _REMAINDERS


def foreign_function(frame: FrameType | None, is_users: Callable[[CodeType], bool]) -> str:
    """The function that the user's code calls and that is not traced; empty where there is none."""
    found = ""
    while frame is not None and not is_users(frame.f_code):
        if not is_ours(frame) and "__name__" in frame.f_globals:
            found = _wrapped_name(frame) if frame.f_code.co_name in _GENERIC else _public_name(frame)
        frame = frame.f_back
    return found if frame is not None else ""


def _public_name(frame: FrameType) -> str:
    """As the user knows it: a method by the class of its object."""
    parts = [_public_module(frame.f_globals["__name__"])]
    owner: Any = frame.f_locals.get("self")
    if owner is not None:
        parts.append(type(owner).__name__)
    if frame.f_code.co_name != "__call__":
        parts.append(frame.f_code.co_name)
    return ".".join(parts)


def _wrapped_name(frame: FrameType) -> str:
    """The function that a wrapper calls, by the customary names of the variable that holds it."""
    if frame.f_code.co_name == "__ua_function__":  # of scipy.fft
        return f"scipy.fft.{frame.f_locals['method'].__name__}"
    held = (frame.f_locals.get(name) for name in ("f", "func", "fun", "function"))
    function = next((f for f in held if isinstance(f, FunctionType)), None)
    return f"{_public_module(function.__module__)}.{function.__name__}" if function is not None else ""


def _public_module(name: str) -> str:
    """Without private modules."""
    parts = name.split(".")
    private = [k for k, part in enumerate(parts) if part.startswith("_") or part == "core"]
    return ".".join(["np" if part == "numpy" else part for part in parts[: private[0] if private else None]])


def stumbled(error: BaseException, is_users: Callable[[CodeType], bool]) -> str:
    """Where code that is not traced did not know what to make of a traced value; empty for any other error."""
    if not isinstance(error, TypeError) or not _TRACED.search(str(error)):
        return ""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_users(code):
            place = str(SourceLine(code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return place


def place_of(error: BaseException) -> str:
    """The line of the user's code in which an exception began: the innermost one in the file that odead called."""
    place, file, trace = "", "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_ours(trace.tb_frame):
            file = file or code.co_filename
            if code.co_filename == file:
                place = str(SourceLine(file, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return place
