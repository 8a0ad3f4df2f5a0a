"""What the recorder asks the branch of which it records a side."""

from __future__ import annotations

from typing import Protocol

from ..views import View

__all__ = ["Side"]


class Side(Protocol):
    """One side of an `if`, both of which are recorded; see `branches`."""

    def is_old(self, buffer: int) -> bool:
        """Whether a buffer is from before the `if`."""

    def save(self, view: View) -> None:
        """Elements are about to be written."""

    def valid(self) -> View:
        """Whether a run takes this side."""

    def is_taken(self) -> bool:
        """Whether the recorded run takes this side."""

    def guarded(self, view: View, expected: bool | int) -> View:
        """What to guard instead of `view`, so that it matters only to runs that take this side."""
