"""Right-hand sides as scientists write them: a name, the function, and arguments at which it is smooth."""
# ruff: noqa: N803, N806, E731, E741, F841  (names as in the papers)

import math
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Final

import numpy as np
from numpy import array, zeros

CASES: Final[dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]] = {}


def case(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the registry."""

    def enter(f: Callable[..., Any]) -> Callable[..., Any]:
        CASES[f.__name__] = f, arguments
        return f

    return enter


def numbers(*shape: int, low: float = 0.1, high: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)


# ------------------------------------------------------------------------------------------------ epidemics and ecology

CONTACTS = np.array([[8.0, 3.0, 1.0], [3.0, 6.0, 2.0], [1.0, 2.0, 3.0]])
POPULATION = np.array([20.0, 50.0, 30.0])


@case(zeros(9), numbers(9, high=10.0), np.array([0.05, 0.2]), 0.0)
def sir_with_age_groups(dx, x, p, t):
    beta, gamma = p
    S, I, R = x[0:3], x[3:6], x[6:9]
    force = beta * CONTACTS @ (I / POPULATION)
    dx[0:3] = -force * S
    dx[3:6] = force * S - gamma * I
    dx[6:9] = gamma * I


@case(zeros(2), np.array([1.2, 0.7]), {"a": 1.5, "b": 1.0, "c": 3.0, "d": 1.0, "cap": 4.0}, 0.0)
def predator_prey_with_try(dx, x, p, t):
    try:
        capacity = p["K"]
    except KeyError:
        capacity = p["cap"]
    prey, predators = x
    dx[0] = p["a"] * prey * (1 - prey / capacity) - p["b"] * prey * predators
    dx[1] = p["d"] * prey * predators - p["c"] * predators


@case(zeros((2, 8)), numbers(2, 8), np.array([0.04, 0.06, 0.16, 0.08]), 0.0)
def gray_scott(dx, x, p, t):
    F, k, Du, Dv = p
    u, v = x
    lap = lambda w: np.roll(w, 1) + np.roll(w, -1) - 2 * w
    uvv = u * v * v
    dx[0] = Du * lap(u) - uvv + F * (1 - u)
    dx[1] = Dv * lap(v) + uvv - (F + k) * v


@case(numbers(5, high=0.9), np.array([1.0, 0.8, 1.1, 0.6, 0.9]), numbers(5, 5, low=-0.5, high=0.1), 0.0)
def lotka_volterra_competition(x, r, A, t):
    n = len(x)
    return [x[i] * (r[i] + sum(A[i][j] * x[j] for j in range(n))) for i in range(n)]


# ------------------------------------------------------------------------------------------------ physiology


def alpha_m(v):
    return 0.1 * (v + 40.0) / (1.0 - exp(-(v + 40.0) / 10.0)) if abs(v + 40.0) > 1e-7 else 1.0


@case(zeros(4), np.array([-60.0, 0.1, 0.6, 0.3]), np.array([120.0, 36.0, 0.3]), 5.0)
def hodgkin_huxley(dx, x, p, t):
    gna, gk, gl = p
    v, m, h, n = x
    bm = 4.0 * exp(-(v + 65.0) / 18.0)
    ah, bh = 0.07 * exp(-(v + 65.0) / 20.0), 1.0 / (1.0 + exp(-(v + 35.0) / 10.0))
    an = 0.01 * (v + 55.0) / (1.0 - exp(-(v + 55.0) / 10.0))
    bn = 0.125 * exp(-(v + 65.0) / 80.0)
    stimulus = 10.0 if 2.0 < t < 20.0 else 0.0
    ina, ik, il = gna * m**3 * h * (v - 50.0), gk * n**4 * (v + 77.0), gl * (v + 54.4)
    dx[0] = stimulus - ina - ik - il
    dx[1] = alpha_m(v) * (1.0 - m) - bm * m
    dx[2] = ah * (1.0 - h) - bh * h
    dx[3] = an * (1.0 - n) - bn * n


@case(zeros(12), numbers(12, low=-70.0, high=-50.0), np.array([0.5, 0.1, 2.0]), 1.0)
def cable_with_ifs(dv, v, p, t):
    d, g, amplitude = p
    n = len(v)
    for i in range(n):
        if i == 0:
            current = d * (v[1] - v[0])
        elif i == n - 1:
            current = d * (v[n - 2] - v[n - 1])
        else:
            current = d * (v[i - 1] - 2 * v[i] + v[i + 1])
        if v[i] > -55.0:
            current += g * (v[i] + 55.0) ** 2
        elif v[i] < -65.0:
            current -= g * (v[i] + 65.0)
        if 2 <= i < 4 and t < 2.0:
            current += amplitude
        dv[i] = current


class Organ:
    def __init__(self, name, volume, flow, partition):
        self.name, self.volume, self.flow, self.partition = name, volume, flow, partition

    def outflow(self, amount, clearance=0.0):
        concentration = amount / self.volume
        return self.flow * concentration / self.partition + clearance * concentration


class Body:
    organs = (Organ("liver", 1.8, 1.5, 2.0), Organ("kidney", 0.3, 1.2, 1.5), Organ("fat", 12.0, 0.3, 5.0))

    def __init__(self):
        self.index = {organ.name: k + 1 for k, organ in enumerate(self.organs)}
        self.clearance = {"liver": 0.5}

    def rhs(self, dx, x, p, t):
        blood = x[0] / p["blood"]
        dx[0] = -sum(organ.flow for organ in self.organs) * blood + self.dose(t, p)
        for organ in self.organs:
            k = self.index[organ.name]
            out = organ.outflow(x[k], self.clearance.get(organ.name, 0.0) * p["scale"])
            dx[k] = organ.flow * blood - out
            dx[0] += organ.flow * x[k] / organ.volume / organ.partition

    @staticmethod
    def dose(t, p):
        return p["rate"] if t % 12.0 < 1.0 else 0.0


@case(Body(), zeros(4), numbers(4, high=5.0), {"blood": 5.0, "scale": 1.2, "rate": 10.0}, 0.5)
def pbpk(body, dx, x, p, t):
    body.rhs(dx, x, p, t)


@dataclass(frozen=True)
class Pump:
    vmax: float
    km: float
    hill: float = 2.0

    def __call__(self, c):
        return self.vmax * c**self.hill / (self.km**self.hill + c**self.hill)


@case(zeros(2), np.array([0.3, 1.1]), np.array([2.0, 0.5, 0.1]), 0.0)
def calcium_pump(dx, x, p, t):
    uptake, leak = Pump(p[0], p[1]), p[2] * (x[1] - x[0])
    dx[0] = leak - uptake(x[0])
    dx[1] = -dx[0]


Pharmacology = namedtuple("Pharmacology", "ka ke vd bioavailability")
DOSES = np.array([0.0, 6.0, 12.0])


@case(zeros(2), np.array([50.0, 2.0]), Pharmacology(1.1, 0.2, 20.0, 0.7), 7.5)
def one_compartment(dx, x, p, t):
    gut, central = x
    infusion = 0.0
    for dose_time in DOSES:
        if dose_time <= t < dose_time + 2.0:
            infusion += 25.0 * p.bioavailability / 2.0
    dx[:] = -p.ka * gut + infusion, p.ka * gut - p.ke * central / p.vd


# ------------------------------------------------------------------------------------------------ chemistry and biology

NU = np.array([[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 1]])
PRODUCTS = np.array([[0, 0, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0]])


@case(zeros(4), numbers(4, high=2.0), np.array([0.7, 0.2, 1.3]), 0.0)
def mass_action(dx, x, k, t):
    rates = k * np.prod(x**NU, axis=1)
    dx[:] = (PRODUCTS - NU).T @ rates


@case(zeros(3), np.array([1.0, 1e-3, 0.2]), {"k": [0.04, 3.0, 1.5], "T": 320.0}, 0.0)
def arrhenius(dx, x, p, t):
    scale = math.exp(-5.0 * (300.0 / p["T"] - 1.0))
    k1, k2, k3 = (k * scale for k in p["k"])
    r1, r2, r3 = k1 * x[0], k2 * x[1] ** 2, k3 * x[1] * x[2]
    dx[0] = -r1 + r3
    dx[1] = r1 - r2 - r3
    dx[2] = r2


@case(
    zeros(4),
    np.array([2.0, 1.0, 0.5, 1.2]),
    {"vmax": {"hk": 1.2, "pfk": 2.0, "pk": 1.5}, "km": {"glc": 0.5, "f6p": 0.3, "pep": 0.4}, "atp": 2.5},
    0.0,
)
def glycolysis(dx, x, p, t):
    glc, f6p, pep, atp = x
    vmax, km = p["vmax"], p["km"]
    v = {}
    v["hk"] = vmax["hk"] * glc / (km["glc"] + glc) * atp / (1 + atp)
    v["pfk"] = vmax["pfk"] * f6p**2 / (km["f6p"] ** 2 + f6p**2) / (1 + (atp / p["atp"]) ** 4)
    v["pk"] = vmax["pk"] * pep / (km["pep"] + pep)
    stoichiometry = {0: {"hk": -1}, 1: {"hk": 1, "pfk": -1}, 2: {"pfk": 2, "pk": -1}, 3: {"hk": -1, "pfk": -1, "pk": 2}}
    for k, reactions in stoichiometry.items():
        dx[k] = sum(n * v[name] for name, n in reactions.items())
    dx[0] += 0.8


HILL = 3


@case(zeros(6), numbers(6, high=2.0), {"alpha": np.array([2.0, 1.5, 3.0]), "K": 0.8, "leak": 0.05, "decay": (0.3, 0.5)}, 0.0)
def gene_network(dx, x, p, t):
    m, protein = x[:3], x[3:]
    repression = [1.0 / (1.0 + (protein[(i - 1) % 3] / p["K"]) ** HILL) for i in range(3)]
    dx[:3] = p["leak"] + p["alpha"] * np.array(repression) - p["decay"][0] * m
    dx[3:] = m - p["decay"][1] * protein


TEMPERATURES = np.linspace(0.0, 100.0, 11)
HEAT_CAPACITY = 4.2 + 0.001 * TEMPERATURES**1.3


@case(zeros(2), np.array([1.3, 57.0]), np.array([2.0, 55.0, 3.1]), 1.2)
def stirred_tank(dx, x, p, t):
    flow, activation, heat = p
    c, T = x
    k = 7e6 * np.exp(-activation * 1000 / (8.314 * (T + 273.15)))
    cp = np.interp(T, TEMPERATURES, HEAT_CAPACITY)
    cooling = max(0.0, min(T - 40.0, 30.0))
    dx[0] = flow * (1.0 - c) - k * c
    dx[1] = flow * (20.0 - T) + heat * k * c / cp - 0.1 * cooling


# ------------------------------------------------------------------------------------------------ mechanics and fields


@case(numbers(6, high=6.0), {"omega": numbers(6, seed=1), "K": 0.7}, 0.0)
def kuramoto(theta, p, t):
    return p["omega"] + p["K"] / len(theta) * np.sin(theta[None, :] - theta[:, None]).sum(axis=1)


G = 1.0


@case(zeros(24), numbers(24, low=-1.0, seed=3), np.array([1.0, 2.0, 0.5, 1.5]), 0.0)
def bodies(dx, x, m, t):
    n = len(m)
    r, v = x[: 3 * n].reshape(n, 3), x[3 * n :].reshape(n, 3)
    dr, dv = dx[: 3 * n].reshape(n, 3), dx[3 * n :].reshape(n, 3)
    dr[:] = v
    dv[:] = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            d = r[j] - r[i]
            dist3 = (d @ d + 1e-3) ** 1.5
            dv[i] += G * m[j] * d / dist3
            dv[j] -= G * m[i] * d / dist3


@case(zeros(20), np.sin(np.linspace(0.3, 6.0, 20)), 0.01, 0.0)
def burgers_upwind(du, u, nu, t):
    dx = 1.0 / len(u)
    for i in range(1, len(u) - 1):
        if u[i] >= 0:
            convection = u[i] * (u[i] - u[i - 1]) / dx
        else:
            convection = u[i] * (u[i + 1] - u[i]) / dx
        du[i] = -convection + nu * (u[i + 1] - 2 * u[i] + u[i - 1]) / dx**2
    du[0] = du[-1] = 0.0


def van_leer(r):
    return (r + abs(r)) / (1.0 + abs(r))


@case(zeros((2, 14)), np.array([numbers(14, low=0.5, seed=4), numbers(14, low=-0.5, high=0.5, seed=5)]), 9.81, 0.0)
def shallow_water(dq, q, g, t):
    h, hu = q
    n = h.size
    fh, fhu = np.zeros(n + 1), np.zeros(n + 1)
    for i in range(2, n - 1):
        a, b = h[i - 1] - h[i - 2], h[i] - h[i - 1]
        slope = 0.0 if a * b <= 0 else b * van_leer(a / b)
        left = h[i - 1] + 0.5 * slope
        u = hu[i - 1] / h[i - 1] if h[i - 1] > 1e-6 else 0.0
        speed = abs(u) + sqrt(g * left)
        fh[i] = 0.5 * (left * u + hu[i]) - 0.5 * speed * (h[i] - left)
        fhu[i] = 0.5 * (left * u**2 + 0.5 * g * left**2 + hu[i] ** 2 / h[i] + 0.5 * g * h[i] ** 2) - 0.5 * speed * (
            hu[i] - left * u
        )
    dq[0] = -(fh[1:] - fh[:-1])
    dq[1] = -(fhu[1:] - fhu[:-1])


@case(zeros(4), np.array([0.4, 1.1, -0.3, 0.2]), (1.0, 0.8, 1.0, 1.2), 0.0)
def double_pendulum(dx, x, p, t):
    m1, m2, l1, l2 = p
    (a, b), (va, vb) = x[:2], x[2:]
    mass = array([[(m1 + m2) * l1, m2 * l2 * np.cos(a - b)], [l1 * np.cos(a - b), l2]])
    force = array([
        -m2 * l2 * vb**2 * np.sin(a - b) - (m1 + m2) * 9.81 * np.sin(a),
        l1 * va**2 * np.sin(a - b) - 9.81 * np.sin(b),
    ])  # fmt: skip
    dx[:2] = x[2:]
    dx[2:] = np.linalg.solve(mass, force)


@case(zeros(3), np.array([0.3, 0.7, 0.2]), np.array([2.0, 0.5, 0.3]), 0.0)
def friction_with_hysteresis(dx, x, p, t):
    stiffness, coulomb, stribeck = p
    position, velocity, bristle = x
    g = coulomb + (1.0 - coulomb) * math.exp(-((velocity / stribeck) ** 2))
    rate = velocity - stiffness * abs(velocity) * bristle / g
    if (bristle > 1.0 and rate > 0.0) or (bristle < -1.0 and rate < 0.0):
        rate = 0.0
    drive = np.clip(3.0 * math.sin(t + 1.0), -1.5, 1.5)
    dx[0], dx[1], dx[2] = velocity, drive - position - bristle, rate


# ------------------------------------------------------------------------------------------------ engineering

NEIGHBOURS = {0: [1, 2], 1: [0, 3], 2: [0, 3, 4], 3: [1, 2], 4: [2]}


@case(zeros(5), numbers(5, low=280.0, high=320.0), {"R": 2.0, "C": [1.0, 2.0, 1.5, 1.0, 3.0], "ambient": 290.0}, 0.0)
def thermal_network(dT, T, p, t):
    for node, others in NEIGHBOURS.items():
        heat = 0.0
        for other in others:
            heat += (T[other] - T[node]) / p["R"]
        if node == 4:
            heat += 5.67e-8 * 0.9 * (p["ambient"] ** 4 - T[node] ** 4)
        dT[node] = heat / p["C"][node]


TABLE_T = np.arange(0.0, 10.5, 0.5)
TABLE_U = np.sin(TABLE_T)
VALVE_X, VALVE_Y = [0.0, 0.2, 0.5, 1.0], [0.0, 0.05, 0.3, 1.0]


@case(zeros(3), np.array([1.2, 0.8, 0.4]), np.array([0.5, 0.3]), 3.3)
def plant_with_tables(dx, x, p, t):
    u = np.interp(t, TABLE_T, TABLE_U)
    held = TABLE_U[int(t / 0.5)]
    opening = np.interp(x[2], VALVE_X, VALVE_Y)
    dx[0] = p[0] * opening - p[1] * np.sqrt(x[0])
    dx[1] = p[1] * (np.sqrt(x[0]) - np.sqrt(x[1]))
    dx[2] = (0.5 * (u + held) - x[2]) / 2.0


N_SHELLS = 6
FLUX = np.zeros(N_SHELLS + 1)
MATRIX = np.zeros((2, 2))


@case(zeros(2 * N_SHELLS), numbers(2 * N_SHELLS, low=0.3, high=0.7), np.array([0.2, 0.3, 1.5]), 0.0)
def battery(dx, x, p, t):
    """A single-particle model: two electrodes of shells, scratch arrays, a small linear system at the surface."""
    current = 0.5 if t < 10 else 0.0
    potentials = np.empty(2)
    for k in range(2):
        c = x[k * N_SHELLS : (k + 1) * N_SHELLS]
        FLUX[0] = 0.0
        FLUX[1:-1] = -p[k] * np.diff(c)
        FLUX[-1] = (-1) ** k * current / p[2]
        dx[k * N_SHELLS : (k + 1) * N_SHELLS] = -np.diff(FLUX)
        potentials[k] = np.log(c[-1] / (1 - c[-1]))
    MATRIX[:] = np.eye(2) * p[2]
    MATRIX[0, 1] = x[0]
    correction = np.linalg.solve(MATRIX, potentials)
    dx[N_SHELLS - 1] += 0.01 * correction[0]
    dx[-1] -= 0.01 * correction[1]


@case(zeros(4), np.array([1.0, 0.2, 0.5, 0.3]), {"a": 0.5, "lag": 2}, 1.7)
def delay_by_table(dx, x, p, t):
    step = 0.25
    history = [1.0 - 0.1 * k for k in range(40)]
    past = t - p["lag"] * step
    k = math.floor(past / step)
    weight = past / step - k
    old = history[k] * (1 - weight) + history[k + 1] * weight
    chain = np.concatenate(([old], x[:-1]))
    dx[:] = (chain - x) / p["a"]


@case(zeros(3), np.array([0.9, 0.4, 0.1]), np.array([1.0, 2.0, 0.3]), 0.4)
def pid_with_saturation(dx, x, p, t):
    def saturate(u, limit=0.8):
        if u > limit:
            return limit
        if u < -limit:
            return -limit
        return u

    error = 1.0 - x[0]
    u = saturate(p[0] * error + p[1] * x[2])
    windup = u != p[0] * error + p[1] * x[2]
    dx[0] = x[1]
    dx[1] = u - p[2] * x[1] - x[0]
    dx[2] = 0.0 if windup else error


@case(zeros(10), numbers(10, low=0.0, high=0.4, seed=7), np.array([1.5, 0.3]), 0.0)
def newton_in_each_cell(dx, x, p, t):
    for i in range(len(x)):
        y = x[i]
        for _ in range(20):
            residual = y + p[0] * y**3 - x[i]
            if abs(residual) < 1e-13:
                break
            y = y - residual / (1.0 + 3.0 * p[0] * y**2)
        dx[i] = y - p[1]


@case(zeros(8), numbers(8, low=-1.0, seed=8), 0.7, 0.0)
def while_in_each_cell(dx, x, p, t):
    for i in range(x.shape[0]):
        w = 1.0 + x[i] ** 2
        k = 0
        while w > 1.05 and k < 50:
            w = sqrt(w) * (1.0 + 0.001 * p)
            k += 1
        dx[i] = w * p


@case(zeros(10), numbers(10, low=-0.2, high=0.6, seed=9), np.array([0.5, 2.0]), 0.0)
def dry_and_wet_cells(dh, h, p, t):
    for i, depth in enumerate(h):
        if depth <= 0.0:
            dh[i] = 0.0
            continue
        outflow = p[0] * depth ** (5.0 / 3.0)
        dh[i] = -outflow + (p[1] if depth < 0.3 else 0.0)
        if i + 1 < len(h):
            dh[i + 1] = outflow / 2


@case(zeros((3, 5)), numbers(3, 5, seed=10), numbers(3, 3, seed=11), 0.0)
def reaction_network_on_a_mesh(dc, c, p, t):
    D, k = p[0], p[1:]
    for s in range(3):
        dc[s, 1:-1] = D[s] * (c[s, 2:] - 2 * c[s, 1:-1] + c[s, :-2])
        dc[s, [0, -1]] = 0
    rate = k[0, 0] * c[0] * c[1]
    for s, sign in zip((0, 1, 2), (-1, -1, 1), strict=True):
        dc[s] += sign * rate
    np.add.at(dc, (2, [0, 0, 4]), -k[1, 2])
    dc *= np.where(c > 0.5, 1.0, 0.5)


class Model:
    """Parameters and work arrays as attributes."""

    def __init__(self, n):
        self.n, self.work, self.areas = n, np.zeros(n), np.linspace(1.0, 2.0, n)
        self.boundary = (0.3, None)

    @property
    def mean_area(self):
        return self.areas.mean()

    def fluxes(self, x, k):
        self.work[:] = 0
        self.work[1:] = -k * self.areas[1:] * (x[1:] - x[:-1]) / self.mean_area
        left = self.boundary[0]
        if left is not None:
            self.work[0] = -k * (x[0] - left)
        return self.work

    def __call__(self, dx, x, p, t):
        f = self.fluxes(x, p)
        dx[:-1] = f[:-1] - f[1:]
        dx[-1] = f[-1] if self.boundary[1] is None else 0.0


@case(Model(7), zeros(7), numbers(7), 0.4, 0.0)
def callable_model(model, dx, x, p, t):
    model(dx, x, p, t)
