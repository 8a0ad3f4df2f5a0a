"""Ordinary differential equations and their sensitivities.

Reading order: layout and signature (what the user passes, as vectors), rhs, compressed and jacobian (the compiled right-hand
side), problem (everything checked), engine and engines (who steps), switches and piecewise (branches), solve, forward, loss,
quadrature, adjoint, sensitivity, second, inside (a differentiated function), ivp, solution, failures; steady, ensemble.
For the compiled loop: tableaus and methods (data), systems (what it steps), interpolant, discrete (its adjoint).
"""

from .arguments.signature import from_scipy
from .ensemble import ensemble
from .ivp import solve_ivp
from .results.solution import Sensitivity, Solution
from .sensitivity import sensitivity
from .solve import solve
from .steady import SteadyState, steady_state

__all__ = [
    "Sensitivity",
    "Solution",
    "SteadyState",
    "ensemble",
    "from_scipy",
    "sensitivity",
    "solve",
    "solve_ivp",
    "steady_state",
]
