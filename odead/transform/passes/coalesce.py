"""Coalescing: a temporary that ends as a copy somewhere is built there in the first place."""

from collections import defaultdict
from typing import NamedTuple

from ..._elements import Stamps
from ...tape import Program, Role
from ...views import View
from .compose import compose
from .facts import is_whole, rewritten, select

__all__ = ["coalesce"]


class _Store(NamedTuple):
    """`copy place <- whole`, where `whole` is all of a temporary."""

    whole: View
    place: View


def coalesce(program: Program) -> Program:
    """Turn a temporary that is copied as a whole, such as a result built in `np.zeros`, into the place it is copied to.

    From the first access of the temporary to the copy, nothing else may touch that place; from the copy to the last access of
    the temporary, both may be read, but not written.
    """
    stores = {
        k: _Store(ins[0], out)
        for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True))
        if op == "copy" and out is not None and _is_temporary(program, ins[0]) and ins[0].buffer != out.buffer
    }
    return _Coalescing(program, stores).run() if stores else program


def _is_temporary(program: Program, view: View) -> bool:
    return program.buffers[view.buffer].role is Role.TEMP and view.size > 0 and is_whole(program, view)


class _Coalescing:
    def __init__(self, program: Program, stores: dict[int, _Store]) -> None:
        self.program, self.stores = program, stores
        self.accesses: dict[int, list[int]] = defaultdict(list)  # of the temporaries: positions
        self.last_write: dict[int, int] = {}
        temporaries = {store.whole.buffer for store in stores.values()}
        for k, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
            for view in ins if out is None else (*ins, out):
                if view.buffer in temporaries:
                    self.accesses[view.buffer].append(k)
            if out is not None:
                self.last_write[out.buffer] = k
        self.overwritten = self._overwritten()
        self.accepted: dict[int, _Store] = {}  # by temporary
        self.targets: set[int] = set()

    def _overwritten(self) -> dict[int, int]:
        """For each store, the position at which its place is written next."""
        stamps = self._stamps()
        end = len(self.program)
        found = {}
        for k in range(end - 1, -1, -1):
            out = self.program.out[k]
            if out is not None and out.buffer in stamps:
                if k in self.stores:
                    found[k] = end - max(stamps[out.buffer].latest(out), 0)
                stamps[out.buffer].stamp(out, end - k)  # counted from the end: the latest stamp is the first position
        return found

    def _stamps(self) -> dict[int, Stamps]:
        targets = {store.place.buffer for store in self.stores.values()}
        return {target: Stamps(self.program.buffers[target].size) for target in targets}

    def run(self) -> Program:
        program, touched, dropped = self.program, self._stamps(), set()
        for k, (out, ins) in enumerate(zip(program.out, program.ins, strict=True)):
            store = self.stores.get(k)
            if store is not None and self.is_free(k, store, touched[store.place.buffer].latest(store.place)):
                self.accepted[store.whole.buffer] = store
                self.targets.add(store.place.buffer)
                dropped.add(k)
            for view in ins if out is None else (*ins, out):
                if view.buffer in touched:
                    touched[view.buffer].stamp(view, k)
                if view.buffer in self.accepted:  # what reads the temporary now reads the place
                    place = self.accepted[view.buffer].place
                    touched[place.buffer].stamp(place, k)
        if not dropped:
            return program
        new = rewritten(program, out=list(program.out), ins=list(program.ins))
        for k in {k for temporary in self.accepted for k in self.accesses[temporary]}:
            out = new.out[k]
            new.out[k] = None if out is None else self.placed(out)
            new.ins[k] = tuple(map(self.placed, new.ins[k]))
        return select(new, [k for k in range(len(program)) if k not in dropped])

    def is_free(self, k: int, store: _Store, touched: int) -> bool:
        """Whether the temporary of the store at k may live in the place, last touched before at `touched`."""
        temporary, target = store.whole.buffer, store.place.buffer
        first, last = self.accesses[temporary][0], self.accesses[temporary][-1]
        split = self.program.split or 0
        return (
            touched < first
            and self.last_write[temporary] < k
            and self.overwritten[k] > last
            and (first < split) == (last < split)
            and temporary not in self.accepted
            and temporary not in self.targets
            and target not in self.accepted
            and all(compose(store.whole, store.place, view) is not None for view in self.views(temporary))
        )

    def views(self, temporary: int) -> set[View]:
        program = self.program
        views = {view for k in self.accesses[temporary] for view in (program.out[k], *program.ins[k])}
        return {view for view in views if view is not None and view.buffer == temporary}

    def placed(self, view: View) -> View:
        store = self.accepted.get(view.buffer)
        if store is None:
            return view
        found = compose(store.whole, store.place, view)
        assert found is not None
        return found
