"""Calls by row and column, measured row by row."""

from collections.abc import Mapping

from .table import Rows
from .timing import Call, Timer

Calls = dict[str, dict[str, Call]]  # by row and column


def merged(*parts: Mapping[str, Mapping[str, Call]]) -> Calls:
    """The same rows from several columns; the order is that of the first part."""
    found: Calls = {}
    for part in parts:
        for row, columns in part.items():
            found.setdefault(row, {}).update(columns)
    return found


def measured(timer: Timer, calls: Calls, prefix: str = "") -> Rows:
    """Seconds of each call; those of a row take turns."""
    return {prefix + row: timer.medians(columns) for row, columns in calls.items()}
