"""The Jacobian that a user gives, compared with the exact one."""

from typing import Any, Final

import numpy as np
from scipy.sparse import issparse

from ...errors import ArgumentTypeError, ArgumentValueError
from ..arguments.signature import name_of, required_parameters, takes_x_p_t
from .problem import Problem

__all__ = ["check_jacobian"]

RTOL: Final = 1e-6  # for a Jacobian by hand, whose terms may cancel
ATOL: Final = 1e-9  # of the largest entry
ASIDE: Final = 1e-3  # where entries that vanish at x0 show


def check_jacobian(problem: Problem, jac: Any) -> None:
    """Compare the Jacobian that the user gives with that of the recorded right-hand side, at x0 and near it.

    Parameters
    ----------
    problem : Problem
    jac : "auto", callable ``jac(x, p, t)``, or array of shape (n, n)
        Dense or sparse; rows and columns are the states as one vector.

    Raises
    ------
    ArgumentValueError
        An entry is wrong; the message names the worst.
    ArgumentTypeError
        It is none of these.
    """
    if isinstance(jac, str) and jac == "auto":
        return
    if callable(jac):
        if not takes_x_p_t(jac, "jac", "jac(x, p, t)"):
            count = required_parameters(jac, "jac")
            raise ArgumentTypeError(f"jac: {name_of(jac)} requires {count} positional parameters; write jac(x, p, t) -> (n, n)")
    elif isinstance(jac, str) or not (_is_sparse(jac) or isinstance(jac, (np.ndarray, list, tuple))):
        raise ArgumentTypeError(f'jac must be "auto", a function jac(x, p, t) or an array, not {jac!r}')
    if problem.x_layout.has_complex:
        raise ArgumentTypeError(
            'jac: there is no complex Jacobian of real and imaginary parts; leave jac="auto", which is exact'
        )
    x = problem.x0
    _compare(problem, jac, x)
    _compare(problem, jac, x + ASIDE * np.maximum(1.0, np.abs(x)))


def _compare(problem: Problem, jac: Any, x: np.ndarray) -> None:
    n, t0 = problem.n, problem.t0
    with np.errstate(all="ignore"):
        exact = problem.jacobian(t0, x).dense()[:n, :n]
        given = _evaluate(problem, jac, x[:n])
    if not np.isfinite(exact).all():  # outside the domain of the right-hand side
        return
    wrong = ~(np.abs(given - exact) <= RTOL * np.abs(exact) + ATOL * np.abs(exact).max(initial=0.0))
    if not wrong.any():
        return
    error = np.where(wrong, np.nan_to_num(np.abs(given - exact), nan=np.inf), -1.0)
    i, j = (int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    names = problem.state_names
    label = name_of(jac) if callable(jac) else "the array"
    turned = " It looks transposed." if np.allclose(given.T, exact, rtol=RTOL) else ""
    raise ArgumentValueError(
        f"jac: {label} has {given[i, j]:.9g} at [{i}, {j}], the derivative of d {names[i]}/dt by {names[j]}, but that of "
        f"{problem.name} is {exact[i, j]:.9g} (near x0, at t0 = {t0:.6g}); {int(wrong.sum())} of {wrong.size} entries are "
        f'wrong.{turned} Leave jac="auto": the exact Jacobian comes from the right-hand side'
    )


def _evaluate(problem: Problem, jac: Any, x: np.ndarray) -> np.ndarray:
    value: Any = jac
    if callable(jac):
        value = jac(problem.x_layout.unpack(x.copy()), problem.p_layout.unpack(problem.p.copy()), problem.t0)
    try:
        found = np.asarray(value.toarray() if _is_sparse(value) else value, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentTypeError("jac must give numbers in an array of shape (n, n)") from None
    if found.shape != (problem.n, problem.n):
        raise ArgumentValueError(f"jac has shape {found.shape}, and there are {problem.n} states: ({problem.n}, {problem.n})")
    return found


def _is_sparse(value: Any) -> bool:
    return bool(issparse(value))
