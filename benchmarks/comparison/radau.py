"""The Radau IIA methods on a fixed grid, for complex parameters (Hairer and Wanner, Solving ODEs II, section IV.5)."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.special import roots_jacobi

from .problem import Problem

TINY = 1e-30
NEWTON = 40


def tableau(stages: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and matrix of the collocation method whose last node is 1; its order is 2 stages - 1."""
    nodes = np.append((1 + roots_jacobi(stages - 1, 1, 0)[0]) / 2, 1.0)
    powers = np.arange(stages)
    return nodes, (nodes[:, None] ** (powers + 1) / (powers + 1)) @ np.linalg.inv(nodes[:, None] ** powers)


def radau_iia(problem: Problem, p: np.ndarray, grid: np.ndarray, stages: int = 5) -> np.ndarray:
    """The solution at every point of the grid, complex, (n, len(grid)), to rounding of the stage equations.

    The matrix of the simplified Newton iteration is the real one: tangents, in the imaginary parts, converge with the values.
    """
    nodes, matrix = tableau(stages)
    x, n, identity = problem.x0.astype(complex), problem.n, sp.eye_array(stages * problem.n)
    solution = [x]
    for t, h in zip(grid[:-1], np.diff(grid), strict=True):
        newton = splu(sp.csc_matrix(identity - h * sp.kron(matrix, jacobian(problem, t, x.real, p.real))))
        z = np.zeros((stages, n), complex)
        for _ in range(NEWTON):
            slopes = np.stack([problem.rhs(t + c * h, x + stage, p) for c, stage in zip(nodes, z, strict=True)])
            residual = (h * matrix @ slopes - z).ravel()
            change = (newton.solve(residual.real) + 1j * newton.solve(residual.imag)).reshape(z.shape)
            z += change
            if all(np.abs(part(change)).max() <= 1e-15 * np.abs(part(x + z)).max() for part in (np.real, np.imag)):
                break
        x = x + z[-1]
        solution.append(x)
    return np.stack(solution, axis=1)


def jacobian(problem: Problem, t: float, x: np.ndarray, p: np.ndarray) -> sp.coo_array:
    """df/dx by complex steps; of a tridiagonal one three steps give all columns."""
    n, stride = problem.n, 3 if problem.name.startswith("heat") else problem.n
    rows, columns, values = [], [], []
    for k in range(min(stride, n)):
        step = np.zeros(n)
        step[k::stride] = 1.0
        slope = problem.rhs(t, x + TINY * 1j * step, p).imag / TINY
        # The stepped column that row i can depend on: all of them on k, or the one of i - 1, i, i + 1.
        column = np.full(n, k) if stride == n else (np.arange(n) - k + 1) // stride * stride + k
        inside = (column >= 0) & (column < n)
        rows.append(np.arange(n)[inside])
        columns.append(column[inside])
        values.append(slope[inside])
    return sp.coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
