"""Recording without the garbage collector, which would walk over every instruction again and again.

A program of a million instructions is millions of tuples, none of them in a cycle; with the collector on, most of the time
of a long recording goes into looking at them (2.6 us per instruction against 1.0 at 400 000, and growing).
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["uncollected"]

_MANY: Final = 20_000  # new objects: below, looking at all of them takes a few milliseconds

_lock = threading.Lock()
_inside = 0  # recordings under way, in all threads
_was_enabled = False


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the collector rest; the last one to leave wakes it, if it was awake."""
    global _inside, _was_enabled
    with _lock:
        if not _inside:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _was_enabled:
                _age()
                gc.enable()


def _age() -> None:
    """Count what a long recording has left among the old objects, so that the next collection of young ones skips it.

    That collection would come at once and find nothing: 6 % of a first call of 10**5 instructions. Freezing and thawing moves
    lists without a look at their objects; those that somebody else has frozen would thaw with them, so then nothing is done.
    """
    if gc.get_count()[0] > _MANY and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
