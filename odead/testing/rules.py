"""`check_rule`: a rule in everything it must be right for.

`check_derivatives` covers values, mutation and both modes for every choice of active arguments. Around it, the rule is put
into the situations in which hand-written derivatives go wrong.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from ..activity import BatchDuplicated, Const, Duplicated
from ..containers import flatten, map_leaves
from ..derivatives.autodiff import autodiff
from ..derivatives.first_order import vjp
from ..derivatives.modes import Forward, Reverse
from ..errors import ArgumentTypeError, DerivativeError
from ..rules.primitive import Primitive, primitive_of
from ..rules.registry import Rule
from ..zero import make_zero
from .call import copied, is_float
from .check import check_derivatives

__all__ = ["check_rule"]

WIDTH: Final = 2
ELSEWHERE: Final = 0.97


def check_rule(f: Callable[..., Any], *args: Any, rtol: float = 1e-6, entries: int = 20, seed: int = 0) -> None:
    """Check the rules of a primitive at these arguments.

    All combinations of activities in both modes, batches, a value that is not used, the same array twice, arguments that
    are overwritten after the call, two calls before the reverse sweep, and the mutation of the primal.

    Parameters
    ----------
    f : Primitive
        Or a function of another package that has a rule.
    *args
        Where to check; copied.
    rtol, entries, seed
        As in `check_derivatives`.

    Raises
    ------
    DerivativeError
        A sentence: the situation, the argument, the entry, and both numbers.
    RuleError
        A rule returns something of the wrong form.
    """
    primitive = primitive_of(f)
    if primitive is None:
        name = getattr(f, "__name__", repr(f))
        raise ArgumentTypeError(
            f"{name} is no primitive, so there is no rule to check; check_derivatives(f, *args) checks any function"
        )
    for rule in primitive.rules:
        _check_value(primitive, rule, args)
    for situation, function, arguments in _situations(primitive, args):
        try:
            check_derivatives(function, *arguments, rtol=rtol, entries=entries, seed=seed)
        except DerivativeError as error:
            places = ", ".join(rule.place for rule in primitive.rules)
            raise DerivativeError(f"{primitive.__name__}, {situation}: {error}. Its rules: {places}") from None
    _check_batch(primitive, args, rtol, np.random.default_rng(seed))
    _check_interleaved(primitive, args, rtol, np.random.default_rng(seed))


def _situations(primitive: Primitive, args: tuple[Any, ...]) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """What to hold against the law: a sentence, a function that calls the primitive, and its arguments."""
    yield "called alone", primitive, args
    yield "with arguments that are overwritten after the call", _overwriting(primitive), args
    yield "called twice before the reverse sweep", _twice(primitive), args
    if primitive.writes:
        yield "with a value that nobody uses", _discarding(primitive), args
    for k, j in _alike(primitive, args):
        same = (*args[:k], args[j], *args[k + 1 :])
        yield f"with the same array as arguments {j} and {k}", primitive, same


def _around(f: Primitive, body: Callable[[tuple[Any, ...]], Any]) -> Callable[..., Any]:
    """A function of the parameters of a primitive."""

    def around(*args: Any, **kwargs: Any) -> Any:
        return body(args if f.signature is None else f.signature.bind(*args, **kwargs).args)

    if f.signature is not None:
        around.__signature__ = f.signature  # type: ignore[attr-defined]
    return around


def _overwriting(f: Primitive) -> Callable[..., Any]:
    def overwriting(args: tuple[Any, ...]) -> Any:
        value = f(*args)
        for leaf in _float_arrays(args):
            leaf[...] = 0.5 * leaf - 1.0
        return value

    return _around(f, overwriting)


def _twice(f: Primitive) -> Callable[..., Any]:
    return _around(f, lambda args: (f(*args), f(*_elsewhere(args))))


def _discarding(f: Primitive) -> Callable[..., Any]:
    def discarding(args: tuple[Any, ...]) -> None:
        f(*args)

    return _around(f, discarding)


def _elsewhere(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Other arguments of the same form, near by."""
    other: tuple[Any, ...] = map_leaves(lambda leaf: ELSEWHERE * leaf if is_float(leaf) else leaf, args)
    return other


def _float_arrays(args: tuple[Any, ...]) -> list[Any]:
    leaves = flatten(args)[0]
    return [leaf for leaf in leaves if isinstance(leaf, np.ndarray) and is_float(leaf) and leaf.flags.writeable]


def _alike(primitive: Primitive, args: tuple[Any, ...]) -> Iterator[tuple[int, int]]:
    """Pairs of arguments that may be one array; not of those that are written, where the plain call may go wrong itself."""
    names = primitive.parameters
    for k, a in enumerate(args):
        for j, b in enumerate(args[:k]):
            arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
            written = {names[i] for i in (j, k) if i < len(names)} & set(primitive.writes)
            if arrays and not written and a.shape == b.shape and a.dtype == b.dtype and is_float(a):
                yield k, j


# ---------------------------------------------------------------------------------------------------- value and mutation


def _check_value(primitive: Primitive, rule: Rule, args: tuple[Any, ...]) -> None:
    """A default rule gives the value of the primal, and leaves in its arguments what that leaves."""
    if not rule.is_default:
        return  # it has its own way of being called; `check_derivatives` runs it
    plain, own = _copies(args), _copies(args)
    expected = primitive.function(*plain)
    if rule.direction == "reverse":
        found = rule.function(*own)
    else:
        found = rule.function(own, tuple(make_zero(arg) if _has_float(arg) else None for arg in own))
    value = found[0] if isinstance(found, tuple) and found else found
    for k, (a, b) in enumerate(zip(flatten(plain)[0], flatten(own)[0], strict=True)):
        if isinstance(a, np.ndarray) and not _close(a, b):
            unchanged = np.array_equal(b, flatten(args)[0][k], equal_nan=a.dtype.kind == "f")
            raise DerivativeError(
                f"{primitive.__name__}: the {rule} does not do the writes of the primal: array {k} of the arguments should be "
                f"{a!r}, and the rule leaves {'it unchanged' if unchanged else repr(b)}"
            )
    for k, (a, b) in enumerate(zip(flatten(expected)[0], flatten(value)[0], strict=False)):
        if is_float(a) and not _close(a, b):
            raise DerivativeError(f"{primitive.__name__}: the {rule} returns the value {b!r} (leaf {k}), the primal {a!r}")


def _copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    leaves, structure = flatten(args)
    known: dict[int, Any] = {}
    copies = [known.setdefault(id(leaf), copied(leaf)) for leaf in leaves]
    result: tuple[Any, ...] = structure.unflatten(copies)
    return result


def _has_float(x: Any) -> bool:
    return any(map(is_float, flatten(x)[0]))


def _close(a: Any, b: Any, rtol: float = 1e-12) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(
        a, b, rtol=rtol, atol=1e-12 * float(np.abs(a).max(initial=0.0)), equal_nan=True
    )


# ---------------------------------------------------------------------------------------------------- lanes, interleaving


def _check_batch(primitive: Primitive, args: tuple[Any, ...], rtol: float, rng: np.random.Generator) -> None:
    """Two lanes at once give what each gives alone."""
    duplicable = [k for k, arg in enumerate(args) if _arrays_only(arg)]
    if not duplicable:
        return
    for mode in (Forward, Reverse):
        lanes = [[_random_like(args[k], rng) for k in duplicable] for _ in range(WIDTH)]
        together = [[_copies((shadow,))[0] for shadow in lane] for lane in lanes]
        own = _copies(args)
        pairs = {k: BatchDuplicated(own[k], tuple(lane[n] for lane in together)) for n, k in enumerate(duplicable)}
        autodiff(mode, primitive, Const, *[pairs.get(k, Const(arg)) for k, arg in enumerate(own)])
        for w, lane in enumerate(lanes):
            own = _copies(args)
            alone = {k: Duplicated(own[k], lane[n]) for n, k in enumerate(duplicable)}
            autodiff(mode, primitive, Const, *[alone.get(k, Const(arg)) for k, arg in enumerate(own)])
            for n, k in enumerate(duplicable):
                for a, b in zip(flatten(lane[n])[0], flatten(together[w][n])[0], strict=True):
                    if is_float(a) and not _close(a, b, rtol):
                        raise DerivativeError(
                            f"{primitive.__name__}, {WIDTH} lanes at once, {mode.direction}: the shadow of argument {k} in "
                            f"lane {w} is {b!r}, alone it is {a!r}"
                        )


def _check_interleaved(primitive: Primitive, args: tuple[Any, ...], rtol: float, rng: np.random.Generator) -> None:
    """The pullback of one call is not disturbed by another call, nor by being used before."""
    if not any(map(_has_float, args)):
        return
    value, pullback = vjp(primitive, *_copies(args))
    if not any(map(is_float, flatten(value)[0])):
        return
    bar = _random_like(value, rng)
    before = pullback(bar)
    _, other = vjp(primitive, *_elsewhere(_copies(args)))
    other(bar)
    for k, (a, b) in enumerate(zip(flatten(before)[0], flatten(pullback(bar))[0], strict=True)):
        if is_float(a) and not _close(a, b, rtol):
            raise DerivativeError(
                f"{primitive.__name__}, two calls before the first pullback: the pullback gives {b!r} for array {k} of the "
                f"arguments, before the other call it gave {a!r}"
            )


def _arrays_only(arg: Any) -> bool:
    floats = [leaf for leaf in flatten(arg)[0] if is_float(leaf)]
    return bool(floats) and all(isinstance(leaf, np.ndarray) for leaf in floats)


def _random_like(x: Any, rng: np.random.Generator) -> Any:
    leaves, structure = flatten(x)
    drawn = [
        np.asarray(rng.normal(size=leaf.shape), leaf.dtype) if isinstance(leaf, np.ndarray) and is_float(leaf)
        else float(rng.normal()) if is_float(leaf) else copied(leaf)
        for leaf in leaves
    ]  # fmt: skip
    return structure.unflatten(drawn)
