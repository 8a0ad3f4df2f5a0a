"""Second derivatives of a loss: forward over whatever mode gives the gradient.

In a direction v, the states x and their derivatives s along v solve one doubled problem, in which the loss is replaced by its
derivative along v. The gradient of that is the Hessian times v; it comes from the same methods, modes and error control as
first derivatives do. One doubled problem is recorded for all directions, because v is a part of its parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from ..derivatives.first_order import jvp
from .kept import Kept
from .loss import check_loss, evaluate
from .problem import Problem
from .signature import flat_of_p, flat_rhs

__all__ = ["hessian_of_loss"]

Gradient = Callable[..., Any]  # `odead.sensitivity` with its options filled in


def hessian_of_loss(
    gradient: Gradient,
    problem: Problem,
    rhs: Callable[..., Any],
    x0: Any,
    loss: Any,
    running: Callable[..., Any] | None,
    wrt: tuple[str, ...],
) -> np.ndarray:
    """The Hessian over the concatenated raveled `wrt`, shape (N, N).

    Parameters
    ----------
    gradient : callable
        ``gradient(rhs, x0, p, loss, running)``: a `Sensitivity` with respect to p and x0.
    problem : Problem
    rhs, x0, loss, running
        As in `odead.sensitivity`.
    wrt : tuple of {"p", "x0"}
    """
    layouts = (problem.x_layout, problem.p_layout)
    doubled = _KEPT.get((rhs, loss, running, *layouts), lambda: _doubled(problem, rhs, loss, running))
    start = flat_of_p(x0, "x0", *layouts) if callable(x0) else None
    initial = partial(_start, start, problem.x0[: problem.n].copy(), problem.p.size)
    sizes = {"p": problem.p.size, "x0": problem.n}
    rows = []
    for name in wrt:
        for k in range(sizes[name]):
            direction = {other: np.zeros(size) for other, size in sizes.items()}
            direction[name][k] = 1.0
            found = doubled.gradient(gradient, initial, problem.p, direction["p"], direction["x0"])
            rows.append(np.concatenate([found[other] for other in wrt]))
    hessian = np.array(rows).reshape(len(rows), len(rows))
    symmetric: np.ndarray = 0.5 * (hessian + hessian.T)  # each entry is computed twice, on different steps
    return symmetric


@dataclass(frozen=True)
class _Doubled:
    """The problem of x and its derivative along a direction, on vectors; the parameters are p, v_p and v_x."""

    rhs: Callable[..., Any]
    loss: Callable[..., Any] | None
    running: Callable[..., Any] | None

    def gradient(
        self, gradient: Gradient, initial: Callable[..., Any], p: np.ndarray, v_p: np.ndarray, v_x: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The Hessian times (v_p, v_x), by its parts."""
        found = gradient(self.rhs, initial, np.concatenate([p, v_p, v_x]), self.loss, self.running)
        return {"p": found.grad[: v_p.size], "x0": found.grad_x0[: v_x.size]}


_KEPT: Final = Kept[_Doubled](64)


def _doubled(problem: Problem, rhs: Any, loss: Any, running: Any) -> _Doubled:
    x_layout, p_layout, n, n_p = problem.x_layout, problem.p_layout, problem.n, problem.p.size
    flat = flat_rhs(rhs, None, x_layout, p_layout)
    integrand = None if running is None else partial(_integrand, running, x_layout, p_layout)
    whole = None if loss is None else partial(evaluate, loss, check_loss(loss) == 2, x_layout, p_layout)
    return _Doubled(
        _named(partial(_slope, flat, n, n_p), problem.name),
        None if whole is None else _named(partial(_along, whole, n, n_p), "loss"),
        None if integrand is None else _named(partial(_rate, integrand, n, n_p), "running"),
    )


def _named(f: Any, name: str) -> Any:
    f.__name__ = name
    return f


# The functions on vectors. p is None for the user's functions where there are no parameters; v is then None too.


def _parts(q: Any, n_p: int) -> tuple[Any, Any, Any]:
    return q[:n_p], q[n_p : 2 * n_p], q[2 * n_p :]


def _push(f: Callable[..., Any], xs: Any, vs: Any, n_p: int, *rest: Any) -> tuple[Any, Any]:
    """Value and tangent of ``f(x, p, *rest)``."""
    if n_p:
        value, tangent = jvp(partial(_called, f, rest), xs, vs)
    else:
        value, tangent = jvp(partial(_called, f, (None, *rest)), xs[:1], vs[:1])
    return value, tangent


def _called(f: Callable[..., Any], rest: tuple[Any, ...], *xs: Any) -> Any:
    return f(*xs, *rest)


def _value(flat: Callable[..., Any], x: Any, p: Any, t: Any) -> Any:
    dx = np.zeros_like(x)
    flat(dx, x, p, t)
    return dx


def _slope(flat: Callable[..., Any], n: int, n_p: int, dz: Any, z: Any, q: Any, t: Any) -> None:
    p, v, _ = _parts(q, n_p)
    dz[:n], dz[n:] = _push(partial(_value, flat), (z[:n], p), (z[n:], v), n_p, t)


def _initial_value(start: Callable[..., Any], like: np.ndarray, p: Any) -> Any:
    x = np.zeros_like(p, shape=like.shape)
    start(x, p)
    return x


def _start(start: Callable[..., Any] | None, states: np.ndarray, n_p: int, q: Any) -> Any:
    p, v, v_x = _parts(q, n_p)
    x, s = (states, v_x) if start is None or not n_p else jvp(partial(_initial_value, start, states), (p,), (v,))
    if start is not None and n_p:
        s = s + v_x
    return np.concatenate([x, s])


def _integrand(running: Callable[..., Any], x_layout: Any, p_layout: Any, x: Any, p: Any, t: Any) -> Any:
    return running(x_layout.unpack(x), p_layout.unpack(p), t)


def _rate(integrand: Callable[..., Any], n: int, n_p: int, z: Any, q: Any, t: Any) -> Any:
    p, v, _ = _parts(q, n_p)
    return _push(integrand, (z[:n], p), (z[n:], v), n_p, t)[1]


def _along(loss: Callable[..., Any], n: int, n_p: int, y: Any, q: Any) -> Any:
    p, v, _ = _parts(q, n_p)
    return _push(loss, (y[:n], p), (y[n:], v), n_p)[1]
