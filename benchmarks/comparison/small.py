"""Problems of few states: Lotka-Volterra alone and as an ensemble, Robertson, pollution, PKPD, a neural ODE."""

from dataclasses import replace

import numpy as np
from scipy.integrate import solve_ivp

from .problem import Dose, Problem, SquaredLoss


def lotka_volterra() -> Problem:
    def rhs(t, x, p, xp=np):
        return xp.stack([p[0] * x[0] - p[1] * x[0] * x[1], -p[2] * x[1] + p[3] * x[0] * x[1]])

    def rhs_in_place(dx, x, p, t):
        dx[0] = p[0] * x[0] - p[1] * x[0] * x[1]
        dx[1] = -p[2] * x[1] + p[3] * x[0] * x[1]

    return Problem(
        "lotka_volterra", "Lotka-Volterra", rhs, rhs_in_place,
        x0=np.array([1.0, 1.0]), p=np.array([1.5, 1.0, 3.0, 1.0]), t_eval=np.linspace(0, 10, 101),
        rtol=1e-6, atol=1e-9, loss=SquaredLoss(1.0), stiff=False,
    )  # fmt: skip


def ensemble(members: int = 10_000) -> Problem:
    """Lotka-Volterra with other parameters for each member; every 1111th has a reference."""
    one = lotka_volterra()
    spread = np.random.default_rng(1).uniform(0.9, 1.1, (members, one.n_p))
    name = "ensemble" if members == 10_000 else f"ensemble_{members}"
    return replace(
        one, name=name, title=f"{members} gradients of Lotka-Volterra", p=one.p * spread, referenced=slice(None, None, 1111)
    )  # fmt: skip


def robertson() -> Problem:
    """Robertson's kinetics: parameters from 0.04 to 3e7, data from 0.01 to 10 000."""

    def rhs(t, x, p, xp=np):
        slow, back, fast = p[0] * x[0], p[1] * x[1] * x[2], p[2] * x[1] ** 2
        return xp.stack([-slow + back, slow - back - fast, fast])

    def rhs_in_place(dx, x, p, t):
        slow, back, fast = p[0] * x[0], p[1] * x[1] * x[2], p[2] * x[1] ** 2
        dx[0] = -slow + back
        dx[1] = slow - back - fast
        dx[2] = fast

    return Problem(
        "robertson", "Robertson, stiff", rhs, rhs_in_place,
        x0=np.array([1.0, 0.0, 0.0]), p=np.array([0.04, 1e4, 3e7]), t_eval=np.logspace(-2, 4, 21),
        rtol=1e-6, atol=1e-10, loss=SquaredLoss(1.0), stiff=True, relative_gradient=True,
    )  # fmt: skip


# The POLLU network (Verwer 1994): "left -> right", species counted from 1, rate constants in order.
POLLU_REACTIONS = """1:2,3 2,4:1 5,2:6,1 7:8,5,5 7:8 7,6:8,5 9:10,8,5 9,6:11 11,2:10,12,1 11,1:13 13:11,1 10,2:14,1 14:7,5
1,6:15 3:4 4:16 4:3 16:6,6 16:3 17,6:18,5 19:2 19:1,3 1,4:19 19,1:20 20:19,1"""
POLLU_RATES = (
    0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88, 1.63e4, 4.8e6, 3.5e-4,
    0.0175, 1e8, 4.44e11, 1.24e3, 2.1, 5.78, 0.0474, 1.78e3, 3.12,
)  # fmt: skip
POLLU_START = {2: 0.2, 4: 0.04, 7: 0.1, 8: 0.3, 9: 0.01, 17: 0.007}


def pollution() -> Problem:
    """20 species, 25 reactions, rate constants from 1e-4 to 4e11."""
    n = 20
    reactions = [[[int(s) - 1 for s in side.split(",")] for side in r.split(":")] for r in POLLU_REACTIONS.split()]
    stoichiometry = np.zeros((n, len(reactions)))
    reactants = np.full((2, len(reactions)), n)  # index n is a constant 1, the second reactant that is missing
    for k, (left, right) in enumerate(reactions):
        reactants[: len(left), k] = left
        np.subtract.at(stoichiometry[:, k], left, 1)
        np.add.at(stoichiometry[:, k], right, 1)

    def rhs(t, x, p, xp=np):
        extended = xp.concatenate([x, xp.ones(1)])
        return stoichiometry @ (p * extended[reactants[0]] * extended[reactants[1]])

    def rhs_in_place(dx, x, p, t):
        dx[:] = 0.0
        for k, (left, right) in enumerate(reactions):
            rate = p[k] * x[left[0]]
            if len(left) == 2:
                rate = rate * x[left[1]]
            for s in left:
                dx[s] -= rate
            for s in right:
                dx[s] += rate

    x0 = np.zeros(n)
    for species, amount in POLLU_START.items():
        x0[species - 1] = amount
    return Problem(
        "pollution", "POLLU air pollution, stiff", rhs, rhs_in_place,
        x0=x0, p=np.array(POLLU_RATES), t_eval=np.linspace(0, 60, 121),
        rtol=1e-7, atol=1e-5, loss=SquaredLoss(0.5, 1.0), stiff=True, relative_gradient=True,
        data={"reactants": reactants, "stoichiometry": stoichiometry},
    )  # fmt: skip


def pkpd() -> Problem:
    """Depot, centre, two peripheries, response (SciMLBenchmarks): 100 units into the depot every 24 h."""

    def slopes(x, p):
        ka, cl, vc, q, vp, kin, kout, ic50, imax, gamma, vmax, km, q2, vp2 = p
        depot, centre, peri, peri2, response = x
        conc = centre / vc
        effect = imax * conc**gamma / (ic50**gamma + conc**gamma)
        return [
            -ka * depot,
            ka * depot - (cl + vmax / (km + conc) + q) * conc + q * peri / vp - q2 * conc + q2 * peri2 / vp2,
            q * conc - q * peri / vp,
            q2 * conc - q2 * peri2 / vp2,
            kin * (1 - effect) - kout * response,
        ]

    def rhs(t, x, p, xp=np):
        return xp.stack(slopes(x, p))

    def rhs_in_place(dx, x, p, t):
        for k, slope in enumerate(slopes(x, p)):
            dx[k] = slope

    tiny = np.finfo(float).eps
    return Problem(
        "pkpd", "PKPD, doses at 24 and 48 h", rhs, rhs_in_place,
        x0=np.array([100, tiny, tiny, tiny, 5.0]), p=np.array([1, 1, 20, 2, 10, 10, 2, 2, 1, 1, 0, 2, 0.5, 100.0]),
        t_eval=np.linspace(0, 50, 101), rtol=1e-7, atol=1e-5, loss=SquaredLoss(0.5, 1.0), stiff=False,
        doses=(Dose(24.0, 0, 100.0), Dose(48.0, 0, 100.0)),
    )  # fmt: skip


def neural_ode(hidden: int = 50) -> Problem:
    """u' = W2 tanh(W1 u^3 + b1) + b2, fitted to the spiral u' = u^3 A; p = (W1 by columns, b1, W2 by rows, b2).

    The cube is a product, as in every peer's form: NumPy's power of a negative number takes a third of a solve.
    """
    a, b, c = 2 * hidden, 3 * hidden, 5 * hidden
    spiral = np.array([[-0.1, 2.0], [-2.0, -0.1]])

    def rhs(t, u, p, xp=np):
        first, bias, second, offset = p[:a].reshape(2, hidden).T, p[a:b], p[b:c].reshape(2, hidden), p[c:]
        return second @ xp.tanh(first @ (u * u * u) + bias) + offset

    def rhs_in_place(du, u, p, t):
        first, bias, second, offset = p[:a].reshape(2, hidden).T, p[a:b], p[b:c].reshape(2, hidden), p[c:]
        du[:] = second @ np.tanh(first @ (u * u * u) + bias) + offset

    u0, t_eval = np.array([2.0, 0.0]), np.linspace(0, 1.5, 30)
    data = solve_ivp(lambda t, u: u**3 @ spiral, (0, 1.5), u0, "DOP853", t_eval, rtol=1e-13, atol=1e-13).y
    return Problem(
        "neural_ode", f"neural ODE 2-{hidden}-2", rhs, rhs_in_place,
        x0=u0, p=0.5 * np.random.default_rng(0).standard_normal(5 * hidden + 2), t_eval=t_eval,
        rtol=1e-6, atol=1e-9, loss=SquaredLoss(1.0, data), stiff=False, data={"hidden": hidden},
    )  # fmt: skip
