"""CompiledRhs: the user's right-hand side as compiled programs on vectors.

Several programs are derived from one function, each when first needed: the value, the Jacobian, tangents for many directions
at once, and cotangents.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import copy
from functools import cache, cached_property
from typing import Any, Final

import numpy as np

from ..._observed import any_changed
from ..._system import Keys, Roots
from ...derivatives.kernel import MAX_VARIANTS, Kernel, Variant
from ...errors import ArgumentTypeError, TracingError
from ...execute.compiled import Executable
from ...tape import Program, Role
from ...transform.deferral import Deferral
from ...transform.elements import columns_by_elements
from ...transform.forward import forward
from ...transform.passes import optimise
from ...transform.ranked import Ranked
from ...transform.reverse import reverse
from ...transform.saving import Saving
from ...transform.totals import Totals
from ..arguments.signature import Flat
from .compressed import CompressedJacobian
from .frozen import keys_alone, lines_of_keys
from .jacobian import Jacobian
from .kept import Kept
from .linearised import Linearisations
from .mass import Mass
from .selects import Selects
from .sides import Branch, Sides
from .switches import Switches, without_guards
from .validation import refuse_captured, validate_arguments, validate_output
from .values import without_exit, without_values

__all__ = ["CompiledRhs", "compiled", "kept"]

FEW: Final = 64  # states; members of an ensemble that have no more may be solved side by side, by the plain programs


class CompiledRhs:
    """A right-hand side in its compiled forms. Where p is empty, pass an empty vector for it.

    Parameters
    ----------
    flat : callable
        ``flat(dx, x, p, t)`` on vectors, in place; p is None where there are no parameters.
    name : str
        Of the user's function.
    x, p : array, shapes (n,) and (n_p,)
        Where it is recorded first.
    t : float
    in_place : bool
        Whether the user's function itself fills dx; says what to suggest when it does not.
    mass : Mass or None
        Then dx is M x'.
    why_opaque : str
        Why the user's function is called by `flat` and not recorded, if it is.

    Attributes
    ----------
    frozen : frozenset of str
        The source lines of switches recorded as values that are branches here.
    origin : CompiledRhs
        The one without these.
    heeds_kinks : bool
        Whether steps over the other switches are to have smaller errors.
    apart : float
        The shortest time seen between two flips of those that jump, in solves that passed them.
    missed : bool
        Whether some of them were missed by a solve that looked for them.
    flips : int
        How often an evaluation took another way through the branches than the one before it.
    linearisations : Linearisations
        For the implicit methods of the compiled loop.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        It leaves elements of dx untouched, reads dx before writing it, returns an array, or writes into x or p.
    TracingError
        It cannot be recorded.
    """

    def __init__(self, flat: Flat, name: str, x: np.ndarray, p: np.ndarray, t: float, *, in_place: bool,
                 mass: Mass | None = None, why_opaque: str = "") -> None:  # fmt: skip
        self.name, self.mass, self.why_opaque = name, mass, why_opaque
        self.n, self.n_p = x.size, p.size
        self._flat = flat
        self.origin: CompiledRhs
        self._located: CompiledRhs | None
        self.origin, self._located = self, None
        self.frozen: frozenset[str] = frozenset()
        self.heeds_kinks, self.apart, self.missed = False, np.inf, False
        self._example = (np.zeros(x.size), x.copy(), p.copy() if p.size else None, float(t))
        self._recorded: Variant | None = None  # of which this is the continuation
        self._set_up()
        self._validate(in_place)

    def _set_up(self) -> None:
        self._known: dict[Variant, Branch] = {}
        self._sides: dict[Variant, Sides] = {}
        self._whole: CompiledRhs | None = None  # of one side: what serves all
        self._see: Callable[[Kernel], Kernel] | None = None  # makes its kernels those of this side
        self._lock = threading.RLock()
        self._derived: dict[Hashable, Kernel] = {}
        self.flips = 0
        self._made: list[Kernel] = []
        self._captures: tuple[Variant, bool] | None = None  # of a variant: what there is to know
        self._value = self._record(None, self._at_p)
        self._jacobian = CompressedJacobian(self._record, self.n, self.n_p)
        self.linearisations = Linearisations(self._record, self.n, self.n_p, self.mass)

    # ------------------------------------------------------------------------------------------------ values

    def __call__(self, dx: np.ndarray, x: np.ndarray, p: np.ndarray, t: float) -> None:
        """Write f(x, p, t) into dx."""
        self._run(self._value, dx, x, *self._p(p), t)

    def tangents(
        self, dx: np.ndarray, x: np.ndarray, p: np.ndarray, t: float, d_dx: np.ndarray, d_x: np.ndarray, d_p: np.ndarray
    ) -> None:
        """Write f into dx and the W rows ``J d_x[k] + f_p d_p[k]`` into d_dx.

        Parameters
        ----------
        d_dx, d_x : array, shape (W, n)
        d_p : array, shape (W, n_p)
        """
        self._run(self.tangent_kernel(len(d_x)), dx, x, *self._p(p), t, d_dx, d_x, *self._p(d_p))

    def along(self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray) -> np.ndarray:
        """The vector ``J d_x + f_t``: how f changes while x moves at this rate."""
        at_t = 3 if self.n_p else 2
        kernel = self._kernel("along", lambda program: forward(program, (0, 1, at_t), None))
        d_dx = np.zeros(self.n)
        self._run(kernel, np.empty(self.n), x, *self._p(p), t, d_dx, d_x, np.ones(()))
        return d_dx

    def along_changes(
        self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray, columns: np.ndarray, directions: np.ndarray
    ) -> np.ndarray:
        """The derivatives of `along`, d_x held, while (x, p) moves along the W columns and directions, shape (W, n)."""
        at_t, width = 3 if self.n_p else 2, len(columns)
        active = (*self._active, at_t + 1)
        lanes = None if width == 1 else width

        def derive(program: Program) -> Program:
            return forward(optimise(forward(program, (0, 1, at_t), None)), active, lanes)

        given = (np.empty(self.n), x, *self._p(p), t, np.zeros(self.n), d_x, np.ones(()))
        shape = (self.n,) if lanes is None else (width, self.n)
        changes = np.zeros(shape)
        moving = (columns.reshape(shape), *self._p(directions.reshape((*shape[:-1], self.n_p))))
        self._run(self._kernel(("along_changes", width), derive), *given, np.zeros(shape), *moving, changes)
        return changes.reshape(width, self.n)

    def cotangent_x(self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray) -> np.ndarray:
        """The vector ``Jᵀ covector``."""
        kernel = self._kernel("cotangent_x", lambda program: reverse(program, (0, 1)))
        d_x = np.zeros(self.n)
        self._run(kernel, np.empty(self.n), x, *self._p(p), t, covector.copy(), d_x)
        return d_x

    def cotangent_p(self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray) -> np.ndarray:
        """The vector ``f_pᵀ covector``."""
        if not self.n_p:
            return np.zeros(0)
        kernel = self._kernel("cotangent_p", lambda program: reverse(program, (0, 2)))
        d_p = np.zeros(self.n_p)
        self._run(kernel, np.empty(self.n), x, p, t, covector.copy(), d_p)
        return d_p

    def cotangents_in_time(
        self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """The derivatives of ``covector @ f`` by x, p and t."""
        kernel = self._kernel("cotangents_in_time", lambda program: reverse(program, (*self._active, self._active[-1] + 1)))
        d_x, d_p, d_t = np.zeros(self.n), np.zeros(self.n_p), np.zeros(())
        self._run(kernel, np.empty(self.n), x.copy(), *self._p(p), t, covector.copy(), d_x, *self._p(d_p), d_t)
        return d_x, d_p, float(d_t)

    def tangents_in_time(
        self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray, d_p: np.ndarray, d_t: np.ndarray
    ) -> np.ndarray:
        """The W rows ``J d_x[k] + f_p d_p[k] + f_t d_t[k]``."""
        width = max(len(d_x), 2)  # a single lane would have no axis
        active = (*self._active, self._active[-1] + 1)
        kernel = self._kernel(("tangents_in_time", width), lambda program: forward(program, active, width))
        lanes = [np.zeros((width, *d.shape[1:])) for d in (d_x, d_p, d_t)]
        for lane, given in zip(lanes, (d_x, d_p, d_t), strict=True):
            lane[: len(given)] = given
        made = np.zeros((width, self.n))
        self._run(kernel, np.empty(self.n), x.copy(), *self._p(p), t, made, lanes[0], *self._p(lanes[1]), lanes[2])
        return made[: len(d_x)]

    def products_in_time(
        self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray, d_x: np.ndarray, d_t: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """The derivatives of `cotangents_in_time` while x and t move at these rates."""
        active = (*self._active, self._active[-1] + 1)

        def derive(program: Program) -> Program:
            return forward(optimise(reverse(program, active)), range(2 * len(active)), None)

        def filled(first: np.ndarray, d_x: np.ndarray, d_t: float) -> list[np.ndarray]:
            return [first.copy(), d_x.copy(), *self._p(np.zeros(self.n_p)), np.array(d_t)]

        zero = np.zeros(self.n)
        made = filled(zero, zero, 0.0)
        given = (*filled(covector, zero, 0.0), *filled(zero, d_x, d_t), *made)
        self._run(self._kernel("products_in_time", derive), np.empty(self.n), x.copy(), *self._p(p), t, *given)
        return made[1], made[2] if self.n_p else np.zeros(0), float(made[-1])

    def jacobian(self, x: np.ndarray, p: np.ndarray, t: float) -> Jacobian:
        """The Jacobian with respect to x, exact, on its detected pattern."""
        return self._jacobian(x, (*self._p(p), t))

    def jacobian_with_changes(
        self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray, d_p: np.ndarray
    ) -> tuple[Jacobian, np.ndarray]:
        """The Jacobian, and its derivatives in the W directions (d_x[k], d_p[k]), shape (W, nnz), on the same pattern."""
        return self._jacobian.with_changes(x, (*self._p(p), t), d_x, d_p)

    @cached_property
    def jacobian_changes(self) -> bool:
        """Whether the Jacobian depends on x or p, and that can be differentiated."""
        return self._jacobian.changes()

    # ----------------------------------------------------------------------------------------------- kernels

    @property
    def value_kernel(self) -> Kernel:
        """Of f itself: binds dx, x, p (unless it is empty), t."""
        return self._value

    def tangent_kernel(self, width: int) -> Kernel:
        """Of f with `width` tangents: binds the above, then their shadows."""
        lanes = None if width == 1 else width  # a single lane as an axis would make vectors of numbers
        fixed = (2, 6) if self.n_p else ()  # and where it moves to
        return self._kernel(("tangents", width), lambda program: forward(program, self._active, lanes), fixed)

    def column_kernel(self, width: int, *, by_p: bool) -> Kernel:
        """As `tangent_kernel`, for columns that move along no parameter, but, with `by_p`, the first along one each."""
        if width == 1 or self.branches:
            return self.tangent_kernel(width)

        def derive(program: Program) -> Program:
            by_elements = columns_by_elements(program, self._active, width, by_p=by_p)
            return forward(program, self._active, width) if by_elements is None else by_elements

        return self._kernel(("columns", width, by_p), derive, (2,) if self.n_p else ())

    @property
    def cotangent_kernel(self) -> Kernel:
        """Of the cotangents of x and p alone: binds x, p (unless it is empty), t, then the shadows of dx (used up), x and p."""
        return self._kernel("cotangents", self._derive_cotangents, (1,) if self.n_p else ())

    def _derive_cotangents(self, program: Program) -> Program:
        derived = without_values(reverse(program, self._active))
        return without_exit(derived, len(program.arguments) - 1)  # the shadow of dx, behind the other arguments

    @cached_property
    def saving(self) -> Saving | None:
        """What evaluations with tangents keep for the cotangents; None where it does not pay, or there are other ways."""
        if self._whole is not None:
            return self._whole.saving
        variant = self.cotangent_kernel.first
        if variant.guarded:
            return None
        return Saving.of(optimise(self._derive_cotangents(variant.primal)), (1,) if self.n_p else ())

    def saving_kernel(self, width: int) -> Kernel:
        """As `tangent_kernel`, where there is a `saving`: binds what is saved last."""
        lanes, fixed = (None if width == 1 else width), ((2, 6) if self.n_p else ())
        saving = self.saving
        assert saving is not None, "nothing is saved"

        def derive(program: Program) -> Program:
            same = [(k, k + 1) for k in range(len(program.arguments) - 1)]
            derived = forward(optimise(saving.forward(program, same)), self._active, lanes)
            derived.arguments.append(derived.arguments.pop(len(program.arguments)))
            return derived

        return self._kernel(("saving", width), derive, fixed)

    @cached_property
    def ranked(self) -> Ranked | None:
        """`saving_kernel(1)` along a direction of p of which some matrices have rank one; None where that does not pay."""
        if self._whole is not None:
            return self._whole.ranked
        if self.saving is None or not self.n_p:
            return None
        at_direction = 6  # behind dx, x, p, t and the shadows of dx and x
        return Ranked.of(self.saving_kernel(1).first.executable.program.unsplit(), at_direction)

    @property
    def ranked_kernel(self) -> Kernel:
        """Of that."""
        assert self.ranked is not None, "no matrix has rank one"
        program = self.ranked.program
        return self._kernel("ranked", lambda _: program, (2, 6))

    @property
    def behind_kernel(self) -> Kernel:
        """As `cotangent_kernel`, where there is a `saving`: begins behind what is saved, and binds that last, then factors."""
        saving, deferral = self.saving, self.deferral
        assert saving is not None, "nothing is saved"
        program = saving.reverse() if deferral is None else deferral.program
        return self._kernel("behind", lambda _: program, (1,) if self.n_p else ())

    @cached_property
    def deferral(self) -> Deferral | None:
        """What the cotangents behind what is saved leave for later; None where that does not pay."""
        if self._whole is not None:
            return self._whole.deferral
        assert self.saving is not None, "nothing is saved"
        at_p = 5  # behind x, p, t and the shadows of dx and x
        return Deferral.of(optimise(self.saving.reverse()), at_p) if self.n_p else None

    @cached_property
    def totals(self) -> Totals | None:
        """What the cotangents add up over a whole way back; None where that does not pay, or there are other ways."""
        if self._whole is not None:
            return self._whole.totals
        program = self.cotangent_kernel.first.primal
        program = without_guards(program) if self.is_one_sided else program
        if self.saving is not None or self.n <= FEW or not self.n_p:
            return None
        at_p = 5  # behind x, p, t and the shadows of dx and x
        return Totals.of(optimise(self._derive_cotangents(program)), at_p)

    @property
    def adding_kernel(self) -> Kernel:
        """As `cotangent_kernel`, where there are `totals`: binds these last."""
        assert self.totals is not None, "nothing is added up"
        program = self.totals.program
        return self._kernel("adding", lambda _: program, (1,))

    @cached_property
    def sums(self) -> Executable:
        """Where there is a `deferral`, or there are `totals`: what adds to the cotangent of p."""
        if self._whole is not None:
            return self._whole.sums
        left = self.totals if self.saving is None else self.deferral
        assert left is not None, "nothing is left for later"
        return Executable(left.sums)

    @property
    def steps_over_kinks(self) -> bool:
        """Whether there are kinks that are not located, which the steps have to heed."""
        return self.heeds_kinks and self.has_selects

    @cached_property
    def has_selects(self) -> bool:
        """Whether there are switches recorded as values, as `np.where` and kinks, on the way taken at the example."""
        return not self.frozen.issuperset(lines_of_keys(self._made[0].first.primal))

    def selects(self, x: np.ndarray, p: np.ndarray, t: float, *, by_p: bool) -> Selects:
        """Where there are no branches: these switches, and whether derivatives by p count too."""
        kernel = self._keys
        lines = lines_of_keys(kernel.first.primal)

        def find(x: np.ndarray, t: float) -> Any:
            return kernel(np.zeros(len(lines)), x, *self._p(p), t).executable.tape

        def slope(x: np.ndarray, t: float) -> np.ndarray:
            dx = np.empty(self.n)
            self(dx, x, p, t)
            return dx

        def mixed(x: np.ndarray, t: float) -> np.ndarray:
            return self.cotangent_p(x, p, t, np.cos(np.arange(1.0, self.n + 1) ** 2))  # no flow from one to another cancels

        keys = Roots(kernel.first.executable.tape, self.n, p, np.zeros(len(lines)), find)
        return Selects(lines, keys, slope, mixed if by_p and p.size else None)

    def steady(self, p: np.ndarray) -> Keys:
        """Where there are no branches: the test for the compiled loop that these switches stay as they are."""
        return Keys(self._keys.first.executable.tape, self.n, p, len(lines_of_keys(self._keys.first.primal)))

    @property
    def _keys(self) -> Kernel:
        return self._kernel("keys", keys_alone)

    @property
    def located(self) -> "CompiledRhs":
        """What `locating` has made of this one last, or this one."""
        return self._located or self

    def locating(
        self, lines: Iterable[str], apart: float = np.inf, *, heeds_kinks: bool = False, missed: bool = False
    ) -> "CompiledRhs":
        """The same, with the switches of these source lines as branches too; the origin remembers it."""
        twin = copy(self.origin)
        twin.frozen, twin._known, twin._sides = self.frozen.union(lines), {}, {}
        twin.heeds_kinks = self.heeds_kinks or heeds_kinks
        twin.apart, twin.missed = min(self.apart, apart), self.missed or missed
        vars(twin).pop("has_selects", None)
        self.origin._located = twin
        return twin

    # ------------------------------------------------------------------------------------------- what is known

    def is_stale(self) -> bool:
        """Whether globals, closures or attributes that are read have changed; evaluations do not look for that."""
        return any_changed(self._made if self.branches else self._made[:1])  # without branches all have read the same

    @property
    def branches(self) -> bool:
        """Whether the recorded program depends on the values: then the pattern may grow."""
        return not self.is_one_sided and (bool(self.frozen) or self._value.variant.guarded)

    @property
    def is_one_sided(self) -> bool:
        """Whether it is what another one is on one side of its switches, continued."""
        return self._recorded is not None

    def branch(self, x: np.ndarray, p: np.ndarray, t: float) -> "Branch":
        """The way through the branches taken at these values."""
        values = (np.empty(self.n), x, *self._p(p), t)
        way = self._value(*values)
        with self._lock:
            if len(self._known) + len(self._sides) >= MAX_VARIANTS:
                self._known.clear()
                self._sides.clear()
            if self.frozen:
                if way not in self._sides:
                    self._sides[way] = Sides(way, self.frozen, self._continued, self._switches)
                return self._sides[way].at(*values)
            if way not in self._known:
                self._known[way] = Branch(way, self._continued(way), self._switches(way))
            return self._known[way]

    def settled(self, x: np.ndarray, p: np.ndarray, t: float) -> "CompiledRhs":
        """What it is for a whole solve: without its branches, where they look at p and captured arrays alone.

        To look for flips of what cannot flip made a solve of a diffusion with a table of materials 1.8 times as long.
        """
        if not self.branches:
            return self
        branch = self.branch(x, p, t)
        return self if branch.may_flip else branch.rhs

    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> "CompiledRhs":
        """The same on another side: with other arrays of keys in place of some, pairs of old and new."""
        seen: dict[Kernel, Kernel] = {}

        def see(kernel: Kernel) -> Kernel:
            if kernel not in seen:
                seen[kernel] = kernel.seeing(others)
            return seen[kernel]

        twin = copy(self)
        twin._whole, twin._see = self, see
        twin._derived, twin._value = {}, see(self._value)
        twin._made = [twin._value]
        twin._jacobian, twin.linearisations = self._jacobian.seeing(see), self.linearisations.seeing(see)
        return twin

    def _continued(self, way: Variant) -> "CompiledRhs":
        twin = copy(self)
        for name in ("has_selects", "jacobian_changes", "saving", "deferral", "totals", "ranked", "sums"):  # cached
            vars(twin).pop(name, None)
        twin.frozen, twin._recorded = frozenset(), way
        twin._set_up()
        return twin

    def _switches(self, way: Variant) -> Switches:
        derived = cache(lambda derive: Kernel(self._flat, self._example, derive, recorded=way, raises=False))
        return Switches(derived(Switches.derive), lambda: derived(Switches.derive_twice), self.n, self.n_p)

    def program_at(self, x: np.ndarray, p: np.ndarray, t: float) -> Program:
        """The optimised program of the way taken at these values."""
        return self._value(np.empty(self.n), x, *self._p(p), t).primal

    @property
    def captures(self) -> bool:
        """Whether arrays are read through closures or globals."""
        variant = self._value.variant
        if self._captures is None or self._captures[0] is not variant:
            self._captures = variant, any(buffer.role is Role.CAPTURED for buffer in variant.primal.buffers)
        return self._captures[1]

    def refuse_captured(self, arrays: Sequence[np.ndarray], argument: str) -> None:
        """Raise TracingError if an array of the user's argument is also read through a closure or global."""
        refuse_captured(self._value.primal, arrays, argument)

    # ------------------------------------------------------------------------------------------------ internals

    @property
    def _at_p(self) -> tuple[int, ...]:
        return (2,) if self.n_p else ()

    @property
    def _active(self) -> tuple[int, ...]:
        return (0, 1, 2) if self.n_p else (0, 1)

    def _p(self, p: np.ndarray) -> tuple[np.ndarray, ...]:
        return (p,) if self.n_p else ()

    def _run(self, kernel: Kernel, *arrays: Any) -> None:
        before = kernel.variant
        if before.executable.run(arrays) >= 0:
            self.flips += kernel(*arrays) is not before

    def _record(self, derive: Callable[[Program], Program] | None, fixed: Sequence[int] = ()) -> Kernel:
        """The kernel of what is derived, of which these arguments stay as they are during a solve."""
        made = derive
        if self.is_one_sided:
            made = without_guards if derive is None else lambda program: derive(without_guards(program))
        first = self._made[0].first if self._made else self._recorded
        kernel = Kernel(self._flat, self._example, made, watches=False, recorded=first, fixed=fixed, raises=False)
        if self._recorded is not None and kernel.trace is not self._recorded.trace:
            raise TracingError(
                f"{self.name} reads a global, a variable of a closure or an attribute that changes during the solve; pass what "
                f"changes through x, p or t"
            )
        self._made.append(kernel)
        return kernel

    def _kernel(self, key: Hashable, derive: Callable[[Program], Program], fixed: Sequence[int] = ()) -> Kernel:
        kernel = self._derived.get(key)
        if kernel is None:
            with self._lock:
                if self._whole is not None and self._see is not None:
                    made = self._see(self._whole._kernel(key, derive, fixed))
                else:
                    made = self._record(derive, fixed)
                kernel = self._derived.setdefault(key, made)
        return kernel

    def _validate(self, in_place: bool) -> None:
        program = self._value.primal
        if program.results or self._value.trace.returned([]) is not None:
            raise ArgumentTypeError(
                f"rhs: {self.name} has 4 parameters, so it is taken as rhs(dx, x, p, t) that fills dx and returns nothing, "
                f"but it returns a value; write dx[:] = ... and drop the return, or drop the parameter dx: rhs(x, p, t) that "
                f"returns dx"
            )
        validate_arguments(program, self.name)
        validate_output(program, self.name, in_place)


_KEPT: Final = Kept[CompiledRhs](64)


def kept(key: Hashable) -> CompiledRhs | None:
    """The right-hand side built before for this key."""
    try:
        return _KEPT.find(key)
    except TypeError:  # it has no hash
        return None


def compiled(key: Hashable, build: Callable[[], CompiledRhs]) -> CompiledRhs:
    """The right-hand side built before for this key, if nothing that it reads has changed, else a new one."""
    return _KEPT.get(key, build, CompiledRhs.is_stale)
