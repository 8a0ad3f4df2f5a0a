"""The problems in DiffSL, the language of diffsol.

One absolute tolerance serves all parameters, so where parameters differ by many orders the models take p_k / |p_k| as inputs.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..problem import Problem


def lotka_volterra(problem: Problem) -> str:
    return """in_i { a = 1, b = 1, c = 1, d = 1 }
u_i { x = 1, y = 1 }
F_i { a*x - b*x*y, -c*y + d*x*y }"""


def heat(problem: Problem) -> str:
    diffusion, inflow, duration, width = (problem.data[k] for k in ("diffusion", "inflow", "T", "width"))
    stencil = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(problem.n, problem.n)).tolil()
    stencil[0, 1] = stencil[-1, -2] = 2
    return f"""in_i {{ a = 1, b = 1 }}
c {{ b * {width:.17g} }}
pulse {{ exp(a - pow(c * (t / {duration} - 1 / b), 2)) }}
L_ij {{ {entries(stencil * diffusion)} }}
heated_i {{ (0): pulse, (1:{problem.n}): 0.0 }}
u_i {{ (0:{problem.n}): T = 300.0 }}
conduction_i {{ L_ij * T_j }}
F_i {{ conduction_i + heated_i * {inflow} }}
out_i {{ T_i[{problem.n - 1}:{problem.n}] }}"""


def robertson(problem: Problem) -> str:
    k1, k2, k3 = problem.p
    return f"""in_i {{ a = 1, b = 1, c = 1 }}
u_i {{ x = 1, y = 0, z = 0 }}
slow {{ {k1} * a * x }}
back {{ {k2} * b * y * z }}
fast {{ {k3} * c * y * y }}
F_i {{ -slow + back, slow - back - fast, fast }}"""


def pollution(problem: Problem) -> str:
    first, second = problem.data["reactants"]
    rates = [
        f"{k} * s{r} * y{i}" + (f" * y{j}" if j < problem.n else "")
        for r, (k, i, j) in enumerate(zip(problem.p, first, second, strict=True))
    ]
    rows = [
        " ".join(f"{coefficient:+g}*r{r}" for r, coefficient in enumerate(row) if coefficient)
        for row in problem.data["stoichiometry"]
    ]
    return "\n".join([
        "in_i { " + ", ".join(f"s{r} = 1" for r in range(problem.n_p)) + " }",
        "u_i { " + ", ".join(f"y{i} = {value}" for i, value in enumerate(problem.x0)) + " }",
        *(f"r{r} {{ {rate} }}" for r, rate in enumerate(rates)),
        "F_i { " + ", ".join(rows) + " }",
    ])  # fmt: skip


def pkpd(problem: Problem) -> str:
    """Doses are resets, all of them alike, at stops of the integration."""
    names = ["depot", "centre", "peri", "peri2", "response"]
    (state,), (amount,) = {d.state for d in problem.doses}, {d.amount for d in problem.doses}
    after = [f"{name} + {amount}" if i == state else name for i, name in enumerate(names)]
    start = ", ".join(f"{name} = {value!r}" for name, value in zip(names, problem.x0.tolist(), strict=True))
    inputs = ["Ka", "CL", "Vc", "Q", "Vp", "Kin", "Kout", "IC", "IM", "ga", "Vmax", "Km", "Qb", "Vb"]
    return f"""in_i {{ {", ".join(f"{name} = 1" for name in inputs)} }}
u_i {{ {start} }}
conc {{ centre / Vc }}
power {{ pow(conc, ga) }}
effect {{ IM * power / (pow(IC, ga) + power) }}
F_i {{
  -Ka * depot,
  Ka * depot - (CL + Vmax / (Km + conc) + Q) * conc + Q * peri / Vp - Qb * conc + Qb * peri2 / Vb,
  Q * conc - Q * peri / Vp,
  Qb * conc - Qb * peri2 / Vb,
  Kin * (1 - effect) - Kout * response
}}
stop_i {{ {", ".join(f"t - {d.t}" for d in problem.doses)} }}
reset_i {{ {", ".join(after)} }}"""


def brusselator(problem: Problem) -> str:
    n = problem.data["cells"]  # a state block may not be called u, the name of the whole state
    return f"""in_i {{ (0:{n}): A = 1, ({n}:{2 * n}): B = 1, ({2 * n}:{3 * n}): p = 1, ({3 * n}:{4 * n}): q = 1 }}
L_ij {{ {entries(problem.data["laplacian"])} }}
x0_i {{ {vector(problem.x0[:n])} }}
y0_i {{ {vector(problem.x0[n:])} }}
u_i {{ x = x0_i, y = y0_i }}
lx_i {{ L_ij * x_j }}
ly_i {{ L_ij * y_j }}
F_i {{ p_i * lx_i + B_i + x_i * x_i * y_i - (A_i + 1) * x_i, q_i * ly_i + A_i * x_i - x_i * x_i * y_i }}"""


def neural_ode(problem: Problem) -> str:
    h = problem.data["hidden"]
    blocks = {"wx": h, "wy": h, "b": h, "vx": h, "vy": h, "cx": 1, "cy": 1}
    stops = np.cumsum(list(blocks.values()))
    inputs = ", ".join(
        f"({stop - size}:{stop}): {name} = 1" if size > 1 else f"{name} = 1"
        for (name, size), stop in zip(blocks.items(), stops, strict=True)
    )
    return f"""in_i {{ {inputs} }}
u_i {{ x = {problem.x0[0]}, y = {problem.x0[1]} }}
hidden_i {{ tanh(wx_i * (x * x * x) + wy_i * (y * y * y) + b_i) }}
dx {{ vx_i * hidden_i }}
dy {{ vy_i * hidden_i }}
F_i {{ dx + cx, dy + cy }}"""


def diffusion(problem: Problem) -> str:
    n = problem.n
    patches = sp.csc_array((np.ones(n), (np.arange(n), problem.data["patch"])), shape=(n, 9))
    return f"""in_i {{ (0:9): k = 1, c = 1 }}
L_ij {{ {entries(problem.data["laplacian"])} }}
P_ij {{ {entries(patches)} }}
x0_i {{ {vector(problem.x0)} }}
u_i {{ x = x0_i }}
conductivity_i {{ P_ij * k_j }}
spread_i {{ L_ij * x_j }}
F_i {{ conductivity_i * spread_i - c * x_i }}"""


def entries(matrix: Any) -> str:
    """A sparse matrix in DiffSL; runs of one value along a diagonal are written as ranges, which also run faster."""
    matrix = sp.coo_array(sp.csr_array(matrix))
    cells = sorted((j - i, i, v) for i, j, v in zip(*(a.tolist() for a in (*matrix.coords, matrix.data)), strict=True))
    runs = []  # [diagonal, first row, row after the last, value]
    for diagonal, i, v in cells:
        if runs and runs[-1][0] == diagonal and runs[-1][2:] == [i, v]:
            runs[-1][2] += 1
        else:
            runs.append([diagonal, i, i + 1, v])
    return ", ".join(
        f"({i}..{stop},{i + d}..{stop + d}): {v!r}" if stop > i + 1 else f"({i},{i + d}): {v!r}" for d, i, stop, v in runs
    )


def vector(values: np.ndarray) -> str:
    return ", ".join(f"({i}): {v!r}" for i, v in enumerate(values.tolist()))


MODELS = {
    "lotka_volterra": lotka_volterra, "heat": heat, "robertson": robertson, "pollution": pollution, "pkpd": pkpd,
    "brusselator": brusselator, "neural_ode": neural_ode, "diffusion": diffusion,
}  # fmt: skip
