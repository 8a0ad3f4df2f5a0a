"""Time of one instruction by operation and length."""

import numpy as np

from odead.derivatives.kernel import Kernel

from .table import Rows, Table
from .timing import Timer

# What takes turns, so that the numbers stay of the order of 1.
OPERATIONS = {
    "add, subtract": (np.add, np.subtract),
    "multiply, divide": (np.multiply, np.divide),
    "maximum, minimum": (np.maximum, np.minimum),
    "square, sqrt": (np.square, np.sqrt),
    "exp, log": (np.exp, np.log),
    "sin, cos": (np.sin, np.cos),
    "tanh": (np.tanh, np.tanh),
    "power": (np.power, np.power),
}


def measure(timer: Timer, quick: bool) -> Rows:
    rows: Rows = {}
    for n in (1, 100) if quick else (1, 100, 10_000):
        for name, functions in OPERATIONS.items():
            rows[f"{name}, length {n}"] = _times(timer, *functions, n)
    return rows


def _times(timer: Timer, first: np.ufunc, second: np.ufunc, n: int) -> dict[str, float]:
    """Of one instruction among many."""
    count = 1000 if n == 1 else 64

    def repeated(out, x):
        for _ in range(count // 2):
            first(x, *operands, out=out)
            second(out, *operands, out=x)

    shape = () if n == 1 else (n,)
    operands = (np.full(shape, 1.0009765625),) * (first.nin - 1)
    out, x = np.zeros(shape), np.full(shape, 0.7)
    kernel = Kernel(repeated, (out, x))
    found = timer.medians({"odead": lambda: kernel(out, x), "NumPy": lambda: repeated(out, x)})
    return {column: seconds / count for column, seconds in found.items()}


TABLE = Table("Instructions", "One of many in a call of them all; each reads what the one before it wrote.", measure)
