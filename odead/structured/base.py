"""What a structured operation is: one small class that holds all there is to know about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from ..views import View

__all__ = ["RESULT", "AbstractStructured", "Accumulate", "Inactive", "Site"]

Accumulate = Callable[[int, "View"], None]  # add a contribution to the shadow of operand k

RESULT: Final = -1  # in `needs`: the result itself


class Site(NamedTuple):
    """One instruction, as its derivative sees it: the values of its result and operands, and its parameters."""

    out: View
    ins: tuple[View, ...]
    params: Any  # hashable


class AbstractStructured(ABC):
    """One structured operation.

    In tangents and adjoints `build` is the program under construction: `build.emit(op, out, ins, params)`,
    `build.zero(view)`, `build.temp_like(view)`, and `build.lift(view)`, which puts the lane axis of a batch, with stride 0,
    in front of a primal value. Shadows carry the lane axis already.

    Attributes
    ----------
    name : str
        The opcode.
    in_place : bool
        The first operand is the result itself, updated; its shadow is updated in place too.
    batched : bool
        Result and operands may all have more leading axes: one instruction then does what many would.
    can_fail : bool
        `value` may raise LinAlgError. A run then stops there and leaves the arrays of the caller as they were.
    """

    name: str
    in_place = False
    batched = True
    can_fail = False

    @abstractmethod
    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        """Raise AssertionError, starting with `where`, unless shapes and parameters fit."""

    @abstractmethod
    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        """Write the result into `out` with NumPy: the oracle, and what runs where there is no C kernel."""

    def carries(self, k: int) -> bool:
        """Whether the result depends on operand k, as far as derivatives are concerned."""
        return True

    def needs(self, k: int) -> tuple[int, ...]:
        """The operands whose values the adjoint of operand k uses; RESULT is the result."""
        return ()

    @abstractmethod
    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        """Emit what sets `dout`; dins[k] is None where operand k is inactive, at least one is not."""

    @abstractmethod
    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        """Emit what adds the contributions of `dout` to the shadows of the active operands."""


class Inactive(AbstractStructured):
    """An operation whose result is no float: it has no derivative."""

    def carries(self, k: int) -> bool:
        return False

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        raise AssertionError(f"{self.name} has no tangent")

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        raise AssertionError(f"{self.name} has no adjoint")
