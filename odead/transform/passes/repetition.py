"""Finding repetition: where the same instructions come again and again at a fixed distance."""

from typing import Final

import numpy as np

from ..._places import recurring

__all__ = ["periods", "runs", "stretches"]

_LAGS: Final = (1, 2, 3, 4, 6, 8)  # an instruction that comes k times in a body recurs at lag k with the length of the body
_MOST: Final = 48  # periods worth a look; each costs one comparison of the program with itself


def periods(signature: np.ndarray, least: int) -> list[int]:
    """Distances at which instructions recur at least `least` times; short ones first, so that inner loops come first."""
    order = np.argsort(signature, kind="stable")
    by_kind = signature[order]
    counts = np.zeros(len(signature) + 1, dtype=np.int64)
    for lag in _LAGS:
        gaps = (order[lag:] - order[:-lag])[by_kind[lag:] == by_kind[:-lag]]
        counts += np.bincount(gaps, minlength=len(counts))
    candidates = np.flatnonzero(counts >= least)
    common = candidates[np.argsort(-counts[candidates], kind="stable")[:_MOST]]
    return sorted(common.tolist())


def runs(signature: np.ndarray, free: np.ndarray, period: int, least: int) -> list[tuple[int, int]]:
    """Ranges (start, stop) of free instructions that repeat with this period at least `least` times, long ones first."""
    return sorted(recurring(signature, free.view(np.int8), period, (least - 1) * period), key=lambda run: run[0] - run[1])


def stretches(flags: np.ndarray, least: int) -> list[tuple[int, int]]:
    """The maximal ranges (start, stop) in which all flags are set, of length `least` or more."""
    if len(flags) < least:
        return []
    padded = np.zeros(len(flags) + 2, dtype=bool)
    padded[1:-1] = flags
    edges = (padded[1:] != padded[:-1]).nonzero()[0]
    starts, stops = edges[::2], edges[1::2]
    long = stops - starts >= least
    return list(zip(starts[long].tolist(), stops[long].tolist(), strict=True))
