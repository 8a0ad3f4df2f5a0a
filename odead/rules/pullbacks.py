"""Where a pullback waits between the forward and the reverse sweep.

Each call instruction of a program runs once per sweep, so it keeps one pullback per executable: the next forward sweep
overwrites it, and it goes with the executable. What travels through the program itself is a token that names the run.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

__all__ = ["Site", "Store", "kept_in"]

_CURRENT: Final = threading.local()
_TOKENS: Final = itertools.count(1)


class Site:
    """One call instruction of a forward sweep."""

    __slots__ = ("__weakref__",)

    def keep(self, pullback: Callable[..., Any]) -> float:
        """Keep a pullback; return the token of the run."""
        token = float(next(_TOKENS))
        _store()[self] = (token, pullback)
        return token

    def find(self, token: float) -> Callable[..., Any]:
        """The pullback of the forward sweep that gave this token."""
        kept = _store().get(self)
        assert kept is not None and kept[0] == token, "the reverse sweep belongs to another forward sweep"
        return kept[1]


Store = MutableMapping[Site, tuple[float, Callable[..., Any]]]


def _store() -> Store:
    """That of the executable that runs; one per thread for the compiled loops, which run both sweeps at once."""
    store: Store | None = getattr(_CURRENT, "store", None)
    if store is None:
        store = getattr(_CURRENT, "own", None)
        if store is None:
            store = _CURRENT.own = WeakKeyDictionary()
    return store


@contextmanager
def kept_in(store: Store) -> Iterator[None]:
    """Within, pullbacks are kept in this store."""
    before = getattr(_CURRENT, "store", None)
    _CURRENT.store = store
    try:
        yield
    finally:
        _CURRENT.store = before
