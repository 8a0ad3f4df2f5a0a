"""Heat in a rod whose conductivity is a measured table: plain NumPy and SciPy.

rhs(dx, x, p, t): temperatures x in K, p = (factor on the conductivity, heat capacity in J/(m^3 K))
"""

import numpy as np
from scipy.interpolate import splev, splrep

Nx = 60
dz = 0.1 / (Nx - 1)

# Conductivity of an alloy in W/(m K), measured every 100 K. FITPACK evaluates the spline in Fortran.
TEMPERATURE = np.array([200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0])
CONDUCTIVITY = np.array([12.1, 13.9, 15.4, 17.2, 19.5, 20.9, 22.4, 25.1, 26.0])
TABLE = splrep(TEMPERATURE, CONDUCTIVITY)


def conductivity(T, factor):
    return factor * splev(T, TABLE)


def rhs(dx, x, p, t, law=conductivity):
    flux = -law(0.5 * (x[1:] + x[:-1]), p[0]) * (x[1:] - x[:-1]) / dz
    dx[0] = -flux[0] / (p[1] * dz)
    dx[1:-1] = -(flux[1:] - flux[:-1]) / (p[1] * dz)
    dx[-1] = flux[-1] / (p[1] * dz)
