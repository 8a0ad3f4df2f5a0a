"""Progress bars, by tqdm."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from threading import Event, Thread
from typing import Any, Final

from ...errors import ArgumentValueError

__all__ = ["Progress", "following", "open_bar", "shown"]

_INTERVAL: Final = 0.1  # seconds between two looks


def open_bar(**options: Any) -> Any:
    """A bar of tqdm; ArgumentValueError where tqdm is not installed."""
    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ImportError:
        raise ArgumentValueError("progress=True needs tqdm: pip install 'odead[progress]'") from None
    return tqdm(**options)


class Progress:
    """How far a solve from t0 to t1 has come.

    A thread looks ten times a second: the compiled loops do not hold the GIL, and need not know of it.

    Parameters
    ----------
    t0, t1 : float
    name : str
        Of the right-hand side.
    """

    def __init__(self, t0: float, t1: float, name: str) -> None:
        self._t0 = t0
        self._bar = open_bar(
            total=abs(t1 - t0), desc=name, bar_format="{l_bar}{bar}| {n:.4g}/{total:.4g} [{elapsed}<{remaining}]"
        )

    @contextmanager
    def follow(self, where: Callable[[], float]) -> Iterator[None]:
        """Show the time that `where()` gives, inside this block and at its end."""
        stop = Event()

        def look() -> None:
            while not stop.wait(_INTERVAL):
                self._show(where())

        thread = Thread(target=look, name="odead-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._show(where())

    def _show(self, t: float) -> None:
        further = abs(t - self._t0) - self._bar.n
        if further > 0:  # SciPy's steppers look back after a rejected step
            self._bar.update(min(further, self._bar.total - self._bar.n))

    def close(self) -> None:
        self._bar.close()


def following(progress: Progress | None, where: Callable[[], float]) -> Any:
    """`Progress.follow`, or nothing."""
    return nullcontext() if progress is None else progress.follow(where)


@contextmanager
def shown(wanted: Any, t0: float, t1: float, name: str) -> Iterator[Progress | None]:
    """A bar while a solve runs, if it is wanted."""
    if not isinstance(wanted, bool):
        raise ArgumentValueError(f"progress must be True or False, not {wanted!r}")
    if not wanted:
        yield None
        return
    progress = Progress(t0, t1, name)
    try:
        yield progress
    finally:
        progress.close()
