"""A metal slab, heated at its left end by a pulse: plain NumPy, nothing in here knows of odead.

The slab is insulated but for the left end, where the heat flux u(t) enters. Finite differences on Nx nodes give
one ordinary differential equation per node. The pulse has two parameters: exp(a) is its height, Tf/b its centre.
"""

import numpy as np

Nx = 101  # nodes
L = 0.1  # thickness, m
dz = L / (Nx - 1)  # distance of two nodes, m
alpha = 1e-5  # thermal diffusivity, m²/s
lam = 50.0  # thermal conductivity, W/(m K)
Tf = 6000.0  # duration, s
T0 = 300.0  # initial temperature, K


def flux(p, t):
    """Heat flux into the left end, W/m²."""
    a, b = p
    c = b * np.sqrt(-np.log(1e-6))  # the pulse begins at a millionth of its height
    return np.exp(a - (c * (t / Tf - 1 / b)) ** 2)


def diffusion(dx, x):
    """Second difference of x; mirrored at the ends, which insulates them."""
    for i in range(1, Nx - 1):
        dx[i] = (x[i - 1] - 2 * x[i] + x[i + 1]) / dz**2
    dx[0] = 2 * (x[1] - x[0]) / dz**2
    dx[Nx - 1] = 2 * (x[Nx - 2] - x[Nx - 1]) / dz**2


def heat_eq(dx, x, p, t):
    """Write the time derivative of the temperatures x into dx."""
    diffusion(dx, x)
    dx[:] = alpha * dx
    dx[0] = dx[0] + alpha / (lam * dz) * flux(p, t)


def heat_eq_sliced(dx, x, p, t):
    """The same without a loop over the nodes."""
    dx[1:-1] = (x[:-2] - 2 * x[1:-1] + x[2:]) / dz**2
    dx[0] = 2 * (x[1] - x[0]) / dz**2
    dx[-1] = 2 * (x[-2] - x[-1]) / dz**2
    dx *= alpha
    dx[0] += alpha / (lam * dz) * flux(p, t)


def heat_eq_buffered(dx, x, p, t):
    """The same with a scratch array."""
    second = np.zeros(Nx)
    diffusion(second, x)
    dx[:] = alpha * second
    dx[0] = dx[0] + alpha / (lam * dz) * flux(p, t)
