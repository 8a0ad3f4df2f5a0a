"""Collapsed loops visit the same combinations of elements as the axes they were made from."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from odead.execute.layout import Axis, Layout, collapse
from odead.views import View, contiguous


def visited(layout: Layout) -> list[tuple[int, ...]]:
    """Positions in each operand, in the order of the loops."""
    axes = [*layout.axes, layout.row]
    every = product(*(range(axis.extent) for axis in axes))
    return [tuple(start + offset for start, offset in zip(layout.starts, offsets(axes, index), strict=True)) for index in every]


def offsets(axes: list[Axis], index: tuple[int, ...]) -> list[int]:
    """Of one combination of steps, in each operand."""
    return np.dot(index, [axis.strides for axis in axes]).tolist()


@st.composite
def operands(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    order = draw(st.permutations(range(len(shape))))
    stored = contiguous(tuple(shape[k] + draw(st.integers(0, 1)) for k in order))
    out = [0] * len(shape)
    for k, stride in zip(order, stored, strict=True):
        out[k] = stride * draw(st.sampled_from([1, -1]))
    others = draw(st.lists(st.tuples(*[st.integers(-3, 3)] * len(shape)), max_size=3))
    return shape, (tuple(out), tuple(out), *others)


@given(operands())
def test_the_same_elements(drawn: tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]) -> None:
    shape, strides = drawn
    views = [View(0, 0, shape, s).indices() for s in strides]
    expected = sorted(zip(*(v.ravel().tolist() for v in views), strict=True))
    layout = collapse(shape, strides)
    assert sorted(visited(layout)) == expected
    assert layout.row.strides[0] >= 0


def test_whole_arrays_are_one_row() -> None:
    shape = (3, 4, 5)
    transposed = contiguous(shape[::-1])[::-1]
    for strides in (contiguous(shape), transposed):
        assert collapse(shape, (strides, strides)) == Layout(Axis(60, (1, 1)), (), (0, 0))
    backwards = tuple(-s for s in contiguous(shape))
    assert collapse(shape, (backwards, backwards)) == Layout(Axis(60, (1, 1)), (), (-59, -59))


def test_a_long_axis_is_the_row_when_the_last_one_is_short() -> None:
    assert collapse((1000, 2), ((2, 1), (0, 1))).row == Axis(1000, (2, 0))
    assert collapse((1000, 200), ((200, 1), (0, 1))).row == Axis(200, (1, 1))


def test_extents_of_one_vanish() -> None:
    layout = collapse((1, 1), ((7, 3), (0, 0)))
    assert (layout.row.extent, layout.axes) == (1, ())
    assert np.prod([axis.extent for axis in collapse((1, 6, 1), ((0, 1, 0),)).axes]) == 1
