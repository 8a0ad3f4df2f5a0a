"""Lines of the user's code."""

from types import CodeType

__all__ = ["line_table"]


def line_table(code: CodeType) -> tuple[list[int], list[int]]:
    """Where the instructions of each line begin, in order, and the lines.

    `frame.f_lineno` decodes the table of the code from its start, so long straight code would take quadratic time.
    """
    rows = [(start, code.co_firstlineno if line is None else line) for start, _, line in code.co_lines()]
    return [start for start, _ in rows], [line for _, line in rows]
