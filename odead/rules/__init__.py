"""Rules: derivatives given by hand, with a complete fallback.

primitive     a function that the tracer does not look into
registry      rules, and how they are registered
easy          rules from partial derivatives written as strings
resolution    which rule serves a call
signature     what a call takes and leaves
pointers      C functions by their address
callee        what a call instruction calls, and what a derived program does about it
primal        the call of a primitive, and the choice of its rule
adjoint, tangent, pushing       what a rule makes of it in reverse and forward mode
differences   finite differences, as a rule
values        values in slots, ordinary and traced alike
pullbacks     where a pullback waits for the reverse sweep
closures      functions that close over traced values, as arguments of a call
"""
