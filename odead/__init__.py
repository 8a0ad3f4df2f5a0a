"""Exact derivatives of the ODE models that scientists already have.

The map of the house, in the order in which data flows:

ops, structured     the operations: value, partials, conventions
tape                Program, the noun that all stages share
tracing             user's function -> Program
transform           Program -> Program: optimising passes, forward, reverse; sparsity and colouring
execute             Program -> compiled tape (`_core`), and the slow NumPy oracle
kernel              trace, optimise, derive, compile, with a variant per branch taken
rules               a derivative given by hand for a function that cannot be traced, lifted to every combination of activities
activity, modes     Const, Active, Duplicated; Forward, Reverse
autodiff            the annotated call; derivatives and compilation: the tools built on it; explain
testing             check_derivatives: the oracle of the one law; check_rule
ode                 solve, sensitivity, steady_state, ensemble
"""

from . import testing
from .activity import Active, BatchDuplicated, BatchDuplicatedNoNeed, Cache, Const, Duplicated, DuplicatedNoNeed
from .autodiff import Result, autodiff
from .compilation import Compiled, compile
from .containers import make_zero
from .derivatives import gradient, jacobian, jvp, sparsity, value_and_gradient, vjp
from .errors import DerivativeError, IntegrationError, OdeadError, OdeadWarning, RuleError, TracingError
from .explain import explain
from .modes import Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from .ode import Sensitivity, Solution, SteadyState, ensemble, from_scipy, sensitivity, solve, solve_ivp, steady_state
from .rules.easy import easy_rule, stop_gradient
from .rules.primitive import primitive
from .rules.registry import frule, inactive, register_vjp, rule
from .second_order import hessian, hvp
from .testing import check_derivatives, check_rule

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
