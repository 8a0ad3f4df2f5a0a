"""Running products, and the linear recurrence, which is what running sums and the derivatives of both are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term

__all__ = ["Cumprod", "Recurrence"]


class Recurrence(AbstractStructured):
    """Along the last axis out[0] = b[0], out[k] = a[k - 1] * out[k - 1] + b[k]; with a = 1 the running sum of b.

    The adjoint is the same recurrence from the end.
    """

    name = "recurrence"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2 and out.shape, f"{where}: recurrence takes two operands"
        a, b = ins
        assert out.shape == b.shape and a.shape == (*b.shape[:-1], max(b.shape[-1] - 1, 0)), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        a, b = ins
        for k in range(out.shape[-1]):
            out[..., k] = b[..., k] if k == 0 else a[..., k - 1] * out[..., k - 1] + b[..., k]

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT) if k == 0 else (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        da, db = (None if din is None else Term(build, din) for din in dins)
        a, out = Term(build, site.ins[0]), Term(build, site.out)
        n = out.shape[-1]
        driving = Term(build, build.temp_like(dout))
        (db if db is not None else a.number(0.0)).store(driving.view)
        if da is not None and n:
            later = driving.window(-1, 1, n)
            (later + da * out.window(-1, 0, n - 1)).store(later.view)
        _recur(a, driving).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        a, out = Term(build, site.ins[0]), Term(build, site.out)
        n = out.shape[-1]
        influence = _recur(a.flipped, Term(build, dout).flipped).flipped
        if active[0] and n:
            accumulate(0, (influence.window(-1, 1, n) * out.window(-1, 0, n - 1)).view)
        if active[1]:
            accumulate(1, influence.view)


def _recur(a: Term, b: Term) -> Term:
    return b.new("recurrence", b.shape, a.broadcast((*b.shape[:-1], a.shape[-1])), b)


class Cumprod(AbstractStructured):
    """Running product along the last axis; no division, so right also where factors are 0."""

    name = "cumprod"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape and out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.cumprod(ins[0], axis=-1)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (dx,) = dins
        assert dx is not None
        x, n = Term(build, site.ins[0]), dout.shape[-1]
        if n:
            _recur(x.window(-1, 1, n), Term(build, dx) * self.before(build, site)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        x, n = Term(build, site.ins[0]), dout.shape[-1]
        if n:
            influence = _recur(x.window(-1, 1, n).flipped, Term(build, dout).flipped).flipped
            accumulate(0, (influence * self.before(build, site)).view)

    def before(self, build: Any, site: Site) -> Term:
        """For each element the product of those before it."""
        out = Term(build, site.out)
        n = out.shape[-1]
        result = Term(build, build.temp_like(site.out))
        out.number(1.0).store(result.window(-1, 0, 1).view)
        out.window(-1, 0, n - 1).store(result.window(-1, 1, n).view)
        return result
