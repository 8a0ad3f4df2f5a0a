"""What a program does beside computing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Inactive

if TYPE_CHECKING:
    from ..tape import View

__all__ = ["Guard"]


class Guard(Inactive):
    """Stop the run, with the number of this guard, unless every element of the operand equals `params`."""

    name = "guard"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is None and len(ins) == 1, f"{where}: a guard has one operand and no result"
        assert isinstance(params, (bool, int)), f"{where}: a guard expects a bool or an int"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        raise AssertionError("a guard has no value; the executor compares its operand")
