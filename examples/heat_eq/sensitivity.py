"""How the temperatures of the slab answer to the two parameters of the heating pulse, over space and time.

Run: python sensitivity.py      Writes sensitivity.png beside this file.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import odead
from rhs import T0, L, Nx, Tf, heat_eq

x0 = np.full(Nx, T0)
p = np.array([15.0, 10.0])
times = np.append(np.linspace(0, 1800, 241), Tf)  # the pulse is over after half an hour


def loss(y):
    """Final temperature of the insulated end; y is (nodes, times)."""
    return y[-1, -1]


def main():
    forward = odead.sensitivity(heat_eq, x0, p, (0, Tf), t_eval=times, mode="forward")
    print(forward)

    adjoint = odead.sensitivity(heat_eq, x0, p, (0, Tf), t_eval=times, loss=loss, mode="adjoint")
    rise = adjoint.loss - T0
    print(f"\nInsulated end, after {Tf:.0f} s: {adjoint.loss:.4f} K. Its derivatives (K):")
    print(f"  {'':22}{'with respect to a':>18}{'to b':>12}")
    for name, (by_a, by_b) in {
        "forward sensitivities": forward.sens[-1, -1],
        "adjoint": adjoint.grad,
        "by hand (heat ~ e^a/b)": (rise, -rise / p[1]),
    }.items():
        print(f"  {name:22}{by_a:18.4f}{by_b:12.4f}")

    picture = Path(__file__).with_suffix(".png")
    draw(forward).savefig(picture, dpi=150)
    print(f"\nWrote {picture}")


def draw(result):
    """Maps over space and time: temperature T and its derivatives with respect to a and to b."""
    z, minutes = np.linspace(0, 1e3 * L, Nx), times[:-1] / 60
    by_a, by_b = np.moveaxis(result.sens[:-1], 2, 0)
    figure, panels = plt.subplots(1, 3, figsize=(12, 5), sharey=True, layout="constrained")
    for panel, title, values, colours in (
        (panels[0], "temperature $T$ (K)", result.y.T[:-1], {"cmap": "inferno"}),
        (panels[1], r"$\partial T/\partial a$ (K)", by_a, {"cmap": "viridis"}),
        (panels[2], r"$\partial T/\partial b$ (K)", by_b, symmetric(by_b)),
    ):
        mesh = panel.pcolormesh(z, minutes, values, shading="gouraud", **colours)
        panel.contour(z, minutes, values, levels=8, colors="0.3", linewidths=0.6, alpha=0.7)
        panel.set(title=title, xlabel="distance from the heated end (mm)")
        figure.colorbar(mesh, ax=panel, pad=0.02)
    panels[0].set_ylabel("time (min)")
    return figure


def symmetric(values):
    """Colours with white at zero."""
    largest = np.abs(values).max()
    return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}


if __name__ == "__main__":
    main()
