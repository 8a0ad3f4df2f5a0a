"""gradient, jacobian, jvp, vjp, hessian, hvp: derivatives of a function's value, on private copies of its arguments."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..containers import flatten
from ..errors import ArgumentTypeError, ArgumentValueError
from ..execute.compiled import Executable
from ..tracing.recorder import contains_traced
from ..transform.builder import FLOATS
from ..transform.forward import forward
from ..transform.reverse import reverse
from .again import LONG_WAY, remember, repeated
from .complexes import complex_blocks, complex_columns
from .inputs import Inputs, Wrt
from .kernel import (
    Variant,
    empty_results,
    function_key,
    number,
    returns_complex,
)
from .modes import AbstractMode, ForwardMode, Reverse
from .sparse import sparse_jacobian
from .sweeps import columns, copies, holomorphic, kernel_of, only_real, rows, value_at

__all__ = ["gradient", "jacobian", "jvp", "value_and_gradient", "vjp"]

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
    form = (f, wrt, mode)
    outcome = repeated(form, args)
    if outcome is not LONG_WAY:
        pair: tuple[Any, Any] = outcome
        return pair
    inputs = Inputs(f, args, wrt)
    if mode.holomorphic:
        value, blocks = holomorphic(f, inputs, mode.strong_zero)
        if value.size != 1:
            raise ArgumentTypeError(f"the function returns an array of shape {value.shape}; a gradient is of one number")
        pairs = zip(blocks, inputs.shapes(), strict=True)
        return number(value.reshape(())), inputs.structured([number(block.reshape(shape)) for block, shape in pairs])
    if isinstance(mode, ForwardMode):
        value, blocks = columns(f, inputs, real=True, strong_zero=mode.strong_zero)
        blocks = [complex_columns(b, np.iscomplexobj(x)) for b, x in zip(blocks, inputs.differentiated(), strict=True)]
        blocks = [np.moveaxis(block, 0, -1).reshape(shape) for block, shape in zip(blocks, inputs.shapes(), strict=True)]
        return number(np.reshape(value, ())), inputs.structured([number(block) for block in blocks])
    kernel = kernel_of(f, inputs, ("reverse", mode.strong_zero), partial(mode.derive, active=inputs.active, width=None))
    shadows = inputs.zeros()
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        buffer = only_real(variant)
        results[:] = empty_results(variant)
        shape = variant.primal.buffers[buffer].shape or ()
        if np.prod(shape, dtype=int) != 1:
            raise ArgumentTypeError(
                f"{variant.primal.name} returns an array of shape {shape}; a gradient is of one number: use odead.jacobian or "
                f"odead.vjp"
            )
        return [*inputs.values, *shadows, np.ones(shape, variant.primal.buffers[buffer].dtype), *results]

    kernel.run(inputs.values, assemble)
    if function_key(f) is f:
        remember(form, args, kernel, inputs)
    return number(results[0].reshape(())), inputs.structured([number(shadow) for shadow in shadows])


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
    if sparse:
        return sparse_jacobian(f, inputs)
    primal = kernel_of(f, inputs, "primal", None)
    value = value_at(primal, inputs)
    size = sum(inputs.sizes())
    blocks = columns(f, inputs)[1] if size <= value.size else rows(f, inputs, value)
    if inputs.has_complex or returns_complex(primal.variant):
        value, blocks = complex_blocks(primal.variant, inputs, value, blocks)
    return inputs.structured([b.reshape(value.shape + s) for b, s in zip(blocks, inputs.shapes(), strict=True)])


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
    kernel = kernel_of(f, inputs, "forward", partial(forward, active=inputs.active))
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
    kernel = kernel_of(f, inputs, "reverse", partial(reverse, active=inputs.active))
    bound: list[np.ndarray] = []
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        bound[:] = [x.copy() if k in variant.written else x for k, x in enumerate(inputs.values)]
        results[:] = empty_results(variant)
        return [*bound, *inputs.zeros(), *_zero_seeds(variant), *results]

    variant, executable = kernel.sweep_forward(inputs.values, assemble)
    return variant.trace.returned(copies(results)), _Pullback(f, inputs, variant, executable, bound, results)


def _zero_seeds(variant: Variant) -> list[np.ndarray]:
    buffers = [variant.primal.buffers[b] for b in variant.primal.results]
    return [np.zeros(b.shape or (), b.dtype) for b in buffers if b.dtype in FLOATS]


class _Pullback:
    """The reverse sweep of one recorded run.

    Parameters
    ----------
    f : callable
    inputs : Inputs
    variant : Variant
    executable : Executable
        It has run the forward sweep.
    values, results : list of ndarray
        What that sweep has left; nobody else may write there.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Inputs,
        variant: Variant,
        executable: Executable,
        values: list[np.ndarray],
        results: list[np.ndarray],
    ) -> None:
        self._f, self._inputs, self._variant, self._executable = f, inputs, variant, executable
        self._values, self._results = values, results

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
            return [*copies(inputs.values), *shadows, *seeds, *empty_results(variant)]

        kernel_of(self._f, inputs, "reverse", partial(reverse, active=inputs.active)).run(inputs.values, assemble)
        result = inputs.structured([number(shadow) for shadow in shadows])
        assert isinstance(result, tuple)
        return result


def _value_of(f: Callable[..., Any], inputs: Inputs) -> Any:
    """What f returns."""
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        results[:] = empty_results(variant)
        return [*copies(inputs.values), *results]

    return kernel_of(f, inputs, "primal", None).run(inputs.values, assemble).trace.returned(results)


def _cotangents(variant: Variant, inputs: Inputs, cotangent: Any) -> list[np.ndarray]:
    """Private copies of the cotangents of the returned floats."""
    program = variant.primal
    leaves = variant.trace.recorded(flatten(cotangent)[0])
    expected = [program.buffers[b] for b in program.results]
    if len(leaves) != len(expected):
        leaves = [leaf for leaf in leaves if leaf is not None]  # where the function returns None
    if len(leaves) != len(expected):
        raise ArgumentValueError(f"{program.name} returns {len(expected)} arrays or numbers; the cotangent has {len(leaves)}")
    seeds = []
    for k, (buffer, leaf) in enumerate(zip(expected, leaves, strict=True)):
        if buffer.dtype in FLOATS:
            shape, dtype = variant.returned[k]
            seeds.append(inputs.array(leaf, dtype))
            if seeds[-1].shape != shape:
                raise ArgumentValueError(f"{program.name} returns shape {shape}; the cotangent has shape {seeds[-1].shape}")
    return seeds


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)
