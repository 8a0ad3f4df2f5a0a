"""When a loop ends whose last iteration varies from element to element.

Every element goes through as many rounds as the one that needs most: the others are kept by the selects that the `if`s of
such a loop have become. How many that is, the first recording finds out, and it is guarded that no element goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, Any, Final

from ..recorder import is_traced

if TYPE_CHECKING:
    from .branches import Branching, Place

__all__ = ["Rounds", "padded"]

_MOST: Final = 200  # rounds: beyond, the loop is no iteration of an element


def padded(rounds: int) -> int:
    """Some more, so that few other runs need another recording: 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    power = 1 << (rounds - 1).bit_length() if rounds > 1 else 1
    return power * 3 // 4 if rounds <= power * 3 // 4 and power >= 4 else power


class Rounds:
    """One run of such a loop."""

    __slots__ = ("_all", "_branching", "_count", "_is_for", "_place")

    def __init__(self, branching: Branching, place: Place) -> None:
        self._branching, self._place, self._count = branching, place, 0
        self._all: int | None = None  # rounds after which the loop is over anyway
        self._is_for = False

    def over(self, items: Any) -> Any:
        """What a `for` loop goes over."""
        self._is_for = True
        if isinstance(items, Sized) and getattr(items, "ndim", True):
            self._all = len(items)
        return items

    def over_call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a `for` loop goes over, where it is made on the spot: by `enumerate`, `zip` or `reversed`."""
        if function in (enumerate, zip, reversed) and all(isinstance(x, Sized) for x in args):
            self._is_for, self._all = True, min(map(len, args), default=0)
            return function(*args, **kwargs)
        return self.over(function(*args, **kwargs))

    def ended(self, go: Any) -> bool:
        """Whether the round just done was the last one; `go` says whether the element still goes on."""
        self._count += 1
        if not is_traced(go):
            return not go
        branching, plan = self._branching, self._branching.plan
        if self._takes_from_others:
            if not plan.is_refused(self._place):
                plan.refuse(self._place)
                branching.reconsider()
            return not bool(go)
        if self._count == self._all:
            self._note()
            return True
        if self._count < plan.rounds.get(self._place, 0):
            return False
        if go.value and not branching.rec.is_beside():
            if self._count >= _MOST:
                plan.refuse(self._place)
                branching.reconsider()
            return False
        self._note()
        branching.rec.guard(branching.rec.cast(go.place, "bool"), False)
        return True

    @property
    def _takes_from_others(self) -> bool:
        """Whether a further round would take an item from an iterator that others may use."""
        return self._is_for and self._all is None

    def _note(self) -> None:
        """How many rounds the recorded run needed."""
        if not self._branching.rec.is_beside():
            fewest, most = self._branching.rounds.get(self._place, (self._count, self._count))
            self._branching.rounds[self._place] = min(fewest, self._count), max(most, self._count)
