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
