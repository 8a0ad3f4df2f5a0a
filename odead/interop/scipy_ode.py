"""SciPy's ODE solvers inside differentiated functions: odead's, with the same formulas and tolerances."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.integrate

from ..containers import map_leaves
from ..derivatives.nested import Nest
from ..errors import ArgumentTypeError
from ..ode.ivp import solve_ivp
from ..rules.primitive import replace

ODEINT_TOLERANCE: Final = 1.49012e-8  # SciPy's, of rtol and atol


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: tuple[Any, ...] = (),
    Dfun: Any = None,  # noqa: N803
    col_deriv: Any = 0,
    full_output: Any = 0,
    ml: Any = None,
    mu: Any = None,
    rtol: Any = None,
    atol: Any = None,
    tcrit: Any = None,
    h0: float = 0.0,
    hmax: float = 0.0,
    *,
    mxstep: int = 0,
    tfirst: bool = False,
    **others: Any,
) -> Any:
    """`scipy.integrate.odeint`; its Jacobian is exact without Dfun, ml and mu.

    Raises
    ------
    ArgumentTypeError
        An option that has no meaning here: full_output and the limits of LSODA's orders.
    """
    unknown = [name for name, value in {"full_output": full_output, **others}.items() if value]
    if unknown:
        raise ArgumentTypeError(
            f"{unknown[0]}= of scipy.integrate.odeint has no meaning inside a function that is being differentiated; leave it "
            f"out"
        )
    limits: dict[str, Any] = {"max_steps": mxstep} if mxstep else {}
    limits |= {name: value for name, value in (("first_step", h0), ("max_step", hmax)) if value}
    if tcrit is not None:
        limits["tstops"] = tcrit
    rtol, atol = (ODEINT_TOLERANCE if given is None else given for given in (rtol, atol))
    is_number = np.ndim(map_leaves(Nest.twin, y0)) == 0
    found = solve_ivp(
        func if tfirst else partial(time_first, func), (t[0], t[-1]), [y0] if is_number else y0, "LSODA", t, args=args,
        rtol=rtol, atol=atol, **limits,
    )  # fmt: skip
    return found.y.T


def time_first(func: Callable[..., Any], t: Any, y: Any, *args: Any) -> Any:
    """odeint's ``func(y, t, ...)`` as ``fun(t, y, ...)``."""
    return func(y, t, *args)


replace(scipy.integrate.odeint, odeint)
replace(scipy.integrate.solve_ivp, solve_ivp)
