"""Coalescing: a temporary that ends as a copy somewhere is built there in the first place."""

from collections import defaultdict
from typing import NamedTuple

from ...tape import Program, Role, View
from .compose import compose
from .elements import Stamps
from .facts import is_whole, rewritten, select

__all__ = ["coalesce"]


class _Store(NamedTuple):
    """`copy place <- whole`, where `whole` is all of a temporary."""

    whole: View
    place: View


def coalesce(program: Program) -> Program:
    """Turn a temporary that is copied as a whole, such as a result built in `np.zeros`, into the place it is copied to.

    From the first access of the temporary to the copy, nothing else may touch that place; after the copy both may be read, if
    neither is written again.
    """
    stores = {
        k: _Store(ins[0], out)
        for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True))
        if op == "copy" and out is not None and _is_temporary(program, ins[0]) and ins[0].buffer != out.buffer
    }
    if not stores:
        return program
    accesses, last_write = _accesses(program, {store.whole.buffer for store in stores.values()})
    accepted: dict[int, _Store] = {}  # by temporary
    involved: set[int] = set()
    dropped = set()
    for k in _undisturbed(program, stores, accesses):
        store = stores[k]
        temporary, target = store.whole.buffer, store.place.buffer
        positions = accesses[temporary]
        final = positions[-1] == k or (last_write[temporary] < k and last_write[target] == k)
        free = involved.isdisjoint((temporary, target))
        if free and final and _one_side(program, positions) and _all_found(program, store, positions):
            accepted[temporary] = store
            involved.update((temporary, target))
            dropped.add(k)
    return _built_in_place(program, accepted, accesses, dropped) if accepted else program


def _is_temporary(program: Program, view: View) -> bool:
    return program.buffers[view.buffer].role is Role.TEMP and view.size > 0 and is_whole(program, view)


def _accesses(program: Program, buffers: set[int]) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Positions of the instructions that access these buffers, and of the last write into any buffer."""
    accesses: dict[int, list[int]] = defaultdict(list)
    last_write: dict[int, int] = {}
    for k, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
        for view in ins if out is None else (*ins, out):
            if view.buffer in buffers:
                accesses[view.buffer].append(k)
        if out is not None:
            last_write[out.buffer] = k
    return accesses, last_write


def _undisturbed(program: Program, stores: dict[int, _Store], accesses: dict[int, list[int]]) -> list[int]:
    """The stores whose place nothing touches from the first access of the temporary on."""
    touched = {store.place.buffer: Stamps(program.buffers[store.place.buffer].size) for store in stores.values()}
    found = []
    for k, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
        if k in stores:
            whole, place = stores[k]
            if touched[place.buffer].latest(place) < accesses[whole.buffer][0]:
                found.append(k)
        for view in ins if out is None else (*ins, out):
            if view.buffer in touched:
                touched[view.buffer].stamp(view, k)
    return found


def _one_side(program: Program, positions: list[int]) -> bool:
    return program.split is None or (positions[0] < program.split) == (positions[-1] < program.split)


def _all_found(program: Program, store: _Store, positions: list[int]) -> bool:
    views = {view for k in positions for view in (program.out[k], *program.ins[k])}
    return all(compose(store.whole, store.place, view) is not None
               for view in views if view is not None and view.buffer == store.whole.buffer)  # fmt: skip


def _built_in_place(program: Program, accepted: dict[int, _Store], accesses: dict[int, list[int]],
                    dropped: set[int]) -> Program:
    new = rewritten(program, out=list(program.out), ins=list(program.ins))

    def placed(view: View) -> View:
        store = accepted.get(view.buffer)
        if store is None:
            return view
        found = compose(store.whole, store.place, view)
        assert found is not None
        return found

    for k in {k for temporary in accepted for k in accesses[temporary]}:
        out = new.out[k]
        new.out[k] = None if out is None else placed(out)
        new.ins[k] = tuple(map(placed, new.ins[k]))
    return select(new, [k for k in range(len(program)) if k not in dropped])
