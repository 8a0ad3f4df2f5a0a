"""Loss: the user's plain NumPy function of the solution, with its gradient."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ...derivatives.interchangeable import representative
from ...derivatives.kernel import Kernel, Variant
from ...errors import ArgumentTypeError, IntegrationError
from ...transform.reverse import reverse
from ..arguments.layout import Layout
from ..arguments.signature import name_of, required_parameters
from ..rhs.kept import Kept
from ..rhs.validation import refuse_captured

__all__ = ["Loss", "Weighted", "check_loss", "evaluate"]


def check_loss(loss: Callable[..., Any]) -> int:
    """The number of parameters, 1 or 2."""
    count = required_parameters(loss, "loss")
    if count not in (1, 2):
        raise ArgumentTypeError(f"loss: {name_of(loss)} requires {count} positional parameters; write loss(y) or loss(y, p)")
    return count


_KEPT: Final = Kept[Kernel](64)


class Loss:
    """``loss(y)`` or ``loss(y, p)`` on vectors, recorded at the values it is first asked for.

    Parameters
    ----------
    loss : callable
        y has the structure of x0, each leaf with the times as an added last axis.
    x_layout, p_layout : Layout
    p : container
        As the user passed it; an array of it that loss also reads through a closure is refused.
    """

    def __init__(self, loss: Callable[..., Any], x_layout: Layout, p_layout: Layout, p: Any) -> None:
        takes_p = check_loss(loss) == 2
        self._name = name_of(loss)
        self._arrays = p_layout.arrays(p)
        self._n_p = p_layout.size
        self._flat = partial(evaluate, loss, takes_p, x_layout, p_layout)
        self._key = (representative(loss), x_layout, p_layout)

    def value_and_gradient(self, y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The loss, and its derivatives with respect to y, shape (n, m), and to p, shape (n_p,).

        Raises
        ------
        ArgumentTypeError
            loss does not return one float that depends on its arguments' values.
        """
        y = np.array(y, order="C")
        arguments = (y, p.copy()) if self._n_p else (y,)  # which it may change
        kernel = _KEPT.get((*self._key, y.shape), lambda: self._record(y, p))
        if self._arrays:
            refuse_captured(kernel.primal, self._arrays, "p")
        shadows = [np.zeros(a.shape) for a in arguments]
        value = np.empty(())
        bound = [*arguments, *shadows, np.ones(()), value]

        def assemble(_: Variant) -> list[Any]:
            return bound

        kernel.run(arguments, assemble)
        return float(value), shadows[0], shadows[1] if self._n_p else np.zeros(0)

    def recorded(self, shape: tuple[int, ...]) -> Kernel | None:
        """What was recorded for solutions of this shape, if it is still kept."""
        return _KEPT.find((*self._key, shape))

    def _record(self, y: np.ndarray, p: np.ndarray) -> Kernel:
        active = (0, 1) if self._n_p else (0,)
        kernel = Kernel(self._flat, (y, p if self._n_p else None), lambda program: reverse(program, active))
        self._validate(kernel)
        return kernel

    def _validate(self, kernel: Kernel) -> None:
        program = kernel.primal
        returned = [program.buffers[b] for b in program.results]
        if len(returned) == 1 and returned[0].dtype == "float64" and not returned[0].shape:
            return
        found = f"{len(returned)} values" if len(returned) > 1 else "nothing that depends on y"
        if len(returned) == 1 and kernel.variant.complex_results:
            found = "a complex number" if returned[0].shape == (2,) else "an array of complex numbers"
        elif len(returned) == 1:
            found = f"an array of shape {returned[0].shape} and dtype {returned[0].dtype}"
        raise ArgumentTypeError(f"loss: {self._name} must return one float computed from y, but it returned {found}")


def evaluate(loss: Callable[..., Any], takes_p: bool, x_layout: Layout, p_layout: Layout, y: Any, p: Any) -> Any:
    """The loss on vectors."""
    states = x_layout.unpack(y, y.shape[1:])
    value = loss(states, p_layout.unpack(p)) if takes_p else loss(states)
    return value.reshape(()) if getattr(value, "size", None) == 1 and value.shape else value


class Weighted:
    """The sum of the solution times given weights: a loss whose gradient is the weights.

    Parameters
    ----------
    weights : array, shape (n, m)
        Of the solution at the m times that the solve reaches.
    at_events : sequence of array, shapes (n, k)
        Of the states at which each event happens, at the instants of this solve, which do not move.
    """

    def __init__(self, weights: np.ndarray, at_events: Sequence[np.ndarray] = ()) -> None:
        self._weights = weights
        self._at_events = at_events

    def value_and_gradient(self, y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """As `Loss.value_and_gradient`."""
        if y.shape != self._weights.shape:
            raise IntegrationError(
                f"the solve with derivatives reached {y.shape[1]} of {self._weights.shape[1]} times; {_CLOSE}"
            )
        return float(np.vdot(self._weights, y)), self._weights, np.zeros(p.size)

    def at_events(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """The weights of the states at events that happened one after the other, by the numbers of the events.

        Raises
        ------
        IntegrationError
            Others were expected.
        """
        if not self._at_events:
            return []
        if [numbers.count(k) for k in range(len(self._at_events))] != [rows.shape[1] for rows in self._at_events]:
            raise IntegrationError(f"the solve with derivatives met other events than the one without; {_CLOSE}")
        columns = [iter(rows.T) for rows in self._at_events]
        return [next(columns[number]) for number in numbers]


_CLOSE: Final = "an event is so close to happening, or to the end, that the tolerances decide; make rtol and atol smaller"
