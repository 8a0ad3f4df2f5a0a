"""Rules of `scipy.optimize`: a root depends on parameters by the implicit function theorem.

At F(x, p) = 0, dx/dp = -F_x^-1 F_p. The path by which the solver got there, its guess and its options have no influence.
"""

from typing import Any

import numpy as np
import scipy.optimize

from ..containers import map_leaves
from ..derivatives.nested import Nest, nest_of
from ..errors import ArgumentTypeError
from ..rules.primitive import Primitive, adopt, replace
from ..rules.registry import rule
from .implicit import as_tuple, jacobian_at, pulled

_KEPT = ("x", "fun", "success", "status", "nfev")


def _root(
    fun: Any,
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: float | None = None,
    callback: Any = None,
    options: Any = None,
) -> scipy.optimize.OptimizeResult:
    """`scipy.optimize.root`, without the parts of its result that are no numbers."""
    solve: Any = scipy.optimize.root  # its stubs have an overload per method
    found = solve(fun, x0, as_tuple(args), method, jac, tol, callback, options)
    kept: Any = {key: found[key] for key in _KEPT if key in found}
    return scipy.optimize.OptimizeResult(**kept)


root = adopt(scipy.optimize.root, Primitive(_root))


@rule(root)
def _root_rule(fun: Any, x0: Any, args: Any = (), *options: Any, **named: Any) -> Any:
    found = root(fun, x0, args, *options, **named)

    def pullback(bar: Any) -> tuple[Any, ...]:
        x, extra = found.x, as_tuple(args)
        weight = np.linalg.solve(jacobian_at(fun, x, extra).T, -bar["x"].reshape(-1)).reshape(x.shape)
        closed, _, args_bar = pulled(fun, x, extra, weight)
        return closed, None, args_bar if isinstance(args, tuple) else args_bar[0], None, None, None, None, None

    return found, pullback


def fsolve(
    func: Any,
    x0: Any,
    args: Any = (),
    fprime: Any = None,
    full_output: Any = 0,
    col_deriv: Any = 0,
    xtol: float = 1.49012e-8,
    maxfev: int = 0,
    band: Any = None,
    epsfcn: float | None = None,
    factor: float = 100.0,
    diag: Any = None,
) -> Any:
    """`scipy.optimize.fsolve` by `root`.

    Raises
    ------
    ArgumentTypeError
        full_output is asked for.
    """
    if full_output:
        raise ArgumentTypeError(
            "full_output= of scipy.optimize.fsolve has no meaning inside a function that is being differentiated; "
            "scipy.optimize.root has it"
        )
    known = {
        "col_deriv": col_deriv,
        "xtol": xtol,
        "maxfev": maxfev,
        "band": band,
        "eps": epsfcn,
        "factor": factor,
        "diag": diag,
    }
    nest = nest_of(func, x0, args)
    solve = root if nest is None else nest.rec.calls.inside(root)
    return solve(func, [x0] if np.ndim(map_leaves(Nest.twin, x0)) == 0 else x0, args, "hybr", fprime, None, None, known).x


replace(scipy.optimize.fsolve, fsolve)


def _brentq(
    f: Any,
    a: float,
    b: float,
    args: Any = (),
    xtol: float = 2e-12,
    rtol: float = 8.881784197001252e-16,
    maxiter: int = 100,
    full_output: bool = False,
    disp: bool = True,
) -> Any:
    solve: Any = scipy.optimize.brentq
    return solve(f, a, b, as_tuple(args), xtol, rtol, maxiter, full_output, disp)


brentq = adopt(scipy.optimize.brentq, Primitive(_brentq))


@rule(brentq)
def _brentq_rule(f: Any, a: float, b: float, args: Any = (), *options: Any, **named: Any) -> Any:
    x = brentq(f, a, b, args, *options, **named)

    def pullback(bar: float) -> tuple[Any, ...]:
        _, slope, _ = pulled(f, x, as_tuple(args), 1.0)
        closed, _, args_bar = pulled(f, x, as_tuple(args), -bar / slope)
        return closed, None, None, args_bar if isinstance(args, tuple) else args_bar[0], None, None, None, None, None

    return x, pullback
