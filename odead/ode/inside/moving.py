"""What moves with a time: steps of length 0, whose length has a derivative.

A solve inside a differentiated function has derivatives at fixed times. Where a time moves, the state there follows the
solution: by a Runge-Kutta step of length h, whose value is 0. The derivatives of such a step, up to its order, 4, are those of
the solution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...derivatives.first_order import jvp
from ...rules.easy import stop_gradient

__all__ = ["event_time", "moved", "shift"]

Flat = Callable[..., Any]  # (dx, x, p, t) on vectors
NEWTON_STEPS = 3  # each makes derivatives of one more order right


def shift(t: Any) -> Any:
    """t minus its value: 0, with the derivative of t."""
    return t - stop_gradient(t)


def moved(flat: Flat, x: Any, p: Any, t: Any, h: Any) -> Any:
    """The state after a step of length h from time t, by the classical method of order 4."""
    slope = partial(_slope, flat, p)
    k1 = slope(x, t)
    k2 = slope(x + 0.5 * h * k1, t + 0.5 * h)
    k3 = slope(x + 0.5 * h * k2, t + 0.5 * h)
    k4 = slope(x + h * k3, t + h)
    return x + (h / 6) * (k1 + 2 * k2 + 2 * k3 + k4)


def event_time(event: Callable[..., Any], flat: Flat, x: Any, p: Any, t: float) -> Any:
    """How the root near time t of ``event(x, p, t)`` moves: a number whose value is 0.

    By Newton's iteration from the state x at t, with the rate of the event there.
    """
    _, rate = jvp(partial(_at, event, p), (x, t), (_slope(flat, p, x, t), 1.0))
    h: Any = 0.0
    for k in range(NEWTON_STEPS):
        there = x if k == 0 else moved(flat, x, p, t, h)
        h = h - shift(event(there, p, t + h)) / rate
    return h


def _slope(flat: Flat, p: Any, x: Any, t: Any) -> Any:
    dx = np.zeros_like(x)
    flat(dx, x, p, t)
    return dx


def _at(event: Callable[..., Any], p: Any, x: Any, t: Any) -> Any:
    return event(x, p, t)
