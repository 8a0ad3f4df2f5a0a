"""Accumulations: `dx[i] += f` over edges, faces or pairs, where iterations meet at an element, becomes one instruction.

An element loop over the edges of a network adds to elements in an order without a pattern, and no iteration may be done before
the one that adds to the same element. So what is added goes into a temporary, one element per addition, and all of it is
added where the array is next touched in another way. What is left of the loop has no order any more, and rolls.

* Edges: one scatter, in the order of the loop.
* Faces: the additions at one side, then those at the other, where each element so gets its terms in the order of the loop.
* Many terms in a row for one element, as in a product of a matrix and a vector: a sum over the inner loop, which rounds as
  `sums` do. All others are those of the loop bit for bit.

Left alone is what rolls as it is: elements that are met once, or only within an iteration, and short inner loops.
"""

from collections.abc import Iterator
from itertools import permutations
from typing import Final, NamedTuple

import numpy as np

from ..._places import adds_to_elements
from ...tape import Instruction, Program
from ...views import View
from .columns import Columns

__all__ = ["accumulations"]

_LEAST: Final = 16  # additions: fewer are left to the scalar instructions, which take as long
_LAGS: Final = (1, 2, 3, 4, 6, 8)  # at which the sums over an inner loop come to the same element again
_SLOTS: Final = (1, 2, 3, 4, 6)  # additions of one iteration, where they may be done slot by slot


class _Found(NamedTuple):
    """Additions to elements of one buffer, in program order.

    Attributes
    ----------
    load, add, store : ndarray of int64
        Positions of their three instructions.
    place : ndarray of int64
        The elements.
    """

    load: np.ndarray
    add: np.ndarray
    store: np.ndarray
    place: np.ndarray

    def part(self, which: np.ndarray) -> "_Found":
        return _Found(self.load[which], self.add[which], self.store[which], self.place[which])


class _Slot(NamedTuple):
    """Additions to the elements of `out`: the terms from `first` on, `terms` of them for each element, `step` apart."""

    out: View
    first: int
    step: int
    terms: int = 1


class _Group(NamedTuple):
    """Additions that are done together just before position `end`: slot by slot, or one by one if there are no slots."""

    buffer: int
    found: _Found
    end: int
    slots: list[_Slot]


def accumulations(program: Program) -> Program:
    """Do the additions of a loop that meet at elements after it, in one instruction or in one for each of its lines."""
    if program.split is not None or not adds_to_elements(program.op, program.out, program.ins, _LEAST):
        return program
    groups = list(_groups(program))
    return _rewritten(program, groups) if groups else program


# ------------------------------------------------------------------------------------------------------------- finding


def _groups(program: Program) -> Iterator[_Group]:
    columns = Columns(program)
    found = _additions(program, columns)
    buffers, counts = np.unique(columns.buffer[0, found.store], return_counts=True)
    for buffer in buffers[counts >= _LEAST].tolist():
        own = found.part(columns.buffer[0, found.store] == buffer)
        touches = np.flatnonzero((columns.buffer == buffer).any(axis=0))
        others = np.setdiff1d(touches, np.concatenate([own.load, own.store]))
        interval = np.searchsorted(others, own.store)
        if (interval != np.searchsorted(others, own.load)).any() or (own.load[1:] < own.store[:-1]).any():
            continue
        edges = np.flatnonzero(np.diff(interval, prepend=-1, append=-1))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if stop - start < _LEAST:
                continue
            part = own.part(np.arange(start, stop))
            slots = _slots(buffer, part.place)
            if slots is not None:
                number = int(interval[start])
                yield _Group(buffer, part, int(others[number]) if number < len(others) else len(program), slots)


def _additions(program: Program, columns: Columns) -> _Found:
    """What is recorded as `%a = x[i]; ...; %b = %a + %v; x[i] = %b` with no other use of %a and %b."""
    ops = np.array(program.op)
    copies, sums = ops == "copy", (ops == "add") | (ops == "sub")
    buffer, offset = columns.buffer, columns.offset
    used = np.bincount(buffer[1:][buffer[1:] >= 0], minlength=len(columns.size))
    floats = np.array([b.dtype[0] == "f" for b in program.buffers])
    single = columns.is_temp & (columns.size == 1) & (columns.first == columns.last) & (used == 1)
    store = np.flatnonzero(copies & (buffer[0] >= 0))
    store = store[~columns.is_temp[buffer[0, store]] | (columns.size[buffer[0, store]] > 1)]
    store = store[single[buffer[1, store]] & floats[buffer[0, store]]]
    add = columns.first[buffer[1, store]]
    direct = sums[add] & (add == store - 1)
    store, add = store[direct], add[direct]
    loads = []
    for operand in (1, 2):
        a = buffer[operand, add]
        load = np.where(single[a], columns.first[a], 0)
        right = single[a] & copies[load] & (load < add)
        right &= (buffer[1, load] == buffer[0, store]) & (offset[1, load] == offset[0, store])
        loads.append(np.where(right & ((operand == 1) | (ops[add] == "add")), load, -1))
    load = np.where(loads[0] >= 0, loads[0], loads[1])
    found = _Found(load, add, store, offset[0, store]).part(load >= 0)
    scalar = [program.out[k].shape == () for k in found.store.tolist()]
    return found.part(np.array(scalar, dtype=bool))


def _slots(buffer: int, place: np.ndarray) -> list[_Slot] | None:
    """How additions at these places are done: slot by slot, or one by one if there are no slots; None to leave them."""
    if len(np.unique(place)) == len(place):
        return None
    for count in _SLOTS:
        if len(place) % count == 0:
            rows = place.reshape(-1, count)
            sums = _sums(buffer, rows)
            if sums is not None:
                return sums
            views = [view for k in range(count) if (view := _regular(buffer, rows[:, k])) is not None]
            order = _order(rows) if len(views) == count else None
            if order is not None:
                return None if order == tuple(range(count)) else [_Slot(views[k], k, count) for k in order]
    met = place[np.append(True, place[1:] != place[:-1])]
    if len(np.unique(met)) == len(met) or any((place[lag:] == place[:-lag]).mean() > 0.5 for lag in _LAGS):
        return None
    return []


def _sums(buffer: int, rows: np.ndarray) -> list[_Slot] | None:
    """One slot for each of an iteration's additions, if an inner loop of many iterations stays at its elements."""
    count = rows.shape[1]
    terms = int((rows[:, 0] != rows[0, 0]).argmax()) or len(rows)
    if terms < _LEAST or len(rows) % terms:
        return None
    inner = rows.reshape(-1, terms, count)
    places = inner[:, 0]
    if (inner != places[:, None]).any() or len(np.unique(places)) < places.size:
        return None
    views = [view for k in range(count) if (view := _regular(buffer, places[:, k])) is not None and len(view.shape) == 1]
    return [_Slot(view, k, count, terms) for k, view in enumerate(views)] if len(views) == count else None


def _regular(buffer: int, place: np.ndarray) -> View | None:
    """The view of these different elements, in one or two loops."""
    steps = np.diff(place)
    if not len(steps) or (steps == steps[0]).all():
        view = View(buffer, int(place[0]), (len(place),), (int(steps[0]) if len(steps) else 1,))
    else:
        inner = int((steps != steps[0]).argmax()) + 1
        if len(place) % inner:
            return None
        rows = place.reshape(-1, inner)
        outer = np.diff(rows[:, 0])
        if (rows - rows[:, :1] != rows[0] - rows[0, 0]).any() or (outer != outer[0]).any():
            return None
        view = View(buffer, int(place[0]), rows.shape, (int(outer[0]), int(steps[0])))
    return view if len(np.unique(place)) == len(place) else None


def _order(place: np.ndarray) -> tuple[int, ...] | None:
    """An order of the slots in which each element gets what is added to it in the order of the iterations, and of the slots.

    `place` has a row per iteration; no slot comes to an element twice.
    """
    count = place.shape[1]
    when = np.full((count, int(place.max()) + 1), -1)
    for k in range(count):
        when[k, place[:, k]] = np.arange(len(place)) * count + k
    met = when >= 0
    for order in permutations(range(count)):
        pairs = [(a, b) for n, a in enumerate(order) for b in order[n + 1 :]]
        if all((when[a] < when[b])[met[a] & met[b]].all() for a, b in pairs):
            return order
    return None


# ----------------------------------------------------------------------------------------------------------- rewriting


def _rewritten(program: Program, groups: list[_Group]) -> Program:
    new = program.empty_like()
    dropped: set[int] = set()
    stores: dict[int, tuple[str, View, View]] = {}  # what is added, and where it waits
    flushes: dict[int, list[Instruction]] = {}
    for group in groups:
        found = group.found
        waiting = new.temp(program.buffers[group.buffer].dtype, (len(found.store),))
        for k, (load, add, store) in enumerate(zip(found.load.tolist(), found.add.tolist(), found.store.tolist(), strict=True)):
            dropped |= {load, add}
            ins, loaded = program.ins[add], program.out[load]
            term = ins[1] if ins[0] == loaded else ins[0]
            stores[store] = "copy" if program.op[add] == "add" else "neg", View(waiting.buffer, k, (), ()), term
        flushes.setdefault(group.end, []).extend(_flush(new, group, waiting, program.line[int(found.store[-1])]))
    for number, instruction in enumerate(program):
        for flushed in flushes.get(number, ()):
            new.append(flushed)
        if number in stores:
            op, out, term = stores[number]
            new.emit(op, out, (term,), None, instruction.line)
        elif number not in dropped:
            new.append(instruction)
    for flushed in flushes.get(len(program), ()):
        new.append(flushed)
    return new


def _flush(new: Program, group: _Group, waiting: View, line: int) -> list[Instruction]:
    rows = []
    for slot in group.slots:
        steps = (slot.step * slot.terms * slot.out.shape[-1], slot.step * slot.terms)[2 - len(slot.out.shape) :]
        terms = View(waiting.buffer, slot.first, slot.out.shape, steps)
        if slot.terms > 1:
            total = new.temp(new.buffers[group.buffer].dtype, slot.out.shape)
            inner = terms._replace(shape=(*terms.shape, slot.terms), strides=(*steps, slot.step))
            rows.append(Instruction("sum", total, (inner,), None, line))
            terms = total
        rows.append(Instruction("add", slot.out, (slot.out, terms), None, line))
    if not rows:
        whole = View(group.buffer, 0, (new.buffers[group.buffer].size,), (1,))
        index = new.constant(group.found.place, "int64")
        rows.append(Instruction("put_add", whole, (whole, waiting, index), None, line))
    return rows
