"""Kept: what was recorded for a function, to be found again at the next call."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Kept"]

Item = TypeVar("Item")


class Kept(Generic[Item]):
    """Items by key, the ones used last. Bounded, because the keys keep functions, and what they captured, alive.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, Item] = OrderedDict()

    def get(self, key: Hashable, build: Callable[[], Item], spoilt: Callable[[Item], bool] | None = None) -> Item:
        """The item kept for this key, unless it is spoilt, else a new one; a new one each time for a key without a hash."""
        try:
            found = self.find(key)
        except TypeError:
            return build()
        if found is not None and not (spoilt is not None and spoilt(found)):
            return found
        found = build()
        self.put(key, found)
        return found

    def find(self, key: Hashable) -> Item | None:
        """The item kept for this key; TypeError for a key without a hash."""
        with self._lock:
            found = self._items.get(key)
            if found is not None:
                self._items.move_to_end(key)
            return found

    def put(self, key: Hashable, item: Item) -> None:
        """Keep an item."""
        with self._lock:
            self._items[key] = item
            if len(self._items) > self._size:
                self._items.popitem(last=False)
