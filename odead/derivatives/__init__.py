"""From a function to its derivatives, run on the caller's arrays.

modes            Forward and Reverse: which derived program a call asks for
kernel           trace, optimise, derive, compile; a variant per branch taken
arguments        what annotated arguments bind to
inputs           what plain arguments and `wrt` bind to
autodiff         the annotated call
first_order      gradient, jacobian, jvp, vjp, sparsity
second_order     hessian, hvp
compilation      compile: a callable that allocates nothing
explain          what was recorded, and how it is differentiated
"""
