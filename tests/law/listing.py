"""Listings: the text of a function, what to call it with, and the strides of its arrays."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

__all__ = ["PRELUDE", "SIZE", "Argument", "Listing", "arguments", "laid_out"]

SIZE: Final = 2  # of the argument k
PRELUDE: Final = """import math

import numpy as np

RATE = 0.7
TABLE = np.array([0.3, -0.6, 1.1, 0.8, -0.2, 0.5])
WORK = np.zeros(8)


def mixed(u, w):
    return 0.5 * u - np.sin(w)


def swept(u, c):
    u[1:] += c * u[:-1]
    return u


def inner(u):
    return u[1:] if len(u) > 1 else u


def slope(c, d=0.4):
    if c > d:
        return d * c
    return c * c


def checked(c):
    if c < 0:
        raise ValueError("negative")
    return c * c


def power(c, n):
    return c if n == 0 else 0.6 * power(c, n - 1) * c


"""


@dataclass(frozen=True)
class Argument:
    """One argument of a listing.

    Attributes
    ----------
    name : str
    kind : {"array", "out", "number", "index", "mask", "size"}
        An `out` array is full of NaN at entry.
    shape : tuple of int
    layout : {"C", "strided", "reversed", "F", "transposed", "broadcast"}
        A broadcast array is read-only.
    same_as : str
        The argument that is the same array; empty if there is none.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    layout: str = "C"
    same_as: str = ""

    @property
    def differentiable(self) -> bool:
        return self.kind in ("array", "out", "number")


@dataclass(frozen=True)
class Listing:
    """A drawn function: the whole text, which defines `f`, and its arguments."""

    text: str
    arguments: tuple[Argument, ...]


def arguments(listing: Listing, seed: int) -> list[Any]:
    """Values to call the function with; arrays in their layout, the same array where the listing says so."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    for argument in listing.arguments:
        values[argument.name] = values[argument.same_as] if argument.same_as else _value(argument, rng)
    return list(values.values())


def _value(argument: Argument, rng: np.random.Generator) -> Any:
    shape = argument.shape
    match argument.kind:
        case "array":
            drawn = rng.integers(-2, 3, shape) / 2 if rng.random() < 0.15 else rng.uniform(-1.4, 1.4, shape)  # ties and zeros
            return laid_out(drawn, argument.layout)
        case "out":
            return laid_out(np.full(shape, np.nan), argument.layout)
        case "number":
            return float(rng.uniform(-1.4, 1.4))
        case "index":
            return rng.integers(0, 2, shape)
        case "mask":
            return rng.random(shape) < 0.5
        case _:
            return SIZE


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy with these strides."""
    match layout:
        case "strided":
            made = np.empty([2 * n for n in x.shape], x.dtype)[tuple(slice(1, None, 2) for _ in x.shape)]
        case "reversed":
            made = np.empty(x.shape, x.dtype)[tuple(slice(None, None, -1) for _ in x.shape)]
        case "F":
            made = np.empty(x.shape, x.dtype, order="F")
        case "transposed":
            made = np.empty((*x.shape[:-2], *x.shape[:-3:-1]), x.dtype).swapaxes(-1, -2)
        case "broadcast":  # along the first axis, with the first values
            return np.broadcast_to(x[:1].copy(), x.shape) if x.size else x.copy()
        case _:
            made = np.empty(x.shape, x.dtype)
    made[...] = x
    return made
