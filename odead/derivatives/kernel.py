"""Kernel: a derived program of one function, ready to run at any values of the same shapes.

It strings the stages together: trace, optimise, derive, optimise again, compile. A recorded branch is guarded; where a run
takes another way, nothing has been changed, the function is recorded again at the values at hand, and both programs stay.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, Protocol

import numpy as np

from .._observed import any_changed
from ..containers import flatten
from ..errors import OdeadError, TracingError, warn
from ..execute.compiled import Executable
from ..holders import Held
from ..spans import Span
from ..tape import Program
from ..tracing.collection import uncollected
from ..tracing.recorder import is_traced
from ..tracing.trace import Trace, trace
from ..transform.hoist import hoist
from ..transform.passes import optimise
from .domains import Domains
from .interchangeable import representative
from .nested import Called, Nest

__all__ = [
    "Kernel",
    "Kind",
    "Variant",
    "cached_kernel",
    "empty_results",
    "function_key",
    "is_bound",
    "layout",
    "number",
    "number_kind",
    "returns_complex",
    "static_key",
]

MAX_VARIANTS: Final = 64  # a chain of guards this long is better written with np.where

Derive = Callable[[Program], Program]
Kind = tuple[tuple[int, ...], np.dtype[Any]]  # shape and dtype of an array

_FUNCTIONS: Final = (FunctionType, MethodType, BuiltinFunctionType, np.ufunc)


class Variant:
    """One way through the branches.

    Attributes
    ----------
    trace : Trace
        What was recorded.
    primal : Program
        Of the function itself, optimised.
    executable : Executable
        Of the derived program.
    written : frozenset of int
        The positions among the arguments into which the function writes.
    domains : Domains or None
        Whether a run leaves the domain of an operation that raises in Python; None where nothing raises.
    complex_results : frozenset of int
        Which of the results are pairs of floats that the function returns as complex numbers.
    returned : list of (shape, dtype)
        Of the results, as the user sees them.
    nest : Nest or None
        The recording in which it is differentiated.
    guarded : bool
        Whether there is another way.
    is_silent : bool
        Nothing but its arguments needs to be bound: the function returns None and writes into nothing else.
    """

    __slots__ = (
        "complex_results", "domains", "executable", "guarded", "is_silent", "nest", "primal", "returned", "trace", "written",
    )  # fmt: skip

    def __init__(self, recorded: Trace, derive: Derive | None, nest: Nest | None = None, primal: Program | None = None,
                 fixed: Sequence[int] | None = None, raises: bool = True) -> None:  # fmt: skip
        self.trace = recorded
        self.nest = nest
        self.primal = optimise(recorded.program) if primal is None else primal
        derived = self.primal if derive is None else optimise(derive(self.primal))
        hoisted = derived if fixed is None else hoist(derived, fixed)
        self.domains = Domains(recorded) if raises and recorded.domains else None
        asks = self.domains is not None and not self.domains.are_computed(self.primal, hoisted)
        self.executable = Executable(hoisted, settles=hoisted is not derived, leaves=self.domains, always_asks=asks)
        written = {out.buffer for out in self.primal.out if out is not None}
        self.complex_results = frozenset(leaf.index for leaf in recorded.result or () if leaf.is_complex)
        self.is_silent = nest is None and recorded.result is None and not self.primal.results and not recorded.unread
        self.returned = [self._returned(k) for k in range(len(self.primal.results))]
        self.written = frozenset(k for k, buffer in enumerate(self.primal.arguments) if buffer in written)
        self.guarded = "guard" in self.primal.op

    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Variant":
        """The same with other captured arrays in place of some: pairs of old and new."""
        twin = copy(self)
        twin.executable = self.executable.seeing(others)
        return twin

    def _returned(self, k: int) -> Kind:
        buffer = self.primal.buffers[self.primal.results[k]]
        shape = buffer.shape or ()
        if buffer.shape and k in self.complex_results:
            return shape[:-1], np.dtype(np.complex128)
        return shape, np.dtype(buffer.dtype)


class Execute(Protocol):
    """How a variant runs on the arrays that it binds; see `Executable.run`."""

    def __call__(self, variant: Variant, arrays: Sequence[Any], asks: bool = True) -> int: ...


def _whole(variant: Variant, arrays: Sequence[Any], asks: bool = True) -> int:
    return variant.executable.run(arrays, asks=asks)


class Kernel:
    """A derived program of `f`, recorded when needed.

    Parameters
    ----------
    f : callable
    args : tuple
        Example arguments: their structure, shapes, dtypes and static leaves are kept, and f is recorded at their values.
    derive : callable, optional
        Program -> Program, for instance `forward` or `reverse` with their options filled in; None runs the primal.
    kwargs : mapping, optional
        Keyword arguments of f.
    held : sequence of Held, optional
        What functions and objects hold that is an input as arguments are.
    nest : Nest, optional
        The recording in which f is differentiated; the arguments may be traced ones of it.
    watches : bool
        Whether each run looks for changes of what f reads from globals, closures and attributes. If not, ask `is_stale`.
    recorded : Variant, optional
        What another kernel of the same function has recorded at the same example: it is not recorded again.
    fixed : sequence of int, optional
        Positions of the arguments that stay as they are from one evaluation of a `_system.Recorded` to the next.
    raises : bool
        Whether a run raises where the plain call does, as `math.sqrt` of a negative number; if not, it gives nan or inf.

    Raises
    ------
    TracingError
        f does something that cannot be recorded.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        derive: Derive | None = None,
        kwargs: Mapping[str, Any] | None = None,
        held: Sequence[Held] = (),
        nest: Nest | None = None,
        *,
        watches: bool = True,
        recorded: Variant | None = None,
        fixed: Sequence[int] | None = None,
        raises: bool = True,
    ) -> None:
        self._nest = nest
        self._raises = raises
        self._fixed = fixed
        self._watches = watches
        self._closed: list[Any] = []  # what f closes over in the outer recording
        if nest is not None:
            f, args, kwargs = self._from_outside(nest, f, args, kwargs or {})
        self._f = f
        self.derive = derive
        leaves, self._structure = flatten((args, dict(kwargs or {})))
        self._held = [item._replace(value=None) for item in held]
        leaves += [item.value for item in held]
        self._leaves = [None if is_bound(leaf) else leaf for leaf in leaves]  # the arrays themselves are not kept
        self._bound = [k for k, leaf in enumerate(leaves) if is_bound(leaf)]
        self._lock = threading.RLock()
        self._variants: list[Variant] = []
        self._has_warned = False
        if recorded is None or recorded.trace.namespace.stale():
            self.variant = self._record(leaves)
        else:
            with uncollected():
                self.variant = Variant(recorded.trace, derive, nest, recorded.primal, fixed, raises)
            self._variants.append(self.variant)

    @property
    def first(self) -> Variant:
        """The way taken at the example arguments, or the oldest that is kept."""
        return self._variants[0]

    @property
    def trace(self) -> Trace:
        """What was recorded on the way last taken."""
        return self.variant.trace

    @property
    def primal(self) -> Program:
        """The optimised program of f itself."""
        return self.variant.primal

    @property
    def program(self) -> Program:
        """The derived program."""
        return self.variant.executable.program

    def __call__(self, *arrays: Any) -> Variant:
        """Run at these values.

        Parameters
        ----------
        *arrays : ndarray or float
            For `program.arguments`, then `program.results`; floats for 0-d arguments. Written in place.

        Returns
        -------
        Variant
            The one that ran.
        """
        return self.run(arrays, lambda _: arrays)

    def run_again(self, arrays: Sequence[Any]) -> bool:
        """Run the way taken last, if it returns nothing; False, and nothing has changed, if the long way must be taken."""
        variant = self.variant
        return variant.is_silent and not variant.trace.namespace.stale() and variant.executable.run(arrays) < 0

    def run(self, arguments: Sequence[Any], assemble: Callable[[Variant], Sequence[Any]]) -> Variant:
        """Run where the arrays to bind depend on the way taken, as the number and shapes of the results may.

        Parameters
        ----------
        arguments : sequence
            Values of the arguments of f, distinct ones, in the order of the program.
        assemble : callable
            From a variant, all that its program binds, beginning with `arguments`.
        """
        if self._nest is not None:
            return self._run_inside(self._nest, arguments, assemble)
        return self._run(arguments, assemble)

    def sweep_forward(
        self, arguments: Sequence[Any], assemble: Callable[[Variant], Sequence[Any]]
    ) -> tuple[Variant, Executable]:
        """The forward sweep of a reverse program, outside of recordings; the executable that is returned can run the rest."""
        made: list[Executable] = []

        def sweep(variant: Variant, arrays: Sequence[Any], asks: bool = True) -> int:
            if asks and variant.domains is not None and variant.domains(arrays):
                return len(variant.executable.program)
            made[:] = [variant.executable.apart()]
            return made[0].run(arrays, "forward")

        return self._run(arguments, assemble, sweep), made[0]

    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Kernel":
        """The kernel of the way taken first, with other captured arrays in place of some: pairs of old and new."""
        twin = copy(self)
        twin._lock = threading.RLock()
        twin.variant = self.first.seeing(others)
        twin._variants = [twin.variant]
        return twin

    def is_stale(self) -> bool:
        """Whether something that f reads on one of the known ways has changed."""
        return any_changed((self,))

    def _run(
        self, arguments: Sequence[Any], assemble: Callable[[Variant], Sequence[Any]], execute: Execute = _whole
    ) -> Variant:
        if self._watches and self.variant.trace.namespace.stale():
            self._forget(arguments)
        variant = self.variant
        try:
            arrays = assemble(variant)
        except OdeadError:
            if not variant.trace.guards:
                raise
        else:
            if execute(variant, arrays) < 0:
                return variant
        return self._run_other(variant, arguments, assemble, execute)

    def _run_other(
        self, missed: Variant, arguments: Sequence[Any], assemble: Callable[[Variant], Sequence[Any]], execute: Execute
    ) -> Variant:
        """A guard of `missed` did not hold: try the other variants, then record a new one."""
        with self._lock:
            self._variants = [variant for variant in self._variants if variant is missed or not variant.trace.namespace.stale()]
            for variant in self._variants:
                with suppress(OdeadError):  # what it returns does not suit the caller; that matters only if it is the one taken
                    if variant is not missed and execute(variant, assemble(variant)) < 0:
                        self.variant = variant
                        return variant
            variant = self._record(self._leaves_at(missed, arguments))
            try:
                arrays = assemble(variant)
            except OdeadError:
                self._variants.remove(variant)
                self.variant = missed
                raise
        guard = execute(variant, arrays, asks=False)  # what raises at these values has done so while recording
        if guard >= 0:
            raise TracingError(
                f"{variant.primal.name}: recorded at these values, the program does not hold at them: the branch at "
                f"{variant.executable.program.source(guard)} depends on something other than its arguments"
            )
        return variant

    @property
    def closes_over_nothing(self) -> bool:
        """Whether it may be used again in the same outer recording."""
        return not self._closed

    def _from_outside(
        self, nest: Nest, f: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Called, tuple[Any, ...], dict[str, Any]]:
        """The function and its arguments in the user's world, with the values of the outer recording."""
        leaves, structure = flatten((args, dict(kwargs), nest.outside(f)))
        count = len(flatten((args, dict(kwargs)))[0])
        leaves = [leaf if is_bound(leaf) else nest.twin(leaf) for leaf in leaves]
        self._closed = [leaf for leaf in leaves[count:] if is_bound(leaf)]
        args, kwargs, function = structure.unflatten(nest.values(leaves, together=count))
        return Called(getattr(f, "__name__", type(f).__name__)), args, {**kwargs, "odead_function": function}

    def _run_inside(self, nest: Nest, arguments: Sequence[Any], assemble: Callable[[Variant], Sequence[Any]]) -> Variant:
        """Run at the values of the outer recording, and write the program out among its instructions."""
        bound: list[Any] = []
        values: list[Any] = []

        def at_values(variant: Variant) -> list[Any]:
            arrays = assemble(variant)
            count = len(arguments)
            closed = dict(zip(variant.trace.leaves[::-1], self._closed[::-1], strict=False))
            given = [closed[k] for k in range(count, len(variant.primal.arguments))]
            bound[:] = [*arrays[:count], *given, *arrays[count:]]
            values[:] = nest.values(bound)
            return values

        variant = self._run(nest.values([*arguments, *self._distinct_closed()]), at_values)
        nest.inline(variant.executable.program, bound, values)
        nest.depends_on(variant.trace.namespace)
        return variant

    def _distinct_closed(self) -> list[Any]:
        closed = dict(zip(self.variant.trace.leaves[::-1], self._closed[::-1], strict=False))
        return [closed[k] for k in sorted(closed)]

    def _forget(self, arrays: Sequence[Any]) -> None:
        """A name the function reads has changed: what was recorded is worthless."""
        with self._lock:
            if self.variant.trace.namespace.stale():
                leaves = self._leaves_at(self.variant, arrays)
                self._variants.clear()
                self._record(leaves)

    def _record(self, leaves: Sequence[Any]) -> Variant:
        args, kwargs = self._structure.unflatten(leaves)
        values = leaves[len(leaves) - len(self._held) :]
        held = [item._replace(value=value) for item, value in zip(self._held, values, strict=True)]
        with uncollected():
            recorded = trace(self._f, args, kwargs, held)
            self.variant = Variant(recorded, self.derive, self._nest, None, self._fixed, self._raises)
        for variant in self._variants:
            variant.trace.namespace.follow(recorded.namespace)
        if len(self._variants) >= MAX_VARIANTS:
            self._variants.pop(0)
            self._warn()
        self._variants.append(self.variant)
        return self.variant

    def _warn(self) -> None:
        """Say once that the function takes too many ways."""
        if not self._has_warned:
            self._has_warned = True
            warn(
                f"{self.variant.primal.name} took more than {MAX_VARIANTS} ways through its branches; each new one is recorded "
                f"anew, which is slow. Write branches that depend on values with np.where. {self._branch()}"
            )

    def _branch(self) -> str:
        program = self.variant.primal
        lines = {program.lines[line] for op, line in zip(program.op, program.line, strict=True) if op == "guard" and line >= 0}
        return "The branches: " + "; ".join(map(str, sorted(lines)[:3]))

    def _leaves_at(self, variant: Variant, arrays: Sequence[Any]) -> list[Any]:
        """The leaves of the arguments with the values in `arrays`."""
        leaves = list(self._leaves)
        parts = variant.trace.parts
        for number, (k, position) in enumerate(zip(self._bound, variant.trace.leaves, strict=True)):
            leaves[k] = Span.part_of(arrays[position], parts[number]) if number in parts else arrays[position]
        return leaves


def is_bound(leaf: Any) -> bool:
    """Whether a leaf is a program input: arrays, floats and complex numbers are, ints and everything else are static."""
    return isinstance(leaf, (np.ndarray, float, complex, np.inexact))


def layout(array: np.ndarray) -> Hashable:
    """What a recorded program depends on: the strides too, for they decide which of its rearrangements are views.

    And the class: one that is not NumPy's own is refused, not taken for what was recorded of another array.
    """
    return type(array), array.dtype.str, array.shape, None if array.flags.c_contiguous else array.strides


def number_kind(leaf: Any) -> Hashable:
    """What a recorded program depends on of a number: its precision; np.float64 and float are alike."""
    return np.asarray(leaf.value if is_traced(leaf) else leaf).dtype.char


class _Same:
    """An object that cannot be hashed, as a key: itself, and nothing that is equal."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __hash__(self) -> int:
        return id(self._thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._thing is self._thing


def function_key(f: Callable[..., Any]) -> Hashable:
    """A function as part of a key: an object that can be called is only itself, whatever it says that it equals."""
    return representative(f) if isinstance(f, _FUNCTIONS) else _Same(f)


def static_key(leaf: Any) -> Hashable:
    """A static argument as part of a key."""
    try:
        hash(leaf)
    except TypeError:
        return type(leaf), _Same(leaf)
    return type(leaf), leaf


def returns_complex(variant: Variant) -> bool:
    """Whether the function returns one complex number or array, and nothing else."""
    leaves = variant.trace.result
    return leaves is not None and len(leaves) == 1 and leaves[0].is_complex


def empty_results(variant: Variant) -> list[np.ndarray]:
    """New arrays for everything the program returns."""
    program = variant.executable.program
    if variant.nest is not None:
        return [variant.nest.new(np.zeros(program.buffers[b].shape or (), program.buffers[b].dtype)) for b in program.results]
    return [np.empty(program.buffers[b].shape or (), program.buffers[b].dtype) for b in program.results]


def number(array: np.ndarray) -> Any:
    """A 0-d array as a Python number; others as they are."""
    if np.ndim(array):
        return array
    return array[()] if is_traced(array) else array.item()


# ---------------------------------------------------------------------------------------------------- kernels kept

KEPT: Final = 256  # kernels of calls that may come again; the ones used last


class _Cache:
    """Kernels by function and signature. Bounded, because the key keeps the function, and what it captured, alive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kernels: OrderedDict[Hashable, Kernel] = OrderedDict()

    def get(self, key: Hashable) -> Kernel | None:
        with self._lock:
            kernel = self._kernels.get(key)
            if kernel is not None:
                self._kernels.move_to_end(key)
            return kernel

    def put(self, key: Hashable, kernel: Kernel) -> None:
        with self._lock:
            self._kernels[key] = kernel
            if len(self._kernels) > KEPT:
                self._kernels.popitem(last=False)


_CACHE: Final = _Cache()


def cached_kernel(
    f: Callable[..., Any],
    key: Hashable,
    args: tuple[Any, ...],
    derive: Derive | None,
    kwargs: Mapping[str, Any] | None = None,
    held: Sequence[Held] = (),
    nest: Nest | None = None,
) -> Kernel:
    """The kernel of `f` for `key`, which says all that the derived program depends on; recorded at `args` if it is new."""
    if nest is not None:
        return _kernel_inside(f, key, args, derive, kwargs, nest)
    whole = function_key(f), key
    kernel = _CACHE.get(whole)
    if kernel is None:
        kernel = Kernel(f, args, derive, kwargs, held)
        _CACHE.put(whole, kernel)
    return kernel


def _kernel_inside(
    f: Callable[..., Any],
    key: Hashable,
    args: tuple[Any, ...],
    derive: Derive | None,
    kwargs: Mapping[str, Any] | None,
    nest: Nest,
) -> Kernel:
    """The same inside a recording, which keeps the kernels of functions that close over nothing of it."""
    whole = function_key(f), key
    kernel = nest.kernels.get(whole)
    if kernel is None:
        kernel = Kernel(f, args, derive, kwargs, nest=nest)
        if kernel.closes_over_nothing:
            nest.kernels[whole] = kernel
    return kernel
