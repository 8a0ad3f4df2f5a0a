"""`check_derivatives`.

See a call as a map from the entry values of all arguments to the returned value and the exit values of all arguments. Against
its Jacobian by differences are held, for every choice of active arguments, the exit shadows of forward mode and of reverse
mode, started from shadows that are not zero; against the plain call, what each derivative call leaves in the arguments and
returns; and against each other, the two modes.
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ..activity import AbstractAnnotation, Active, Const, Duplicated
from ..containers import flatten
from ..derivatives.autodiff import Result, autodiff
from ..derivatives.first_order import vjp
from ..derivatives.kernel import Kernel
from ..derivatives.modes import AbstractMode, ForwardMode, ForwardWithPrimal, ReverseMode, ReverseWithPrimal
from ..errors import DerivativeError, OdeadWarning
from .call import Call, copied, is_float, like, reals
from .truth import Truth, doubled, joined

__all__ = ["check_derivatives"]

TRUST: Final = 10.0  # the estimated error of a difference may be too small by this factor


def check_derivatives(
    f: Callable[..., Any], *args: Any, mode: AbstractMode | None = None, rtol: float = 1e-6, entries: int = 20, seed: int = 0
) -> None:
    """Compare the derivatives of `f` with differences of plain calls, and its mutations with those of a plain call.

    Parameters
    ----------
    f : callable
        Called on copies of the arguments, many times.
    *args
        Where to check: arrays, numbers, containers, real or complex. Ints and everything else without a derivative are Const.
    mode : Forward or Reverse, optional
        Check this mode only.
    rtol : float
        Largest relative error, beside the estimated error of the differences. For float32, also inside of f, it is at least
        1e-3.
    entries : int
        Of each array, so many entries are compared one by one in reverse mode, drawn at random where there are more; the
        others take part in sums.
    seed : int
        Of the random numbers.

    Raises
    ------
    DerivativeError
        Something is wrong; the message names the argument, the entry, the mode and both numbers.
    TracingError
        f does something that cannot be recorded.

    Warns
    -----
    OdeadWarning
        The differences do not converge, as at a jump; there the two modes are compared with each other only.
    """
    call = Call(f, args)
    truth = Truth(call, rtol, entries, np.random.default_rng(seed), _computes_in(call))
    for active in call.combinations():
        tangents = _check_forward(truth, active) if mode is None or isinstance(mode, ForwardMode) else None
        cotangents = _check_reverse(truth, active) if mode is None or isinstance(mode, ReverseMode) else None
        if tangents is not None and cotangents is not None:
            _check_each_other(truth, active, tangents, cotangents)
    if not call.returns_one_number and call.returns_floats and (mode is None or isinstance(mode, ReverseMode)):
        _check_pullback(truth)
    if truth.doubtful:
        warnings.warn(
            f"{call.name}: differences of plain calls do not converge along {', '.join(sorted(truth.doubtful))} (a jump, or "
            f"the border of a domain?); there, forward and reverse mode were compared with each other only",
            OdeadWarning,
            stacklevel=2,
        )


def _computes_in(call: Call) -> set[str]:
    """Dtypes of what is computed where float32 arguments are double, as in the plain calls that differences are taken of."""
    arguments = call.arguments([doubled(leaf.value) for leaf in call.leaves])
    return {buffer.dtype for buffer in Kernel(call.f, tuple(arguments)).primal.buffers} & {"float32"}


def _check_forward(truth: Truth, active: frozenset[int]) -> np.ndarray:
    """Tangents of the float outputs, 0 where none was asked for; checked."""
    call = truth.call
    leaves = call.active_leaves(active)
    tangents = {n: like(call.leaves[n].value, truth.tangents[n]) for n in leaves}
    values = [copied(leaf.value) for leaf in call.leaves]
    result = autodiff(ForwardWithPrimal, call.f, *_annotated(call, active, values, tangents, reverse=False))
    _check_mutation(truth, active, values, result, "forward")
    returned = iter(flatten(result.derivs)[0] if call.returns_floats and active else ())
    by_output = [next(returned, None) if o.leaf is None else tangents.get(o.leaf) for o in call.outputs]
    pairs = [(o.value, tangent) for o, tangent in zip(call.outputs, by_output, strict=True) if is_float(o.value)]
    found = joined([np.zeros(reals(value).size) if tangent is None else tangent for value, tangent in pairs])
    expected = sum((truth.along[n][0] for n in leaves), np.zeros(found.size))
    error = sum((truth.along[n][1] for n in leaves), np.zeros(found.size))
    largest = joined([np.full(part.size, np.abs(part).max(initial=0.0)) for part in truth.parts(expected)])
    tolerance = truth.rtol * np.abs(expected) + TRUST * error + truth.rounding * largest
    wrong = truth.of_leaves(leaves, returned=bool(active)) & _differ(found, expected, tolerance)
    if wrong.any():
        position = int(np.argmax(wrong))
        output, index = truth.locate(position)
        numbers = f"forward mode gives the tangent {found[position]!r}, differences of plain calls {expected[position]!r}"
        raise _error(call, active, output.name, output.leaf, index, numbers)
    return found


def _check_reverse(truth: Truth, active: frozenset[int]) -> dict[int, np.ndarray] | None:
    """Entry cotangents of the active leaves, checked; None where reverse mode has no annotation for an argument."""
    call = truth.call
    if not call.reversible(active):
        return None
    leaves = call.active_leaves(active)
    cotangent = truth.exit_cotangent(leaves, returned=call.returns_one_number)
    pairs = zip(truth.floats, truth.parts(cotangent), strict=True)
    shadows = {o.leaf: like(o.value, part) for o, part in pairs if o.leaf is not None and o.leaf in leaves}
    values = [copied(leaf.value) for leaf in call.leaves]
    activity = Active if call.returns_one_number else Const
    result = autodiff(ReverseWithPrimal, call.f, activity, *_annotated(call, active, values, shadows, reverse=True))
    _check_mutation(truth, active, values, result, "reverse")
    for k in active:
        if result.derivs[k] is not None:
            shadows.update(zip(call.places[k], flatten(result.derivs[k])[0], strict=True))
    found = {n: np.asarray(reals(shadows[n]), dtype=np.float64) for n in leaves}
    _compare_entries(truth, active, cotangent, found, "reverse mode")
    return found


def _check_pullback(truth: Truth) -> None:
    """What `vjp` makes of a returned array or container, from which no annotated reverse call starts."""
    call = truth.call
    if any(len(leaf.arguments) > 1 for leaf in call.leaves):
        return  # vjp takes each argument as a variable of its own
    cotangent = truth.exit_cotangent([], returned=True)
    active = frozenset(call.differentiable)
    seeds = iter([part for o, part in zip(truth.floats, truth.parts(cotangent), strict=True) if o.leaf is None])
    filled = [like(o.value, next(seeds)) if is_float(o.value) else o.value for o in call.returned]
    first, last, f, arguments = _between_fixed(call)
    _, pullback = vjp(f, *arguments)
    for repetition in ("", ", when called again,"):
        derivatives = pullback(call.returned_structure.unflatten(filled))
        found: dict[int, Any] = {}
        for k, derivative in zip(range(first, last), derivatives, strict=True):
            if k not in active:
                continue
            found.update(zip(call.places[k], flatten(derivative)[0], strict=True))
        floats = {n: np.asarray(reals(found[n]), dtype=np.float64) for n in call.floats}
        _compare_entries(truth, active, cotangent, floats, f"the pullback of vjp{repetition}")


def _between_fixed(call: Call) -> tuple[int, int, Callable[..., Any], list[Any]]:
    """The range of the differentiable arguments and of arrays, a function of these, and copies of them.

    `vjp` differentiates with respect to all it is given, and would take an int, such as a size, as a float. Arrays of ints
    stay arguments: the function may write into them.
    """
    arguments = call.arguments([copied(leaf.value) for leaf in call.leaves])
    variable = [*call.differentiable, *(leaf.arguments[0] for leaf in call.leaves if leaf.is_array)]
    first, last = min(variable), max(variable) + 1
    named = dict(zip(call.parameters[last:], arguments[last:], strict=True))
    return first, last, functools.partial(call.f, *arguments[:first], **named), arguments[first:last]


def _compare_entries(
    truth: Truth, active: frozenset[int], cotangent: np.ndarray, found: Mapping[int, np.ndarray], who: str
) -> None:
    """Entry cotangents against the columns of the Jacobian."""
    used = cotangent != 0
    weights = np.abs(cotangent[used])
    for n, array in found.items():
        for index, (column, error) in truth.columns[n]:
            expected = cotangent[used] @ column[used]
            terms = weights @ np.abs(column[used])
            tolerance = (truth.rtol + truth.rounding) * terms + TRUST * (weights @ error[used])
            if _differ(array[index], expected, tolerance):
                numbers = f"{who} gives the cotangent {float(array[index])!r}, differences of plain calls {float(expected)!r}"
                raise _error(truth.call, active, truth.call.leaves[n].name, n, index, numbers)


def _check_each_other(truth: Truth, active: frozenset[int], tangents: np.ndarray, cotangents: Mapping[int, np.ndarray]) -> None:
    """Cotangent . (J tangent) = (J-transposed cotangent) . tangent, to rounding: for all entries, at kinks and jumps too."""
    call = truth.call
    forward = truth.exit_cotangent(call.active_leaves(active), returned=call.returns_one_number) * tangents
    reverse = joined([array * truth.tangents[n] for n, array in cotangents.items()])
    left, right = forward.sum(), reverse.sum()
    tolerance = 10 * truth.rounding * (np.abs(forward).sum() + np.abs(reverse).sum())
    if np.isfinite(left) != np.isfinite(right) or _differ(left, right, tolerance):
        raise DerivativeError(
            f"{call.name} with {call.describe(active)}: forward and reverse mode contradict each other: "
            f"cotangent . (J tangent) is {float(left)!r}, (J-transposed cotangent) . tangent is {float(right)!r}"
        )


def _check_mutation(truth: Truth, active: frozenset[int], values: Sequence[Any], result: Result, mode: str) -> None:
    """Exit values of all arguments and the returned value are those of the plain call."""
    call = truth.call
    found = call.outputs_of(values, result.value)
    if len(found) != len(call.outputs):
        raise DerivativeError(f"{call.name}: the {mode} call returns {result.value!r}, which has another structure than before")
    for plain, other in zip(call.outputs, found, strict=True):
        a, b = np.asarray(plain.value), np.asarray(other.value)
        same = a.shape == b.shape and a.dtype.kind == b.dtype.kind
        wrong = _differ(b, a, truth.rounding * np.abs(a).max(initial=0.0)) if same and is_float(plain.value) else a != b
        if not same or np.any(wrong):
            index = tuple(map(int, np.argwhere(wrong)[0])) if same and a.shape else ()
            numbers = f"the plain call leaves {a[index]!r}, the {mode} call {b[index] if same else b!r}"
            raise _error(call, active, plain.name, plain.leaf, index, numbers)


def _annotated(
    call: Call, active: frozenset[int], values: Sequence[Any], shadows: Mapping[int, Any], reverse: bool
) -> list[AbstractAnnotation]:
    """The arguments of `autodiff`: numbers are Active in reverse mode."""
    filled = call.arguments([shadows.get(n, leaf.value) for n, leaf in enumerate(call.leaves)])
    annotated: list[AbstractAnnotation] = []
    for k, (value, shadow) in enumerate(zip(call.arguments(values), filled, strict=True)):
        if k not in active:
            annotated.append(Const(value))
        elif reverse and not any(call.leaves[n].is_array for n in call.places[k] if n in call.floats):
            annotated.append(Active(value))
        else:
            annotated.append(Duplicated(value, shadow))
    return annotated


def _differ(found: Any, expected: Any, tolerance: Any) -> Any:
    """Where two numbers differ, NaN being equal to NaN; an infinite tolerance says that nothing is known."""
    with np.errstate(invalid="ignore"):
        near = (np.abs(found - expected) <= tolerance) | (found == expected) | (np.isnan(found) & np.isnan(expected))
    return ~near & np.isfinite(tolerance)


def _error(
    call: Call, active: frozenset[int], name: str, leaf: int | None, index: tuple[int, ...], numbers: str
) -> DerivativeError:
    return DerivativeError(f"{call.name}: {call.entry(name, leaf, index)}: {numbers} ({call.describe(active)})")
