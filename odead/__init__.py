"""Exact derivatives of the ODE models that scientists already have.

The map of the house, in the order in which data flows:

ops, structured     the operations: value, partials, conventions
tape                Program, the noun that all stages share
tracing             user's function -> Program
transform           Program -> Program: optimising passes, forward, reverse; sparsity and colouring
execute             Program -> compiled tape (`_core`), and the slow NumPy oracle
kernel              trace, optimise, derive, compile, with a variant per branch taken
activity, modes     Const, Active, Duplicated; Forward, Reverse
autodiff            the annotated call; derivatives and compilation: the tools built on it
testing             check_derivatives: the oracle of the one law
ode                 solve, sensitivity
"""

from . import testing
from .activity import Active, BatchDuplicated, BatchDuplicatedNoNeed, Cache, Const, Duplicated, DuplicatedNoNeed
from .autodiff import Result, autodiff
from .compilation import Compiled, compile
from .containers import make_zero
from .derivatives import gradient, jacobian, jvp, sparsity, value_and_gradient, vjp
from .errors import DerivativeError, IntegrationError, OdeadError, OdeadWarning, TracingError
from .modes import Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from .ode import Sensitivity, Solution, from_scipy, sensitivity, solve, solve_ivp
from .second_order import hessian, hvp
from .testing import check_derivatives

__all__ = [
    "Active",
    "BatchDuplicated",
    "BatchDuplicatedNoNeed",
    "Cache",
    "Compiled",
    "Const",
    "DerivativeError",
    "Duplicated",
    "DuplicatedNoNeed",
    "Forward",
    "ForwardWithPrimal",
    "IntegrationError",
    "OdeadError",
    "OdeadWarning",
    "Result",
    "Reverse",
    "ReverseWithPrimal",
    "Sensitivity",
    "Solution",
    "TracingError",
    "autodiff",
    "check_derivatives",
    "compile",
    "from_scipy",
    "gradient",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "make_zero",
    "sensitivity",
    "solve",
    "solve_ivp",
    "sparsity",
    "testing",
    "value_and_gradient",
    "vjp",
]

__version__ = "0.1.0.dev0"
