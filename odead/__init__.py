"""Exact derivatives of the ODE models that scientists already have.

The map of the house, in the order in which data flows:

ops, structured     the operations: value, partials, conventions
views               how an operand lies in its buffer
tape                Program, the noun that all stages share
tracing             user's function -> Program
transform           Program -> Program: optimising passes, forward, reverse; sparsity and colouring
execute             Program -> compiled tape (`_core`), and the slow NumPy oracle
rules               a derivative given by hand for a function that cannot be traced, lifted to every combination of activities
activity            Const, Active, Duplicated
derivatives         the kernel (trace, optimise, derive, compile, with a variant per branch taken), and what it is called by:
                    the annotated call, gradients and Jacobians, second order, compiled functions, explain
testing             check_derivatives: the oracle of the one law; check_rule
ode                 solve, sensitivity, steady_state, ensemble
"""

from . import testing
from .activity import Active, BatchDuplicated, BatchDuplicatedNoNeed, Cache, Const, Duplicated, DuplicatedNoNeed
from .derivatives.autodiff import Result, autodiff
from .derivatives.compilation import Compiled, compile
from .derivatives.explain import explain
from .derivatives.first_order import gradient, jacobian, jvp, value_and_gradient, vjp
from .derivatives.modes import Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from .derivatives.second_order import hessian, hvp
from .derivatives.sparse import sparsity
from .errors import DerivativeError, IntegrationError, OdeadError, OdeadWarning, RuleError, TracingError
from .ode import Sensitivity, Solution, SteadyState, ensemble, from_scipy, sensitivity, solve, solve_ivp, steady_state
from .rules.easy import easy_rule, stop_gradient
from .rules.primitive import primitive
from .rules.registry import frule, inactive, register_vjp, rule
from .testing import check_derivatives, check_rule
from .zero import make_zero

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
    "RuleError",
    "Sensitivity",
    "Solution",
    "SteadyState",
    "TracingError",
    "autodiff",
    "check_derivatives",
    "check_rule",
    "compile",
    "easy_rule",
    "ensemble",
    "explain",
    "from_scipy",
    "frule",
    "gradient",
    "hessian",
    "hvp",
    "inactive",
    "jacobian",
    "jvp",
    "make_zero",
    "primitive",
    "register_vjp",
    "rule",
    "sensitivity",
    "solve",
    "solve_ivp",
    "sparsity",
    "steady_state",
    "stop_gradient",
    "testing",
    "value_and_gradient",
    "vjp",
]

__version__ = "0.1.0.dev0"
