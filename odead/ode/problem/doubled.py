"""The doubled problem: states x with their derivative s along a direction v, which is what second derivatives are made of.

Its states are (x, s) and its parameters (p, v): s' = f_x s + f_p v. Its solution has the tangent of the solution of x, its
gradient the second derivatives. Doubled again, it has the third ones. All functions here are on vectors; p is None for those of
the user where there are no parameters, and v is then None too.

Where an event resets the state to h(x, p, t), s becomes h_x s + h_p v + (h_x f + h_t - f+) dtau (`jumps`): a reset too, of the
doubled state. Of a problem with constraints (`underlying`), the algebraic parts of x and s after it follow from them, so that
this reset need only be right beyond those; f+ is taken at the consistent state.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...derivatives.first_order import jvp
from .underlying import Constraints, differential, slope_of, velocity

__all__ = ["doubled_event", "doubled_rhs", "doubled_stops", "halves_of", "is_doubled_twice", "named"]

Function = Callable[..., Any]


def named(f: Any, name: str) -> Any:
    """A partial with the name that messages use."""
    f.__name__ = name
    return f


def doubled_rhs(flat: Function, n: int, n_p: int, name: str) -> Function:
    """``rhs(dz, z, q, t)`` of the doubled problem of ``flat(dx, x, p, t)``."""
    return named(partial(_slope, flat, n, n_p), name)  # type: ignore[no-any-return]


def halves_of(rhs: Any) -> tuple[int, int] | None:
    """The states and parameters of the problem of which this is the right-hand side of the doubled one; None: of none."""
    return rhs.args[1:] if isinstance(rhs, partial) and rhs.func is _slope else None


def is_doubled_twice(rhs: Any) -> bool:
    """Whether the problem that was doubled is a doubled one too."""
    return halves_of(rhs) is not None and halves_of(rhs.args[0]) is not None


def doubled_event(
    event: Function, flat: Function, n: int, n_p: int, name: str, constraints: Constraints | None = None
) -> Function:
    """The event of the doubled problem, with a reset if ``event(x, p, t)`` has one.

    Parameters
    ----------
    event : callable
    flat : callable
        The right-hand side.
    n, n_p : int
    name : str
    constraints : Constraints or None
    """
    made = named(partial(_root, event, n, n_p), name)
    for attribute in ("terminal", "direction"):
        if getattr(event, attribute, None) is not None:
            setattr(made, attribute, getattr(event, attribute))
    if getattr(event, "reset", None) is not None:
        made.reset = partial(_reset, event, event.reset, flat, constraints, n, n_p)  # type: ignore[attr-defined]
    return made  # type: ignore[no-any-return]


def doubled_stops(stops: Function, n_p: int) -> Function:
    """``tstops(q)`` of the doubled problem."""
    return named(partial(_stops, stops, n_p), "tstops")  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------------- what is recorded


def _push(f: Function, xs: Any, vs: Any, n_p: int, *rest: Any) -> tuple[Any, Any]:
    """Value and tangent of ``f(x, p, *rest)``."""
    if n_p:
        value, tangent = jvp(partial(_called, f, rest), xs, vs)
    else:
        value, tangent = jvp(partial(_called, f, (None, *rest)), xs[:1], vs[:1])
    return value, tangent


def _called(f: Function, rest: tuple[Any, ...], *xs: Any) -> Any:
    return f(*xs, *rest)


def _parts(q: Any, n_p: int) -> tuple[Any, Any]:
    return (q[:n_p], q[n_p : 2 * n_p]) if n_p else (None, None)


def _slope(flat: Function, n: int, n_p: int, dz: Any, z: Any, q: Any, t: Any) -> None:
    p, v = _parts(q, n_p)
    dz[:n], dz[n:] = _push(partial(slope_of, flat), (z[:n], p), (z[n:], v), n_p, t)


def _root(event: Function, n: int, n_p: int, z: Any, q: Any, t: Any) -> Any:
    return event(z[:n], _parts(q, n_p)[0], t)


def _stops(stops: Function, n_p: int, q: Any) -> Any:
    return stops(_parts(q, n_p)[0])


def _reset(
    event: Function, reset: Function, flat: Function, constraints: Constraints | None, n: int, n_p: int, z: Any, q: Any, t: Any
) -> None:
    (p, v), x, s = _parts(q, n_p), z[:n].copy(), z[n:].copy()
    before = velocity(flat, constraints, x, p, t)
    _, rate = jvp(partial(_at_p, event, p), (x, t), (before, 1.0))
    _, change = _push(event, (x, p), (s, v), n_p, t)
    with np.errstate(invalid="ignore", divide="ignore"):  # recorded where the event does not happen
        moved = -change / rate
    after, tangent = _push_in_time(partial(_after, reset), (x, p, t), (s + before * moved, v, moved), n_p)
    z[:n] = after
    z[n:] = tangent - differential(flat, constraints, after, p, t) * moved


def _push_in_time(f: Function, xs: Any, vs: Any, n_p: int) -> Any:
    if n_p:
        return jvp(f, xs, vs)
    return jvp(partial(_at_p, f, None), (xs[0], xs[2]), (vs[0], vs[2]))


def _at_p(f: Function, p: Any, x: Any, t: Any) -> Any:
    return f(x, p, t)


def _after(reset: Function, x: Any, p: Any, t: Any) -> Any:
    x = x.copy()
    reset(x, p, t)
    return x
