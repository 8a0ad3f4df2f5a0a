"""Linearisations for the compiled loop: the kernels behind `_linearised.Linearised`, and the matrix that fits their pattern."""

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from ..._covector import ByParameters, ChangeInTime, Covector, LinearisedCovector, MovingProducts
from ..._curve import Curve
from ..._krylov import ByEntries, ByNeighbour, ByProducts, Krylov, Products
from ..._linearised import Linearised
from ..._matrices import Band, Dense, DenseByRows, MassMatrix, Matrix, Sparse
from ..._rosenbrock import StepCotangents
from ..._system import Cotangents
from ...derivatives.kernel import Kernel, Variant
from ...errors import RuleError
from ...tape import Program
from ...transform.colouring import colour
from ...transform.elements import forward_by_elements
from ...transform.forward import forward
from ...transform.passes import optimise
from ...transform.reverse import reverse
from ...transform.saving import Saving
from ...transform.sparsity import is_reached, pattern
from .compressed import pattern_of
from .jacobian import Pattern
from .mass import Mass
from .values import without_values

__all__ = ["Linearisations", "PatternGrewError"]

Record = Callable[..., Kernel]


class PatternGrewError(Exception):
    """A branch was taken whose Jacobian has entries that the pattern so far has not; what uses it must begin anew."""


@dataclass
class _Plan:
    """How J is obtained.

    Attributes
    ----------
    pattern : Pattern
        Of J, with the places of a mass matrix.
    timed : bool
        Whether df/dt is computed too.
    kernels : dict
        Of linearisations, by the number of sensitivities; of cotangents of a step, by minus the number of tangents.
    together : dict
        Kernels of linearisations with values of so many sensitivities and what is saved, by their number; None: no such.
    covered : list of Program
        Variants of the right-hand side whose entries are all in the pattern.
    guarded : bool
        Whether there may be variants that are not.
    constant : bool or None
        Whether J depends neither on x nor on t; None: nobody has asked.
    one_by_one : bool or None
        Whether the entries of J are computed one by one; None: nobody has asked.
    """

    pattern: Pattern
    timed: bool
    kernels: dict[int, Kernel] = field(default_factory=dict)
    together: dict[int, Kernel | None] = field(default_factory=dict)
    covered: list[Program] = field(default_factory=list)
    guarded: bool = False
    constant: bool | None = None
    one_by_one: bool | None = None

    @cached_property
    def colours(self) -> np.ndarray:
        """Of the columns, of shape (n,)."""
        return colour(self.pattern.matrix())

    @cached_property
    def fitting(self) -> tuple[type[Matrix], tuple[Any, ...]]:
        return _fitting(self.pattern)

    @cached_property
    def fitting_transposed(self) -> tuple[type[Matrix], tuple[Any, ...]]:
        return _fitting(self.pattern.transposed[0])

    @cached_property
    def price(self) -> float:
        """Of a factorisation, in operations on stored columns."""
        (kind, more), n = self.fitting, self.pattern.n
        if kind is Sparse:
            return float(_INDIRECT * more[0].work_to_factor)
        return n**3 / 3 if kind is Dense else n * (self.pattern.lower + 1) * (self.pattern.lower + self.pattern.upper + 1)

    @cached_property
    def products_for_factors(self) -> float:
        """The price of a factorisation, in products with J that follow a solution with factors."""
        (kind, more), n = self.fitting, self.pattern.n
        stored = n * n if kind is Dense else n * (2 * self.pattern.lower + self.pattern.upper + 1)
        if kind is Sparse:
            stored = _INDIRECT * more[0].stored
        return self.price / (stored + _INDIRECT * self.pattern.rows.size + _OVERHEAD * n)

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, and where the entries are among the products, each of int64."""
        rows, columns = self.pattern.rows.astype(np.int64), self.pattern.columns.astype(np.int64)
        return rows, columns, self.colours[columns].astype(np.int64) * self.pattern.n + rows

    @cached_property
    def seeds(self) -> np.ndarray:
        seeds = np.zeros((int(self.colours.max(initial=-1)) + 1, self.colours.size))
        seeds[self.colours, np.arange(self.colours.size)] = 1
        return seeds


def _itself(kernel: Kernel) -> Kernel:
    return kernel


class Linearisations:
    """Makes linearisations of one right-hand side.

    Parameters
    ----------
    record : callable
        From a derivation of programs, and the positions of the arguments that stay as they are during a solve, the kernel of
        the right-hand side so derived.
    n, n_p : int
    mass : Mass or None
        What multiplies x'; None: the identity.
    """

    def __init__(self, record: Record, n: int, n_p: int, mass: Mass | None = None) -> None:
        self._record = record
        self._n, self._n_p = n, n_p
        self._mass = mass
        self._lock = threading.RLock()
        self._plan: _Plan | None = None
        self._of = self
        self._see: Callable[[Kernel], Kernel] = _itself

    def seeing(self, see: Callable[[Kernel], Kernel]) -> "Linearisations":
        """The same on one side of switches: what is known is that of all sides, whose kernels `see` makes those of this one."""
        twin = copy(self)
        twin._see = see
        return twin

    def make(
        self, x: np.ndarray, p: np.ndarray, t: float, directions: np.ndarray, *, transposed: bool = False
    ) -> tuple[Linearised, Matrix]:
        """A linearisation with one sensitivity for each of the (W, n_p) directions of p, and a matrix for it.

        `transposed` tells that most systems are those of the transpose.
        """
        while True:
            plan = self._current()
            try:
                tape, find = self._tapes(plan, self._kernel(plan, len(directions)), x, p, t)
            except PatternGrewError:
                continue
            facts = (plan.timed, self._constant(plan))
            made = Linearised(tape, self._n, p, plan.seeds, *plan.entries, *facts, directions, find)
            kind, more = plan.fitting
            if transposed and kind is Dense:
                kind = DenseByRows
            matrix = kind(self._n, *plan.entries, *more)
            if self._mass is not None:
                matrix.take_mass(self._placed(self._mass, plan.pattern))
            return made, matrix

    def together(
        self, x: np.ndarray, p: np.ndarray, t: float, directions: np.ndarray, saving: Saving | None
    ) -> Linearised | None:
        """What `Tangents` gives for these directions, together with J at the same point; None where it does not pay.

        The three have the values of f and what leads to them in common: of a layer of 700 neurons, tangents and J by themselves
        take 1.7 us each, together 2.1.
        """
        plan = self._current()
        if plan.guarded or self.are_dear or self._constant(plan):
            return None
        width = len(directions)
        with self._lock:
            if width not in plan.together:
                plan.together[width] = self._record_together(plan, width, saving)
            kernel = plan.together[width]
        if kernel is None:
            return None
        tape, find = self._tapes(plan, kernel, x, p, t)
        facts, n_saved = (plan.timed, False), 0 if saving is None else saving.size
        return Linearised(tape, self._n, p, plan.seeds, *plan.entries, *facts, directions, find, changes=False, n_saved=n_saved)

    def numbers(self) -> int:
        """How many numbers a linearisation has; 0 where that may change, or where there is none because of its size."""
        plan = self._current()
        return 0 if plan.guarded or self.are_dear else (len(plan.seeds) + plan.timed) * self._n

    def make_for_iteration(
        self, x: np.ndarray, p: np.ndarray, t: float, *, transposed: bool = False
    ) -> tuple[Linearised, Matrix]:
        """The same without sensitivities, for a method that solves linear systems, or transposed ones, not exactly."""
        if not self._by_products:
            made, matrix = self.make(x, p, t, np.empty((0, self._n_p)), transposed=transposed)
            if not self.are_dear or (transposed and self._mass is not None):
                return made, matrix
            by_entries = ByEntries(self._n, made.rows, made.columns, made.source, transposed)
            if matrix.mass is not None:
                by_entries.take_mass(matrix.mass)
            return made, by_entries
        kernel = self._of._transposed_products if transposed else self._of._products
        tape, find = self._tapes(None, kernel, x, p, t, leave_out=1)
        products = Products(tape, self._n, p, find, transposed)
        return products, ByProducts(self._n, (), (), (), products)

    def beside(self, matrix: Matrix, *, transposed: bool = False) -> ByNeighbour | None:
        """What solves, or solves the transpose, with factors of this matrix for others close by; None where it does not pay."""
        plan = self._current()
        if self._mass is not None or isinstance(matrix, Krylov) or plan.products_for_factors < _FEW:
            return None
        if matrix.entries != plan.pattern.rows.size:  # another branch was taken since
            return None
        return ByNeighbour(self._n, *plan.entries, transposed, matrix, plan.products_for_factors)

    def along(self, curve: Curve, p: np.ndarray, t: float, sign: float) -> Covector:
        """The right-hand side of lambda along a solution, from its last time t on; `sign` is 1.0 where t falls."""
        tape, find = self._tapes(None, self._of._transposed_products, np.zeros(self._n), p, t, leave_out=1)
        return Covector(curve, Products(tape, self._n, p, find, True), sign)

    def linearise_along(
        self, covector: Covector, p: np.ndarray, t: float, *, timed: bool = False, iterates: bool = False
    ) -> tuple[Linearised, Matrix]:
        """A linearisation of what `along` gives, and a matrix for it.

        Parameters
        ----------
        covector : Covector
        p, t
            As for `along`.
        timed : bool
            Whether the derivative by time is wanted.
        iterates : bool
            Whether the method solves linear systems not exactly.
        """
        x, n = np.zeros(self._n), self._n
        if iterates and self._by_products:
            tape, find = self._tapes(None, self._of._transposed_products, x, p, t, leave_out=1)
            products = MovingProducts(covector, tape, p, find)
            return products, ByProducts(n, (), (), (), products)
        made, _ = self.make(x, p, t, np.empty((0, self._n_p)))
        plan, change = self._current(), None
        pattern, order = plan.pattern.transposed
        if timed and not made.constant:
            tape, find = self._tapes(None, self._of._change_in_time, x, p, t, leave_out=1)
            change = ChangeInTime(tape, n, p, find)
        places = (pattern.rows.astype(np.int64), pattern.columns.astype(np.int64), np.arange(order.size))
        linearised = LinearisedCovector(covector, made, order, change)
        kind, more = (ByEntries, ()) if iterates and self.are_dear else plan.fitting_transposed
        matrix = kind(n, *places, *more)
        if self._mass is not None:
            matrix.take_mass(self._placed(self._mass.transposed, pattern))
        return linearised, matrix

    def products_by_p(self, p: np.ndarray, t: float) -> ByParameters:
        """The products of the transpose of f_p with vectors."""
        tape, find = self._tapes(None, self._of._products_by_p, np.zeros(self._n), p, t, leave_out=1)
        return ByParameters(tape, self._n, p, find)

    def step_cotangents(
        self, x: np.ndarray, p: np.ndarray, t: float, cotangents: Cotangents, weights: np.ndarray
    ) -> StepCotangents:
        """The cotangents of all that a Rosenbrock step with these weights of df/dt takes from its start."""
        plan = self._current()
        lanes = len(plan.seeds) + plan.timed
        by_groups = self._pays_by_groups(plan, lanes, weights.size)
        lanes = lanes if by_groups else weights.size
        with self._lock:
            if -lanes not in plan.kernels:
                seeds = range(self._at_t, self._at_t + 1 + plan.timed) if by_groups else ()
                plan.kernels[-lanes] = self._record(
                    lambda program: self._derive_cotangents(program, plan, lanes, by_groups), (*self._at_p(0), *seeds)
                )
        tape, find = self._tapes(plan, plan.kernels[-lanes], x, p, t, leave_out=1)
        groups = (plan.seeds, *plan.entries) if by_groups else None
        return StepCotangents(tape, self._n, cotangents, weights, plan.timed, find, groups)

    # ------------------------------------------------------------------------------------------------ internals

    @property
    def are_dear(self) -> bool:
        """Whether iteration is cheaper than a factorisation."""
        plan = self._current()
        if self._by_products or (self._mass is not None and plan.pattern.density > _DENSITY):
            return self._by_products
        return bool(_LARGE * max(self._n, plan.pattern.rows.size) < plan.price)

    @cached_property
    def _by_products(self) -> bool:
        """Whether the pattern is so large and full that a few products with J cost less than its elements and factors."""
        if self._n < _FULL or self._mass is not None:
            return False
        return self._current().pattern.density > _DENSITY

    @cached_property
    def _products(self) -> Kernel:
        return self._record(lambda program: without_values(forward(program, (0, 1), None)), self._at_p(0))

    @cached_property
    def _transposed_products(self) -> Kernel:
        return self._record(lambda program: without_values(reverse(program, (0, 1))), self._at_p(0))

    @cached_property
    def _products_by_p(self) -> Kernel:
        return self._record(lambda program: without_values(reverse(program, (0, 2))), self._at_p(0))

    @cached_property
    def _change_in_time(self) -> Kernel:
        def derive(program: Program) -> Program:
            along = optimise(forward(program, (0, 1, self._at_t), None))
            products = len(program.arguments)  # the shadow of dx
            return without_values(reverse(along, (1, products)), (products, 0))

        return self._record(derive, self._at_p(0))

    def _current(self) -> _Plan:
        if self._of is not self:
            return self._of._current()
        with self._lock:
            if self._plan is None:
                program = self._record(None).primal
                self._plan = self._prepare(self._pattern_of(program), program)
            return self._plan

    def _pattern_of(self, program: Program) -> Pattern:
        found = pattern_of(program)
        return found if self._mass is None else found.union(Pattern.of(self._mass.elements))

    def _placed(self, mass: Mass, found: Pattern) -> MassMatrix:
        """The mass matrix, with the numbers of its elements among the entries of the pattern."""
        elements = mass.elements
        entries = np.searchsorted(found.columns * self._n + found.rows, elements.col * self._n + elements.row)
        return MassMatrix(self._n, elements.row, elements.col, entries, elements.data)

    def _prepare(self, found: Pattern, program: Program) -> _Plan:
        dx, t = program.arguments[0], program.arguments[self._at_t]
        guarded = "guard" in program.op
        timed = guarded or pattern(program, [program.whole(dx)], [program.whole(t)]).nnz > 0
        return _Plan(found, timed, guarded=guarded)

    @property
    def _at_t(self) -> int:
        return 3 if self._n_p else 2

    def _constant(self, plan: _Plan) -> bool:
        """Whether J depends neither on x nor on t, by the structure of the program."""
        if plan.constant is None:
            primal = self._kernel(plan, 0).primal
            program = optimise(forward(primal, (0, 1), len(plan.seeds)))  # without t, whose lane would touch all of them
            x, t, products = (program.whole(program.arguments[k]) for k in (1, self._at_t, self._at_t + 1))
            # A matrix with switches, as that of abs(x), has a derivative of 0 and changes all the same.
            plan.constant = (
                "guard" not in program.op
                and pattern(program, [products], [x, t]).nnz == 0
                and not is_reached(program, products.buffer, (x.buffer, t.buffer))
            )
        return plan.constant

    def _covers(self, plan: _Plan, program: Program) -> bool:
        if any(known is program for known in plan.covered):
            return True
        wider = plan.pattern.union(self._pattern_of(program))
        if wider.rows.size == plan.pattern.rows.size:
            plan.covered.append(program)
            return True
        with self._lock:
            self._plan = self._prepare(wider, program)
        return False

    def _kernel(self, plan: _Plan, width: int) -> Kernel:
        with self._lock:
            if width not in plan.kernels:
                plan.kernels[width] = self._record(lambda program: self._derive(program, plan, width), self._fixed(plan, width))
            return plan.kernels[width]

    def _derive(self, program: Program, plan: _Plan, width: int) -> Program:
        first = self._products_of(program, plan)
        if not width:
            return first
        products = len(program.arguments)  # the shadow of dx
        return forward(optimise(first), (*self._active, products), width if width > 1 else None)

    def _products_of(self, program: Program, plan: _Plan) -> Program:
        """The right-hand side with the products of J with the seeds."""
        lanes = len(plan.seeds) + plan.timed
        return self._by_elements(program, plan) or forward(program, self._directions(plan), lanes if lanes > 1 else None)

    def _record_together(self, plan: _Plan, width: int, saving: Saving | None) -> Kernel | None:
        """None where a rule's tangent has no derivative: the program has none in the end, but comes by way of it."""
        try:
            return self._record(lambda program: self._derive_together(program, plan, width, saving), self._fixed(plan, width))
        except RuleError:
            return None

    def _derive_together(self, program: Program, plan: _Plan, width: int, saving: Saving | None) -> Program:
        at_saved = len(program.arguments)
        if saving is not None:
            program = optimise(saving.forward(program, [(k, k + 1) for k in range(at_saved - 1)]))
        derived = forward(optimise(self._products_of(program, plan)), self._active, width if width > 1 else None)
        if saving is not None:
            derived.arguments.append(derived.arguments.pop(at_saved))
        return derived

    def _by_elements(self, program: Program, plan: _Plan) -> Program | None:
        """J entry by entry, for a few states whose derivatives are computed one by one."""
        n, lanes = self._n, len(plan.seeds) + plan.timed
        if n > _ENTRY_BY_ENTRY:
            return None
        places, seeded = plan.entries[2], {(1, k): int(plan.colours[k]) for k in range(n)}
        if plan.timed:
            places, seeded[2, 0] = np.append(places, np.arange((lanes - 1) * n, lanes * n)), lanes - 1
        return forward_by_elements(program, self._directions(plan), lanes, seeded, places)

    def _derive_cotangents(self, program: Program, plan: _Plan, lanes: int, by_groups: bool) -> Program:
        by_elements = self._by_elements(program, plan) if by_groups else None
        first = optimise(by_elements or forward(program, self._directions(plan), lanes if lanes > 1 else None))
        products = len(program.arguments)
        return without_values(reverse(first, (*self._active, products)), (products, 0))

    def _pays_by_groups(self, plan: _Plan, lanes: int, stages: int) -> bool:
        """Whether cotangents of the products with all groups of columns take less time than those with all stages."""
        if self._constant(plan):
            return False
        if lanes < stages:
            return True
        if plan.one_by_one is None:
            plan.one_by_one = self._by_elements(self._kernel(plan, 0).primal, plan) is not None
        return plan.one_by_one

    @property
    def _active(self) -> tuple[int, ...]:
        """Of the arguments of the right-hand side: dx, x and p."""
        return (0, 1, 2) if self._n_p else (0, 1)

    def _at_p(self, first: int) -> tuple[int, ...]:
        """Where p is, behind so many arguments and x."""
        return (first + 1,) if self._n_p else ()

    def _fixed(self, plan: _Plan, width: int) -> tuple[int, ...]:
        """Of the arguments of a linearisation: p, the seeds of x and t, and where p moves to with sensitivities."""
        seeds = self._at_t + 2
        after = seeds + 1 + plan.timed
        return (*self._at_p(1), *range(seeds, after), *((after + 2,) if width and self._n_p else ()))

    def _directions(self, plan: _Plan) -> tuple[int, ...]:
        return (0, 1, self._at_t) if plan.timed else (0, 1)

    def _tapes(
        self, plan: _Plan | None, kernel: Kernel, x: np.ndarray, p: np.ndarray, t: float, leave_out: int = 0
    ) -> tuple[Any, Callable[[np.ndarray, float], Any]]:
        """A tape for (x, t), and a function that gives one whose guards hold there; they leave out the first arguments.

        Without a plan they need no pattern.
        """
        kernel = self._see(kernel)

        def find(x: np.ndarray, t: float) -> Any:
            arguments = [np.zeros(x.size), x, *((p,) if p.size else ()), t]
            values = arguments[leave_out:]

            def assemble(variant: Variant) -> list[Any]:
                program = variant.executable.program
                return [*values, *(np.zeros(program.buffers[b].shape or ()) for b in program.arguments[len(values) :])]

            variant = kernel.run(arguments, assemble)
            if plan is not None and not self._covers(plan, variant.primal):
                raise PatternGrewError
            return variant.executable.tape

        return find(x, t) if kernel.variant.guarded else kernel.variant.executable.tape, find


# From how many rows on a full matrix is not factored, but solved with by products. Measured with one thread, in ms, products
# and then LU: an integral operator K @ x, n = 100: 1.3 and 3.6, 200: 3.3 and 18, 400: 16 and 101; all pairs of n oscillators,
# with the time to compile it, 100: 38 and 237, 300: 300 and 12500. Chebyshev collocation, where the iteration gives up: 200: 17
# and 9.
_FULL: Final = 200
_DENSITY: Final = 0.25  # of the elements
# From how many operations of a factorisation per entry on the matrix is not factored, but solved with by its elements. Measured
# with one thread, in ms, elements and then factors: diffusion with reaction in a cube, 6**3 (176): 6.1 and 2.5, 8**3 (489): 4.5
# and 10.8, 12**3 (2080): 19 and 152, 20**3 (18400): 370 and 9030; the Brusselator in a square, 10**2 (196): 6.5 and 6.7,
# 20**2 (722): 18 and 42, 32**2 (1690): 83 and 376.
_LARGE: Final = 400
_ENTRY_BY_ENTRY: Final = 32  # states up to which it may pay to compute J so
_BAND: Final = 0.5  # of the rows: a band as high as this is better stored as a whole
_NARROW: Final = 24  # diagonals beside the main one up to which nothing is cheaper than a band
_SPARSE: Final = 60  # rows from which on it pays to look for a sparse factorisation
_OVERHEAD: Final = 10  # per row, of an iteration: sums over a few vectors
_FEW: Final = 5  # products that iteration takes anyway, with factors of a step close by
_INDIRECT: Final = 3  # the price of an operation there against one on stored columns


def _fitting(found: Pattern) -> tuple[type[Matrix], tuple[Any, ...]]:
    """The kind of matrix that is cheapest to factor on this pattern, and what else it is made from."""
    n, below = found.n, found.lower
    dense, banded = n**3 / 3, n * (below + 1) * (below + found.upper + 1)
    direct = Band if 2 * below + found.upper + 1 <= _BAND * n else Dense
    if direct is Band and below + found.upper <= _NARROW:
        return Band, ()
    if n >= _SPARSE and _INDIRECT * found.rows.size < dense / n:
        order = Sparse.ordering(n, found.rows, found.columns)
        sparse = Sparse(n, found.rows, found.columns, found.rows, order)
        if _INDIRECT * sparse.work_to_factor < (banded if direct is Band else dense):
            return Sparse, (sparse,)
    return direct, ()
