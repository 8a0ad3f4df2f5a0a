"""`autodiff`: a call of the user's function and of its derivative, by the one law.

See a call as a map from the entry values of all arguments to the returned value and the exit values of all mutable
arguments, with Jacobian J. Forward: each shadow holds a tangent on entry and J times it on exit. Reverse: each shadow holds the
cotangent of the exit value on entry and J-transposed times it on exit.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .activity import AbstractAnnotation, Active, Const, Duplicated
from .arguments import Arguments
from .errors import ArgumentTypeError, ArgumentValueError, OdeadWarning
from .kernel import Kernel, Variant, cached_kernel, empty_results, number
from .modes import AbstractMode, ForwardMode, Reverse
from .transform.builder import FLOATS

__all__ = ["Result", "autodiff"]


class Result(NamedTuple):
    """What the modes with primal return."""

    derivs: Any
    value: Any


def autodiff(*args: Any, **kwargs: Any) -> Any:
    """Call a function and its derivative: ``autodiff([mode,] f, [return activity,] *annotated, **kwargs)``.

    Parameters
    ----------
    mode : Forward, ForwardWithPrimal, Reverse or ReverseWithPrimal, optional
        Reverse when left out.
    f : callable
        Ordinary NumPy code; it may write into its arguments.
    return activity : Active, Const or Duplicated, optional
        Left out: Const where f returns None; in forward mode the tangent is returned; in reverse mode a returned float is
        differentiated, unless f writes into a differentiated argument (then Const, with a warning).
    *annotated : Const, Active, Duplicated, ...
        One per positional argument of f.
    **kwargs
        Go to f as Const.

    Returns
    -------
    tuple or object
        Reverse: one item per argument, the derivative for Active, None otherwise. Forward: the tangent of the returned value,
        None for a Const return. With primal: ``Result(derivs, value)``. With W lanes, derivatives are tuples of W.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        An annotation does not fit; nothing has run.
    TracingError
        f does something that cannot be recorded; the message names its line.
    """
    mode, f, return_activity, annotated = _parse(args)
    arguments = Arguments(annotated, kwargs)
    if mode.check:
        _refuse_nan(arguments)
    if isinstance(mode, ForwardMode):
        return _forward_call(mode, f, return_activity, annotated, arguments)
    return _reverse_call(mode, f, return_activity, annotated, arguments)


_RETURNS: Final = (Active, Const, Duplicated)


def _parse(args: tuple[Any, ...]) -> tuple[AbstractMode, Callable[..., Any], type[AbstractAnnotation] | None, tuple[Any, ...]]:
    mode: AbstractMode = Reverse
    if args and isinstance(args[0], AbstractMode):
        mode, args = args[0], args[1:]
    if not args:
        raise ArgumentTypeError("autodiff needs a function: autodiff([mode,] f, [return activity,] *annotated)")
    f, args = args[0], args[1:]
    if isinstance(f, Const):
        f = f.val
    elif isinstance(f, AbstractAnnotation):
        raise NotImplementedError(
            f"{type(f).__name__} on the function itself (shadows for captured arrays) is not supported yet"
        )
    if not callable(f):
        raise ArgumentTypeError(f"the function to differentiate is a {type(f).__name__}, which cannot be called")
    if args and isinstance(args[0], type) and issubclass(args[0], AbstractAnnotation):
        if args[0] not in _RETURNS:
            raise ArgumentTypeError(f"{args[0].__name__} is no return activity; use Active, Const or Duplicated")
        return mode, f, args[0], args[1:]
    return mode, f, None, args


def _refuse_nan(arguments: Arguments) -> None:
    for position, lanes in arguments.shadows.items():
        if any(np.isnan(lane).any() for lane in lanes):
            raise ArgumentValueError(f"argument {arguments.owner[position]}: its shadow contains NaN")


# ---------------------------------------------------------------------------------------------------- recorded calls


def _kernel(f: Callable[..., Any], mode: AbstractMode, arguments: Arguments) -> Kernel:
    active, width = tuple(sorted(arguments.shadows)), arguments.width
    key = (type(mode), mode.strong_zero, width, arguments.key)
    return cached_kernel(f, key, arguments.args, lambda program: mode.derive(program, active, width), arguments.kwargs)


def _distinct(arguments: Arguments) -> list[Any]:
    """The values to bind, in the order of the program's arguments."""
    values: dict[int, Any] = {}
    for position, leaf in zip(arguments.positions, arguments.bound, strict=True):
        values.setdefault(position, leaf)
    return [values[k] for k in range(len(values))]


class _Shadows:
    """The shadows of a call as the arrays that the program binds: one per position, lanes stacked."""

    def __init__(self, arguments: Arguments) -> None:
        self._width = arguments.width
        leaves = dict(zip(arguments.positions, arguments.bound, strict=True))
        self._given = dict(sorted(arguments.shadows.items()))
        self.arrays = {position: self._bind(leaves[position], lanes) for position, lanes in self._given.items()}

    def _bind(self, leaf: Any, lanes: tuple[Any, ...]) -> np.ndarray:
        if not lanes:  # Active
            shape = np.shape(leaf)
            return np.zeros(shape if self._width is None else (self._width, *shape))
        if self._width is not None:
            return np.stack([np.asarray(lane) for lane in lanes])
        return lanes[0] if isinstance(lanes[0], np.ndarray) else np.array(float(lanes[0]))

    def give_back(self) -> None:
        """Copy stacked lanes into the caller's shadows."""
        if self._width is not None:
            for position, lanes in self._given.items():
                for lane, array in zip(lanes, self.arrays[position], strict=False):
                    if isinstance(lane, np.ndarray):
                        lane[...] = array

    def derivative(self, position: int, lane: int) -> Any:
        array = self.arrays[position]
        return number(array if self._width is None else array[lane])


# ---------------------------------------------------------------------------------------------------- the two modes


def _forward_call(
    mode: AbstractMode,
    f: Callable[..., Any],
    activity: type[AbstractAnnotation] | None,
    annotated: Sequence[AbstractAnnotation],
    arguments: Arguments,
) -> Any:
    for number_, annotation in enumerate(annotated):
        if isinstance(annotation, Active):
            raise ArgumentTypeError(f"argument {number_}: Active is for reverse mode; in forward mode write Duplicated(x, dx)")
    kernel = _kernel(f, mode, arguments)
    values, shadows = _distinct(arguments), _Shadows(arguments)
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        results[:] = empty_results(variant)
        return [*values, *shadows.arrays.values(), *results]

    variant = kernel.run(values, assemble)
    shadows.give_back()
    primal, tangents = results[: len(variant.primal.results)], results[len(variant.primal.results) :]
    derivative = None if activity is Const else _tangent(variant, tangents, arguments.width)
    return Result(derivative, variant.trace.returned(primal)) if mode.with_primal else derivative


def _tangent(variant: Variant, tangents: list[np.ndarray], width: int | None) -> Any:
    """The tangent in the structure of the returned value; its inactive leaves get None."""
    lanes = iter(tangents)
    floats = [variant.primal.buffers[b].dtype in FLOATS for b in variant.primal.results]
    arrays = [next(lanes) if is_float else None for is_float in floats]
    if not arrays:
        return None
    if width is None:
        return variant.trace.returned(arrays)
    return tuple(variant.trace.returned([None if a is None else a[lane] for a in arrays]) for lane in range(width))


def _reverse_call(
    mode: AbstractMode,
    f: Callable[..., Any],
    activity: type[AbstractAnnotation] | None,
    annotated: Sequence[AbstractAnnotation],
    arguments: Arguments,
) -> Any:
    kernel = _kernel(f, mode, arguments)
    values, shadows = _distinct(arguments), _Shadows(arguments)
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        seeds = _seeds(variant, _return_activity(variant, activity, arguments), arguments.width)
        results[:] = empty_results(variant)
        return [*values, *shadows.arrays.values(), *seeds, *results]

    variant = kernel.run(values, assemble)
    shadows.give_back()
    derivs = _active_derivatives(annotated, arguments, shadows)
    return Result(derivs, variant.trace.returned(results)) if mode.with_primal else derivs


def _active_derivatives(annotated: Sequence[AbstractAnnotation], arguments: Arguments, shadows: _Shadows) -> tuple[Any, ...]:
    """One item per argument: the derivative for Active, None otherwise."""
    positions = iter(arguments.positions)
    derivs: list[Any] = []
    for annotation, leaves, structure in zip(annotated, arguments.leaves, arguments.structures, strict=True):
        taken = [next(positions) if bound else None for _, bound in leaves]
        if not isinstance(annotation, Active):
            derivs.append(None)
            continue
        lanes = [
            structure.unflatten(
                [leaf if p is None else shadows.derivative(p, lane) for (leaf, _), p in zip(leaves, taken, strict=True)]
            )
            for lane in range(arguments.width or 1)
        ]
        derivs.append(lanes[0] if arguments.width is None else tuple(lanes))
    return tuple(derivs)


def _return_activity(
    variant: Variant, activity: type[AbstractAnnotation] | None, arguments: Arguments
) -> type[AbstractAnnotation]:
    """What is differentiated of the returned value in reverse mode."""
    program = variant.primal
    if activity is Duplicated:
        raise ArgumentTypeError("the return activity Duplicated is for forward mode; in reverse mode use Active or Const")
    if activity is Const or not program.results:
        return Const
    returned = [program.buffers[b] for b in program.results]
    if len(returned) > 1 or returned[0].shape:
        if activity is None and not any(buffer.dtype in FLOATS for buffer in returned):
            return Const
        raise ArgumentTypeError(
            f"{program.name} returns {'an array' if len(returned) == 1 else 'several values'}, and reverse mode starts from one "
            f"number; use odead.vjp(f, *args) for a cotangent of your own, odead.jacobian(f, *args) for all of it, or Const to "
            f"ignore it"
        )
    if returned[0].dtype not in FLOATS:
        return Const
    if activity is None and _writes_differentiated(variant, arguments):
        warnings.warn(
            f"{program.name} writes into a differentiated argument and returns a number; the number is taken as Const. "
            f"Write autodiff(f, Active, ...) to differentiate it too, autodiff(f, Const, ...) to say that this is meant",
            OdeadWarning, stacklevel=5,
        )  # fmt: skip
        return Const
    return Active


def _writes_differentiated(variant: Variant, arguments: Arguments) -> bool:
    program = variant.primal
    differentiated = {program.arguments[position] for position in arguments.shadows}
    return any(out is not None and out.buffer in differentiated for out in program.out)


def _seeds(variant: Variant, activity: type[AbstractAnnotation], width: int | None) -> list[np.ndarray]:
    """The cotangents of the returned floats: 1 in each lane for Active, 0 for Const."""
    seed = 1.0 if activity is Active else 0.0
    lanes = () if width is None else (width,)
    returned = [variant.primal.buffers[b] for b in variant.primal.results]
    return [np.full((*lanes, *(b.shape or ())), seed, b.dtype) for b in returned if b.dtype in FLOATS]
