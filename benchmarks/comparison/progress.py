"""A progress bar on the terminal; silent where there is none."""

import sys

WIDTH = 30


class Bar:
    """`[######........] 12/60 label`, drawn over itself."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def tick(self, label: str) -> None:
        """Say what begins now; all that was said before is done."""
        if sys.stderr.isatty():
            filled = WIDTH * self._done // max(self._total, 1)
            line = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {self._done}/{self._total} {label}"
            print(f"\r\x1b[K{line[:118]}", end="", file=sys.stderr, flush=True)
        self._done += 1

    def clear(self) -> None:
        """Leave the line to other output."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
