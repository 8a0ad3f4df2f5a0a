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
from ...tracing.recorder import is_traced
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import name_of
from ..rhs.mass import check_mass
from ..solve import solve
from .closing import Closing
from .recorded import RecordedSensitivity
from .solve import OPTIONS, as_array, check_options, ending, packed, pair_of_times, states_at, twins
from .total_loss import TotalLoss

__all__ = ["sensitivity_inside"]

_FIELDS: Final = {"p": "grad", "x0": "grad_x0", "t0": "grad_t0", "t1": "grad_t1", "t_eval": "grad_t_eval"}


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
    """
    asked = _Asked(nest, rhs, x0, p, pair_of_times(tspan), t_eval, loss, running, wanted, check_options(nest, options))
    return asked.result(options, order, name_of(rhs))


class _Asked:
    """One call: the problem on vectors, and what is wanted of it."""

    def __init__(
        self, nest: Nest, rhs: Callable[..., Any], x0: Any, p: Any, ends: tuple[Any, ...], t_eval: Any,
        loss: Callable[..., Any] | None, running: Callable[..., Any] | None, wanted: tuple[str, ...],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.nest, self.has_loss = nest, loss is not None or running is not None
        events, start = options["events"], x0 if callable(x0) else None
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
            "t0": as_array(nest, [ends[0]]),
            "t1": as_array(nest, [ends[1]]),
            "t_eval": np.zeros(0) if t_eval is None else as_array(nest, t_eval),
        }
        mass = check_mass(options["mass_matrix"], x.size, self.x_layout)
        jac = closing.jac(options["jac"])
        if not isinstance(jac, str):  # compared with the exact one
            given = {"jac": jac, "mass_matrix": options["mass_matrix"], "max_steps": options["max_steps"]}
            guess = self.x_layout.unpack(x) if start is None else twins(nest, x0)
            solve(closing.rhs, guess, twins(nest, closing.p), [nest.twin(end) for end in ends], **given)
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

    def result(self, options: Mapping[str, Any], order: int, name: str) -> RecordedSensitivity:
        whole, mode = self.whole, options["mode"]
        solution = whole.solved(self.nest, self.known)
        problem = whole.problem(self.nest, self.known)
        fields: dict[str, Any] = dict.fromkeys(("sens", "sens_x0", "sens_t_events", "loss", *_FIELDS.values(), "hess", "sol"))
        fields |= {"success": True, "mode": mode, "name": name, "method": options["method"]}
        fields |= ending(problem, options) | {"status": int(solution.is_ended)}
        fields |= {"t_events": solution.t_events, "parameter_names": self.p_layout.names("p")}
        if solution.y_events is not None:
            fields["y_events"] = [self.x_layout.states(each.T).T for each in solution.y_events]
        else:
            fields["y_events"] = None
        if options["dense_output"]:
            fields["sol"] = partial(states_at, self.x_layout, partial(_first_rows, problem.interpolant, whole.n))
        makers: dict[str, Callable[[], Any]] = {"t": partial(self._shown, 0), "y": partial(self._shown, 1)}
        if self.has_loss:
            fields["loss"] = whole.total(self.nest, self.known, solution)
            makers |= {_FIELDS[part]: partial(self._gradient, part) for part in self.wanted}
            if order == 2:
                makers["hess"] = self._hessian
        if not self.has_loss or mode in ("auto", "forward"):
            sens = {"p": "sens", "x0": "sens_x0"}
            makers |= {sens[part]: partial(self._columns, part) for part in self.wanted if part in sens}
            if solution.t_events is not None and "p" in self.wanted:
                makers["sens_t_events"] = partial(self._of_instants, [len(each) for each in solution.t_events])
        self._gradients: Any = None
        self._jacobian: Any = None
        self._path: Any = None
        made = RecordedSensitivity(**{key: value for key, value in fields.items() if key not in makers})
        made.derive_later(makers)
        return made

    def _shown(self, number: int) -> Any:
        """The times, or the states."""
        if self._path is None:
            t, y = self.whole.path(self.nest, self.known)
            self._path = t, self.x_layout.states(y)
        return self._path[number]

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

    def _of_instants(self, counts: list[int]) -> Any:
        rows = jacobian(self.whole.instants, *self.at)[:, self._places()["p"]]
        stops = np.cumsum(counts).tolist()
        return [rows[stop - count : stop] for stop, count in zip(stops, counts, strict=True)]

    def _hessian(self) -> Any:
        hessian = hessian_of_first(self.whole.function, *self.at)
        own = np.concatenate([np.arange(place.start, place.stop) for place in self._places().values()])
        return 0.5 * (hessian + hessian.T)[np.ix_(own, own)]


def _first_rows(sol: Callable[[Any], Any], n: int, t: Any) -> Any:
    """The states without a running cost."""
    return sol(t)[:n]
