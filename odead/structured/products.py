"""The matrix product, and its sum with what is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..views import View
from .base import AbstractStructured, Accumulate, Site
from .expression import Term, total

__all__ = ["Matmul", "MatmulAdd"]


class Matmul(AbstractStructured):
    """Matrix product over the last two axes; leading axes are a batch, equal in all three views (stride 0 broadcasts)."""

    name = "matmul"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 2, f"{where}: matmul takes two operands"
        a, b = ins
        assert len(out.shape) == len(a.shape) == len(b.shape) >= 2, f"{where}: ranks differ"
        assert out.shape[:-2] == a.shape[:-2] == b.shape[:-2], f"{where}: batch axes differ"
        assert (a.shape[-2], b.shape[-1]) == out.shape[-2:] and a.shape[-1] == b.shape[-2], f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = np.matmul(ins[0], ins[1])

    def needs(self, k: int) -> tuple[int, ...]:
        return (1 - k,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        a, b = (Term(build, view) for view in site.ins)
        da, db = (None if din is None else Term(build, din) for din in dins)
        total(None if db is None else a @ db, None if da is None else da @ b).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        a, b = (Term(build, view) for view in site.ins)
        d = Term(build, dout)
        if active[0]:
            accumulate(0, (d @ b.T).view)
        if active[1]:
            accumulate(1, (a.T @ d).view)


class MatmulAdd(Matmul):
    """Matrix product in place: out += a @ b."""

    name = "matmul_add"
    in_place = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert len(ins) == 3 and ins[0] == out, f"{where}: {self.name} updates its first operand"
        super().verify(out, ins[1:], params, where)

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = out + np.matmul(ins[1], ins[2])

    def needs(self, k: int) -> tuple[int, ...]:
        return () if k == 0 else (3 - k,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        _, a, b = site.ins
        lead = dout.shape[:-2]
        for left, right in ((dins[1], b), (a, dins[2])):
            if left is not None and right is not None:
                factors = (build.broadcast(view, (*lead, *view.shape[-2:])) for view in (left, right))
                build.emit(self.name, dout, (dout, *factors))

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        super().adjoint(build, site._replace(ins=site.ins[1:]), dout, active[1:], lambda k, d: accumulate(k + 1, d))
