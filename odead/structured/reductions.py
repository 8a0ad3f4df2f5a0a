"""Sums, products and extrema over the last axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..views import View
from .base import RESULT, AbstractStructured, Accumulate, Site
from .expression import Term

__all__ = ["Maximum", "Prod", "Sum"]


class Sum(AbstractStructured):
    """Sum over the last axes: the operand has the shape of the result followed by the reduced axes."""

    name = "sum"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: sum takes one operand"
        assert ins[0].shape[: len(out.shape)] == out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        (x,) = ins
        out[...] = x.sum(axis=tuple(range(out.ndim, x.ndim)))

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        build.emit("sum", dout, dins)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        reduced = build.lift(site.ins[0]).shape[len(dout.shape) :]
        accumulate(0, dout._replace(shape=dout.shape + reduced, strides=dout.strides + (0,) * len(reduced)))


class Prod(AbstractStructured):
    """Product over the last axis. The partials are products of what is before and behind: right also where factors are 0."""

    name = "prod"

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and ins[0].shape, f"{where}: prod takes one operand"
        assert ins[0].shape[:-1] == out.shape, f"{where}: shapes do not fit"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        out[...] = ins[0].prod(axis=-1)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (dx,) = dins
        assert dx is not None
        (Term(build, dx) * self.partials(build, site)).sum().store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        accumulate(0, (Term(build, dout).column * self.partials(build, site)).view)

    def partials(self, build: Any, site: Site) -> Term:
        x = Term(build, site.ins[0])
        return _before(x) * _before(x.flipped).flipped


def _before(x: Term) -> Term:
    """For each element the product of those before it."""
    n = x.shape[-1]
    result = Term(x.build, x.build.temp_like(x.view))
    if n:
        x.number(1.0).store(result.window(-1, 0, 1).view)
        head = x.window(-1, 0, n - 1)
        head.new("cumprod", head.shape, head).store(result.window(-1, 1, n).view)
    return result


class Maximum(AbstractStructured):
    """Largest (amax) or smallest (amin) element over the last axes, NaN if one is; elements that tie share the derivative."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._function = getattr(np, name)

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1, f"{where}: {self.name} takes one operand"
        assert ins[0].shape[: len(out.shape)] == out.shape, f"{where}: shapes do not fit"
        assert prod(ins[0].shape[len(out.shape) :]) or not out.size, f"{where}: nothing to compare"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        (x,) = ins
        if out.size:
            out[...] = self._function(x, axis=tuple(range(out.ndim, x.ndim)))

    def needs(self, k: int) -> tuple[int, ...]:
        return (0, RESULT)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (dx,) = dins
        assert dx is not None
        weights, axes = self.weights(build, site)
        weights.call("zero_mul", weights, Term(build, dx)).sum(axes).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        weights, axes = self.weights(build, site)
        accumulate(0, weights.call("zero_mul", weights, _spread(Term(build, dout), axes)).view)

    def weights(self, build: Any, site: Site) -> tuple[Term, int]:
        """1 / (number of ties) at each extremal element, 0 at the others; and the number of reduced axes."""
        x, best = Term(build, site.ins[0]), Term(build, site.out)
        axes = len(x.shape) - len(best.shape)
        mask = x.call("equal", x, _spread(best, axes), dtype="bool")
        ones = x.number(1.0).broadcast(x.shape).selected(mask)
        share = x.call("reciprocal", ones.sum(axes))
        return _spread(share, axes).broadcast(x.shape).selected(mask), axes


def _spread(term: Term, axes: int) -> Term:
    for _ in range(axes):
        term = term.column
    return term
