"""Find the heating pulse from noisy temperatures at the two ends of the slab, with exact derivatives.

Run: python calibrate.py      Writes calibrate.png beside this file.
"""

from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import least_squares

import odead
from rhs import T0, Nx, heat_eq

truth = (15.0, 10.0)
guess = (14.6, 7.0)
noise = 15.0  # standard deviation, K
ends = [0, Nx - 1]
x0 = np.full(Nx, T0)
times = np.linspace(0, 2400, 241)  # s
measured = slice(None, None, 6)  # one reading a minute


@cache  # the optimiser asks for residuals and derivatives of the same parameters
def simulate(a, b):
    """Temperatures of the ends, (2, times), and their derivatives, (2, times, 2)."""
    result = odead.sensitivity(heat_eq, x0, np.array([a, b]), (0, times[-1]), t_eval=times)
    return result.y[ends], result.sens[:, ends].swapaxes(0, 1)


def calibrate(data):
    def residuals(p):
        misfit = (simulate(*p)[0][:, measured] - data) / noise
        print(f"  a = {p[0]:9.6f}   b = {p[1]:9.6f}   misfit = {noise * np.sqrt(np.mean(misfit**2)):9.4f} K")
        return misfit.ravel()

    def jacobian(p):
        return simulate(*p)[1][:, measured].reshape(-1, 2) / noise

    return least_squares(residuals, guess, jacobian, ftol=1e-6)


def draw(data, fit):
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    minutes = times / 60
    for k, (panel, title) in enumerate(zip(panels, ("heated end", "insulated end"), strict=True)):
        panel.plot(minutes[measured], data[k], "o", color="0.55", markersize=4, label="data")
        panel.plot(minutes, simulate(*guess)[0][k], "--", color="#d55e00", label="first guess")
        panel.plot(minutes, simulate(*fit)[0][k], color="#0072b2", linewidth=2, label="fit")
        panel.set(title=title, xlabel="time (min)", ylabel="temperature (K)")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    return figure


def main():
    random = np.random.default_rng(1)
    exact = simulate(*truth)[0][:, measured]
    data = exact + noise * random.standard_normal(exact.shape)

    print("least_squares with exact derivatives")
    found = calibrate(data)
    deviation = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    for name, value, error, true in zip("ab", found.x, deviation, truth, strict=True):
        print(f"{name} = {value:.4f} ± {error:.4f}   (true value {true})")

    picture = Path(__file__).with_suffix(".png")
    draw(data, found.x).savefig(picture, dpi=150)
    print(f"Wrote {picture}")


if __name__ == "__main__":
    main()
