"""`steady_state` inside a function that is being differentiated: a primitive whose rule is the implicit function theorem.

A steady state is where A f(x, p) + C (x - x0) = 0: the rows of A are the independent equations, those of C the conserved
combinations, each padded with zeros to n rows. With M = A f_x + C, its derivatives are dx/dp = -M^-1 A f_p and dx/dx0 = M^-1 C.
The rule is made of derivatives of f, so it has derivatives itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...derivatives.first_order import jacobian, value_and_gradient, vjp
from ...derivatives.nested import Nest, nest_of
from ...rules.primitive import Primitive
from ...rules.registry import inactive, rule
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import flat_of_p, flat_rhs, name_of
from ..problem.doubled import named
from ..problem.loss import check_loss, evaluate
from ..problem.problem import make_problem
from ..steady import SteadyState, find
from .closing import Closing
from .solve import as_array, packed, twins

__all__ = ["steady_inside"]

Function = Callable[..., Any]


def steady_inside(nest: Nest, rhs: Function, x0: Any, p: Any, loss: Function | None, wanted: tuple[str, ...]) -> SteadyState:
    """Record a steady state, and the derivatives of it that are wanted.

    Parameters
    ----------
    nest : Nest
        The recording.
    rhs, x0, p, loss
        As in `odead.steady_state`; arrays and numbers may be traced, and functions may close over what is.
    wanted : tuple of str

    Raises
    ------
    ArgumentValueError, ArgumentTypeError, IntegrationError
        As in `odead.steady_state`; the last also when the recording is run again.
    NotImplementedError
        wrt="x0" where x0 is a function.
    """
    start = x0 if callable(x0) else None
    if start is not None and "x0" in wanted:
        raise NotImplementedError('wrt="x0" where x0 is a function is not supported inside a differentiated function')
    closing = Closing(nest, p, rhs, (), (), None, loss, start)
    x0 = as_array(nest, x0 if start is None else start(p))
    (x_layout, x), (p_layout, p_values) = [lay_out(twins(nest, tree), name) for tree, name in ((x0, "x0"), (closing.p, "p"))]
    own = lay_out(twins(nest, p), "p")[0]
    whole = _Whole((x_layout, p_layout), closing, name_of(rhs))
    at = (packed(nest, p_layout, closing.p, p_values), np.zeros(x.size) if start is not None else packed(nest, x_layout, x0, x))
    fields: dict[str, Any] = dict.fromkeys(("sens", "sens_x0", "loss", "grad", "grad_x0"))
    fields |= {"x": whole.state(*at), "success": True, "message": "recorded"}
    result = SteadyState(**fields)
    asked = {name: position for position, name in enumerate(("p", "x0")) if name in wanted and at[position].size}
    layouts = {"p": own, "x0": x_layout}
    for name, position in asked.items():
        columns = jacobian(whole.state, *at, wrt=position)
        result["sens" if name == "p" else "sens_x0"] = columns[:, : layouts[name].size]
    if loss is not None:
        result.loss, gradients = value_and_gradient(whole.loss, *at, wrt=(0, 1))
        for name, position in asked.items():
            part = gradients[position][: layouts[name].size]
            result["grad" if name == "p" else "grad_x0"] = layouts[name].unpack(part.copy())
    return result


class _Whole:
    """The steady state, and the loss of it, as functions of vectors: p, and x0 or what is added to the x0 that p gives."""

    def __init__(self, layouts: tuple[Layout, Layout], closing: Closing, name: str) -> None:
        flat = flat_rhs(closing.rhs, None, *layouts)
        self.rates = partial(rates_of, named(flat, name) if isinstance(flat, partial) else flat)
        self.start = None if closing.start is None else flat_of_p(closing.start, "x0", *layouts)
        loss = closing.loss
        self.outer = None if loss is None else partial(evaluate, loss, check_loss(loss) == 2, *layouts)
        self.state = named(partial(_state, self), "steady_state")
        self.loss = named(partial(_loss, self), "loss")


def _state(whole: _Whole, p: Any, x: Any) -> Any:
    if whole.start is not None:
        nest = nest_of(None, p)
        assert nest is not None
        made = nest.array(np.zeros(x.shape), np.float64)
        nest.rec.calls.inside(whole.start)(made, p)
        x = made + x
    return steady(whole.rates, x, p)[0]


def _loss(whole: _Whole, p: Any, x: Any) -> Any:
    nest = nest_of(None, p, x)
    assert nest is not None
    assert whole.outer is not None
    return nest.rec.calls.inside(whole.outer)(_state(whole, p, x), p if p.size else None)


def rates_of(rhs: Function, x: Any, p: Any) -> Any:
    """The right-hand side on vectors: of a steady state, so at no time."""
    dx = np.zeros_like(x)
    rhs(dx, x, p if p.size else None, 0.0)
    return dx


def _steady(rates: partial[Any], x: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The steady state with the totals of x; A and C."""
    problem = make_problem(rates.args[0], x, p if p.size else None, (0.0, 0.0), None, differentiated=("p", "x0"))
    result, equations, _ = find(problem)
    zeros = [np.zeros_like(part) for part in (equations.conserved, equations.independent)]
    return result.x, np.vstack([equations.independent, zeros[0]]), np.vstack([zeros[1], equations.conserved])


_steady.__name__ = "steady_state"
steady = Primitive(_steady)
inactive(steady, args=("rates",))


@rule(steady)
def _steady_backwards(rates: partial[Any], x: Any, p: Any) -> Any:
    found, a, c = steady(rates, x, p)

    def pullback(bars: Any) -> tuple[Any, ...]:
        weights = np.linalg.solve((a @ jacobian(rates, found, p) + c).T, bars[0])
        p_bar = vjp(rates, found, p)[1](-(a.T @ weights))[1]
        return None, c.T @ weights, p_bar

    return (found, a, c), pullback
