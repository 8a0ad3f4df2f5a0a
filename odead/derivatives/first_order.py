"""gradient, jacobian, jvp, vjp, hessian, hvp: derivatives of a function's value, on private copies of its arguments."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.sparse

from ..containers import flatten
from ..errors import ArgumentTypeError, ArgumentValueError
from ..tape import Program
from ..tracing.recorder import contains_traced
from ..transform.builder import FLOATS
from ..transform.colouring import Colouring
from ..transform.forward import forward
from ..transform.reverse import reverse
from ..transform.sparsity import pattern
from .complexes import as_reals, complex_blocks, complex_columns
from .inputs import Inputs, Wrt
from .kernel import (
    Derive,
    Kernel,
    Variant,
    cached_kernel,
    empty_results,
    number,
    returned_type,
    returns_complex,
)
from .modes import AbstractMode, ForwardMode, Reverse

__all__ = ["gradient", "jacobian", "jvp", "sparsity", "value_and_gradient", "vjp"]

LANES: Final = 32  # columns or rows of a dense Jacobian per sweep: enough to amortise the primal, few enough to stay in cache


def _kernel(f: Callable[..., Any], inputs: Inputs, what: Hashable, derive: Derive | None) -> Kernel:
    return cached_kernel(f, (what, inputs.key), inputs.args, derive, nest=inputs.nest)


# ---------------------------------------------------------------------------------------------------- gradient


def gradient(f: Callable[..., Any], *args: Any, wrt: Wrt = 0, mode: AbstractMode = Reverse) -> Any:
    """Gradient of a function that returns one number.

    Parameters
    ----------
    f : callable
        Ordinary NumPy code; what it returns has size 1.
    *args
        Where to differentiate; not changed.
    wrt : int or tuple of int
        With respect to which arguments.
    mode : Reverse or Forward
        With ``holomorphic=True`` f is a holomorphic function of complex arguments and returns one complex number.

    Returns
    -------
    same structure, shapes and dtypes as the argument
        A tuple of them when `wrt` is a tuple. The gradient with respect to z = x + i y is u_x + i u_y; in holomorphic mode
        it is the complex derivative.

    Raises
    ------
    ArgumentTypeError
        f returns something else than one real number; in holomorphic mode, its derivatives at this place contradict the
        Cauchy-Riemann equations, or an argument is real.
    TracingError
        f does something that cannot be recorded.
    """
    return value_and_gradient(f, *args, wrt=wrt, mode=mode)[1]


def value_and_gradient(f: Callable[..., Any], *args: Any, wrt: Wrt = 0, mode: AbstractMode = Reverse) -> tuple[Any, Any]:
    """Value and gradient of a function that returns one number; as `gradient`."""
    inputs = Inputs(f, args, wrt)
    if mode.holomorphic:
        value, blocks = holomorphic(f, inputs)
        if value.size != 1:
            raise ArgumentTypeError(f"the function returns an array of shape {value.shape}; a gradient is of one number")
        pairs = zip(blocks, inputs.shapes(), strict=True)
        return number(value.reshape(())), inputs.structured([number(block.reshape(shape)) for block, shape in pairs])
    if isinstance(mode, ForwardMode):
        value, rows = _columns(f, inputs, real=True)
        rows = [complex_columns(block, np.iscomplexobj(x)) for block, x in zip(rows, inputs.differentiated(), strict=True)]
        blocks = [np.moveaxis(block, 0, -1).reshape(shape) for block, shape in zip(rows, inputs.shapes(), strict=True)]
        return number(np.reshape(value, ())), inputs.structured([number(block) for block in blocks])
    kernel = _kernel(f, inputs, ("reverse", mode.strong_zero), partial(mode.derive, active=inputs.active, width=None))
    shadows = inputs.zeros()
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        buffer = _only_real(variant)
        results[:] = empty_results(variant)
        shape = variant.primal.buffers[buffer].shape or ()
        if np.prod(shape, dtype=int) != 1:
            raise ArgumentTypeError(
                f"{variant.primal.name} returns an array of shape {shape}; a gradient is of one number: use odead.jacobian or "
                f"odead.vjp"
            )
        return [*inputs.values, *shadows, np.ones(shape, variant.primal.buffers[buffer].dtype), *results]

    kernel.run(inputs.values, assemble)
    return number(results[0].reshape(())), inputs.structured([number(shadow) for shadow in shadows])


def _only_float(program: Program) -> int:
    """The buffer of the one value that the function returns."""
    if len(program.results) == 1 and program.buffers[program.results[0]].dtype in FLOATS:
        return program.results[0]
    if not program.results:
        what = f"{program.name} returns nothing to differentiate; return a float, for instance an entry of an array it writes"
    elif len(program.results) > 1:
        what = f"{program.name} returns several values; return one"
    else:
        what = f"{program.name} returns {program.buffers[program.results[0]].dtype}, which has no derivative; return floats"
    raise ArgumentTypeError(what)


def _only_real(variant: Variant) -> int:
    """As `_only_float`, and not complex."""
    if returns_complex(variant):
        raise ArgumentTypeError(
            f"{variant.primal.name} returns complex numbers; return a real one, such as abs(z)**2 or z.real, or write "
            f"mode=Reverse(holomorphic=True) for the complex derivative of a holomorphic function"
        )
    return _only_float(variant.primal)


# ---------------------------------------------------------------------------------------------------- jacobian


def jacobian(f: Callable[..., Any], *args: Any, wrt: Wrt = 0, sparse: bool = False) -> Any:
    """Jacobian of a function that returns one array.

    Parameters
    ----------
    f, *args, wrt
        As in `gradient`; f returns an array of floats or complex numbers. With respect to z = x + i y, rows are u_x + i u_y;
        a complex function of complex arguments must be holomorphic, and its Jacobian is the complex derivative.
    sparse : bool
        Detect the structural pattern, colour it, and differentiate all columns (or rows, whichever needs fewer sweeps) of a
        colour at once.

    Returns
    -------
    ndarray (*out.shape, *in.shape) or scipy.sparse.csr_array (out.size, in.size)
        In the structure of the argument; a tuple when `wrt` is a tuple.
    """
    inputs = Inputs(f, args, wrt)
    if sparse and inputs.nest is not None:
        raise NotImplementedError("sparse=True inside a function that is itself being differentiated: use a dense jacobian")
    if sparse:
        return _sparse_jacobian(f, inputs)
    primal = _kernel(f, inputs, "primal", None)
    value = _value(primal, inputs)
    size = sum(inputs.sizes())
    blocks = _columns(f, inputs)[1] if size <= value.size else _rows(f, inputs, value)
    if inputs.has_complex or returns_complex(primal.variant):
        value, blocks = complex_blocks(primal.variant, inputs, value, blocks)
    return inputs.structured([b.reshape(value.shape + s) for b, s in zip(blocks, inputs.shapes(), strict=True)])


def _value(kernel: Kernel, inputs: Inputs) -> np.ndarray:
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        _only_float(variant.primal)
        results[:] = empty_results(variant)
        return [*(v.copy() if isinstance(v, np.ndarray) else v for v in inputs.values), *results]

    kernel.run(inputs.values, assemble)
    return results[0]


def holomorphic(f: Callable[..., Any], inputs: Inputs) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value, and per differentiated leaf the complex derivative (out.size, in.size); checked to be one."""
    kernel = _kernel(f, inputs, "primal", None)
    value = _value(kernel, inputs)
    if not returns_complex(kernel.variant) or not all(map(np.iscomplexobj, inputs.differentiated())):
        raise ArgumentTypeError(
            f"{kernel.primal.name}: a holomorphic function has complex arguments and returns complex numbers; for real ones "
            f"leave holomorphic=True out"
        )
    columns = sum(inputs.sizes()) <= value.size
    return complex_blocks(kernel.variant, inputs, value, _columns(f, inputs)[1] if columns else _rows(f, inputs, value))


def _columns(f: Callable[..., Any], inputs: Inputs, real: bool = False) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value, and per differentiated leaf the block (out.size, in.size), by forward sweeps over unit tangents.

    Complex numbers count as two floats. With `real`, the function must return real numbers.
    """
    sizes = inputs.sizes()
    total = sum(sizes)
    width = max(1, min(total, LANES))
    kernel = _kernel(f, inputs, ("forward", width), partial(forward, active=inputs.active, width=width))
    value = np.empty(0)
    rows: list[np.ndarray] = []
    for start in range(0, max(total, 1), width):
        seeds = _unit_rows(start, width, sizes, inputs)
        results: list[np.ndarray] = []

        def assemble(variant: Variant, seeds: list[np.ndarray] = seeds, results: list[np.ndarray] = results) -> list[Any]:
            _only_real(variant) if real else _only_float(variant.primal)
            results[:] = empty_results(variant)
            return [*_copies(inputs.values), *seeds, *results]

        kernel.run(inputs.values, assemble)
        value = results[0]
        rows.append(results[1].reshape(width, -1)[: total - start])
    columns = np.concatenate(rows).T
    return value, np.split(columns, np.cumsum(sizes)[:-1], axis=1)


def _rows(f: Callable[..., Any], inputs: Inputs, value: np.ndarray) -> list[np.ndarray]:
    """Per differentiated leaf the block (out.size, in.size), by reverse sweeps over unit cotangents."""
    width = max(1, min(value.size, LANES))
    kernel = _kernel(f, inputs, ("reverse", width), partial(reverse, active=inputs.active, width=width))
    blocks: list[list[np.ndarray]] = [[] for _ in inputs.active]
    for start in range(0, value.size, width):
        seed = np.eye(width, value.size, start, dtype=value.dtype).reshape(width, *value.shape)
        shadows = inputs.zeros(width)

        def assemble(variant: Variant, shadows: list[np.ndarray] = shadows, seed: np.ndarray = seed) -> list[Any]:
            return [*_copies(inputs.values), *shadows, seed.copy(), *empty_results(variant)]

        kernel.run(inputs.values, assemble)
        for block, shadow in zip(blocks, shadows, strict=True):
            block.append(as_reals(shadow.reshape(width, -1))[: value.size - start])
    return [np.concatenate(block) for block in blocks]


def _copies(values: Sequence[Any]) -> list[Any]:
    """For functions that write into their arguments, each sweep starts from the entry values."""
    return [value.copy() if isinstance(value, np.ndarray) else value for value in values]


def _unit_rows(start: int, width: int, sizes: Sequence[int], inputs: Inputs) -> list[np.ndarray]:
    """Rows start ... start + width of the identity, split over the differentiated leaves."""
    unit = np.eye(width, sum(sizes), start)
    parts = np.split(unit, np.cumsum(sizes)[:-1], axis=1)
    pairs = zip(parts, inputs.zeros(width), strict=True)
    return [np.ascontiguousarray(part, as_reals(zero).dtype).view(zero.dtype).reshape(zero.shape) for part, zero in pairs]


# ---------------------------------------------------------------------------------------------------- sparse jacobian


def sparsity(f: Callable[..., Any], *args: Any, wrt: int = 0) -> scipy.sparse.csr_array:
    """Structural pattern of the Jacobian: which output elements can depend on which input elements, whatever the values.

    Returns
    -------
    scipy.sparse.csr_array of bool (out.size, in.size)
    """
    inputs = Inputs(f, args, wrt)
    kernel = _kernel(f, inputs, "primal", None)
    _value(kernel, inputs)
    _refuse_complex(kernel, inputs)
    return _pattern(kernel.primal, inputs)


def _pattern(program: Program, inputs: Inputs) -> scipy.sparse.csr_array:
    return pattern(program, [program.whole(_only_float(program))], [program.whole(program.arguments[k]) for k in inputs.active])


class _Compressed:
    """Derives the sweep over all colours at once, and keeps the colouring of each program it was derived from."""

    def __init__(self, inputs: Inputs) -> None:
        self._active = tuple(inputs.active)
        self._colourings: dict[Program, Colouring] = {}

    def __call__(self, program: Program) -> Program:
        entries = [program.whole(program.arguments[k]) for k in self._active]
        plan = Colouring.of(pattern(program, [program.whole(_only_float(program))], entries))
        self._colourings[program] = plan
        return (forward if plan.columns else reverse)(program, self._active, max(plan.count, 1))

    def plan(self, variant: Variant) -> Colouring:
        return self._colourings[variant.primal]


def _refuse_complex(kernel: Kernel, inputs: Inputs) -> None:
    if inputs.has_complex or returns_complex(kernel.variant):
        raise NotImplementedError(
            f"{kernel.primal.name}: sparsity patterns are of real functions; pass and return real and imaginary part, or use "
            f"the dense odead.jacobian"
        )


def _sparse_jacobian(f: Callable[..., Any], inputs: Inputs) -> Any:
    if inputs.has_complex:
        _refuse_complex(_kernel(f, inputs, "primal", None), inputs)
    kernel = _kernel(f, inputs, "sparse", _Compressed(inputs))
    _refuse_complex(kernel, inputs)
    compressed = kernel.derive
    assert isinstance(compressed, _Compressed)
    swept: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        plan, results = compressed.plan(variant), empty_results(variant)
        width = max(plan.count, 1)
        if plan.columns:
            swept[:] = results[1:]
            return [*_copies(inputs.values), *_seeded(inputs, plan, width), *results]
        swept[:] = inputs.zeros(width)
        buffer = variant.primal.buffers[_only_float(variant.primal)]
        seed = np.zeros((width, buffer.size), buffer.dtype)
        seed[: plan.count] = plan.seeds(buffer.dtype)
        return [*_copies(inputs.values), *swept, seed.reshape(width, *(buffer.shape or ())), *results]

    plan = compressed.plan(kernel.run(inputs.values, assemble))
    products = np.concatenate([block.reshape(len(block), -1) for block in swept], axis=1)
    whole = plan.decompress(products[: plan.count])
    ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in inputs.shapes()])
    starts = [0, *ends[:-1]]
    return inputs.structured([whole[:, a:b] if len(ends) > 1 else whole for a, b in zip(starts, ends, strict=True)])


def _seeded(inputs: Inputs, plan: Colouring, width: int) -> list[np.ndarray]:
    """One tangent per colour, split over the differentiated leaves."""
    shadows = inputs.zeros(width)
    flat = [shadow.reshape(width, -1) for shadow in shadows]
    parts = np.split(plan.seeds(), np.cumsum([part.shape[1] for part in flat])[:-1], axis=1)
    for shadow, part in zip(flat, parts, strict=True):
        shadow[: plan.count] = part
    return shadows


# ---------------------------------------------------------------------------------------------------- products


def jvp(f: Callable[..., Any], xs: Any, vs: Any) -> tuple[Any, Any]:
    """Jacobian times vector.

    Parameters
    ----------
    f : callable
    xs : tuple
        The arguments of f; anything else than a tuple is the only argument.
    vs : tuple
        Their tangents, of the same structure and shapes.

    Returns
    -------
    value, tangent
    """
    xs, vs = _as_tuple(xs), _as_tuple(vs)
    if len(xs) != len(vs):
        raise ArgumentValueError(f"there are {len(xs)} arguments and {len(vs)} tangents")
    inputs = Inputs(f, xs, None, vs)
    kernel = _kernel(f, inputs, "forward", partial(forward, active=inputs.active))
    tangents = inputs.shadows_of(vs)
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        results[:] = empty_results(variant)
        return [*inputs.values, *tangents, *results]

    variant = kernel.run(inputs.values, assemble)
    n = len(variant.primal.results)
    shadows = iter(results[n:])
    floats = [next(shadows) if variant.primal.buffers[b].dtype in FLOATS else None for b in variant.primal.results]
    return variant.trace.returned(results[:n]), variant.trace.returned(floats)


def vjp(f: Callable[..., Any], *xs: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Value and pullback.

    Returns
    -------
    value
        What f returns.
    pullback : callable
        From a cotangent of the value's structure and shape to a tuple, one item per x. May be called again with the same
        result, and stays valid when the xs are overwritten later.
    """
    inputs = Inputs(f, xs, None)
    if inputs.nest is not None:
        return _value_of(f, inputs), _PullbackInside(f, inputs)
    kernel = _kernel(f, inputs, "reverse", partial(reverse, active=inputs.active))
    results: list[np.ndarray] = []
    shadows = inputs.zeros()

    def assemble(variant: Variant) -> list[Any]:
        results[:] = empty_results(variant)
        return [*_copies(inputs.values), *shadows, *_zero_seeds(variant), *results]

    variant = kernel.run(inputs.values, assemble)
    return variant.trace.returned(results), _Pullback(f, variant, inputs)


def _zero_seeds(variant: Variant) -> list[np.ndarray]:
    buffers = [variant.primal.buffers[b] for b in variant.primal.results]
    return [np.zeros(b.shape or (), b.dtype) for b in buffers if b.dtype in FLOATS]


class _Pullback:
    """The reverse sweep of one recorded run, with values of its own."""

    def __init__(self, f: Callable[..., Any], variant: Variant, inputs: Inputs) -> None:
        self._f, self._variant, self._inputs = f, variant, inputs
        self._executable = variant.executable.clone()
        self._values = _copies(inputs.values)
        self._results = empty_results(variant)
        arrays = [*self._values, *inputs.zeros(), *_zero_seeds(variant), *self._results]
        missed = self._executable.run(arrays, "forward")
        assert missed < 0, "the forward sweep took another way than a moment ago"

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        """Transposed Jacobian times `cotangent`, one item per argument."""
        if contains_traced(flatten(cotangent)[0]):  # called in a recording, of a run outside of it
            return _PullbackInside(self._f, Inputs(self._f, self._inputs.args, None, cotangent))(cotangent)
        seeds = _cotangents(self._variant, self._inputs, cotangent)
        shadows = self._inputs.zeros()
        self._executable.run([*self._values, *shadows, *seeds, *self._results], "reverse")
        result = self._inputs.structured([number(shadow) for shadow in shadows])
        assert isinstance(result, tuple)
        return result


class _PullbackInside:
    """The pullback in a recording: the whole program is written out at each call, and repetitions drop out of it."""

    def __init__(self, f: Callable[..., Any], inputs: Inputs) -> None:
        self._f, self._inputs = f, inputs

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        """Transposed Jacobian times `cotangent`, one item per argument."""
        inputs = self._inputs
        shadows = inputs.zeros()

        def assemble(variant: Variant) -> list[Any]:
            seeds = _cotangents(variant, inputs, cotangent)
            return [*_copies(inputs.values), *shadows, *seeds, *empty_results(variant)]

        _kernel(self._f, inputs, "reverse", partial(reverse, active=inputs.active)).run(inputs.values, assemble)
        result = inputs.structured([number(shadow) for shadow in shadows])
        assert isinstance(result, tuple)
        return result


def _value_of(f: Callable[..., Any], inputs: Inputs) -> Any:
    """What f returns."""
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        results[:] = empty_results(variant)
        return [*_copies(inputs.values), *results]

    return _kernel(f, inputs, "primal", None).run(inputs.values, assemble).trace.returned(results)


def _cotangents(variant: Variant, inputs: Inputs, cotangent: Any) -> list[np.ndarray]:
    """Private copies of the cotangents of the returned floats."""
    program = variant.primal
    leaves = flatten(cotangent)[0]
    expected = [program.buffers[b] for b in program.results]
    if len(leaves) != len(expected):
        leaves = [leaf for leaf in leaves if leaf is not None]  # where the function returns None
    if len(leaves) != len(expected):
        raise ArgumentValueError(f"{program.name} returns {len(expected)} arrays or numbers; the cotangent has {len(leaves)}")
    seeds = []
    for k, (buffer, leaf) in enumerate(zip(expected, leaves, strict=True)):
        if buffer.dtype in FLOATS:
            shape, dtype = returned_type(variant, k)
            seeds.append(inputs.array(leaf, dtype))
            if seeds[-1].shape != shape:
                raise ArgumentValueError(f"{program.name} returns shape {shape}; the cotangent has shape {seeds[-1].shape}")
    return seeds


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)
