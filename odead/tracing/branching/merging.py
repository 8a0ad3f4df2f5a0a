"""What names and expressions are after an `if` of which both sides were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ...views import View
from ..observations import IMMUTABLE, MISSING
from ..recorder import Recorder, is_traced
from ..traced.array import TracedArray
from ..traced.complexes import TracedComplexArray, combined, is_complex, parts_of
from ..traced.scalar import TracedScalar, scalar_dtype

if TYPE_CHECKING:
    from .branches import Branch

__all__ = ["Merging"]


class Merging:
    """What a name, or an expression, is after the `if`, from what it is at the end of either side."""

    def __init__(self, rec: Recorder, branch: Branch) -> None:
        self.rec, self.branch = rec, branch
        self.seen: set[int] = set()  # buffers of arrays, to notice two names for one

    def merged(self, a: Any, b: Any) -> Any:
        if a is b:
            return a
        if a is MISSING or b is MISSING:
            return MISSING  # the name is bound on one side only, so nothing may rely on it
        if not is_traced(a) and not is_traced(b) and type(a) is type(b) and type(a) in IMMUTABLE and _equal(a, b):
            return a
        if type(a) is tuple and type(b) is tuple and len(a) == len(b):
            return tuple(map(self.merged, a, b))
        if is_complex(a) or is_complex(b):
            return self.complex(a, b)
        if _is_number(a) and _is_number(b):
            return self.number(a, b)
        if type(a) is TracedArray and type(b) is TracedArray:
            return self.array(a, b)
        return self.refuse()

    def result(self, a: Any, b: Any) -> Any:
        """What a `return` has kept: read only where there was one, so one side will do."""
        return b if a is MISSING else a if b is MISSING else self.merged(a, b)

    def refuse(self) -> NoReturn:
        self.branch.give_up()

    def complex(self, a: Any, b: Any) -> Any:
        """Part by part, numbers with numbers and arrays with arrays."""
        if type(a) is TracedComplexArray and type(b) is TracedComplexArray:
            return TracedComplexArray(self.array(a.pairs, b.pairs))
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            return self.refuse()
        kind = _common_type(*(x.value if is_traced(x) else x for x in (a, b)))
        re, im = map(self.merged, parts_of(self.rec, a), parts_of(self.rec, b))
        return combined(self.rec, re, im, kind)

    def number(self, a: Any, b: Any) -> Any:
        rec, branch = self.rec, self.branch
        values = [x.value if is_traced(x) else x for x in (a, b)]
        kind = _common_type(*values)
        dtype = scalar_dtype(kind(0))
        views = [self.view(x, dtype) for x in (a, b)]
        view = rec.record("where", dtype, (branch.condition, *views))
        return TracedScalar(rec, view, kind(values[0] if branch.taken else values[1]), dtype)

    def view(self, x: Any, dtype: str) -> View:
        if is_traced(x):
            return self.rec.cast(x.place, dtype)
        return self.rec.number(x) if dtype == "float64" else self.rec.program.constant(x, dtype)

    def array(self, a: TracedArray, b: TracedArray) -> Any:
        """A new array: only if neither is a view of another that is still in use."""
        if a.place == b.place:
            return a
        fresh = not any(self.branch.is_old(x.place.buffer) or x.place.buffer in self.seen for x in (a, b))
        if not fresh or a.shape != b.shape or a.dtype != b.dtype:
            return self.refuse()
        self.seen |= {a.place.buffer, b.place.buffer}
        test = TracedScalar(self.rec, self.branch.condition, self.branch.taken, "bool")
        return self.rec.api.function(self.rec, np.where, (test, a, b), {})


def _is_number(x: Any) -> bool:
    return type(x) is TracedScalar or type(x) in (float, int, bool) or isinstance(x, np.generic)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) and (not isinstance(a, float) or np.signbit(a) == np.signbit(b))


def _common_type(a: Any, b: Any) -> type:
    """The type of a number that is one or the other: not that of the one chosen, for types must not hang on values."""
    if type(a) is type(b):
        return type(a)
    if not isinstance(a, np.generic) and not isinstance(b, np.generic):
        return next((kind for kind in (complex, float) if isinstance(a, kind) or isinstance(b, kind)), int)
    kind: type = np.result_type(a, b).type
    return kind
