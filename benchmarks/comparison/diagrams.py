"""Work-precision diagrams: time of a gradient against its error, one panel per problem."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .measure import Row
from .peers import NAMES

COLOURS = dict(zip(NAMES, ("#c0392b", "#7f7f7f", "#1f77b4", "#2ca02c", "#9467bd", "#e0a100"), strict=True))
COLUMNS = 4


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (error, seconds) than which no other is both faster and more accurate, the most accurate first."""
    best: list[tuple[float, float]] = []
    for error, seconds in sorted(points):
        if not best or seconds < best[-1][1]:
            best.append((error, seconds))
    return best


def draw(rows: Sequence[Row], names: Iterable[str], caption: str, *paths: Path) -> None:
    """Every variant is a faint dot; a line joins those of a peer that are worth choosing."""
    shown = [name for name in names if any(row.problem == name and row.gradient_error for row in rows)]
    height = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.9 * height + 0.7), layout="constrained")
    panels = figure.subplots(height, COLUMNS, squeeze=False).ravel()
    for panel, name in zip(panels, shown, strict=False):
        for peer, colour in COLOURS.items():
            points = [
                (row.gradient_error, row.seconds)
                for row in rows
                if row.problem == name and row.peer == peer and row.gradient_error and row.seconds and row.gradient_error < 1
            ]
            if not points:
                continue
            panel.plot(*zip(*points, strict=True), "o", color=colour, alpha=0.25, markersize=3)
            label = peer if name == shown[0] else None
            panel.plot(*zip(*frontier(points), strict=True), "o-", color=colour, markersize=4, linewidth=1.6, label=label)
        panel.set(title=name, xscale="log", yscale="log")
        panel.invert_xaxis()
        panel.grid(alpha=0.3, linewidth=0.5)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for peer, colour in COLOURS.items():
        if any(row.peer == peer for row in rows):
            panels[0].plot([], [], "o-", color=colour, label=f"{peer} ")
    handles = {label.strip(): handle for handle, label in zip(*panels[0].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles), frameon=False)
    figure.supxlabel(f"gradient error (better to the right)\n{caption}", fontsize=9)
    figure.supylabel("seconds per gradient (better below)", fontsize=9)
    with mpl.rc_context({"svg.hashsalt": "odead"}):  # the same rows, the same file
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
