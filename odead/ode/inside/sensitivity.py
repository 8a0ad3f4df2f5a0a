"""`sensitivity` inside a function that is being differentiated.

The loss is a function of one vector in which the solve is a primitive (`total_loss`); its derivatives are taken in the
recording, as of any other function, so they have derivatives again.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from ...derivatives.first_order import jacobian, value_and_gradient
from ...derivatives.nested import Nest
from ...derivatives.second_order import hessian_of_first
from ...errors import ArgumentValueError
from ...tracing.recorder import is_traced
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import name_of
from ..results.solution import Sensitivity
from ..rhs.mass import check_mass
from .closing import Closing
from .solve import OPTIONS, as_array, check_options, packed, pair_of_times, twins
from .total_loss import TotalLoss

__all__ = ["RecordedSensitivity", "sensitivity_inside"]

_FIELDS: Final = {"p": "grad", "x0": "grad_x0", "t0": "grad_t0", "t1": "grad_t1", "t_eval": "grad_t_eval"}


class RecordedSensitivity(Sensitivity):
    """A `Sensitivity` of a recording: derivatives are recorded when they are first asked for.

    What tells of the run (counts of steps, `sens_error`) is not known in a recording, and raises.
    """

    def derive_later(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        """Have fields computed when they are first asked for."""
        self.__dict__["makers"] = makers

    def __missing__(self, name: str) -> Any:
        makers = self.__dict__.get("makers", {})
        if name in makers:
            self[name] = makers[name]()
            return self[name]
        if name in Sensitivity.__annotations__ or name in ("t", "y", "nfev", "njev", "nlu", "nsteps", "nrejected"):
            raise NotImplementedError(
                f"{name} of odead.sensitivity inside a function that is being differentiated is not known; t and y need "
                f"t_eval there, sens, loss and the gradients are available"
            )
        raise KeyError(name)


def sensitivity_inside(
    nest: Nest,
    rhs: Callable[..., Any],
    x0: Any,
    p: Any,
    tspan: Any,
    t_eval: Any,
    loss: Callable[..., Any] | None,
    running: Callable[..., Any] | None,
    wanted: tuple[str, ...],
    order: int,
    options: Mapping[str, Any],
) -> RecordedSensitivity:
    """Record a solve and what its derivatives are made of.

    Parameters
    ----------
    nest : Nest
        The recording.
    rhs, x0, p, tspan, t_eval, loss, running, order
        As in `odead.sensitivity`; arrays and numbers may be traced, and functions may close over what is.
    wanted : tuple of str
        What is differentiated.
    options : mapping
        Of `odead.solve`.

    Raises
    ------
    ArgumentValueError, ArgumentTypeError
        An argument does not fit.
    NotImplementedError
        What is asked for cannot be recorded yet.
    """
    if options.get("dense_output"):
        raise NotImplementedError(
            "dense_output of a sensitivity inside a differentiated function is not supported yet; odead.solve has it"
        )
    if t_eval is None and loss is None and running is None:
        raise ArgumentValueError("t_eval: a sensitivity inside a function that is being differentiated needs it, or a loss")
    asked = _Asked(nest, rhs, x0, p, pair_of_times(tspan), t_eval, loss, running, wanted, check_options(nest, options))
    return asked.result(options["mode"], order, name_of(rhs))


class _Asked:
    """One call: the problem on vectors, and what is wanted of it."""

    def __init__(
        self, nest: Nest, rhs: Callable[..., Any], x0: Any, p: Any, ends: tuple[Any, ...], t_eval: Any,
        loss: Callable[..., Any] | None, running: Callable[..., Any] | None, wanted: tuple[str, ...],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.nest, self.has_loss = nest, loss is not None or running is not None
        events, start = options["events"], x0 if callable(x0) else None
        if start is not None and "x0" in wanted:
            raise NotImplementedError('wrt="x0" where x0 is a function is not supported inside a differentiated function')
        if not isinstance(options["jac"], str):
            raise NotImplementedError(
                "jac= of odead.sensitivity is not supported inside a differentiated function; leave it out"
            )
        functions = () if events is None else (events,) if callable(events) else tuple(events)
        closing = Closing(nest, p, rhs, functions, options["tstops"], running, loss, start)
        x0 = as_array(nest, x0 if start is None else start(p))
        (self.x_layout, x), (layout, p_values) = [
            lay_out(twins(nest, tree), name, complex_allowed=True) for tree, name in ((x0, "x0"), (closing.p, "p"))
        ]
        self.p_layout = lay_out(twins(nest, p), "p", complex_allowed=True)[0]
        self.wanted = tuple(name for name in wanted if name != "p" or self.p_layout.size)
        known = {
            "p": packed(nest, layout, closing.p, p_values),
            "x0": np.zeros(x.size) if start is not None else packed(nest, self.x_layout, x0, x),
            "t0": as_array(nest, [ends[0]]), "t1": as_array(nest, [ends[1]]),
            "t_eval": np.zeros(0) if t_eval is None else as_array(nest, t_eval),
        }  # fmt: skip
        mass = check_mass(options["mass_matrix"], x.size, self.x_layout)
        own = {name: options[name] for name in OPTIONS} | {"atol": self._tolerances(options["atol"], running is not None)}
        fixed = {name: value for name, value in known.items() if not is_traced(value)}
        self.whole = TotalLoss(
            (self.x_layout, layout), closing.rhs, closing.loss, closing.running, closing.start, closing.events, closing.tstops,
            self.wanted, own, mass, t_eval is not None, fixed,
        )  # fmt: skip
        self.known = known

    def _tolerances(self, atol: Any, runs: bool) -> Any:
        given = self.x_layout.tolerances(atol, "atol")
        return given if np.ndim(given) == 0 or not runs else np.append(given, np.min(given))

    @property
    def at(self) -> tuple[Any, ...]:
        """The arguments of the functions of `TotalLoss`."""
        given = [self.known[name] for name in self.wanted]
        vector = np.concatenate(given) if len(given) > 1 else given[0]
        return vector, *[self.known[name] for name in self.whole.others]

    def result(self, mode: str, order: int, name: str) -> RecordedSensitivity:
        solution = self.whole.solved(self.nest, self.known)
        y = solution.y
        fields: dict[str, Any] = dict.fromkeys(("sens", "sens_x0", "loss", *_FIELDS.values(), "hess", "sol"))
        fields |= {"success": True, "status": int(solution.is_ended), "message": "recorded", "mode": mode, "name": name}
        fields |= {"t_events": solution.t_events, "parameter_names": self.p_layout.names("p")}
        if solution.y_events is not None:
            fields["y_events"] = [self.x_layout.states(each.T).T for each in solution.y_events]
        else:
            fields["y_events"] = None
        if self.whole.has_data:
            fields |= {"t": self.known["t_eval"][: y.shape[1]], "y": self.x_layout.states(y)}
        makers: dict[str, Callable[[], Any]] = {}
        if self.has_loss:
            fields["loss"] = self.whole.total(self.nest, self.known, solution)
            makers |= {_FIELDS[part]: partial(self._gradient, part) for part in self.wanted}
            if order == 2:
                makers["hess"] = self._hessian
        if self.whole.has_data and (not self.has_loss or mode in ("auto", "forward")):
            sens = {"p": "sens", "x0": "sens_x0"}
            makers |= {sens[part]: partial(self._columns, part) for part in self.wanted if part in sens}
        self._gradients: Any = None
        self._jacobian: Any = None
        made = RecordedSensitivity(**{key: value for key, value in fields.items() if key not in makers})
        made.derive_later(makers)
        return made

    def _places(self) -> dict[str, slice]:
        """Where the differentiated are in the vector; of the parameters, without what functions close over."""
        places, start = {}, 0
        for name in self.wanted:
            size = self.known[name].size
            places[name] = slice(start, start + (self.p_layout.size if name == "p" else size))
            start += size
        return places

    def _gradient(self, name: str) -> Any:
        if self._gradients is None:
            self._gradients = value_and_gradient(self.whole.function, *self.at)[1]
        part = self._gradients[self._places()[name]]
        if name in ("p", "x0"):
            layout: Layout = self.p_layout if name == "p" else self.x_layout
            return layout.unpack(part.copy())
        return part.copy() if name == "t_eval" else part[0]

    def _columns(self, name: str) -> Any:
        if self._jacobian is None:
            self._jacobian = jacobian(self.whole.states, *self.at)
        columns = self._jacobian[:, :, self._places()[name]]
        return self.x_layout.states(columns).transpose(1, 0, 2)

    def _hessian(self) -> Any:
        hessian = hessian_of_first(self.whole.function, *self.at)
        own = np.concatenate([np.arange(place.start, place.stop) for place in self._places().values()])
        return 0.5 * (hessian + hessian.T)[np.ix_(own, own)]
