"""`compile`: a function and its derivatives as programs that write into the caller's buffers, without allocating arrays."""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from ..containers import flatten
from ..errors import ArgumentTypeError, ArgumentValueError
from ..execute.compiled import Signature
from ..tape import Program
from ..tracing.recorder import is_traced
from ..transform.builder import FLOATS
from ..transform.forward import forward
from ..transform.reverse import reverse
from .inputs import DIFFERENTIABLE
from .kernel import Derive, Kernel, Kind, Variant, is_bound, number, returns_complex

__all__ = ["Compiled", "compile"]


def compile(f: Callable[..., Any], *example_args: Any) -> "Compiled":
    """Record `f` at these arguments and compile it for all arguments of the same shapes.

    Parameters
    ----------
    f : callable
        Ordinary NumPy code; it may write into its arguments.
    *example_args
        Arrays, numbers, containers. Their values are not kept; ints, strings and other static things are.

    Returns
    -------
    Compiled

    Raises
    ------
    TracingError
        f does something that cannot be recorded.
    """
    return Compiled(f, *example_args)


class Compiled:
    """A function for arguments of fixed shapes and dtypes, with its derivatives. Pickles if the function does.

    Every float argument has a derivative. `args` are always those of f, in its order; f writes into the arrays given, as the
    plain call does. A branch that was not recorded is recorded when it is met.
    """

    def __init__(self, f: Callable[..., Any], *example_args: Any) -> None:
        self._f = f
        _refuse_traced(example_args, "compile")
        leaves, self._structure = flatten(tuple(example_args))
        self._static = [None if is_bound(leaf) else leaf for leaf in leaves]
        self._examples = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        self._bound = [k for k, leaf in enumerate(leaves) if is_bound(leaf)]
        floats = [k for k in self._bound if not isinstance(leaves[k], np.ndarray) or leaves[k].dtype.name in DIFFERENTIABLE]
        self._active = tuple(self._bound.index(k) for k in floats)
        self._local = threading.local()
        plain = all(child.kind is None for child in self._structure.children) and Signature.describes(leaves)
        self._signature = Signature(leaves, self._active) if plain else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._f, *self._structure.unflatten(self._examples))

    def __repr__(self) -> str:
        return f"<odead.Compiled {self._primal.primal.name}: {len(self.tape)} instructions>"

    @property
    def tape(self) -> Program:
        """The optimised program of f; `print` it."""
        return self._primal.primal

    # ------------------------------------------------------------------------------------------------ programs

    @cached_property
    def _primal(self) -> Kernel:
        return self._kernel(None)

    @cached_property
    def _forward(self) -> Kernel:
        return self._kernel(partial(forward, active=self._active))

    @cached_property
    def _reverse(self) -> Kernel:
        return self._kernel(partial(reverse, active=self._active))

    def _kernel(self, derive: Derive | None) -> Kernel:
        return Kernel(self._f, self._structure.unflatten(self._examples), derive)

    # ------------------------------------------------------------------------------------------------ calls

    def primal(self, *args: Any, out: np.ndarray | None = None) -> Any:
        """Value of f at `args`.

        Parameters
        ----------
        *args
            As the example arguments, with other values.
        out : ndarray, optional
            Receives the returned array; has its shape and dtype.

        Returns
        -------
        What f returns; `out` if it was given.
        """
        values = self._values(args)
        if out is None and self._primal.run_again(values):
            return None
        return self._primal_returned(values, out)

    def _primal_returned(self, values: Sequence[Any], out: np.ndarray | None) -> Any:
        results: list[np.ndarray] = []

        def assemble(variant: Variant) -> list[Any]:
            results[:] = self._results(variant.returned, out)
            return [*values, *results]

        variant = self._primal.run(values, assemble)
        return out if out is not None else variant.trace.returned(results)

    def jvp(self, args: tuple[Any, ...], tangents: tuple[Any, ...], out: np.ndarray | None = None) -> Any:
        """Tangent of the returned value.

        Parameters
        ----------
        args, tangents : tuple
            One tangent per argument, of its structure and shapes; None for an argument without floats. The tangents of
            arrays into which f writes hold those of their exit values afterwards.
        out : ndarray, optional
            Receives the tangent.

        Returns
        -------
        In the structure of the returned value; None if f returns None.
        """
        arrays = self._arrays(args, tangents, "tangent")
        if out is None and self._forward.run_again(arrays):
            return None
        return self._tangent_returned(arrays, out)

    def _tangent_returned(self, arrays: list[Any], out: np.ndarray | None) -> Any:
        results: list[np.ndarray] = []
        returned: list[np.ndarray] = []

        def assemble(variant: Variant) -> list[Any]:
            results[:] = self._results(variant.returned, None)
            floats = [kind for kind in variant.returned if kind[1].name in DIFFERENTIABLE]
            returned[:] = self._results(floats, out)
            return [*arrays, *results, *returned]

        variant = self._forward.run(arrays[: len(self._bound)], assemble)
        if out is not None:
            return out
        lanes = iter(returned)
        floats = [next(lanes) if kind[1].name in DIFFERENTIABLE else None for kind in variant.returned]
        return variant.trace.returned(floats)

    def vjp(self, args: tuple[Any, ...], cotangent: Any, out: tuple[Any, ...] | None = None) -> tuple[Any, ...]:
        """Cotangents of the arguments.

        Parameters
        ----------
        args : tuple
        cotangent : array, number or container
            Of the structure and shape of the returned value; None if f returns None.
        out : tuple, optional
            One shadow per argument (None for an argument without floats). On entry the cotangents of the exit values of the
            arguments: zero but for arrays into which f writes. On exit those of the entry values. Left out: zeros are
            allocated.

        Returns
        -------
        tuple
            `out`, or what was allocated in its place.
        """
        arrays = [*self._values(args), *self._zeros()] if out is None else self._arrays(args, out, "shadow")
        if cotangent is not None or not self._reverse.run_again(arrays):
            self._pull(arrays, cotangent)
        if out is not None:
            return out
        leaves = list(self._static)
        for position, shadow in zip(self._active, arrays[len(self._bound) :], strict=True):
            leaves[self._bound[position]] = number(shadow)
        result: tuple[Any, ...] = self._structure.unflatten(leaves)
        return result

    def _pull(self, arrays: list[Any], cotangent: Any) -> None:
        def assemble(variant: Variant) -> list[Any]:
            seeds = _seeds(variant.primal, variant.returned, cotangent)
            return [*arrays, *seeds, *self._results(variant.returned, None)]

        self._reverse.run(arrays[: len(self._bound)], assemble)

    def jac(self, args: tuple[Any, ...], out: np.ndarray | None = None) -> np.ndarray:
        """Jacobian of the returned array with respect to argument 0, an array or a number.

        Parameters
        ----------
        args : tuple
        out : ndarray (*returned.shape, *args[0].shape), optional
            Receives it.
        """
        values = self._values(args)
        plan = self._jacobian_plan
        shape = plan.returned + plan.argument
        if out is None:
            out = np.empty(shape, plan.dtype)
        _fits(out, shape, plan.dtype, "out")
        plan.run(values, out)
        return out

    @property
    def _jacobian_plan(self) -> "_JacobianPlan":
        """One per thread: it owns the arrays of the sweep."""
        plan: _JacobianPlan | None = getattr(self._local, "plan", None)
        if plan is None:
            plan = self._local.plan = self._plan_jacobian()
        return plan

    def _plan_jacobian(self) -> "_JacobianPlan":
        program = self._primal.primal
        if len(program.results) != 1 or program.buffers[program.results[0]].dtype not in FLOATS:
            raise ArgumentTypeError(f"{program.name} does not return one array of floats; jac is its Jacobian")
        if 0 not in self._active or self._structure.children[0].kind is not None:
            raise ArgumentTypeError(
                f"argument 0 of {program.name} is not an array of floats; jac differentiates with respect to it"
            )
        if returns_complex(self._primal.variant) or np.iscomplexobj(self._examples[self._bound[0]]):
            raise NotImplementedError(f"{program.name} is complex; jac writes real Jacobians, odead.jacobian also complex ones")
        returned = program.buffers[program.results[0]].shape or ()
        argument = np.shape(self._examples[self._bound[0]])
        columns = prod(argument) <= prod(returned)
        width = max(1, prod(argument) if columns else prod(returned))
        kernel = self._kernel(partial(forward if columns else reverse, active=(0,), width=width))
        return _JacobianPlan(kernel, returned, argument, np.dtype(program.buffers[program.results[0]].dtype), columns)

    # ------------------------------------------------------------------------------------------------ arrays to bind

    def _values(self, args: tuple[Any, ...]) -> Sequence[Any]:
        """The program inputs among the arguments, checked."""
        signature = self._signature
        return args if signature is not None and signature.accepts(args) else self._checked_values(args)

    def _arrays(self, args: tuple[Any, ...], shadows: Any, what: str) -> list[Any]:
        """The same, then the shadows of the float leaves."""
        found = None if self._signature is None else self._signature.with_shadows(args, shadows)
        return [*self._values(args), *self._checked_shadows(shadows, what)] if found is None else found

    def _checked_values(self, args: tuple[Any, ...]) -> list[Any]:
        _refuse_traced(args, "a compiled function")
        leaves, structure = flatten(tuple(args))
        if structure != self._structure:
            raise ArgumentTypeError(
                f"compiled for {len(self._structure.children)} arguments of another structure than these {len(args)}"
            )
        values = []
        for k, (leaf, example) in enumerate(zip(leaves, self._examples, strict=True)):
            if k not in self._bound:
                if leaf != example:
                    raise ArgumentValueError(f"{leaf!r} is static, and the function was compiled for {example!r}")
                continue
            if isinstance(example, np.ndarray):
                _fits(leaf, example.shape, example.dtype, f"array {k} of the arguments")
            values.append(leaf)
        return values

    def _checked_shadows(self, shadows: Any, what: str) -> list[Any]:
        if not isinstance(shadows, tuple) or len(shadows) != len(self._structure.children):
            raise ArgumentTypeError(f"give a tuple of one {what} per argument: {len(self._structure.children)} of them")
        examples = self._structure.unflatten(self._examples)
        found: list[Any] = []
        for number_, (shadow, example) in enumerate(zip(shadows, examples, strict=True)):
            leaves, structure = flatten(example)
            given = [None] * len(leaves) if shadow is None else flatten(shadow)[0]
            if shadow is not None and flatten(shadow)[1] != structure:
                raise ArgumentTypeError(f"the {what} of argument {number_} is another container than the argument")
            for leaf, item in zip(leaves, given, strict=True):
                if not is_bound(leaf) or (isinstance(leaf, np.ndarray) and leaf.dtype.name not in DIFFERENTIABLE):
                    continue
                value = np.asarray(leaf)
                if item is None:
                    item = np.zeros(value.shape, value.dtype)
                elif not isinstance(item, np.ndarray):
                    item = np.array(item, dtype=value.dtype)
                _fits(item, value.shape, value.dtype, f"the {what} of argument {number_}")
                found.append(item)
        return found

    def _zeros(self) -> list[np.ndarray]:
        examples = [np.asarray(self._examples[self._bound[position]]) for position in self._active]
        return [np.zeros(example.shape, example.dtype) for example in examples]

    @staticmethod
    def _results(kinds: Sequence[Kind], out: np.ndarray | None) -> list[np.ndarray]:
        if out is None:
            return [np.empty(*kind) for kind in kinds]
        if len(kinds) != 1:
            raise ArgumentValueError(f"out is one array, and the function returns {len(kinds)}")
        _fits(out, *kinds[0], "out")
        return [out]


class _JacobianPlan:
    """A sweep over all unit tangents (or cotangents) at once, with its arrays."""

    def __init__(
        self, kernel: Kernel, returned: tuple[int, ...], argument: tuple[int, ...], dtype: np.dtype, columns: bool
    ) -> None:
        self.returned, self.argument, self.dtype, self._kernel, self._columns = returned, argument, dtype, kernel, columns
        n, m = prod(argument), prod(returned)
        self._seed = np.zeros((n, *argument) if columns else (m, *returned), dtype)
        self._swept = np.zeros((n, *returned) if columns else (m, *argument), dtype)
        self._value = np.empty(returned, dtype)

    def run(self, values: Sequence[Any], out: np.ndarray) -> None:
        """Write the Jacobian at `values` into `out`."""
        width = len(self._seed)
        seeds = self._seed.reshape(width, width)
        seeds[...] = 0.0
        np.fill_diagonal(seeds, 1.0)
        if self._columns:
            self._kernel(*values, self._seed, self._value, self._swept)
            axes = range(1, 1 + len(self.returned))
            out[...] = self._swept.transpose(*axes, 0).reshape(out.shape)
        else:
            self._swept[...] = 0.0
            self._kernel(*values, self._swept, self._seed, self._value)
            out[...] = self._swept.reshape(out.shape)


def _refuse_traced(args: tuple[Any, ...], what: str) -> None:
    if any(map(is_traced, flatten(args)[0])):
        raise NotImplementedError(
            f"{what} inside a function that is itself being differentiated: call the function itself there, or odead.jvp, "
            f"odead.vjp and odead.jacobian of it, which become part of the program"
        )


def _fits(array: Any, shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
    if not isinstance(array, np.ndarray):
        raise ArgumentTypeError(
            f"{what} is a {type(array).__name__}, where an array of shape {shape} and dtype {dtype} is needed"
        )
    if array.shape != shape:
        raise ArgumentValueError(f"{what} has shape {array.shape}, where {shape} is needed")
    if array.dtype != dtype:
        raise ArgumentTypeError(f"{what} has dtype {array.dtype}, where {dtype} is needed")


def _seeds(program: Program, kinds: Sequence[Kind], cotangent: Any) -> list[np.ndarray]:
    """Copies of the cotangents of the returned floats; the sweep consumes them."""
    leaves = [] if cotangent is None else flatten(cotangent)[0]
    if len(leaves) != len(kinds):
        raise ArgumentValueError(f"{program.name} returns {len(kinds)} arrays or numbers; the cotangent has {len(leaves)}")
    seeds = []
    for (shape, dtype), leaf in zip(kinds, leaves, strict=True):
        if dtype.name in DIFFERENTIABLE:
            seed = np.array(leaf, dtype=dtype)
            _fits(seed, shape, dtype, "the cotangent")
            seeds.append(seed)
    return seeds
