"""The exact Jacobian of a right-hand side, and how it changes, from a few products with coloured directions."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...derivatives.kernel import Kernel
from ...errors import RuleError
from ...tape import Program
from ...transform.colouring import Colouring
from ...transform.forward import forward
from ...transform.passes import optimise
from ...transform.reverse import reverse
from ...transform.sparsity import pattern
from .jacobian import Jacobian, Pattern

__all__ = ["CompressedJacobian", "pattern_of"]


@dataclass(frozen=True)
class _Products:
    """A pattern, its colouring and the kernels that compute the products.

    Attributes
    ----------
    order : array of int
        From the entries by columns to the entries by rows, in which the colouring gives them.
    first : Kernel
        Products of J.
    second : dict
        For a number of directions, the kernel that also computes the derivatives of the products in those directions.
    covered : list of Program
        Variants of the right-hand side whose entries are all in the pattern.
    """

    pattern: Pattern
    colouring: Colouring
    order: np.ndarray
    first: Kernel
    second: dict[int, Kernel] = field(default_factory=dict)
    covered: list[Program] = field(default_factory=list)


class CompressedJacobian:
    """J = df/dx on its detected pattern, by columns (tangents) or rows (cotangents), whichever are fewer.

    Where the right-hand side has branches, the pattern grows to cover every way that has been taken.

    Parameters
    ----------
    record : callable
        From a derivation of programs, the kernel of the right-hand side so derived.
    n, n_p : int
    """

    def __init__(self, record: Callable[[Callable[[Program], Program] | None], Kernel], n: int, n_p: int) -> None:
        self._record = record
        self._n = n
        self._n_p = n_p
        self._lock = threading.Lock()
        self._products: _Products | None = None
        self._whole: tuple[CompressedJacobian, Callable[[Kernel], Kernel]] | None = None

    def seeing(self, see: Callable[[Kernel], Kernel]) -> "CompressedJacobian":
        """The same on one side of switches, of which only the kernels know: `see` makes those of it."""
        twin = CompressedJacobian(self._record, self._n, self._n_p)
        twin._whole = self, see
        return twin

    def __call__(self, x: np.ndarray, arguments: tuple[Any, ...]) -> Jacobian:
        """The Jacobian at x; `arguments` are p, if there are parameters, and t."""
        while True:
            products = self._current()
            found, shadows = _shadows(products.colouring)
            variant = products.first(np.empty(self._n), x, *arguments, *shadows)
            if self._covers(products, variant.primal):
                return Jacobian(products.pattern, products.colouring.entries(found)[products.order])

    def with_changes(
        self, x: np.ndarray, arguments: tuple[Any, ...], d_x: np.ndarray, d_p: np.ndarray
    ) -> tuple[Jacobian, np.ndarray]:
        """The Jacobian, and its derivative in each of the W directions (d_x, d_p), shape (W, nnz), on the same pattern."""
        width = d_x.shape[0]
        while True:
            products = self._current()
            found, shadows = _shadows(products.colouring)
            changes = np.zeros((width, *found.shape))
            directions = (d_x, d_p, changes) if self._n_p else (d_x, changes)
            variant = self._second(products, width)(np.empty(self._n), x, *arguments, *shadows, *directions)
            if self._covers(products, variant.primal):
                entries = products.colouring.entries
                by_direction = np.array([entries(change)[products.order] for change in changes])
                return Jacobian(products.pattern, entries(found)[products.order]), by_direction

    def changes(self) -> bool:
        """Whether J depends on x or p at all, as far as the structure of the program tells, and that can be differentiated.

        It cannot where a rule's own code is opaque. A step solver that goes without then has a Newton matrix in which the
        sensitivities do not see a change of the states; the states do not wait for the sensitivities, so that it converges as
        before, and what it converges to does not depend on its matrix (Maly and Petzold, Appl. Numer. Math. 20 (1996) 57).
        """
        products = self._current()
        program = products.first.program
        if "call" in program.op:
            try:
                self._second(products, 1)
            except RuleError:
                return False
        if "guard" in program.op:
            return True
        inputs = program.arguments[1 : 3 if self._n_p else 2]
        found = program.arguments[-2 if products.colouring.columns else -1]
        return bool(pattern(program, [program.whole(found)], [program.whole(b) for b in inputs]).nnz)

    # ------------------------------------------------------------------------------------------------ internals

    def _current(self) -> _Products:
        with self._lock:
            if self._products is None and self._whole is not None:
                whole, see = self._whole
                products = whole._current()
                self._products = replace(products, first=see(products.first), second={})
            elif self._products is None:
                self._products = self._prepare(pattern_of(self._record(None).primal))
            return self._products

    def _covers(self, products: _Products, program: Program) -> bool:
        """Whether the pattern has all entries of this variant; if not, it will at the next call."""
        if any(known is program for known in products.covered):
            return True
        wider = products.pattern.union(pattern_of(program))
        if wider.rows.size == products.pattern.rows.size:
            products.covered.append(program)
            return True
        with self._lock:
            self._products = self._prepare(wider)
        return False

    def _prepare(self, found: Pattern) -> _Products:
        colouring = Colouring.of(found.matrix())
        by_rows = colouring.pattern
        rows = np.repeat(np.arange(self._n), np.diff(by_rows.indptr))
        return _Products(
            found, colouring, np.lexsort((rows, by_rows.indices)), self._record(lambda program: _first(program, colouring))
        )

    def _second(self, products: _Products, width: int) -> Kernel:
        colouring = products.colouring

        def derive(program: Program) -> Program:
            shadow = len(program.arguments) + (0 if colouring.columns else 1)  # the products, among the shadows of dx and x
            active = (1, 2, shadow) if self._n_p else (1, shadow)
            return forward(optimise(_first(program, colouring)), active, width)

        with self._lock:
            if width not in products.second and self._whole is not None:
                whole, see = self._whole
                products.second[width] = see(whole._second(whole._current(), width))
            elif width not in products.second:
                products.second[width] = self._record(derive)
            return products.second[width]


def _first(program: Program, colouring: Colouring) -> Program:
    return (forward if colouring.columns else reverse)(program, (0, 1), colouring.count)


def _shadows(colouring: Colouring) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Where the products go, and the shadows of dx and x to bind."""
    seeds = colouring.seeds()
    found = np.zeros_like(seeds)
    return found, ((found, seeds) if colouring.columns else (seeds, found))


def pattern_of(program: Program) -> Pattern:
    """Where df/dx may differ from 0, by the structure of the program."""
    dx, x = program.arguments[:2]
    return Pattern.of(pattern(program, [program.whole(dx)], [program.whole(x)]))
