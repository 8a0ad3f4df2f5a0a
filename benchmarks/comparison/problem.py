"""What a benchmark problem is: everything a peer needs, as data."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REFERENCES = Path(__file__).parents[1] / "references.json"


@dataclass(frozen=True)
class SquaredLoss:
    """weight * sum((y[states] - target)**2) of a solution y of shape (n, m)."""

    weight: float
    target: float | np.ndarray = 0.0
    states: slice = field(default_factory=lambda: slice(None))

    def value(self, y: Any) -> Any:
        return self.weight * ((y[self.states] - self.target) ** 2).sum()

    def cotangent(self, y: np.ndarray) -> np.ndarray:
        """Derivative of the loss by y, of the shape of y."""
        result = np.zeros_like(y)
        result[self.states] = 2 * self.weight * (y[self.states] - self.target)
        return result


@dataclass(frozen=True)
class Dose:
    """At time t, just after a datum that falls on it, `amount` is added to the state of that index."""

    t: float
    state: int
    amount: float


class Segment(NamedTuple):
    """A part of the time span without doses inside."""

    t0: float
    t1: float
    t_eval: np.ndarray  # in (t0, t1]; of the first segment, in [t0, t1]
    dose: Dose | None  # at t1


@dataclass(frozen=True, eq=False)
class Problem:
    """An initial value problem with a loss of its solution, whose gradient by p is what is timed."""

    name: str
    title: str
    rhs: Callable[..., Any]  # rhs(t, x, p, xp): the slope, in the functions of the array namespace xp
    rhs_in_place: Callable[..., None]  # rhs(dx, x, p, t): the same, written into dx
    x0: np.ndarray  # (n,)
    p: np.ndarray  # (n_p,), of an ensemble (members, n_p)
    t_eval: np.ndarray  # from t0 = 0 or later to t1, which is the last
    rtol: float
    atol: float
    loss: SquaredLoss
    stiff: bool
    doses: tuple[Dose, ...] = ()
    sparsity: Any = None  # pattern of df/dx, a SciPy sparse array; None: dense
    relative_gradient: bool = False  # errors are those of p_k dL/dp_k: for parameters that differ by many orders
    referenced: slice | None = None  # the members of an ensemble that have a reference
    data: dict[str, Any] = field(default_factory=dict)  # constants of the equations that peers need again

    @property
    def n(self) -> int:
        return self.x0.size

    @property
    def n_p(self) -> int:
        return self.p.shape[-1]

    @property
    def members(self) -> int:
        return 1 if self.p.ndim == 1 else len(self.p)

    @property
    def t_span(self) -> tuple[float, float]:
        return 0.0, float(self.t_eval[-1])

    @cached_property
    def reference(self) -> dict[str, Any]:
        """Its loss (of an ensemble: of the members that have a reference), gradient, and where they are from."""
        entry = json.loads(REFERENCES.read_text())[self.name]
        return entry | {"gradient": np.array(entry["gradient"])}

    def loss_error(self, loss: float | np.ndarray) -> float:
        """Relative error of the loss, of an ensemble of the sum over its referenced members."""
        exact = self.reference["loss"]
        found = float(loss if self.referenced is None else np.sum(np.asarray(loss)[self.referenced]))
        return abs(found - exact) / abs(exact)

    def gradient_error(self, gradient: np.ndarray) -> float:
        """max |g - reference| / max |reference|, both times |p| where `relative_gradient`."""
        exact, p, found = self.reference["gradient"], self.p, np.asarray(gradient).reshape(self.p.shape)
        if self.referenced is not None:
            p, found = p[self.referenced], found[self.referenced]
        scale = np.abs(p) if self.relative_gradient else 1.0
        return float(np.max(np.abs(scale * (found - exact))) / np.max(np.abs(scale * exact)))

    def segments(self) -> list[Segment]:
        """The time span cut at the doses."""
        starts = [0.0] + [dose.t for dose in self.doses]
        stops = [*starts[1:], self.t_span[1]]
        result = []
        for start, stop, dose in zip(starts, stops, (*self.doses, None), strict=True):
            after = self.t_eval > start if start else self.t_eval >= start
            result.append(Segment(start, stop, self.t_eval[after & (self.t_eval <= stop)], dose))
        return result
