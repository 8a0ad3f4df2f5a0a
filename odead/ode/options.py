"""Options of a solve, checked: tolerances, steps, modes."""

from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..errors import ArgumentTypeError, ArgumentValueError
from .arguments.given import real
from .engines.engine import AbstractEngine, Controls
from .gradients.continuous import AdjointOptions

__all__ = ["check_controls", "check_mode", "check_wrt", "positive", "refuse_checkpoints", "sens_tolerances"]

WRT: Final = ("p", "x0", "t0", "t1", "t_eval")
MODES: Final = ("auto", "forward", "adjoint", "continuous")


def check_wrt(wrt: Any) -> tuple[str, ...]:
    if not isinstance(wrt, (str, tuple, list)):
        raise ArgumentTypeError(f"wrt must be one or a tuple of {', '.join(WRT)}, not {wrt!r}")
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in WRT:
            raise ArgumentValueError(f"wrt={name!r} is unknown; use one or several of {', '.join(WRT)}")
    return names


def check_mode(mode: Any, wanted: tuple[str, ...], shadows: dict[str, Any], has_loss: bool) -> None:
    if mode not in MODES:
        raise ArgumentValueError(f"mode={mode!r} is unknown; use one of {', '.join(MODES)}")
    if has_loss:
        return
    if mode in ("adjoint", "continuous"):
        raise ArgumentValueError(f'mode="{mode}" needs a loss= or running= to differentiate; without one use mode="forward"')
    for name in wanted:
        if name in ("t0", "t1", "t_eval"):
            raise ArgumentValueError(f'wrt="{name}" needs a loss= or running= to differentiate')
    for name in shadows:
        raise ArgumentValueError(f"{name}: Duplicated needs a loss= or running= whose gradient is added to the shadow")


def sens_tolerances(n_p: int, rtol: float, sens_rtol: Any, sens_atol: Any) -> AdjointOptions:
    relative = positive(rtol if sens_rtol is None else sens_rtol, "sens_rtol")
    if relative.ndim:
        raise ArgumentValueError("sens_rtol must be one number")
    if sens_atol is None:
        return AdjointOptions(float(relative), None)
    absolute = positive(sens_atol, "sens_atol")
    if absolute.shape not in ((), (n_p,)):
        raise ArgumentValueError(f"sens_atol must be a number or have shape ({n_p},); its shape is {absolute.shape}")
    return AdjointOptions(float(relative), absolute)


def refuse_checkpoints(checkpoints: Any, mode: str) -> None:
    if not (isinstance(checkpoints, str) and checkpoints == "auto"):
        raise NotImplementedError(
            f'checkpoints= is not supported yet in mode="{mode}", which is what runs here: it bounds the memory of '
            f'mode="adjoint" with engine="native"; leave checkpoints="auto"'
        )


def check_controls(
    engine: AbstractEngine,
    method: Any,
    rtol: Any,
    atol: Any,
    first_step: Any,
    max_step: Any,
    max_steps: Any,
    n: int,
    span: float,
) -> Controls:
    """The controls of a forward solve with n states."""
    given = (method, rtol, atol, max_step, max_steps)
    if first_step is None and tuple(map(type, given)) == (str, float, float, float, int):
        return _usual_controls(engine, *given)
    chosen = engine.choose_method(method)
    tolerance = positive(rtol, "rtol")
    if tolerance.ndim:
        raise ArgumentValueError("rtol must be one number; give atol an array to weigh states")
    absolute = positive(atol, "atol")
    if absolute.shape not in ((), (n,)):
        raise ArgumentValueError(
            f"atol must be a number or have one entry per state, shape ({n},); its shape is {absolute.shape}"
        )
    first = None if first_step is None else float(positive(first_step, "first_step"))
    if first is not None and first > span > 0:
        raise ArgumentValueError(f"first_step = {first:.6g} is longer than tspan")
    if not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ArgumentValueError(f"max_steps must be a positive integer, not {max_steps!r}")
    longest = float(positive(max_step, "max_step", finite=False))
    return Controls(chosen, float(tolerance), absolute, first if span else None, longest, int(max_steps))


@lru_cache(maxsize=64)
def _usual_controls(engine: AbstractEngine, method: str, rtol: float, atol: float, max_step: float, max_steps: int) -> Controls:
    """The same of what serves any problem: checked once."""
    if max_steps < 1:
        raise ArgumentValueError(f"max_steps must be a positive integer, not {max_steps!r}")
    absolute = positive(atol, "atol")
    absolute.flags.writeable = False
    longest = float(positive(max_step, "max_step", finite=False))
    return Controls(engine.choose_method(method), float(positive(rtol, "rtol")), absolute, None, longest, max_steps)


def positive(value: Any, argument: str, *, finite: bool = True) -> np.ndarray:
    """The value as a float array all of whose entries are positive."""
    if type(value) is float and 0 < value < np.inf:  # the usual case, in a third of the time
        return np.array(value)
    try:
        array = real(value)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{argument} must be a positive number, not {value!r}") from None
    if not (array > 0).all() or (finite and not np.isfinite(array).all()):
        raise ArgumentValueError(f"{argument} must be positive, not {value!r}")
    return array
