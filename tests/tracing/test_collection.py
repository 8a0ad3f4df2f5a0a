"""The garbage collector rests while a function is recorded, and does not look at a long recording right afterwards."""

import gc

import pytest

from odead.tracing.collection import uncollected


@pytest.fixture(autouse=True)
def enabled():
    """The collector as it is by default, with few young objects."""
    gc.enable()
    gc.collect()


def test_what_a_long_recording_leaves_is_old():
    with uncollected():
        kept = [[] for _ in range(50_000)]
    assert gc.isenabled()
    assert gc.get_count()[0] < 1_000
    assert len(gc.get_objects(generation=2)) > len(kept)


def test_cycles_of_a_long_recording_are_collected_with_the_old_objects():
    with uncollected():
        for _ in range(50_000):
            cycle = []
            cycle.append(cycle)
    assert gc.collect() >= 49_000


def test_what_somebody_has_frozen_stays_frozen():
    gc.freeze()
    try:
        with uncollected():
            kept = [[] for _ in range(50_000)]
        assert kept
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_the_collector_stays_off_where_it_was():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
