"""What `solve` and `sensitivity` return: SciPy's OdeResult with more fields, a readable print and a plot."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate._ivp.ivp import OdeResult  # SciPy does not export the class of solve_ivp's result

from ..._repeated import Field

__all__ = ["Sensitivity", "Solution"]

LINES_UP_TO = 12  # more states than this are drawn as a map over time and index


class Solution(OdeResult):
    """The solution of an initial value problem.

    Attributes
    ----------
    t : array, shape (m,)
    y : array, shape (n, m)
    sol : callable or None
        With ``dense_output=True``: the solution as a function of time.
    t_events, y_events : list of array, shapes (k,) and (k, n), or None
        For each event the times at which it happened, and the states there, before a reset.
    nfev, njev, nlu, nsteps : int
        Evaluations of the right-hand side and its Jacobian, factorisations, accepted steps; in an adjoint, forward and backward
        together.
    nrejected : int or None
        Rejected steps; None where the stepper does not tell.
    status : int
    message : str
    success : bool
    method, engine, mode : str
        What ran; mode is "solve" here.
    name : str
        Of the right-hand side.
    """

    t: np.ndarray
    y: np.ndarray
    sol: Any
    nsteps: int
    nrejected: int | None
    method: str
    engine: str
    mode: str
    name: str

    def __repr__(self) -> str:
        return "\n".join(self._summary())

    __str__ = __repr__

    def _summary(self) -> list[str]:
        n, m = self.y.shape
        span = f"{_count(m, 'time')} from {self.t[0]:.6g} to {self.t[-1]:.6g}" if m else "no times"
        rejected = "" if self.nrejected is None else f" ({self.nrejected} rejected)"
        return [
            f"{type(self).__name__} of {self.name}: {_count(n, 'state')}, {span}",
            _row("method", f"{self.method} (engine {self.engine})"),
            _row("y", f"{_shape(self.y)} {_range(self.y)}"),
            _row(
                "work",
                f"{self.nsteps} steps{rejected}, {self.nfev} evaluations, {self.njev} Jacobians, {self.nlu} factorisations",
            ),
            _row("status", "success" if self.success else f"FAILED: {self.message}"),
        ]

    def plot(self) -> Any:
        """Draw the states over time.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return _draw(self.t, [("state", self.y)])


class Sensitivity(Solution):
    """A solution with its derivatives.

    Attributes
    ----------
    sens : array, shape (m, n, n_p), or None
        dy/dp at each time; columns are p raveled in container order. Forward mode.
    sens_x0 : array, shape (m, n, n), or None
    loss : float or None
    grad : same structure as p, or None
    sens_t_events : list of array, shape (k, n_p), or None
        Derivatives of `t_events`. Forward mode.
    grad_x0 : same structure as x0, or None
    grad_t0, grad_t1 : float or None
    grad_t_eval : array, shape (m,), or None
    hess : array, shape (N, N), or None
        With ``order=2``: second derivatives of the loss over the concatenated raveled `wrt`.
    sens_error : float
        Estimated relative error of the gradient, or of the derivatives where there is no loss. It is the sum of the estimated
        local errors and usually larger than the error, by a factor of about 10, for stiff methods at tight tolerances by up to
        1000 and more. On problems with known gradients it was never too small by more than 3; where a solution jumps at times
        that all of its errors move, as a relaxation oscillation does, it can be too small by 10 and more, and a second solve
        with smaller tolerances tells. Infinite where an error is estimated of a gradient that is exactly 0.
    parameter_names : list of str
        One name per column of `sens`.
    mode : str
        "forward" or "continuous".

    The other attributes are those of `Solution`.
    """

    __slots__ = ("_estimate",)

    sens: np.ndarray | None
    sens_x0: np.ndarray | None
    sens_t_events: list[np.ndarray] | None
    loss: float | None
    grad: Any
    grad_x0: Any
    grad_t0: float | None
    grad_t1: float | None
    grad_t_eval: np.ndarray | None
    hess: np.ndarray | None
    sens_error: float | None
    parameter_names: list[str]

    def estimate_later(self, estimate: Callable[[], float]) -> None:
        """Have `sens_error` computed when it is first asked for: it takes a tenth of the time of a small gradient."""
        self.pop("sens_error", None)
        object.__setattr__(self, "_estimate", estimate)  # an item would be a field

    def __missing__(self, name: str) -> Any:
        estimate = getattr(self, "_estimate", None) if name == "sens_error" else None
        if estimate is None:
            raise KeyError(name)
        object.__delattr__(self, "_estimate")
        self[name] = estimate()
        return self[name]

    def __reduce__(self) -> tuple[Any, ...]:
        self.sens_error  # noqa: B018 (computes it: what it needs does not pickle)
        return type(self), (), None, None, iter(self.items())

    def _summary(self) -> list[str]:
        head, method, y, *rest = super()._summary()
        rows = [f"{head}, {_count(len(self.parameter_names), 'parameter')}", method, _row("mode", self.mode), y]
        for name in ("sens", "sens_x0"):
            value = self[name]
            if value is not None:
                rows.append(_row(name, _shape(value)))
        if self.sens is not None and self.sens.size:
            shown = list(enumerate(self.parameter_names[:8]))
            rows += [_row("", f"by {name}: {_range(self.sens[:, :, k])}") for k, name in shown]
            if len(self.parameter_names) > len(shown):
                rows.append(_row("", f"and by {len(self.parameter_names) - len(shown)} more"))
        if self.loss is not None:
            rows.append(_row("loss", f"{self.loss:.10g}"))
        for name in ("grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval"):
            if self[name] is not None:
                rows.append(_row(name, _short(self[name])))
        if self.hess is not None:
            rows.append(_row("hess", f"{_shape(self.hess)} {_range(self.hess)}"))
        if self.sens_error is not None:
            rows.append(_row("sens_error", f"{self.sens_error:.1e} (estimated, relative)"))
        return rows + rest

    def plot(self) -> Any:
        """Draw the states over time and, in forward mode, their derivatives with respect to each parameter (the first eight).

        Returns
        -------
        matplotlib.figure.Figure
        """
        panels = [("state", self.y)]
        if self.sens is not None:
            panels += [(f"d state / d {name}", self.sens[:, :, k].T) for k, name in enumerate(self.parameter_names[:8])]
        return _draw(self.t, panels)


# What every result holds, under names that dict has not. `sens_error` may have to be computed.
for _kind, _names in (
    (Solution, "t y sol t_events y_events status nfev njev nlu nsteps nrejected message success method engine mode name"),
    (Sensitivity, "sens sens_x0 sens_t_events loss grad grad_x0 grad_t0 grad_t1 grad_t_eval hess parameter_names"),
):
    for _name in _names.split():
        setattr(_kind, _name, Field(_name))


def _row(label: str, text: str) -> str:
    return f"  {label:<12}{text}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shape(array: np.ndarray) -> str:
    return f"{array.shape!s:<16}"


def _range(array: np.ndarray) -> str:
    return f"{array.min():.6g} to {array.max():.6g}" if array.size else "empty"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"{_shape(value)} {_range(value)}"
    return str(value) if not isinstance(value, float) else f"{value:.10g}"


def _draw(t: np.ndarray, panels: list[tuple[str, np.ndarray]]) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plot() needs Matplotlib: pip install matplotlib") from None
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(rows, columns, figsize=(5 * columns, 3.6 * rows), layout="constrained", squeeze=False)
    axes = grid.ravel()
    for panel, (title, values) in zip(axes, panels, strict=False):
        if values.shape[0] <= LINES_UP_TO:
            panel.plot(t, values.T, label=[f"x[{k}]" for k in range(values.shape[0])])
            panel.legend(frameon=False, fontsize="small")
        else:
            mesh = panel.pcolormesh(t, np.arange(values.shape[0]), values, shading="nearest")
            figure.colorbar(mesh, ax=panel)
            panel.set_ylabel("state")
        panel.set(title=title, xlabel="t")
    for panel in axes[len(panels) :]:
        panel.remove()
    return figure
