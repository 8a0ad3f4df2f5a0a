"""`autodiff`: a call of the user's function and of its derivative, by the one law.

See a call as a map from the entry values of all arguments to the returned value and the exit values of all mutable
arguments, with Jacobian J. Forward: each shadow holds a tangent on entry and J times it on exit. Reverse: each shadow holds the
cotangent of the exit value on entry and J-transposed times it on exit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..activity import AbstractAnnotation, Active, BatchDuplicated, Const, Duplicated, DuplicatedNoNeed
from ..errors import ArgumentTypeError, warn
from ..execute.compiled import Signature, disjoint
from ..transform.builder import FLOATS
from .arguments import Arguments
from .call import Call, Parsed, refuse_unfit
from .inside import bind_inside
from .kernel import KEPT, Kernel, Variant, cached_kernel, empty_results, function_key, number, returns_complex
from .modes import AbstractMode, ForwardMode, Reverse
from .nested import nest_of

__all__ = ["Parsed", "Result", "autodiff", "parse"]


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
        Ordinary NumPy code; it may write into its arguments. Arrays that it holds (closure cells, attributes) are read at each
        call; ``Duplicated(f, odead.make_zero(f))`` differentiates them, ``Const(f)`` lets it write into them.
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
    outcome = _LONG_WAY if kwargs else _repeated(args)
    if outcome is not _LONG_WAY:
        return outcome
    parsed = parse(args)
    for name, value in kwargs.items():
        if isinstance(value, AbstractAnnotation):
            raise ArgumentTypeError(
                f"keyword argument {name} is a {type(value).__name__}: keyword arguments are Const; pass it as a positional "
                f"argument"
            )
    given = [(a.val, *a.shadows) for a in parsed.annotated if isinstance(a, AbstractAnnotation)]
    nest = nest_of(parsed.f, given, kwargs)
    call = _bind(args, parsed, kwargs) if nest is None else bind_inside(nest, parsed, kwargs)
    return _run(parsed.mode, call, parsed.activity)


_RETURNS: Final = (Active, Const, Duplicated)


def parse(args: tuple[Any, ...]) -> Parsed:
    """Tell the positional arguments of `autodiff` apart."""
    mode: AbstractMode = Reverse
    if args and isinstance(args[0], AbstractMode):
        mode, args = args[0], args[1:]
    if not args:
        raise ArgumentTypeError("autodiff needs a function: autodiff([mode,] f, [return activity,] *annotated)")
    f, args = args[0], args[1:]
    function = f if isinstance(f, AbstractAnnotation) else None
    if function is not None:
        f = function.val
        if not isinstance(function, (Const, Duplicated, BatchDuplicated)):
            raise ArgumentTypeError(
                f"{type(function).__name__} on the function itself: write Duplicated(f, odead.make_zero(f)) to differentiate "
                f"the arrays that it holds, Const(f) otherwise"
            )
    if not callable(f):
        raise ArgumentTypeError(f"the function to differentiate is a {type(f).__name__}, which cannot be called")
    if args and isinstance(args[0], type) and issubclass(args[0], AbstractAnnotation):
        if args[0] not in _RETURNS:
            raise ArgumentTypeError(f"{args[0].__name__} is no return activity; use Active, Const or Duplicated")
        return Parsed(mode, f, function, args[0], args[1:])
    return Parsed(mode, f, function, None, args)


# ---------------------------------------------------------------------------------------------------- binding


def _bind(args: tuple[Any, ...], parsed: Parsed, kwargs: dict[str, Any]) -> Call:
    mode, f, function, _, annotated = parsed
    arguments = Arguments(f, annotated, kwargs, function)
    refuse_unfit(mode, arguments, annotated)
    active, width = tuple(sorted(arguments.shadows)), arguments.width
    key = (type(mode), mode.strong_zero, width, arguments.key, arguments.unneeded)
    derive = partial(mode.derive_without, active=active, width=width, unneeded=arguments.unneeded)
    kernel = cached_kernel(f, key, arguments.args, derive, kwargs, arguments.held)
    if not kwargs and function is None and function_key(f) is f and _Repeatable.fits(parsed):
        if len(_RECENT) >= KEPT:
            _RECENT.clear()
        _RECENT[_form(args)] = _Repeatable(parsed, len(args) - len(annotated), kernel, active)
    values = arguments.values()
    shadows = [_shadow(values[position], arguments.shadows[position], width) for position in active]
    return Call(kernel, values, shadows, annotated, active, arguments, function is None)


def _refuse_results(variant: Variant, call: Call) -> None:
    """A bare function that writes results into arrays it has captured: their derivatives would be lost."""
    if call.is_bare and variant.trace.unread:
        raise ArgumentTypeError(
            f"{variant.primal.name} writes into {', '.join(variant.trace.unread)}, which it has captured: the array and its "
            f"derivative would be lost. Write Duplicated(f, odead.make_zero(f)) for the function f to differentiate what it "
            f"holds, Const(f) where that has no derivative; pass a global array as an argument"
        )


def _shadow(leaf: Any, lanes: tuple[Any, ...], width: int | None) -> np.ndarray:
    """The array that the program binds for the shadow of a leaf: the caller's own where there is one lane."""
    if not lanes:  # Active
        return np.zeros(np.shape(leaf) if width is None else (width, *np.shape(leaf)), np.asarray(leaf).dtype)
    if width is not None:
        return np.stack([np.asarray(lane, None if isinstance(lane, np.ndarray) else np.asarray(leaf).dtype) for lane in lanes])
    return lanes[0] if isinstance(lanes[0], np.ndarray) else np.array(lanes[0], np.asarray(leaf).dtype)


class _Repeatable:
    """A call of plain arrays and floats, kept so that the same call with other arrays is bound in 0.3 us instead of 20.

    It takes what needs no second look: arrays of the same shapes, strides and dtypes of which no two can share memory. Nothing
    of that is being recorded: neither was the function, nor are plain arrays. All else goes the long way, which raises or
    finds the kernel that fits.

    Parameters
    ----------
    parsed : Parsed
        The first such call.
    first : int
        Where the annotations begin among its positional arguments.
    kernel : Kernel
    active : tuple of int
        The positions that have a shadow.
    """

    __slots__ = ("_active", "_activity", "_first", "_kernel", "_mode", "_outcome", "_signature")

    def __init__(self, parsed: Parsed, first: int, kernel: Kernel, active: tuple[int, ...]) -> None:
        self._mode, self._activity, self._first, self._kernel, self._active = (
            parsed.mode,
            parsed.activity,
            first,
            kernel,
            active,
        )
        self._signature = Signature([a.val for a in parsed.annotated], active, strides=True)
        derivs = None if isinstance(parsed.mode, ForwardMode) else (None,) * len(parsed.annotated)
        self._outcome = Result(derivs, None) if parsed.mode.with_primal else derivs  # where the function returns None

    @staticmethod
    def fits(parsed: Parsed) -> bool:
        mode, annotated = parsed.mode, parsed.annotated
        values = [a.val for a in annotated]
        return (
            not (mode.check or mode.holomorphic)
            and all(type(a) in _REPEATABLE for a in annotated)
            and Signature.describes(values)
            and all(type(a.val) is np.ndarray and a.val.dtype.name in FLOATS for a in annotated if type(a) is not Const)
            and disjoint(*values, *[shadow for a in annotated for shadow in a.shadows])
        )

    def run(self, args: tuple[Any, ...]) -> Any:
        """The outcome of the call; `_LONG_WAY` where it is another one."""
        arrays = self._signature.of_annotated(args, self._first)
        if arrays is None:
            return _LONG_WAY
        if (self._activity is None or self._activity is Const) and self._kernel.run_again(arrays):
            return self._outcome
        annotated = args[self._first :]
        count = len(annotated)
        call = Call(self._kernel, arrays[:count], arrays[count:], annotated, self._active, None)
        return _run(self._mode, call, self._activity)


_REPEATABLE: Final = frozenset({Const, Duplicated, DuplicatedNoNeed})
_RECENT: Final[dict[Any, _Repeatable]] = {}  # by the form of the call
_LONG_WAY: Final = object()


def _form(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a call with the annotations' types in their place."""
    return tuple([type(arg) if type(arg) in _REPEATABLE else arg for arg in args])


def _repeated(args: tuple[Any, ...]) -> Any:
    """The outcome of a call like one before it; `_LONG_WAY` if it is not."""
    try:
        recent = _RECENT.get(_form(args))
    except TypeError:  # something among them has no hash
        return _LONG_WAY
    return _LONG_WAY if recent is None else recent.run(args)


# ---------------------------------------------------------------------------------------------------- the two modes


def _run(mode: AbstractMode, call: Call, activity: type[AbstractAnnotation] | None) -> Any:
    return _forward(mode, call, activity) if isinstance(mode, ForwardMode) else _reverse(mode, call, activity)


def _forward(mode: AbstractMode, call: Call, activity: type[AbstractAnnotation] | None) -> Any:
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        _refuse_results(variant, call)
        results[:] = empty_results(variant)
        return [*call.values, *call.shadows, *results]

    variant = call.kernel.run(call.values, assemble)
    _give_back(call)
    primal, tangents = results[: len(variant.primal.results)], results[len(variant.primal.results) :]
    derivative = None if activity is Const else _tangent(variant, tangents, call.width)
    return Result(derivative, variant.trace.returned(primal)) if mode.with_primal else derivative


def _tangent(variant: Variant, tangents: list[np.ndarray], width: int | None) -> Any:
    """The tangent in the structure of the returned value; its inactive leaves get None."""
    if not tangents:
        return None
    lanes = iter(tangents)
    arrays = [next(lanes) if variant.primal.buffers[b].dtype in FLOATS else None for b in variant.primal.results]
    if width is None:
        return variant.trace.returned(arrays)
    return tuple(variant.trace.returned([None if a is None else a[lane] for a in arrays]) for lane in range(width))


def _reverse(mode: AbstractMode, call: Call, activity: type[AbstractAnnotation] | None) -> Any:
    results: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        _refuse_results(variant, call)
        seeds = _seeds(variant, _return_activity(variant, activity, call.active, mode), call.width)
        results[:] = empty_results(variant)
        return [*call.values, *call.shadows, *seeds, *results]

    with _conjugated(call) if mode.holomorphic else nullcontext():
        variant = call.kernel.run(call.values, assemble)
    _give_back(call)
    _give_back_numbers(call)
    derivs = (None,) * call.count if call.arguments is None else _active_derivatives(call, call.arguments)[: call.count]
    return Result(derivs, variant.trace.returned(results)) if mode.with_primal else derivs


def _give_back(call: Call) -> None:
    """Copy stacked lanes into the caller's shadows."""
    if call.arguments is not None and call.width is not None:
        for position, array in zip(call.active, call.shadows, strict=True):
            for lane, values in zip(call.arguments.shadows[position], array, strict=False):
                if isinstance(lane, np.ndarray):
                    lane[...] = values
    if call.arguments is not None:
        call.arguments.give_back()


def _give_back_numbers(call: Call) -> None:
    """Put the derivatives of numbers in lists, dicts and dataclasses into the caller's shadows."""
    if call.arguments is not None and call.arguments.numbers:
        arrays = dict(zip(call.active, call.shadows, strict=True))
        for position, lanes in call.arguments.numbers.items():
            for place, value in zip(lanes, arrays[position].reshape(-1), strict=True):
                assert place is not None
                place.put(value.item())


def _active_derivatives(call: Call, arguments: Arguments) -> tuple[Any, ...]:
    """One item per argument: the derivative for Active, None otherwise."""
    arrays: dict[int | None, Any] = dict(zip(call.active, call.shadows, strict=True))
    positions = iter(arguments.positions)
    derivs: list[Any] = []
    for annotation, leaves, structure in zip(call.annotated, arguments.leaves, arguments.structures, strict=True):
        taken = [next(positions) if bound else None for _, bound in leaves]
        if not isinstance(annotation, Active):
            derivs.append(None)
            continue
        shadows = [arrays.get(p, leaf) for (leaf, _), p in zip(leaves, taken, strict=True)]  # ints are static
        if call.width is None:
            derivs.append(structure.unflatten([number(s) if isinstance(s, np.ndarray) else s for s in shadows]))
            continue
        lanes = ([number(s[k]) if isinstance(s, np.ndarray) else s for s in shadows] for k in range(call.width))
        derivs.append(tuple(map(structure.unflatten, lanes)))
    return tuple(derivs)


def _return_activity(
    variant: Variant, activity: type[AbstractAnnotation] | None, active: Sequence[int], mode: AbstractMode
) -> type[AbstractAnnotation]:
    """What is differentiated of the returned value in reverse mode."""
    program = variant.primal
    if activity is Duplicated:
        raise ArgumentTypeError("the return activity Duplicated is for forward mode; in reverse mode use Active or Const")
    if activity is Const or not program.results:
        return Const
    returned = [program.buffers[b] for b in program.results]
    if returns_complex(variant) and returned[0].shape == (2,):
        if not mode.holomorphic:
            raise ArgumentTypeError(
                f"{program.name} returns a complex number, and reverse mode starts from a real one; return its real part, or "
                f"write Reverse(holomorphic=True) for the complex derivative of a holomorphic function"
            )
    elif len(returned) > 1 or returned[0].shape:
        if activity is None and not any(buffer.dtype in FLOATS for buffer in returned):
            return Const
        raise ArgumentTypeError(
            f"{program.name} returns {'an array' if len(returned) == 1 else 'several values'}, and reverse mode starts "
            f"from one number; use odead.vjp(f, *args) for a cotangent of your own, odead.jacobian(f, *args) for all of it, "
            f"or Const to ignore it"
        )
    if returned[0].dtype not in FLOATS:
        return Const
    if activity is None and not variant.written.isdisjoint(active):
        warn(
            f"{program.name} writes into a differentiated argument and returns a number; the number is taken as Const. "
            f"Write autodiff(f, Active, ...) to differentiate it too, autodiff(f, Const, ...) to say that this is meant"
        )
        return Const
    return Active


def _seeds(variant: Variant, activity: type[AbstractAnnotation], width: int | None) -> list[np.ndarray]:
    """The cotangents of the returned floats: 1 in each lane for Active, 0 for Const."""
    seed = 1.0 if activity is Active else 0.0
    lanes = () if width is None else (width,)
    returned = [variant.primal.buffers[b] for b in variant.primal.results]
    seeds = [np.full((*lanes, *(b.shape or ())), seed, b.dtype) for b in returned if b.dtype in FLOATS]
    if activity is Active and returns_complex(variant):
        seeds[0][..., 1] = 0.0
    return seeds


@contextmanager
def _conjugated(call: Call) -> Iterator[None]:
    """In holomorphic mode, the sweep between conjugates: its adjoint becomes the transpose."""
    shadows = [shadow for shadow in call.shadows if shadow.dtype.kind == "c"]
    if len(shadows) < len(call.shadows):
        raise ArgumentTypeError("holomorphic mode differentiates with respect to complex arguments; a real one is annotated")
    for shadow in shadows:
        np.conjugate(shadow, out=shadow)
    try:
        yield
    finally:
        for shadow in shadows:
            np.conjugate(shadow, out=shadow)
