"""The rows of a block, and the storage of what only a block needs: as much as one tile touches.

A local buffer holds the stretch of a temporary that the members touch at a tile: at the tile from s to e that is the indices
from s + low to e + high, where low and high are what their offsets and lags come to. What the next tile still needs of it,
high - low indices, is carried to the front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Final, NamedTuple

from ..tape import Program, Role
from ..views import View
from .access import Access
from .fusion import Block, Member
from .layout import Axis, Layout, collapse, merge
from .memory import CACHE_LINE, round_up
from .rows import ITEM, Rows

__all__ = ["Local", "local_buffers", "lower_block"]

_SPREAD: Final = 3 * CACHE_LINE  # between local buffers: at multiples of 4096 bytes a load waits for stores to the others


class Local(NamedTuple):
    """Storage of a temporary inside a block.

    Attributes
    ----------
    start : int
        Byte offset from the storage that all blocks share.
    low : int
        What is first in it at the tile that begins at s is index s + low.
    step : int
        Elements from one index to the next.
    between : int
        Elements from one lane to the next, where there are lanes.
    carried : int
        Indices that a tile leaves to the next one.
    """

    start: int
    low: int
    step: int
    between: int
    carried: int


def local_buffers(program: Program, block: Block, uses: Counter[int]) -> tuple[dict[int, Local], int]:
    """Place the temporaries that nothing but the block touches; `uses` counts the operands and results in each buffer.

    Returns
    -------
    tuple of dict of Local by buffer, int
        And the bytes that they take.
    """
    touched: dict[int, list[tuple[int, int, Access]]] = {}  # place of the member, its lag
    for place, member in enumerate(block.members):
        for each in member.accesses:
            if program.buffers[each.view.buffer].role is Role.TEMP:
                touched.setdefault(each.view.buffer, []).append((place, member.lag, each))
    found: dict[int, Local] = {}
    size = 0
    free: list[tuple[int, int, int]] = []  # from which place on, bytes, start
    for buffer, accesses in touched.items():
        shape = _local_shape(program, block, accesses) if len(accesses) == uses[buffer] else None
        if shape is None:
            continue
        local, capacity = shape
        need = round_up(capacity * ITEM[program.buffers[buffer].dtype], CACHE_LINE) + _SPREAD
        first, last = accesses[0][0], accesses[-1][0]
        fitting = next((k for k, (since, room, _) in enumerate(free) if since < first and room == need), None)
        if fitting is None or local.carried:
            start, size = size, size + need
        else:
            start = free.pop(fitting)[2]
        if not local.carried:
            free.append((last, need, start))
        found[buffer] = local._replace(start=start)
    return found, size


def _local_shape(program: Program, block: Block, accesses: list[tuple[int, int, Access]]) -> tuple[Local, int] | None:
    """The layout of a local buffer and its elements; None where the members do not touch it side by side."""
    first = accesses[0][2]
    step, outer, size = first.step, first.outer, program.buffers[first.view.buffer].size
    lanes, between = outer[0] if outer else (1, size)
    if step <= 0 or len(outer) > 1 or lanes * between != size or between % step:
        return None
    edges = []
    for _, lag, each in accesses:
        offset, rest = divmod(each.start, step)
        if each.step != step or each.outer != outer or rest + each.span >= step or offset + each.extent > between // step:
            return None
        edges.append(offset - lag)
    low, high = min(edges), max(edges)
    if outer and high > low:
        return None
    indices = block.step + max(high, between // step - block.extent, 0) - low
    return Local(0, low, step, indices * step, high - low), indices * step * lanes


def lower_block(rows: Rows, program: Program, block: Block, positions: Sequence[int], local: Mapping[int, Local]) -> None:
    """Append the rows of a block: a head, the members, then what is carried from tile to tile."""
    carried = {
        buffer: local[buffer]
        for member in block.members
        for buffer in (each.view.buffer for each in member.accesses)
        if buffer in local and local[buffer].carried
    }
    longest = max(member.lag for member in block.members)
    length = len(block.members) + len(carried)
    params = (block.extent, block.step, len(carried), longest, int(block.has_sum))
    dots = _dots(program, block, local)
    rows.emit(positions[block.start], "block", Axis(length - len(dots), ()), (), (), params=params)
    for place, member in enumerate(block.members, block.start):
        op = program.op[place]
        if place in dots:  # here rather than where the sum is: its operands may be gone there
            op, member = "dot", member._replace(accesses=(dots[place].accesses[0], *member.accesses[1:]))
        elif member in dots.values():
            continue
        views = [_moved(each, local) for each in member.accesses]
        _lower_member(rows, positions[place], op, member, views, [each.view.buffer in local for each in member.accesses])
    for buffer, where in carried.items():
        item = ITEM[program.buffers[buffer].dtype]
        whole = View(buffer, 0, (1,), (1,))
        rows.emit(
            positions[block.start],
            "carry",
            Axis(where.carried * where.step * item, (0,)),
            (),
            (whole,),
            params=(where.step * item,),
        )


def _dots(program: Program, block: Block, local: Mapping[int, Local]) -> dict[int, Member]:
    """By the place of a product the sum that adds it up, where nothing else needs it and its operands are contiguous."""
    uses = Counter(each.view.buffer for member in block.members for each in member.accesses)
    found = {}
    products: dict[int, int] = {}  # by buffer
    for place, member in enumerate(block.members, block.start):
        out, *ins = member.accesses
        if program.op[place] == "mul" and uses[out.view.buffer] == 2 and out.view.buffer in local:
            if len(out.view.shape) == 1 and all(each.view.strides == (1,) for each in ins):
                products[out.view.buffer] = place
        elif program.op[place] == "sum" and ins[0].view.buffer in products:
            product = products[ins[0].view.buffer]
            if program.out[product] == ins[0].view:
                found[product] = member
    return found


def _moved(each: Access, local: Mapping[int, Local]) -> View:
    """The view of a member, in local storage if its buffer has it."""
    view = each.view
    if view.buffer not in local:
        return view
    where = local[view.buffer]
    strides = tuple(
        where.between * (s > 0) - where.between * (s < 0) if k < each.axis and n > 1 else s
        for k, (n, s) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    lowest = each.start - where.low * where.step
    back = sum((n - 1) * s for n, s in zip(view.shape, strides, strict=True) if s < 0)
    return View(view.buffer, lowest - back, view.shape, strides)


def _lower_member(rows: Rows, position: int, op: str, member: Member, views: list[View], is_local: list[bool]) -> None:
    axis = member.accesses[-1].axis
    steps = [view.strides[axis] if view.shape else 0 for view in views]
    rows.work += prod(views[-1].shape)
    if op == "sum":
        layout, unit = Layout(Axis(1, (0, *views[1].strides)), (), (0, 0)), 1
        name = "sum.float64"
    elif op == "dot":
        layout, unit = Layout(Axis(1, (0, 1, 1)), (), (0, 0, 0)), 1
        name = "dot"
    else:
        layout, unit = _loops(views, axis)
        name = rows.vector_name(op, layout.row, views)
    in_bytes = [step * ITEM[rows.dtype(view)] for step, view in zip(steps, views, strict=True)]
    moving = [-step if here else 0 for step, here in zip(in_bytes, is_local, strict=True)]
    unused = [0] * (4 - len(views))
    params = (member.extent, member.lag, unit, *in_bytes, *unused, *moving, *unused)
    rows.emit(position, name, layout.row, layout.axes, views, layout.starts, params)


def _loops(views: list[View], axis: int) -> tuple[Layout, int]:
    """The loops of a member, and the elements of its row per index; 0 where each index has loops of its own."""
    shape = views[0].shape
    starts = (0,) * len(views)
    loops = [Axis(n, s) for n, s in zip(shape, zip(*(view.strides for view in views), strict=True), strict=True)]
    inner = merge(loops[axis + 1 :])
    if not inner:
        return Layout(Axis(1, loops[axis].strides), tuple(merge(loops[:axis])), starts), 1
    if len(inner) == 1 and all(s == inner[0].extent * t for s, t in zip(loops[axis].strides, inner[0].strides, strict=True)):
        return Layout(inner[0], tuple(merge(loops[:axis])), starts), inner[0].extent
    strides = tuple(view.strides[:axis] + view.strides[axis + 1 :] for view in views)
    return collapse(shape[:axis] + shape[axis + 1 :], strides), 0
