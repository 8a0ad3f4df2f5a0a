"""Both sides of an `if` whose test varies, recorded into one program.

An `if` in a loop over elements would need a program for each pattern of outcomes. `conversion` rewrites it, so that it asks
a `Branch` what to do: the first side runs, what it wrote is set aside, memory and names are as before, the second side runs,
and every element and every name that either side has assigned becomes `where(test, first, second)`. The program has no
trace of the detour: a write of a side goes into a temporary in the first place, and what the side reads back comes from there.

The side that the values at hand do not take runs on values for which it was not meant. Its warnings are suppressed; where it
raises, or does what cannot be set aside, the `if` is refused, and the function is recorded anew with a guard there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any, Final, NoReturn, Protocol

import numpy as np

from ...structured import STRUCTURED
from ...tape import Role
from ...views import View, broadcast, overlap
from ..observations import MISSING
from ..recorder import Recorder, is_traced
from ..traced.array import TracedArray
from ..traced.scalar import TracedScalar
from .effects import code_of, has_effects, must_be_seen
from .loop_exits import RESULT
from .merging import Merging
from .rounds import Rounds, padded

__all__ = ["Branch", "Branching", "Place", "Plan", "Reconsidered"]

RECURS: Final = 4  # guards at one place after which its `if` is worth converting: fewer ways than a test or two at the top
_MOST_GUARDS: Final = 1000  # in one side: it may be a loop that ends for the values of the other side only
_NOT_BESIDE: Final = frozenset(name for name, operation in STRUCTURED.items() if operation.can_fail)
"""What must not run for values of the other side: code of the user's, and decompositions that may not exist."""

_RECENT: Final = 64  # instructions among which the operands of a test are looked for

Place = tuple[str, int, int]
"""File, line and column of an `if`."""


class Plan(Protocol):
    """Which of the user's `if`s are to be converted; it lasts from one attempt at a recording to the next."""

    lists: bool
    """Whether ufuncs are given lists."""

    rounds: dict[Place, int]
    """How many rounds a loop takes whose end varies."""

    def ask(self, frame: FrameType, several: bool) -> bool:
        """Convert the `if` whose test the frame is at, if there is one that can be; whether the plan has changed.

        `several` says that its function was called more than once.
        """

    def refuse(self, place: Place) -> None:
        """Leave this `if` as it is."""

    def is_refused(self, place: Place) -> bool: ...

    @property
    def is_empty(self) -> bool: ...

    def clear(self) -> None:
        """Convert nothing, whatever may be asked."""

    def converted(self, code: CodeType) -> CodeType:
        """The code of a function with its `if`s converted."""

    def see(self, code: CodeType) -> bool:
        """Look at the stores and calls of a function that a side calls; whether that is new, and possible."""

    def is_seen(self, code: CodeType) -> bool: ...


class Reconsidered(BaseException):
    """The plan has changed: record anew. Not an `Exception`, so that the user's code lets it pass."""


class Branching:
    """The branches of one recording.

    Attributes
    ----------
    stack : list of Branch
        Those of which a side is being recorded, innermost last.
    reconsidered : bool
        Whether the plan has changed, which the user's code may have kept from becoming known.
    """

    def __init__(self, rec: Recorder, plan: Plan) -> None:
        self.rec = rec
        self.plan = plan
        self.stack: list[Branch] = []
        self.reconsidered = False
        self.rounds: dict[Place, tuple[int, int]] = {}  # fewest and most rounds that such a loop took
        self._tests: dict[tuple[int, int], tuple[int, Any, FrameType | None, bool]] = {}
        self.names: dict[str, Any] = {
            "__odead_missing__": MISSING,
            "__odead_branch__": self.branch,
            "__odead_settles__": self.settles,
            "__odead_and__": lambda x, y: self.combined("logical_and", x, y),
            "__odead_or__": lambda x, y: self.combined("logical_or", x, y),
            "__odead_not__": self.negated,
            "__odead_target__": self.target,
            "__odead_callee__": self.callee,
            "__odead_loop__": self.loop,
        }

    # ------------------------------------------------------------------------------------------ what recurs

    def met(self, frame: FrameType, view: View) -> None:
        """A test was guarded: note where, and reconsider the plan where that recurs for other elements."""
        place = (id(frame.f_code), frame.f_lasti)
        count, last, seen_in, several = self._tests.get(place, (0, None, None, False))
        test = self._described(view)
        if test == last:  # the same question again, as of a parameter inside a loop
            return
        again = seen_in is not None and frame is not seen_in and not several
        self._tests[place] = (count + 1, test, frame, several or again)
        if (count + 1 == RECURS or (again and count + 1 > RECURS)) and self.plan.ask(frame, several or again):
            self.reconsider()

    def entering(self) -> None:
        """A traced value is about to enter an ordinary array, perhaps of a list that a ufunc was given."""
        if not self.plan.lists:
            self.plan.lists = True
            self.reconsider()

    def _described(self, view: View) -> Any:
        """What a test compares, in terms of memory."""
        program = self.rec.program
        outs = program.out[-_RECENT:]
        known = {out.buffer: k - len(outs) for k, out in enumerate(outs) if out is not None and not out.shape}

        def described(operand: View, depth: int) -> Any:
            k = known.get(operand.buffer)
            if k is None or depth == 0 or program.buffers[operand.buffer].role is not Role.TEMP:
                return operand
            return (program.op[k], *[described(each, depth - 1) for each in program.ins[k]])

        return described(view, 4)

    def reconsider(self) -> NoReturn:
        self.reconsidered = True
        raise Reconsidered

    def refuse(self) -> NoReturn:
        """Give up the innermost branch."""
        self.plan.refuse(self.stack[-1].place)
        self.reconsider()

    def settle(self, error: BaseException | None = None) -> None:
        """At the end of the run: raise `Reconsidered` if it must be recorded anew.

        Parameters
        ----------
        error : exception, optional
            With which the run ended. It may be that of a side that is not taken, or due to a name bound on one side only.
        """
        left = self.stack[-1].place if self.stack else None
        while self.stack:
            self.stack.pop().loud()
        self.rec.side = None
        if not self.reconsidered and not (error is not None and not isinstance(error, Exception)):
            if left is not None:
                self.plan.refuse(left)
            elif error is None and self._more_rounds():
                pass
            elif error is None or self.plan.is_empty:
                return
            else:
                self.plan.clear()
            self.reconsidered = True
        if self.reconsidered:
            raise Reconsidered from None

    def _more_rounds(self) -> bool:
        """Whether a loop took other numbers of rounds than the plan has, or they differed; the plan then has the largest."""
        changed = False
        for place, (fewest, most) in self.rounds.items():
            known = self.plan.rounds.get(place, 0)
            if most > known and (known or fewest < most):
                self.plan.rounds[place] = padded(most)
                changed = True
        return changed

    # ------------------------------------------------------------------------------------------ what rewritten code asks

    def loop(self, line: int, column: int) -> Rounds:
        """A loop whose end may vary is entered."""
        return Rounds(self, (sys._getframe(1).f_code.co_filename, line, column))

    def branch(self, test: Any, place: Place, names: tuple[str, ...] = ()) -> Any:
        """How to go through an `if`."""
        if not is_traced(test):
            return _FIRST if test else _SECOND
        if type(test) is TracedArray:
            if test.size != 1:
                return _FIRST if bool(test) else _SECOND  # raises NumPy's own error
            test = test._only()
            if not is_traced(test):
                return _FIRST if test else _SECOND
        return Branch(self, place, self.rec.cast(test.place, "bool"), bool(test.value), names)

    def settles(self, x: Any, outcome: bool) -> bool:
        """Whether the first operand of `and` or `or` has this outcome for certain."""
        return not is_traced(x) and bool(x) is outcome

    def combined(self, op: str, x: Any, y: Any) -> Any:
        """The truth of `x and y` or `x or y`, of which neither settles the other."""
        if not is_traced(x):
            return y
        if not is_traced(y):
            return x if bool(y) is (op == "logical_and") else bool(y)
        rec = self.rec
        truth = [_truth(rec, operand) for operand in (x, y)]
        view = rec.record(op, "bool", tuple([view for view, _ in truth]))
        (_, first), (_, second) = truth
        return TracedScalar(rec, view, first and second if op == "logical_and" else first or second, "bool")

    def negated(self, x: Any) -> Any:
        """`not x` as a test."""
        if not is_traced(x):
            return not x
        view, value = _truth(self.rec, x)
        return TracedScalar(self.rec, self.rec.record("logical_not", "bool", (view,)), not value, "bool")

    def target(self, x: Any) -> Any:
        """Something into which a side stores an element: only arrays are restored after it."""
        if self.stack and type(x) is not TracedArray:
            self.refuse()
        return x

    def callee(self, f: Any) -> Any:
        """A function that a side calls; its effects must be those of assignments to elements."""
        if self.stack:
            code = code_of(f)
            if code is None or not self.rec.is_watched(code):
                if has_effects(f):
                    self.refuse()
                return f
            seen = must_be_seen(code)
            if seen is None:
                self.refuse()
            if seen and not self.plan.is_seen(code):
                if self.plan.see(code):
                    self.reconsider()
                self.refuse()
        return f


def _truth(rec: Recorder, x: Any) -> tuple[View, bool]:
    if type(x) is TracedArray:
        bool(x.value)  # raises NumPy's own error
        x = x._only()
    return rec.cast(x.place, "bool"), bool(x.value)


class _Plain:
    """An `if` whose test does not vary: one of its sides runs."""

    __slots__ = ("_outcome",)
    both = False

    def __init__(self, outcome: bool) -> None:
        self._outcome = outcome

    def first(self) -> bool:
        return self._outcome

    def second(self) -> bool:
        return not self._outcome

    def end(self) -> bool:
        return False

    def merge(self, first: Any, second: Any) -> Any:
        return first if self._outcome else second


_FIRST: Final = _Plain(True)
_SECOND: Final = _Plain(False)


class Branch:
    """An `if` whose test varies: both sides run, one after the other.

    Attributes
    ----------
    place : (str, int, int)
        Where the `if` is.
    both : bool
        Whether both sides run.
    before : list
        What the names that a side may assign are before the `if`, `MISSING` where they are not bound.
    merged : list
        What they are after it.
    condition : View
        The test.
    taken : bool
        Its outcome in the recorded run.
    """

    __slots__ = (
        "_begin", "_branching", "_entry", "_fills", "_first", "_guards", "_journal", "_mark", "_names", "_noisy",
        "_now", "_outer", "_rec", "_valid", "before", "condition", "merged", "place", "taken",
    )  # fmt: skip
    both = True

    def __init__(self, branching: Branching, place: Place, condition: View, taken: bool, names: tuple[str, ...]) -> None:
        self.place = place
        self.before: list[Any] = []
        self.merged: list[Any] = []
        self._branching, self._rec = branching, branching.rec
        self.condition, self.taken, self._names = condition, taken, names
        self._outer: Branch | None = None
        self._noisy: Any = None
        self._valid: View | None = None

    # ------------------------------------------------------------------------------------------ the protocol

    def first(self) -> bool:
        """Begin the first side."""
        rec = self._rec
        if self._names:
            self.before = self._bound(sys._getframe(1))
        stack = self._branching.stack
        self._outer = stack[-1] if stack else None
        stack.append(self)
        self._mark = len(rec.program.buffers)
        self._open(True)
        return True

    def second(self) -> bool:
        """End the first side and begin the second."""
        names = self._bound(sys._getframe(1)) if self._names else ()
        writes = self._shut()
        after = [(view, self._rec.contents(view)) for view, _ in self._journal] if self.taken else []
        self._undo()
        self._first = (names, writes, after)
        self._entry = self._journal
        self._open(False)
        return True

    def end(self) -> bool:
        """End the second side and join the two."""
        names = self._bound(sys._getframe(1)) if self._names else ()
        self._join()
        merging = Merging(self._rec, self)
        both = zip(self._names, self._first[0], names, strict=True)
        self.merged = [merging.result(a, b) if name == RESULT else merging.merged(a, b) for name, a, b in both]
        return True

    def merge(self, first: Any, second: Any) -> Any:
        """End the second side of an expression and join the two."""
        self._join()
        return Merging(self._rec, self).merged(first, second)

    def _bound(self, frame: FrameType) -> list[Any]:
        bound = frame.f_locals
        return [bound.get(name, MISSING) for name in self._names]

    # ------------------------------------------------------------------------------------------ one side

    def _open(self, now: bool) -> None:
        self._now = now
        self._begin = len(self._rec.program.op)
        self._fills = self._rec.fills
        self._journal: list[tuple[View, Any]] = []
        self._guards = 0
        self._valid = None
        self._rec.side = self
        if now is not self.taken:
            self._noisy = np.errstate(all="ignore")
            self._noisy.__enter__()

    def loud(self) -> None:
        """Let warnings be heard again."""
        if self._noisy is not None:
            self._noisy.__exit__(None, None, None)
            self._noisy = None

    def _shut(self) -> dict[View, View]:
        """End a side; where it wrote, and the temporaries into which these writes now go."""
        if self._branching.stack[-1] is not self:  # an inner one was left by an exception
            self._branching.refuse()
        self.loud()
        if not _NOT_BESIDE.isdisjoint(self._rec.program.op[self._begin :]):
            self._branching.refuse()
        writes = self._only_write()
        if writes is None:
            writes = _SetAside(self._rec, self, self._begin).run()
        self._rec.made_at(self._begin, self._fills)
        if writes is None:
            self._branching.refuse()
        return writes

    def _only_write(self) -> dict[View, View] | None:
        """What `_SetAside` gives where the one write of the side is its end and puts a number into an element, as most do."""
        rec, first = self._rec, self.first_write(self._begin)
        if first is None:
            return {}
        program = rec.program
        out = program.out[first]
        if first != len(program) - 1 or program.op[first] != "copy" or out is None or out[2]:
            return None
        (source,) = program.ins[first]
        if not rec.is_value(source):
            return None
        for column in (program.op, program.out, program.ins, program.params, program.line):
            column.pop()
        return {out: source}

    def first_write(self, begin: int) -> int | None:
        """The first instruction from `begin` on that writes into a buffer from before the `if`."""
        outs, mark, captured = self._rec.program.out, self._mark, self._rec.captured
        for k in range(begin, len(outs)):
            out = outs[k]
            if out is not None and (out[0] < mark or out[0] in captured):
                return k
        return None

    def _undo(self) -> None:
        for view, value in reversed(self._journal):
            self._rec.set_contents(view, value)

    def _join(self) -> None:
        rec = self._rec
        second = self._shut()
        _, first, after = self._first
        if self.taken:
            self._undo()
            for view, value in after:
                rec.set_contents(view, value)
        self._branching.stack.pop()
        rec.side = outer = self._outer
        if outer is not None:
            outer._journal += self._entry
            outer._journal += self._journal
        line = rec.line()
        places = first if first.keys() == second.keys() else dict.fromkeys((*first, *second))
        for view in places:
            if view.buffer in rec.static:
                rec.static.discard(view.buffer)
            chosen = first.get(view, view), second.get(view, view)
            condition = self.condition if not view.shape else broadcast(self.condition, view.shape)
            rec.program.emit("where", view, (condition, *chosen), None, line)
        if not _separate(places):
            self.give_up()

    def give_up(self) -> NoReturn:
        """Leave this `if` as it is."""
        self._branching.plan.refuse(self.place)
        self._branching.reconsider()

    # ------------------------------------------------------------------------------------------ what the recorder asks

    def is_old(self, buffer: int) -> bool:
        """Whether a buffer is from before the `if`, so that the other side and what follows see it."""
        return buffer < self._mark or buffer in self._rec.captured

    def save(self, view: View) -> None:
        """Elements are about to be written."""
        if self.is_old(view.buffer):
            self._journal.append((view, self._rec.contents(view)))

    def valid(self) -> View:
        """Whether a run takes the side being recorded."""
        if self._valid is None:
            view = self.condition
            if not self._now:
                view = self._rec.record("logical_not", "bool", (view,))
            if self._outer is not None:
                view = self._rec.record("logical_and", "bool", (self._outer.valid(), view))
            self._valid = view
        return self._valid

    def is_taken(self) -> bool:
        """Whether the recorded run takes the side being recorded."""
        return self._now is self.taken and (self._outer is None or self._outer.is_taken())

    def guarded(self, view: View, expected: bool | int) -> View:
        """What to guard instead of `view`: it matters only to a run that takes this side."""
        self._guards += 1
        if self._guards > _MOST_GUARDS:
            self._branching.refuse()
        rec = self._rec
        dtype = rec.program.dtype(view)
        chosen = rec.program.temp(dtype, view.shape)
        ins = (broadcast(self.valid(), view.shape), rec.reads(view), rec.program.constant(expected, dtype, view.shape))
        rec.emit("where", chosen, ins)
        return chosen


class _SetAside:
    """Rewrites what a side has recorded so that it writes into temporaries instead of memory that others see."""

    __slots__ = ("begin", "branch", "narrow", "rec", "separate", "wide", "writes")

    def __init__(self, rec: Recorder, branch: Branch, begin: int) -> None:
        self.rec, self.branch, self.begin = rec, branch, begin
        self.writes: dict[View, View] = {}
        self.wide: dict[int, list[View]] = {}  # by buffer: the written views that are more than an element
        self.narrow: set[int] = set()  # buffers with written elements
        self.separate = True

    def run(self) -> dict[View, View] | None:
        """The written views and their temporaries; None if a view overlaps another of them in part."""
        program, is_old = self.rec.program, self.branch.is_old
        first = self.branch.first_write(self.begin)
        if first is None:  # up to the first write nothing changes
            return self.writes
        columns: list[list[Any]] = [program.op, program.out, program.ins, program.params, program.line]
        recorded = list(zip(*[column[first:] for column in columns], strict=True))
        for column in columns:
            del column[first:]
        for op, out, ins, params, line in recorded:
            if self.writes:
                ins = tuple(map(self.redirected, ins))
            if out is not None and is_old(out.buffer):
                if op == "copy" and not out.shape and self.rec.is_value(ins[0]):
                    self.note(out, ins[0])
                    continue
                place = program.temp(program.dtype(out), out.shape)
                if op in STRUCTURED and STRUCTURED[op].in_place:
                    program.emit("copy", place, (ins[0],), None, line)
                    ins = (place, *ins[1:])
                self.note(out, place)
                out = place
            program.emit(op, out, ins, params, line)
        return self.writes if self.separate else None

    def note(self, out: View, place: View) -> None:
        if out not in self.writes:
            self.check(out)
            if out.shape:
                self.wide.setdefault(out.buffer, []).append(out)
            else:
                self.narrow.add(out.buffer)
        self.writes[out] = place

    def redirected(self, view: View) -> View:
        place = self.writes.get(view)
        if place is None:
            self.check(view)
            return view
        return place

    def check(self, view: View) -> None:
        """Note whether `view` overlaps something written that is not the same."""
        others: Iterable[View] = self.wide.get(view.buffer, ())
        if view.shape and view.buffer in self.narrow:
            others = self.writes
        self.separate &= not any(other != view and overlap(other, view) for other in others)


def _separate(views: Iterable[View]) -> bool:
    """Whether no two of the views overlap."""
    wide = [view for view in views if view.shape]
    return not any(view != other and overlap(view, other) for view in wide for other in views)
