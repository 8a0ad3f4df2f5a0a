"""The initial value problems: networks of many sizes, and those of the other benchmarks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import odead
from comparison import problems


@dataclass(frozen=True)
class Case:
    """A problem whose gradient by p is wanted, for a loss that is the sum of squares at the data."""

    name: str
    rhs: Callable[..., None]
    x0: np.ndarray
    p: np.ndarray
    t_eval: np.ndarray
    rtol: float = 1e-6
    atol: float = 1e-9

    def _options(self, method: str) -> dict[str, Any]:
        return {"t_eval": self.t_eval, "method": method, "rtol": self.rtol, "atol": self.atol}

    def solve(self, method: str) -> odead.Solution:
        return odead.solve(self.rhs, self.x0, self.p, (0.0, float(self.t_eval[-1])), **self._options(method))

    def gradient(self, method: str, **more: Any) -> odead.Sensitivity:
        span, options = (0.0, float(self.t_eval[-1])), self._options(method) | more
        return odead.sensitivity(self.rhs, self.x0, self.p, span, loss=_loss, mode="adjoint", **options)


def _loss(y: np.ndarray) -> Any:
    return np.sum(y**2)


def network(hidden: Sequence[int], n: int = 2) -> Case:
    """x' = W_k tanh(... tanh(W_1 x + b_1) ...) + b_k."""
    rng, shapes = np.random.default_rng(0), [(after, before) for before, after in pairwise([n, *hidden, n])]
    one_layer = len(hidden) == 1
    parts = []
    for rows, columns in shapes:
        size = hidden[0] if one_layer else columns
        parts.append((3.0 if one_layer else 1.5) / np.sqrt(size) * rng.normal(size=rows * columns))
        parts.append((3.0 / np.sqrt(size) if one_layer else 0.3) * rng.normal(size=rows))

    def rhs(dx, x, p, t):
        start = 0
        for rows, columns in shapes:
            stop = start + rows * columns
            x = p[start:stop].reshape(rows, columns) @ x + p[stop : stop + rows]
            start = stop + rows
            if start < p.size:
                x = np.tanh(x)
        dx[:] = x

    name = f"network {'-'.join(map(str, (n, *hidden, n)))}"
    return Case(name, rhs, np.linspace(1.0, 0.5, n), np.concatenate(parts), np.linspace(0, 30, 51))


def stored(name: str) -> Case:
    """A problem of the other benchmarks."""
    given = problems.load(name)
    return Case(given.title, given.rhs_in_place, given.x0, given.p, given.t_eval, given.rtol, given.atol)


def cases(quick: bool) -> list[tuple[Case, tuple[str, ...]]]:
    """Each with its methods."""
    both, stiff = ("auto", "Tsit5", "Rodas5P", "BDF"), ("auto", "Rodas5P", "Kvaerno5", "BDF")
    sizes = (12,) if quick else (2, 12, 50, 200, 700, 2400)
    found = [(network([hidden]), both) for hidden in sizes]
    if quick:
        return [*found, (stored("robertson"), ("Rodas5P",))]
    found += [(network([30] * 3), both), (network([70] * 3), both), (network([100] * 2, n=8), both)]
    found += [(stored(name), both) for name in ("lotka_volterra", "neural_ode")]
    return found + [(stored(name), stiff) for name in ("robertson", "pollution", "heat_101", "brusselator_5", "brusselator_10")]
