"""What a rule makes of a call in reverse mode: a callee for each of the two sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import RuleError
from .callee import AbstractCallee, Derivation, Zero
from .primitive import place
from .pullbacks import Site
from .pushing import push
from .registry import Rule
from .resolution import Config, Request
from .signature import Slot, offsets, read
from .values import copied, described, dotted, filled, stack, stacked, total

if TYPE_CHECKING:
    from .primal import Primal

__all__ = ["Adjoint", "AdjointOnly", "Augmented"]

Pull = Callable[[Sequence[Any]], list[Any]]

_TOKEN: Final = Slot("float64", (), float)


class _Reverse(AbstractCallee):
    """Common to what a rule makes of a call in reverse mode."""

    def __init__(self, primal: Primal, rule: Rule, site: Site, request: Request, config: Config) -> None:
        self.primal, self.rule, self.site, self.request, self.config = primal, rule, site, request, config
        self.signature, self.trace = primal.signature, primal.trace
        self.ins, self.outs = primal.ins, primal.outs

    @property
    def functions(self) -> tuple[Any, ...]:
        return (self.rule.function, self.primal.primitive.function)

    def examples(self) -> list[Any]:
        return self.primal.examples()

    def begin(self, functions: tuple[Any, ...], values: Sequence[Any]) -> tuple[list[Any], Pull]:
        """What the call leaves, and the pullback from cotangents of that to cotangents of the operands."""
        signature, rule = self.signature, self.rule
        if rule.direction == "forward":
            return self._by_columns(functions, values)
        args, kwargs = signature.build(values)
        leading = () if rule.activity is None else (self.config,)
        pair = functions[0](*leading, *args, **kwargs)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise RuleError(
                f"{rule.place}: the rule of {signature.name} returns {described(pair)}; it returns (value, pullback)"
            )
        value, pullback = pair
        if value is None and rule.activity is not None and not self.config.needs_primal:
            value = signature.result.unflatten([_placeholder(leaf) for leaf in signature.returned])
        left = signature.leave(value, values, rule.place)
        pulled = signature.in_lanes(self.request.width) if rule.is_batched and self.request.width is not None else signature
        return left, lambda row: pulled.pull(pullback, row, rule.place, self.request.active)

    def _by_columns(self, functions: tuple[Any, ...], values: Sequence[Any]) -> tuple[list[Any], Pull]:
        """From a rule of forward mode: one application per active element."""
        signature, active = self.signature, self.request.active
        entry = [copied(value) for value in values]
        args, kwargs = signature.build(values)
        left = signature.leave(functions[1](*args, **kwargs), values, place(functions[1]))

        def pull(row: Sequence[Any]) -> list[Any]:
            totals: list[Any] = [None] * len(signature.operands)
            for k, slot in enumerate(signature.operands):
                if active[k]:
                    totals[k] = stacked([column(k, e, row) for e in range(slot.size)], slot)
            return totals

        def column(k: int, element: int, row: Sequence[Any]) -> Any:
            unit = np.zeros(signature.operands[k].size)
            unit[element] = 1.0
            tangents = [slot.zero() if slot.is_float else None for slot in signature.operands]
            tangents[k] = read(unit, (signature.operands[k],))[0]
            _, tangents_left = push(signature, functions[0], self.rule, [copied(v) for v in entry], tangents)
            return total(dotted(bar, dot) for bar, dot in zip(row, tangents_left, strict=True) if dot is not None)

        return left, pull


class Augmented(_Reverse):
    """The call in the forward sweep: a token, then what the call leaves."""

    def __init__(self, primal: Primal, rule: Rule, site: Site, request: Request, config: Config) -> None:
        super().__init__(primal, rule, site, request, config)
        self.name = f"{primal.name}.augmented"
        self.outs = (_TOKEN, *primal.outs)

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        left, pull = self.begin(functions, values)
        left = [copied(value) for value in left]  # the rule may keep what it returned or wrote
        return [self.site.keep(pull), *left]

    def derive(self, request: Request) -> Derivation:
        derived = self.primal.derive(request._replace(read=request.read[1:]))
        return derived if isinstance(derived, Zero) else replace(derived, skip=1)


class Adjoint(_Reverse):
    """The call in the reverse sweep: token, cotangents of what the call leaves, operands -> cotangents of the active ones."""

    def __init__(self, primal: Primal, rule: Rule, site: Site, request: Request, config: Config) -> None:
        super().__init__(primal, rule, site, request, config)
        self.name = f"{primal.name}.adjoint"
        lanes = () if request.width is None else (request.width,)
        row = Slot("float64", (*lanes, primal.size), np.ndarray)
        self.ins = (_TOKEN, row, *primal.ins)
        active = [slot for slot, a in zip(primal.ins, request.active, strict=True) if a]
        self.outs = tuple([Slot(slot.dtype, (*lanes, *slot.shape), np.ndarray) for slot in active])

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        return self.pulled(self.site.find(float(values[0])), values[1])

    def pulled(self, pull: Pull, rows: Any) -> list[Any]:
        """Cotangents of the active operands."""
        slots = [s for s, a in zip(self.signature.operands, self.request.active, strict=True) if a]
        width = self.request.width
        if width is None:
            bars = self._active(pull(read(rows, self.signature.outs)))
            return [filled(bar, slot) for bar, slot in zip(bars, slots, strict=True)]
        if self.rule.is_batched:
            return self._all_lanes(pull, rows, slots)
        lanes = [self._active(pull(read(rows[w], self.signature.outs))) for w in range(width)]
        return [stack([filled(bar, slot) for bar in bars]) for bars, slot in zip(zip(*lanes, strict=True), slots, strict=True)]

    def _all_lanes(self, pull: Pull, rows: Any, slots: Sequence[Slot]) -> list[Any]:
        """By a rule for batches: the lanes are the leading axis of all cotangents."""
        width = self.request.width or 1
        outs = self.signature.outs
        bars = self._active(pull([rows[:, a:b].reshape(width, *slot.shape) for slot, a, b in offsets(outs)]))
        return [np.zeros((width, *slot.shape)) if bar is None else bar for bar, slot in zip(bars, slots, strict=True)]

    def _active(self, bars: Sequence[Any]) -> list[Any]:
        return [bar for bar, a in zip(bars, self.request.active, strict=True) if a]

    def examples(self) -> list[Any]:
        return [0.0, np.ones(self.ins[1].shape), *self.primal.examples()]

    def derive(self, request: Request) -> Derivation:
        only = AdjointOnly(self.primal, self.rule, self.site, self.request, self.config)
        ins = (*range(2, len(self.ins)), 1)
        return replace(only.body(), ins=ins, resolution=self.second_order())


class AdjointOnly(Adjoint):
    """The adjoint as a function of operands and cotangents, without a forward sweep before it."""

    def __init__(self, primal: Primal, rule: Rule, site: Site, request: Request, config: Config) -> None:
        super().__init__(primal, rule, site, request, config)
        self.ins = (*primal.ins, self.ins[1])

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        _, pull = self.begin(functions, values[:-1])
        return self.pulled(pull, values[-1])

    def examples(self) -> list[Any]:
        return [*self.primal.examples(), np.ones(self.ins[-1].shape)]


def _placeholder(leaf: Any) -> Any:
    if isinstance(leaf, Slot):
        return leaf.value(np.full(leaf.shape, np.nan if leaf.is_float else 0))
    return getattr(leaf, "value", None)
