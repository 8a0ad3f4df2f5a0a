"""What the rows say, as Markdown that also reads well in a terminal."""

from collections.abc import Iterable, Sequence

from .measure import Row
from .problem import Problem

LEVELS = (1e-3, 1e-5)  # of the gradient error, at which the fastest are compared


def fastest(rows: Iterable[Row], problem: str, below: float, *, ours: bool) -> Row | None:
    """The fastest gradient of a problem among odead's rows, or among the peers', whose error is below a level."""
    good = [
        row for row in rows
        if row.problem == problem and (row.peer == "odead") == ours and row.seconds is not None
        and row.gradient_error is not None and row.gradient_error < below
    ]  # fmt: skip
    return min(good, key=lambda row: row.seconds or 0.0, default=None)


def fastest_solve(rows: Iterable[Row], problem: str, *, ours: bool) -> Row | None:
    """The fastest forward solve at the problem's tolerances; one whose loss is off by more than 1 % does not count."""
    good = [
        row for row in rows
        if row.problem == problem and (row.peer == "odead") == ours and row.kind == "solve"
        and row.seconds is not None and (row.loss_error or 0.0) < 1e-2
    ]  # fmt: skip
    return min(good, key=lambda row: row.seconds or 0.0, default=None)


def summary(rows: Sequence[Row], names: Iterable[str]) -> str:
    """Per problem the fastest of odead and of the peers: gradients at two levels of accuracy, and forward solves."""
    shown = [name for name in names if any(row.problem == name for row in rows)]
    parts = []
    for level in LEVELS:
        lines = [[name, *_pair(*(fastest(rows, name, level, ours=ours) for ours in (True, False)))] for name in shown]
        parts.append(f"Gradients, error below {level:.0e}\n\n" + table(["problem", "odead", "best peer", "speed-up"], lines))
    lines = [[name, *_pair(*(fastest_solve(rows, name, ours=ours) for ours in (True, False)))] for name in shown]
    parts.append("Forward solves\n\n" + table(["problem", "odead", "best peer", "speed-up"], lines))
    lines = [[name, *_first_calls(rows, name)] for name in shown]
    parts.append(
        "First gradient, building and compiling included\n\n" + table(["problem", "odead", "diffrax", "others"], lines)
    )
    return "\n".join(parts)


def details(rows: Sequence[Row], problem: Problem) -> str:
    """All rows of a problem: gradients by time, then forward solves by time, then failures."""
    head = ["peer", "variant", "tolerance", "time", "quartiles", "first call", "memory", "error"]
    lines = [_cells(row) for row in sorted((row for row in rows if row.problem == problem.name), key=_rank)]
    many = f", {problem.members} members" if problem.members > 1 else ""
    title = f"{problem.title}: {problem.n} states, {problem.n_p} parameters{many}, rtol {problem.rtol:g}, atol {problem.atol:g}"
    return f"### {problem.name}\n\n{title}\n\n{table(head, lines)}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(line[k]) for line in (head, *lines)) for k in range(len(head))]
    rule = ["-" * width for width in widths]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in (head, rule, *lines)
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1e3 * seconds:.3g} ms"


def _pair(ours: Row | None, theirs: Row | None) -> list[str]:
    ratio = ""
    if ours is not None and theirs is not None and ours.seconds and theirs.seconds:
        ratio = f"{theirs.seconds / ours.seconds:.2g}"
        ratio = f"**{ratio}**" if ours.seconds > theirs.seconds else ratio  # losses stand out
    return [_short(ours), _short(theirs), ratio]


def _short(row: Row | None) -> str:
    if row is None:
        return "none"
    name = row.variant if row.peer == "odead" else f"{row.peer} {row.variant}"
    error = f", {row.error:.0e}" if row.kind == "gradient" else ""
    return f"{duration(row.seconds)} ({name}{error})"


def _first_calls(rows: Sequence[Row], name: str) -> list[str]:
    """The soonest first gradient of odead, of diffrax, and of the others."""
    soonest: dict[str, float] = {}
    for row in rows:
        if row.problem == name and row.kind == "gradient" and row.first_seconds is not None:
            group = row.peer if row.peer in ("odead", "diffrax") else "others"
            soonest[group] = min(soonest.get(group, float("inf")), row.first_seconds)
    return [duration(soonest.get(group)) for group in ("odead", "diffrax", "others")]


def _cells(row: Row) -> list[str]:
    if row.failure:
        return [row.peer, row.variant, f"{row.tolerance:g}", "failed", "", "", "", row.failure.replace("|", "/")]
    spread = "" if row.spread is None else " to ".join(duration(value) for value in row.spread)
    error = "" if row.error is None else f"{row.error:.1e}"
    memory = "" if row.memory is None else f"{row.memory:.0f} MB"
    label = f"{error} (loss)" if row.kind == "solve" else error
    return [
        row.peer, row.variant, f"{row.tolerance:g}", duration(row.seconds), spread, duration(row.first_seconds), memory, label
    ]  # fmt: skip


def _rank(row: Row) -> tuple[bool, bool, float]:
    return bool(row.failure), row.kind == "solve", row.seconds or 0.0
