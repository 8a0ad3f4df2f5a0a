"""Derivatives of solutions: forward, and backward by the continuous and the discrete adjoint."""
