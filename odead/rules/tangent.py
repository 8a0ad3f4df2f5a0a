"""What a rule makes of a call in forward mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .adjoint import AdjointOnly
from .callee import AbstractCallee, Derivation
from .primitive import replayed
from .pullbacks import Site
from .pushing import push
from .registry import Activity, Rule
from .resolution import Config, Request
from .signature import Slot, offsets, read
from .values import copied, dotted, filled, stacked, total

if TYPE_CHECKING:
    from .primal import Primal

__all__ = ["Tangent", "TangentOnly"]


class Tangent(AbstractCallee):
    """The call in forward mode: operands, tangents of the active ones -> what the call leaves, then its tangents by lanes."""

    def __init__(self, primal: Primal, rule: Rule, request: Request, config: Config, activities: Sequence[Activity]) -> None:
        self.primal, self.rule, self.request, self.config, self.activities = primal, rule, request, config, activities
        self.signature, self.trace = primal.signature, primal.trace
        self.name = f"{primal.name}.tangent"
        lanes = () if request.width is None else (request.width,)
        active = [s for s, a in zip(primal.ins, request.active, strict=True) if a]
        shadows = [Slot(s.dtype, (*lanes, *s.shape), np.ndarray if lanes else s.kind) for s in active]
        self.ins = (*primal.ins, *shadows)
        self.outs = (*primal.outs, *[Slot("float64", s.shape, np.ndarray) for s in primal.outs] * (request.width or 1))

    @property
    def functions(self) -> tuple[Any, ...]:
        return (self.rule.function, self.primal.primitive.function)

    def examples(self) -> list[Any]:
        own = self.primal.examples()
        return [*own, *[np.ones(s.shape, s.dtype) if s.kind is np.ndarray else s.kind(1.0) for s in self.ins[len(own) :]]]

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        n, width = len(self.primal.ins), self.request.width
        entry, shadows = values[:n], values[n:]
        if self.rule.direction == "reverse":
            return self._by_rows(functions, entry, shadows)
        if self.rule.is_batched and width is not None:
            return self._all_lanes(functions, entry, shadows, width)
        left: list[Any] = []
        tangents: list[Any] = []
        with replayed() as memo:
            for lane in range(width or 1):
                memo.rewind()
                own = [shadow if width is None else shadow[lane] for shadow in shadows]
                left, dots = push(
                    self.signature, functions[0], self.rule, [copied(v) for v in entry], self._spread(own), self.config
                )
                tangents += [filled(dot, slot) for dot, slot in zip(dots, self.primal.outs, strict=True)]
        return left + tangents

    def _spread(self, shadows: Sequence[Any]) -> list[Any]:
        """One tangent per operand: zero where it is inactive, None where there is none."""
        given = iter(shadows)
        return [
            copied(next(given)) if a else slot.zero() if slot.is_float else None
            for slot, a in zip(self.signature.operands, self.request.active, strict=True)
        ]

    def _all_lanes(self, functions: tuple[Any, ...], entry: Sequence[Any], shadows: Sequence[Any], width: int) -> list[Any]:
        """By a rule for batches: the lanes are the leading axis of all tangents."""
        lanes = self.signature.in_lanes(width)
        given = iter(shadows)
        spread = [
            copied(next(given)) if a else slot.zero() if slot.is_float else None
            for slot, a in zip(lanes.operands, self.request.active, strict=True)
        ]
        left, dots = push(self.signature, functions[0], self.rule, [copied(v) for v in entry], spread, self.config, lanes)
        rows = [filled(dot, slot) for dot, slot in zip(dots, lanes.outs, strict=True)]
        return left + [row[w] for w in range(width) for row in rows]

    def _by_rows(self, functions: tuple[Any, ...], entry: Sequence[Any], shadows: Sequence[Any]) -> list[Any]:
        """From a rule of reverse mode: one application per element that the call leaves."""
        reverse = AdjointOnly(self.primal, self.rule, Site(), self.request._replace(width=None), self.config)
        left, pull = reverse.begin(functions, [copied(v) for v in entry])
        left = [copied(value) for value in left]
        rows = []
        for k in range(self.primal.size):
            unit = np.zeros(self.primal.size)
            unit[k] = 1.0
            rows.append(reverse._active(pull(read(unit, self.signature.outs))))
        tangents: list[Any] = []
        for lane in range(self.request.width or 1):
            own = [s if self.request.width is None else s[lane] for s in shadows]
            dots = [total(dotted(bar, d) for bar, d in zip(row, own, strict=True) if bar is not None) for row in rows]
            tangents += [stacked(dots[a:b], slot) for slot, a, b in offsets(self.primal.outs)]
        return left + tangents

    def derive(self, request: Request) -> Derivation:
        return self.body()


class TangentOnly(Tangent):
    """The tangents alone."""

    def __init__(self, primal: Primal, rule: Rule, request: Request, config: Config, activities: Sequence[Activity]) -> None:
        super().__init__(primal, rule, request, config, activities)
        self.outs = self.outs[len(primal.outs) :]

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        return super().compute(functions, values)[len(self.primal.outs) :]
