"""Ufuncs that are given lists: `np.maximum.reduce([x, y, z])`, `np.exp([a, b])`.

NumPy makes an ordinary array of a list before it asks what is in it. So a ufunc in the user's hands is NumPy's own, which costs
the loops over elements nothing, until a traced value is about to enter such an array; then the function is recorded anew, with
these in place of the ufuncs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..recorder import Recorder, contains_traced
from .creation import array

__all__ = ["TakesLists"]


class TakesLists:
    """A ufunc, with traced arrays in place of the lists and tuples that hold traced values."""

    def __init__(self, rec: Recorder, ufunc: np.ufunc) -> None:
        self._rec, self._ufunc = rec, ufunc

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return np.ufunc

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self._applied(self._ufunc, *inputs, **options)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._ufunc, name)
        return functools.partial(self._applied, attribute) if callable(attribute) else attribute

    def _applied(self, function: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        made = [array(self._rec, x) if type(x) in (list, tuple) and contains_traced(x) else x for x in inputs]
        return function(*made, **options)
