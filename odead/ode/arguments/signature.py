"""Which of the forms of a right-hand side a function has, and the one form that is recorded.

The count of required positional parameters only selects the candidate; what the recorded program did decides
(`rhs.CompiledRhs`).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

import numpy as np

from ...containers import Structure
from ...derivatives.interchangeable import representative
from ...errors import ArgumentTypeError, ArgumentValueError
from ...rules.primitive import Primitive
from .layout import Layout, Slot, Static

__all__ = [
    "Event",
    "Flat",
    "call_scipys",
    "flat_event",
    "flat_of_p",
    "flat_rhs",
    "flat_stops",
    "from_scipy",
    "is_in_place",
    "multiplied",
    "name_of",
    "one_number",
    "opaque",
    "required_parameters",
    "takes_x_p_t",
]

TIMES: Final = ("t", "time")  # names that leave no doubt

Flat = Callable[..., Any]  # (dx, x, p, t) on vectors; p is None where there are no parameters
Form = Callable[..., Any]  # (function, layout of x, vector dx, x, p, t): how a right-hand side of some form fills dx


def name_of(f: Callable[..., Any]) -> str:
    return name_of(f.func) if isinstance(f, ScipyRhs) else getattr(f, "__name__", type(f).__name__)


def required_parameters(f: Callable[..., Any], argument: str) -> int:
    """How many positional parameters have no default.

    Raises
    ------
    ArgumentTypeError
        f is not callable, takes ``*args`` only, or has required keyword-only parameters.
    """
    if not callable(f):
        raise ArgumentTypeError(f"{argument} is a {type(f).__name__}, which cannot be called")
    plain, bound = (f.__func__, 1) if isinstance(f, MethodType) else (f, 0)
    if isinstance(plain, FunctionType) and not plain.__dict__:  # the usual cases, in a twentieth of the time
        code = plain.__code__
        count = code.co_argcount - bound
        if count > 0 and not code.co_kwonlyargcount:
            return count - min(count, len(plain.__defaults__ or ()))
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"{argument}: the signature of {name_of(f)} cannot be read; wrap it in a def with named parameters"
        ) from None
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise ArgumentTypeError(
                f"{argument}: {name_of(f)} requires the keyword {parameter.name}, which is never passed; give it a default"
            )
    positional = [q for q in parameters if q.kind in (q.POSITIONAL_ONLY, q.POSITIONAL_OR_KEYWORD) and q.default is q.empty]
    if not positional and any(q.kind is q.VAR_POSITIONAL for q in parameters):
        raise ArgumentTypeError(
            f"{argument}: {name_of(f)}(*args) does not say what it takes; wrap it in a def with named parameters"
        )
    return len(positional)


@dataclass(frozen=True)
class ScipyRhs:
    """SciPy's ``fun(t, y, *args)`` called as ``rhs(x, p, t)``."""

    func: Callable[..., Any]

    def __call__(self, x: Any, p: Any, t: Any) -> Any:
        return call_scipys(self.func, x, p, t)


def from_scipy(fun: Callable[..., Any]) -> ScipyRhs:
    """SciPy's ``fun(t, y, *args)`` as a right-hand side ``rhs(x, p, t)``.

    Parameters
    ----------
    fun : callable
        ``fun(t, y) -> dy`` with p None; ``fun(t, y, *p)`` with p a tuple; ``fun(t, y, p)`` with p anything else.

    Returns
    -------
    callable
        For `solve`, `sensitivity` and the others.
    """
    required_parameters(fun, "fun")
    return ScipyRhs(representative(fun))


def _refuse_early_time(rhs: Callable[..., Any], count: int) -> None:
    """SciPy's f(t, y, p), and odeint's f(y, t, p), have as many parameters as rhs(x, p, t), in another order."""
    called = "rhs(x, p, t)" if count == 3 else "rhs(dx, x, p, t)"
    _refuse_time_before_last(
        rhs, "rhs", count, called, f"for SciPy's f(t, y, *args) pass odead.from_scipy({name_of(rhs)}), else put"
    )


def _refuse_time_before_last(f: Callable[..., Any], argument: str, count: int, called: str, rewrite: str) -> None:
    names = list(inspect.signature(f).parameters)[:count]
    early = [name for name in names[:-1] if name in TIMES]
    if early:
        raise ArgumentTypeError(
            f"{argument}: {name_of(f)}({', '.join(names)}) has {early[0]} before its last parameter, but it would be called as "
            f"{called}; {rewrite} the time last"
        )


def takes_x_p_t(f: Callable[..., Any], argument: str, called: str) -> bool:
    """Whether f has three required positional parameters.

    Raises
    ------
    ArgumentTypeError
        By their names they are SciPy's (t, y, p).
    """
    if required_parameters(f, argument) != 3:
        return False
    if not isinstance(f, partial):
        _refuse_time_before_last(f, argument, 3, called, "put")
    return True


def is_in_place(rhs: Callable[..., Any]) -> bool:
    """Whether it is ``rhs(dx, x, p, t)``, by its required parameters."""
    return not isinstance(rhs, ScipyRhs) and required_parameters(rhs, "rhs") == 4


def flat_rhs(rhs: Callable[..., Any], running: Callable[..., Any] | None, x_layout: Layout, p_layout: Layout) -> Flat:
    """The right-hand side on vectors, in place; with a running cost, its integrand is the derivative of one more state.

    Raises
    ------
    ArgumentTypeError
        Neither ``rhs(dx, x, p, t)`` nor ``rhs(x, p, t)``.
    """
    form = _form(rhs, x_layout)
    function = rhs.func if isinstance(rhs, ScipyRhs) else rhs
    if running is not None:
        return _named(partial(_with_running, form, function, running, x_layout, p_layout), function)
    if form is _fill and x_layout.is_vector and ((p_layout.is_vector and p_layout.size) or p_layout.is_none):
        return function
    return _named(partial(_unpacked, form, function, x_layout, p_layout), function)


def opaque(flat: Flat) -> Flat:
    """A right-hand side on vectors that is called, and not recorded; its derivatives are finite differences."""

    def rate(x: Any, p: Any, t: Any) -> Any:
        dx = np.full(x.shape, np.nan)  # what it leaves untouched is not finite
        flat(dx, x, p, t)
        return dx

    rate.__name__ = name_of(flat)
    return _named(partial(_assign_rate, Primitive(rate, finite_differences=True)), flat)


def _assign_rate(rate: Primitive, dx: Any, x: Any, p: Any, t: Any) -> None:
    dx[...] = rate(x, p, t)


def _named(made: partial[Any], function: Callable[..., Any]) -> partial[Any]:
    """A function of ours under the name of the user's, by which warnings call it."""
    made.__name__ = name_of(function)  # type: ignore[attr-defined]
    return made


# The tracer looks into the arguments of a partial, and so finds the user's functions there; it does not look into odead's own.


def _unpacked(form: Form, rhs: Callable[..., Any], x_layout: Layout, p_layout: Layout, dx: Any, x: Any, p: Any, t: Any) -> Any:
    return form(rhs, x_layout, dx, x_layout.unpack(x), p_layout.unpack(p), t)


def _with_running(form: Form, rhs: Callable[..., Any], running: Callable[..., Any], x_layout: Layout, p_layout: Layout,
                  dx: Any, x: Any, p: Any, t: Any) -> Any:  # fmt: skip
    n = x_layout.size
    state, parameters = x_layout.unpack(x[:n]), p_layout.unpack(p)
    dx[n] = one_number(running(state, parameters, t), f"running: {name_of(running)} must return one float, the integrand")
    return form(rhs, x_layout, dx[:n], state, parameters, t)


def one_number(value: Any, wanted: str) -> Any:
    """What a user's function returned, if it is one real number, perhaps in an array.

    Raises
    ------
    ArgumentTypeError
        It is something else; `wanted` begins the message.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    is_number = kind in ("f", "i") or (isinstance(value, (int, float)) and not isinstance(value, bool))
    if not is_number or getattr(value, "size", 1) != 1:
        raise ArgumentTypeError(f"{wanted}, but it returned {_described(value)}")
    return value.reshape(()) if getattr(value, "shape", ()) else value


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return repr(value) if shape is None else f"an array of shape {shape} and dtype {dtype}" if shape else f"a {dtype}"


def multiplied(flat: Flat, matrix: np.ndarray) -> Flat:
    """The right-hand side multiplied by a constant matrix; a diagonal one is given by its diagonal."""
    return _named(partial(_multiplied, flat, matrix, matrix.ndim == 1), flat)


def _multiplied(flat: Flat, matrix: Any, diagonal: bool, dx: Any, x: Any, p: Any, t: Any) -> Any:
    returned = flat(dx, x, p, t)
    dx[:] = matrix * dx if diagonal else matrix @ dx
    return returned


def _form(rhs: Callable[..., Any], x_layout: Layout) -> Form:
    if isinstance(rhs, ScipyRhs):
        return _assign_scipys
    count = required_parameters(rhs, "rhs")
    if count in (3, 4):
        _refuse_early_time(rhs, count)
    if count == 3:
        return _assign_returned
    if count != 4:
        raise ArgumentTypeError(
            f"rhs: {name_of(rhs)} requires {count} positional parameters; write rhs(dx, x, p, t), which fills dx, or "
            f"rhs(x, p, t), which returns dx; for SciPy's f(t, y, *args) pass odead.from_scipy(f)"
        )
    if x_layout.has_numbers:
        raise ArgumentTypeError(
            "x0 is a container of plain numbers, which rhs(dx, x, p, t) cannot write in place; "
            "make them arrays, or write rhs(x, p, t) that returns a container like x"
        )
    return _fill


def _fill(rhs: Callable[..., Any], layout: Layout, dx: Any, x: Any, p: Any, t: Any) -> Any:
    return rhs(layout.unpack(dx), x, p, t)


def _assign_returned(rhs: Callable[..., Any], layout: Layout, dx: Any, x: Any, p: Any, t: Any) -> None:
    value = rhs(x, p, t)
    if value is None:
        raise ArgumentTypeError(
            f"rhs: {name_of(rhs)} has 3 parameters, so it is taken as rhs(x, p, t) and must return dx, but it returned "
            f"None; an in-place right-hand side is written rhs(dx, x, p, t), with p even if it is not used"
        )
    _assign(layout, dx, value, f"rhs: {name_of(rhs)} returned")


def _assign_scipys(fun: Callable[..., Any], layout: Layout, dx: Any, x: Any, p: Any, t: Any) -> None:
    _assign(layout, dx, call_scipys(fun, x, p, t), f"rhs: {name_of(fun)} returned")


def call_scipys(fun: Callable[..., Any], x: Any, p: Any, t: Any) -> Any:
    """``fun(t, x, *p)``; see `from_scipy`."""
    if p is None:
        return fun(t, x)
    return fun(t, x, *p) if isinstance(p, tuple) else fun(t, x, p)


class Event(NamedTuple):
    """An event of the user with its attributes."""

    function: Callable[..., Any]
    name: str
    terminal: Any
    direction: Any
    reset: Callable[..., Any] | None

    @classmethod
    def of(cls, event: Callable[..., Any]) -> "Event":
        terminal, direction, reset = (getattr(event, name, None) for name in ("terminal", "direction", "reset"))
        return cls(event, name_of(event), terminal, direction, reset)


def flat_event(event: Event, x_layout: Layout, p_layout: Layout) -> Any:
    """``event(x, p, t)`` on vectors, with its attributes; x may have more entries than the event sees."""
    made: Any = partial(_event_of, event.function, x_layout, p_layout)
    made.__name__, made.terminal, made.direction = event.name, event.terminal, event.direction
    if event.reset is not None:
        made.reset = partial(_event_of, event.reset, x_layout, p_layout)
    return made


def _event_of(event: Callable[..., Any], x_layout: Layout, p_layout: Layout, x: Any, p: Any, t: Any) -> Any:
    return event(x_layout.unpack(x[: x_layout.size]), p_layout.unpack(p), t)


def flat_stops(stops: Any, p_layout: Layout) -> Any:
    """``tstops(p)`` on vectors; times as they are."""
    return partial(_stops_of, stops, p_layout) if callable(stops) else stops


def _stops_of(stops: Callable[..., Any], p_layout: Layout, p: Any) -> Any:
    return stops(p_layout.unpack(p))


def flat_of_p(function: Callable[..., Any], argument: str, layout: Layout, p_layout: Layout) -> Callable[..., None]:
    """``x0(p)``, for instance, as a function that fills a vector."""
    return partial(_fill_of_p, function, argument, layout, p_layout)


def _fill_of_p(function: Callable[..., Any], argument: str, layout: Layout, p_layout: Layout, out: Any, p: Any) -> None:
    _assign(layout, out, function(p_layout.unpack(p)), f"{argument}: {name_of(function)} returned")


def _assign(layout: Layout, vector: Any, value: Any, what: str) -> None:
    """Write a returned container into the vector of its layout, leaf by leaf."""
    if layout.structure.kind is None:
        _assign_leaf(layout.leaves[0], vector, value, what)
        return
    leaves = iter(layout.leaves)
    for child, structure in zip(_children(value, layout.structure, what), layout.structure.children, strict=True):
        taken = tuple(next(leaves) for _ in range(_count(structure)))
        _assign(Layout(structure, taken, layout.size), vector, child, what)


def _assign_leaf(leaf: Slot | Static, vector: Any, value: Any, what: str) -> None:
    if isinstance(leaf, Slot):
        if leaf.shape is None and leaf.dtype == "complex128":
            vector[leaf.start], vector[leaf.start + 1] = value.real, value.imag
        elif leaf.shape is None:
            vector[leaf.start] = value
        else:
            _assign_array(leaf.read(vector), value, what)


def _children(value: Any, structure: Structure, what: str) -> list[Any]:
    """The items of a returned container in the order of `structure`."""
    if isinstance(value, dict) and set(value) == set(structure.keys):
        return [value[key] for key in structure.keys]
    if isinstance(value, (list, tuple)) and len(value) == len(structure.children):
        return list(value)
    if structure.keys and all(hasattr(value, str(key)) for key in structure.keys):
        return [getattr(value, key) for key in structure.keys]
    kind = "None" if structure.kind is None else structure.kind.__name__
    raise ArgumentTypeError(
        f"{what} a {type(value).__name__} that does not have the structure of x, a {kind} of {len(structure.children)}"
    )


def _count(structure: Structure) -> int:
    return 1 if structure.kind is None else sum(map(_count, structure.children))


def _assign_array(target: Any, value: Any, what: str) -> None:
    if isinstance(value, (list, tuple)):  # of traced numbers, perhaps, which np.asarray would refuse
        if len(value) != target.shape[0]:
            raise ArgumentValueError(f"{what} {len(value)} values, and x has shape {target.shape}")
        for k, item in enumerate(value):
            if target.ndim == 1:
                if isinstance(item, (list, tuple)):
                    raise ArgumentValueError(f"{what} a list of lists, and x has shape {target.shape}")
                target[k] = item
            else:
                _assign_array(target[k], item, what)
        return
    shape = getattr(value, "shape", ())
    if shape != target.shape and not (shape == () and target.shape == (1,)):
        raise ArgumentValueError(f"{what} an array of shape {shape}, and x has shape {target.shape}")
    target[...] = value
