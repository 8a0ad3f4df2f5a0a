"""The one law on random functions.

ODEAD_LAW_PROGRAMS says how many, ODEAD_LAW_SEED with which number they begin: the same functions each time, so that a change
is judged by what it changes. ODEAD_LAW_SEED=random, in one process, begins where nobody has looked. A failure shows the
function, the same made as small as it gets, and how to get it again.
"""

import os
import random
from typing import Final

import pytest

from law.generate import draw
from law.law import LawError, UnfitError, check
from law.listing import Listing
from law.shrink import shrink

PROGRAMS: Final = int(os.environ.get("ODEAD_LAW_PROGRAMS", "2000"))
GIVEN: Final = os.environ.get("ODEAD_LAW_SEED", "0")
SEED: Final = random.SystemRandom().randrange(10**6, 10**12) if GIVEN == "random" else int(GIVEN)
BATCH: Final = 100


@pytest.mark.parametrize("first", range(SEED, SEED + PROGRAMS, BATCH))
def test_law(first):
    hold(range(first, min(first + BATCH, SEED + PROGRAMS)))


def hold(seeds: range) -> None:
    unfit = sum(not holds(seed) for seed in seeds)
    assert unfit <= 1 + len(seeds) // 10, "too few of the drawn functions run"


def holds(seed: int) -> bool:
    """Whether the function with this number could be checked; fails with a small one that breaks the law."""
    listing = draw(seed)
    try:
        check(listing, seed)
    except UnfitError:
        return False
    except Exception as error:
        found = kind(error)
        small = shrink(listing, lambda smaller: outcome(smaller, seed) == found)
        again = f"ODEAD_LAW_SEED={seed} ODEAD_LAW_PROGRAMS=1"
        pytest.fail(f"function {seed} ({again})\n{report(listing, seed)}\n\nsmaller:\n{report(small, seed)}")
    return True


def outcome(listing: Listing, seed: int) -> str:
    try:
        check(listing, seed)
    except Exception as error:
        return kind(error)
    return ""


def kind(error: Exception) -> str:
    """What went wrong, without the numbers."""
    return f"{type(error).__name__}: {str(error).split(' is ')[0].split(' = ')[0] if isinstance(error, LawError) else ''}"


def report(listing: Listing, seed: int) -> str:
    try:
        check(listing, seed)
        message = "holds"
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    arguments = "\n".join(map(str, listing.arguments))
    return f"{listing.text}\n{arguments}\n{message}"
