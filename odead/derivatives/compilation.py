"""`compile`: a function and its derivatives as programs that write into the caller's buffers, without allocating arrays."""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from ..containers import flatten
from ..errors import ArgumentTypeError, ArgumentValueError
from ..execute.compiled import Signature
from ..tape import Program
from ..tracing.recorder import contains_traced, is_traced
from ..transform.builder import FLOATS
from ..transform.forward import forward
from ..transform.reverse import reverse
from .complexes import as_reals, complex_block
from .inputs import DIFFERENTIABLE
from .kernel import Derive, Kernel, Kind, Variant, cached_kernel, is_bound, number, returns_complex
from .nested import Nest, nest_of

__all__ = ["Compiled", "compile"]

_PLAIN: Final = frozenset({type(None), float, np.ndarray})  # types of what no recording is behind


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
    plain call does. A branch that was not recorded is recorded when it is met. Called inside a function that is itself
    differentiated, its programs become part of that function's.
    """

    def __init__(self, f: Callable[..., Any], *example_args: Any) -> None:
        self._f = f
        if contains_traced(flatten(example_args)[0]):
            raise ArgumentTypeError(
                "compile inside a function that is itself being differentiated: compile before it, and call the result inside"
            )
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

    @staticmethod
    def _nest(*trees: Any) -> Nest | None:
        """The recording that arguments or shadows are of; None outside of any."""
        for tree in trees:
            for x in tree if type(tree) is tuple else (tree,):
                if type(x) is not np.ndarray and type(x) is not float and x is not None:
                    return nest_of(None, trees)
        return None

    def _inside(self, nest: Nest, kernel: Kernel) -> Kernel:
        """One of our kernels for the recording, which keeps it."""
        args = self._structure.unflatten(self._examples)
        return cached_kernel(self._f, (self, kernel), args, kernel.derive, nest=nest)

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
        nest = None if values is args and type(out) in _PLAIN else self._nest(args, out)
        if nest is None and out is None and self._primal.run_again(values):
            return None
        return self._primal_returned(values, out, nest)

    def _primal_returned(self, values: Sequence[Any], out: np.ndarray | None, nest: Nest | None) -> Any:
        kernel = self._primal if nest is None else self._inside(nest, self._primal)
        results: list[np.ndarray] = []

        def assemble(variant: Variant) -> list[Any]:
            results[:] = self._results(variant.returned, out, nest)
            return [*values, *results]

        variant = kernel.run(values, assemble)
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
        arrays, nest = self._arrays(args, tangents, "tangent", out)
        if nest is None and out is None and self._forward.run_again(arrays):
            return None
        return self._tangent_returned(arrays, out, nest)

    def _tangent_returned(self, arrays: list[Any], out: np.ndarray | None, nest: Nest | None) -> Any:
        kernel = self._forward if nest is None else self._inside(nest, self._forward)
        results: list[np.ndarray] = []
        returned: list[np.ndarray] = []

        def assemble(variant: Variant) -> list[Any]:
            results[:] = self._scratch(variant, nest)
            floats = [kind for kind in variant.returned if kind[1].name in DIFFERENTIABLE]
            returned[:] = self._results(floats, out, nest)
            return [*arrays, *results, *returned]

        variant = kernel.run(arrays[: len(self._bound)], assemble)
        self._local.scratch = (variant, results) if nest is None else None
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
        if out is None:
            nest = self._nest(args, cotangent)
            arrays = [*self._values(args), *self._zeros(nest)]
        else:
            arrays, nest = self._arrays(args, out, "shadow", cotangent)
        if nest is not None or cotangent is not None or not self._reverse.run_again(arrays):
            self._pull(arrays, cotangent, nest)
        if out is not None:
            return out
        leaves = list(self._static)
        for position, shadow in zip(self._active, arrays[len(self._bound) :], strict=True):
            leaves[self._bound[position]] = number(shadow)
        result: tuple[Any, ...] = self._structure.unflatten(leaves)
        return result

    def _pull(self, arrays: list[Any], cotangent: Any, nest: Nest | None) -> None:
        kernel = self._reverse if nest is None else self._inside(nest, self._reverse)
        scratch: list[np.ndarray] = []

        def assemble(variant: Variant) -> list[Any]:
            kinds = variant.returned
            scratch[:] = self._scratch(variant, nest, seeds=True)
            seeds, results = scratch[: len(kinds)], scratch[len(kinds) :]
            return [*arrays, *_seeds(variant.primal, kinds, cotangent, seeds, nest), *results]

        variant = kernel.run(arrays[: len(self._bound)], assemble)
        self._local.scratch = (variant, scratch) if nest is None else None

    def _scratch(self, variant: Variant, nest: Nest | None, seeds: bool = False) -> list[np.ndarray]:
        """Arrays for values that nobody gets, behind those for seeds: of the last call of this thread, if it was one like this.

        They are taken away until the call has ended, for the function might call itself.
        """
        held: tuple[Variant, list[np.ndarray]] | None = getattr(self._local, "scratch", None)
        self._local.scratch = None
        if nest is None and held is not None and held[0] is variant:
            return held[1]
        return self._results([*variant.returned, *variant.returned] if seeds else variant.returned, None, nest)

    def jac(self, args: tuple[Any, ...], out: np.ndarray | None = None) -> np.ndarray:
        """Jacobian of the returned array with respect to argument 0, an array or a number.

        Parameters
        ----------
        args : tuple
        out : ndarray (*returned.shape, *args[0].shape), optional
            Receives it; complex where the argument or what is returned is. With respect to z = x + i y, rows are u_x + i u_y;
            a complex function of complex numbers must be holomorphic, which is tested.

        Raises
        ------
        ArgumentTypeError
            f does not return one array of floats or complex numbers, or is not holomorphic.
        """
        values, nest = self._values(args), self._nest(args, out)
        plan = self._jacobian_plan
        if out is None:
            out = np.empty(plan.shape, plan.dtype) if nest is None else nest.new(np.zeros(plan.shape, plan.dtype))
        _fits(out, plan.shape, plan.dtype, "out", nest)
        if nest is None:
            plan.run(values, out)
        else:
            plan.run_inside(nest, self._inside(nest, plan.kernel), values, out)
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
        returned = program.buffers[program.results[0]]
        argument = np.asarray(self._examples[self._bound[0]])
        size = argument.size * (1 + np.iscomplexobj(argument))
        columns = size <= returned.size
        width = max(1, size if columns else returned.size)
        kernel = self._kernel(partial(forward if columns else reverse, active=(0,), width=width))
        return _JacobianPlan(kernel, np.empty(returned.shape or (), returned.dtype), argument, columns)

    # ------------------------------------------------------------------------------------------------ arrays to bind

    def _values(self, args: tuple[Any, ...]) -> Sequence[Any]:
        """The program inputs among the arguments, checked."""
        signature = self._signature
        accepted = signature is not None and type(args) is tuple and signature.accepts(args)
        return args if accepted else self._checked_values(args)

    def _arrays(self, args: tuple[Any, ...], shadows: Any, what: str, other: Any) -> tuple[list[Any], Nest | None]:
        """The program inputs and then the shadows of the float leaves; and the recording that they, or `other`, are of."""
        if self._signature is not None and type(other) in _PLAIN:
            found = self._signature.with_shadows(args, shadows)
            if found is not None:
                return found, None
        nest = self._nest(args, shadows, other)
        return [*self._values(args), *self._checked_shadows(shadows, what, nest)], nest

    def _checked_values(self, args: tuple[Any, ...]) -> list[Any]:
        if not isinstance(args, (tuple, list)):
            raise ArgumentTypeError(f"args is a tuple of the arguments, such as (x,), and not a {type(args).__name__}")
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

    def _checked_shadows(self, shadows: Any, what: str, nest: Nest | None) -> list[Any]:
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
                if item is None or not isinstance(item, np.ndarray):
                    item = _new(nest, 0 if item is None else item, value.shape if item is None else (), value.dtype)
                _fits(item, value.shape, value.dtype, f"the {what} of argument {number_}", nest)
                found.append(item)
        return found

    def _zeros(self, nest: Nest | None) -> list[np.ndarray]:
        examples = [np.asarray(self._examples[self._bound[position]]) for position in self._active]
        return [_new(nest, 0, example.shape, example.dtype) for example in examples]

    @staticmethod
    def _results(kinds: Sequence[Kind], out: np.ndarray | None, nest: Nest | None) -> list[np.ndarray]:
        if out is None:
            return [np.empty(*kind) if nest is None else _new(nest, 0, *kind) for kind in kinds]
        if len(kinds) != 1:
            raise ArgumentValueError(f"out is one array, and the function returns {len(kinds)}")
        _fits(out, *kinds[0], "out", nest)
        return [out]


class _JacobianPlan:
    """A sweep over all unit tangents (or cotangents) at once, with its arrays.

    Complex numbers count as two floats each; `argument` and `value` are arrays like those of the program.
    """

    def __init__(self, kernel: Kernel, value: np.ndarray, argument: np.ndarray, columns: bool) -> None:
        self.kernel, self._columns, self._value = kernel, columns, value
        self._returns, self._takes = returns_complex(kernel.variant), argument.dtype.kind == "c"
        self.shape = (value.shape[:-1] if self._returns else value.shape) + argument.shape
        self.dtype = np.dtype(complex) if self._returns or self._takes else value.dtype
        n, m = argument.size * (1 + self._takes), value.size
        self._width = n if columns else m
        seeded, swept = (argument, value) if columns else (value, argument)
        self._seed = np.zeros((self._width, *seeded.shape), seeded.dtype)
        self._swept = np.zeros((self._width, *swept.shape), swept.dtype)

    def run(self, values: Sequence[Any], out: np.ndarray) -> None:
        """Write the Jacobian at `values` into `out`."""
        self._fill()
        self.kernel(*values, *self._ordered(self._seed, self._swept, self._value))
        self._write(self.kernel, self._swept, out)

    def run_inside(self, nest: Nest, kernel: Kernel, values: Sequence[Any], out: Any) -> None:
        """The same in a recording."""
        self._fill()
        seed, swept, value = (nest.new(x.copy()) for x in (self._seed, self._swept, self._value))
        arrays = [*values, *self._ordered(seed, swept, value)]
        kernel.run(values, lambda _: arrays)
        self._write(kernel, swept, out)

    def _fill(self) -> None:
        seeds = as_reals(self._seed).reshape(self._width, self._width)
        seeds[...] = 0.0
        np.fill_diagonal(seeds, 1.0)
        if not self._columns:
            self._swept[...] = 0.0

    def _ordered(self, seed: Any, swept: Any, value: Any) -> tuple[Any, Any, Any]:
        return (seed, value, swept) if self._columns else (swept, seed, value)

    def _write(self, kernel: Kernel, swept: Any, out: Any) -> None:
        block = as_reals(swept.reshape(self._width, -1))
        block = block.T if self._columns else block
        if self._returns or self._takes:
            block = complex_block(kernel.variant, block, self._takes)
        out[...] = block.reshape(out.shape)


def _new(nest: Nest | None, x: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A new array, of the recording where there is one."""
    if nest is not None:
        return nest.array(x, dtype) if is_traced(x) else nest.new(np.full(shape, x, dtype))
    return np.full(shape, x, dtype)


def _fits(array: Any, shape: tuple[int, ...], dtype: np.dtype, what: str, nest: Nest | None = None) -> None:
    if not isinstance(array, np.ndarray) or isinstance(array, (np.ma.MaskedArray, np.matrix)):
        raise ArgumentTypeError(
            f"{what} is a {type(array).__name__}, where an array of shape {shape} and dtype {dtype} is needed"
        )
    if array.shape != shape:
        raise ArgumentValueError(f"{what} has shape {array.shape}, where {shape} is needed")
    if array.dtype != dtype:
        raise ArgumentTypeError(f"{what} has dtype {array.dtype}, where {dtype} is needed")
    if nest is not None and not is_traced(array):
        nest.rec.fail(f"{what} is an array from outside of the function", "Make it inside, or pass it as an argument")


def _seeds(
    program: Program, kinds: Sequence[Kind], cotangent: Any, places: Sequence[np.ndarray], nest: Nest | None
) -> list[np.ndarray]:
    """Copies of the cotangents of the returned floats, in `places`; the sweep consumes them."""
    leaves = [] if cotangent is None else flatten(cotangent)[0]
    if len(leaves) != len(kinds):
        raise ArgumentValueError(f"{program.name} returns {len(kinds)} arrays or numbers; the cotangent has {len(leaves)}")
    seeds = []
    for leaf, (shape, dtype), place in zip(leaves, kinds, places, strict=True):
        if dtype.name in DIFFERENTIABLE:
            seed = np.asarray(leaf, dtype=dtype) if nest is None else nest.array(leaf, dtype)
            _fits(seed, shape, dtype, "the cotangent")
            if nest is None:
                place[...] = seed
            seeds.append(place if nest is None else seed)
    return seeds
