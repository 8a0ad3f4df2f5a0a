"""The problems by name."""

from collections.abc import Callable
from functools import partial
from typing import Final

from . import fields, small
from .problem import Problem

BUILDERS: Final[dict[str, Callable[[], Problem]]] = {
    "lotka_volterra": small.lotka_volterra,
    "heat_101": partial(fields.heat, 101),
    "heat_1001": partial(fields.heat, 1001),
    "robertson": small.robertson,
    "pollution": small.pollution,
    "pkpd": small.pkpd,
    "neural_ode": small.neural_ode,
    "brusselator_5": partial(fields.brusselator, 5),
    "brusselator_10": partial(fields.brusselator, 10),
    "brusselator_17": partial(fields.brusselator, 17),
    "diffusion_64": partial(fields.diffusion, 64),
    "diffusion_316": partial(fields.diffusion, 316),  # 1e5 states
    "ensemble": small.ensemble,
}


def load(name: str) -> Problem:
    return BUILDERS[name]()
