"""A table of times, as Markdown that also reads well in a terminal."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from comparison import report

from .timing import Timer

Rows = dict[str, dict[str, float]]  # seconds by row and column; the first column is odead's


@dataclass(frozen=True)
class Table:
    """What one module measures.

    Attributes
    ----------
    title : str
    note : str
        What is measured, in a sentence or two.
    measure : callable
        (timer, quick) -> rows.
    compared : bool
        Whether the columns are ways to do the same.
    """

    title: str
    note: str
    measure: Callable[[Timer, bool], Rows]
    compared: bool = True


def markdown(table: Table, rows: Rows) -> str:
    """The table; the last column is the time of the first over the least of the others, in bold where odead loses."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    compared = table.compared and len(columns) > 1
    head = ["", *columns, *([f"{columns[0]} / best"] if compared else [])]
    lines = []
    for name, row in rows.items():
        cells = [duration(row[column]) if column in row else "" for column in columns]
        lines.append([name, *cells, *([_ratio(row, columns[0])] if compared else [])])
    return f"### {table.title}\n\n{table.note}\n\n{report.table(head, lines)}"


def _ratio(row: dict[str, float], ours: str) -> str:
    others = [value for column, value in row.items() if column != ours]
    if not others or ours not in row:
        return ""
    ratio = row[ours] / min(others)
    return f"**{ratio:.2g}**" if ratio > 1 else f"{ratio:.2g}"


def duration(seconds: float) -> str:
    power = min(0, 3 * math.floor(math.log10(seconds) / 3))
    return f"{seconds / 10.0**power:.3g} {({0: 's', -3: 'ms', -6: 'us'}).get(power, 'ns')}" if power > -12 else "0 ns"
