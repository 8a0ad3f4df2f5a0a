"""Medians of calls that take turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]

_BATCH = 3e-4  # seconds between two looks at the clock


@dataclass(frozen=True)
class Timer:
    """How long to measure, by which clock.

    Attributes
    ----------
    seconds : float
        For the calls that are compared with each other, all together.
    shared : bool
        Whether to measure the processor's time of this process instead of the wall's.
    """

    seconds: float
    shared: bool = False

    def now(self) -> float:
        return time.process_time() if self.shared else time.perf_counter()

    def medians(self, calls: Mapping[str, Call]) -> dict[str, float]:
        """Seconds of each call."""
        counts = {name: self._batch(call) for name, call in calls.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
            for name, call in calls.items():
                repeats = range(counts[name])
                start = self.now()
                for _ in repeats:
                    call()
                times[name].append((self.now() - start) / counts[name])
        return {name: statistics.median(found) for name, found in times.items()}

    def _batch(self, call: Call) -> int:
        call()
        start = time.perf_counter()
        call()
        return max(1, int(_BATCH / (time.perf_counter() - start + 1e-9)))
