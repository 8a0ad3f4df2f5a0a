"""What a program does beside computing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..views import View
from .base import AbstractStructured, Accumulate, Inactive, Site

__all__ = ["Call", "Guard"]


class Guard(Inactive):
    """Stop the run, with the number of this guard, unless every element of the operand equals `params`."""

    name = "guard"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is None and len(ins) == 1, f"{where}: a guard has one operand and no result"
        assert isinstance(params, (bool, int)), f"{where}: a guard expects a bool or an int"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        raise AssertionError("a guard has no value; the executor compares its operand")


class Call(AbstractStructured):
    """What a Python function leaves, in one row of float64; `params` is a callee of `rules/callee.py`.

    Tangent and adjoint are for a rule to give: `transform/calls.py` puts in their place what the rule makes of the call.
    """

    name = "call"
    batched = False
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(out.shape) == 1, f"{where}: a call fills a row"
        assert out.shape == (params.size,), f"{where}: the row has another length than what the call leaves"
        shapes = tuple(slot.shape for slot in params.ins)
        assert shapes == tuple(view.shape for view in ins), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        params.run(out, ins)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        raise AssertionError("the tangent of a call is given by a rule")

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        raise AssertionError("the adjoint of a call is given by a rule")
