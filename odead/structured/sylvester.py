"""Sylvester's equation a x + x b = q, and the square root of a matrix, whose derivative is a solution of one.

References
----------
R. H. Bartels & G. W. Stewart, "Solution of the matrix equation AX + XB = C", 1972.
N. J. Higham, "Functions of Matrices", 2008, section 6.1: the derivative of the square root.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_sylvester, sqrtm

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term, total

__all__ = ["Sqrtm", "Sylvester"]


def _solved(a: Term, b: Term, q: Term) -> Term:
    """The solution of a x + x b = q; q may have lanes in front."""
    lead = q.shape[:-2]
    return q.new("solve_sylvester", q.shape, a.broadcast(lead + a.shape[-2:]), b.broadcast(lead + b.shape[-2:]), q)


class Sylvester(AbstractStructured):
    """The solution x (m, n) of a x + x b = q, with a (m, m) and b (n, n)."""

    name = "solve_sylvester"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 3, f"{where}: solve_sylvester takes three operands"
        a, b, q = ins
        (m, n), lead = q.shape[-2:], q.shape[:-2]
        assert out.shape == q.shape and a.shape == (*lead, m, m) and b.shape == (*lead, n, n), f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        a, b, q = ins
        for place in np.ndindex(q.shape[:-2]) if q.size else ():
            out[place] = solve_sylvester(a[place], b[place], q[place])

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, 1) if k == 2 else (0, 1, RESULT)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        a, b, _ = (Term(build, view) for view in site.ins)
        x = Term(build, site.out)
        da, db, dq = (None if din is None else Term(build, din) for din in dins)
        change = total(dq, da and -(da @ x), db and -(x @ db))
        _solved(a, b, change).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        a, b, _ = (Term(build, view) for view in site.ins)
        x = Term(build, site.out)
        y = _solved(a.T, b.T, Term(build, dout))
        if active[0]:
            accumulate(0, (-(y @ x.T)).view)
        if active[1]:
            accumulate(1, (-(x.T @ y)).view)
        if active[2]:
            accumulate(2, y.view)


class Sqrtm(AbstractStructured):
    """The principal square root of a matrix, which must be real."""

    name = "sqrtm"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape, f"{where}: shapes do not fit"
        assert len(out.shape) >= 2 and out.shape[-1] == out.shape[-2], f"{where}: sqrtm takes square matrices"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        for place in np.ndindex(out.shape[:-2]) if out.size else ():
            root = sqrtm(ins[0][place])
            if np.iscomplexobj(root) and np.any(np.imag(root)):
                raise np.linalg.LinAlgError("the square root of the matrix is not real")
            out[place] = np.real(root)

    def needs(self, k: int) -> tuple[int, ...]:
        return (RESULT,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        root = Term(build, site.out)
        _solved(root, root, Term(build, da)).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        root = Term(build, site.out)
        accumulate(0, _solved(root.T, root.T, Term(build, dout)).view)
