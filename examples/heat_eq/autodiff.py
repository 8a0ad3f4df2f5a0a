"""Derivatives of one call of an in-place function: reverse, then forward, and a check of both.

Run: python autodiff.py
"""

import numpy as np

import odead
from odead import Const, Duplicated
from rhs import Nx, heat_eq

i = np.arange(Nx)
x = 300 + 50 * np.sin(0.1 * i) + 0.01 * i**2
p = np.array([15.0, 10.0])
t = 300.0

# Reverse. Each array has a shadow. On entry a shadow holds the derivative of a loss L with respect to the value its
# array has after the call, on exit with respect to the value it had before. Here L = sum(cos(0.05 i) * dx[i]).
weights = np.cos(0.05 * i)
dx, d_dx = np.zeros(Nx), weights.copy()
d_x = np.zeros(Nx)
d_p = np.zeros(2)
odead.autodiff(heat_eq, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p), Const(t))

print("reverse")
print("  dL/dp    =", d_p)
print("  dL/dx[0] =", d_x[0])
print("  d_dx is 0 everywhere, as the old dx does not matter:", not d_dx.any())

# Forward. On entry a shadow holds a direction, on exit how its array changes along it. Here: raise a, warm the left half.
tangent_dx = np.zeros(Nx)
tangent_x = np.where(i < Nx // 2, 1.0, 0.0)
tangent_p = np.array([1.0, 0.0])
odead.autodiff(odead.Forward, heat_eq, Duplicated(dx, tangent_dx), Duplicated(x, tangent_x), Duplicated(p, tangent_p), Const(t))

print("forward")
print("  change of dx[0]      =", tangent_dx[0])
print("  change of dx[49, 50] =", tangent_dx[49:51])

# Both are the same Jacobian, once from the left and once from the right.
forward = weights @ tangent_dx
reverse = d_x @ tangent_x + d_p @ tangent_p
print(f"dL along the direction: {forward:.12f} (forward), {reverse:.12f} (reverse)")
assert np.isclose(forward, reverse, rtol=1e-12)

# The same, done thoroughly: forward, reverse, finite differences and what happens to every argument.
odead.check_derivatives(heat_eq, dx, x, p, t)
print("check_derivatives found nothing wrong")
