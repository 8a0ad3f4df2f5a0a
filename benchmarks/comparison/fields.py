"""Problems on grids: heat conduction in a wall, 2-D diffusion, the Brusselator."""

import numpy as np
import scipy.sparse as sp

from .problem import Problem, SquaredLoss


def heat(nodes: int) -> Problem:
    """Conduction in a wall, heated at one side by a pulse exp(a - (c (t/T - 1/b))^2), p = (a, b).

    The loss compares the temperature of the far side with 1000 K.
    """
    conductivity, diffusivity, thickness, duration = 50.0, 1e-5, 0.1, 6000.0
    h = thickness / (nodes - 1)
    diffusion, inflow = diffusivity / h**2, diffusivity / (conductivity * h)
    width = np.sqrt(-np.log(1e-6))

    def rhs(t, x, p, xp=np):
        pulse = xp.exp(p[0] - (p[1] * width * (t / duration - 1 / p[1])) ** 2)
        left = diffusion * 2 * (x[1:2] - x[:1]) + inflow * pulse
        inner = diffusion * (x[:-2] - 2 * x[1:-1] + x[2:])
        right = diffusion * 2 * (x[-2:-1] - x[-1:])
        return xp.concatenate([left, inner, right])

    def rhs_in_place(dx, x, p, t):
        pulse = np.exp(p[0] - (p[1] * width * (t / duration - 1 / p[1])) ** 2)
        dx[0] = diffusion * 2 * (x[1] - x[0]) + inflow * pulse
        dx[1:-1] = diffusion * (x[:-2] - 2 * x[1:-1] + x[2:])
        dx[-1] = diffusion * 2 * (x[-2] - x[-1])

    return Problem(
        f"heat_{nodes}", f"heat equation, {nodes} nodes, stiff", rhs, rhs_in_place,
        x0=np.full(nodes, 300.0), p=np.array([15.0, 10.0]), t_eval=np.linspace(0, duration, 61),
        rtol=1e-6, atol=1e-6, loss=SquaredLoss(1 / 61, 1000.0, slice(-1, None)), stiff=True,
        sparsity=sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(nodes, nodes), format="csc"),
        data={"diffusion": diffusion, "inflow": inflow, "T": duration, "width": width},
    )  # fmt: skip


def diffusion(cells: int) -> Problem:
    """u' = k(x, y) Lap u - c u on the unit square, u = 0 outside; p = (k on 3 x 3 patches, c).

    The time span shrinks with the square of the mesh width, so that an explicit method takes as many steps on every grid:
    its stability limit is about 1/160 of the span.
    """
    k = np.arange(cells)
    patch = (3 * k // cells)[:, None] * 3 + (3 * k // cells)[None, :]  # (cells, cells), entries 0 to 8
    scale = (cells + 1.0) ** 2

    def rhs(t, x, p, xp=np):
        u = x.reshape(cells, cells)
        padded = xp.pad(u, 1)
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        return (scale * p[:9][patch] * (around - 4 * u) - p[9] * u).ravel()

    def rhs_in_place(dx, x, p, t):
        u = x.reshape(cells, cells)
        around = -4 * u
        around[1:] += u[:-1]
        around[:-1] += u[1:]
        around[:, 1:] += u[:, :-1]
        around[:, :-1] += u[:, 1:]
        dx[:] = (scale * p[:9][patch] * around - p[9] * u).ravel()

    y = (k + 1) / (cells + 1)
    bump = np.exp(-20 * (y - 0.4) ** 2) * np.sin(np.pi * y)
    line, eye = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(cells, cells)), sp.eye_array(cells)
    laplacian = sp.csc_array(sp.kron(line, eye) + sp.kron(eye, line))
    return Problem(
        f"diffusion_{cells}", f"2-D diffusion, {cells} x {cells}", rhs, rhs_in_place,
        x0=np.outer(bump, bump).ravel(), p=np.array([6, 8, 10, 12, 9, 7, 11, 5, 10, 500]) * 1e-3,
        t_eval=np.linspace(0, (65 / (cells + 1)) ** 2, 11), rtol=1e-6, atol=1e-9, loss=SquaredLoss(1.0), stiff=False,
        sparsity=laplacian, data={"laplacian": laplacian * scale, "patch": patch.ravel()},
    )  # fmt: skip


def periodic_laplacian(cells: int) -> sp.csc_array:
    """The 5-point stencil on a torus, without the 1/h^2."""
    ring = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(cells, cells)).tolil()
    ring[0, -1] += 1
    ring[-1, 0] += 1
    eye = sp.eye_array(cells)
    return sp.csc_array(sp.kron(ring, eye) + sp.kron(eye, ring))


def brusselator(size: int) -> Problem:
    """The 2-D Brusselator of SciMLBenchmarks with a field of each coefficient: p = (A, B, alpha_u, alpha_v).

    Their forcing starts at t = 1.1 and so plays no part on [0, 1].
    """
    cells, factor = size * size, (size - 1.0) ** 2

    def laplacian(c, xp):
        c = c.reshape(size, size)
        around = xp.roll(c, 1, 0) + xp.roll(c, -1, 0) + xp.roll(c, 1, 1) + xp.roll(c, -1, 1)
        return ((around - 4 * c) * factor).ravel()

    def rhs(t, x, p, xp=np):
        u, v = x[:cells], x[cells:]
        a, b, alpha_u, alpha_v = p[:cells], p[cells : 2 * cells], p[2 * cells : 3 * cells], p[3 * cells :]
        uuv = u * u * v
        du = alpha_u * laplacian(u, xp) + b + uuv - (a + 1) * u
        dv = alpha_v * laplacian(v, xp) + a * u - uuv
        return xp.concatenate([du, dv])

    def rhs_in_place(dx, x, p, t):
        u, v = x[:cells], x[cells:]
        a, b, alpha_u, alpha_v = p[:cells], p[cells : 2 * cells], p[2 * cells : 3 * cells], p[3 * cells :]
        uuv = u * u * v
        dx[:cells] = alpha_u * laplacian(u, np) + b + uuv - (a + 1) * u
        dx[cells:] = alpha_v * laplacian(v, np) + a * u - uuv

    x = np.linspace(0, 1, size)
    u0 = np.repeat(22 * (x * (1 - x)) ** 1.5, size)  # depends on the row (y), constant along it
    v0 = np.tile(27 * (x * (1 - x)) ** 1.5, size)
    pattern, eye = abs(periodic_laplacian(size)), sp.eye_array(cells)
    return Problem(
        f"brusselator_{size}", f"Brusselator, {size} x {size}", rhs, rhs_in_place,
        x0=np.concatenate([u0, v0]), p=np.repeat([3.4, 1.0, 10.0, 10.0], cells), t_eval=np.linspace(0, 1, 11),
        rtol=1e-7, atol=1e-5, loss=SquaredLoss(0.5, 1.0), stiff=True,
        sparsity=sp.csc_array(sp.block_array([[pattern, eye], [eye, pattern]])),
        data={"laplacian": periodic_laplacian(size) * factor, "cells": cells},
    )  # fmt: skip
