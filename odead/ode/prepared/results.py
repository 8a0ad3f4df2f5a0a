"""What the loops have written for the members of a prepared solve, as results."""

from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from ..._batch import Members
from ..._results import chain_rule, columns_in, copy_of_columns, results_of
from ..arguments.layout import Layout
from ..engines.estimate import Group, accumulated, error_of_gradient, norm
from ..gradients.discrete import Probes, probes_of
from ..gradients.forward import columns_for
from ..problem.problem import Problem
from ..results.solution import Sensitivity, Solution
from .arguments import Given
from .batches import Plan

__all__ = ["Results", "Steps"]

Steps = tuple[np.ndarray, np.ndarray]  # times, and states with their sensitivities

_NO_DERIVATIVES: Final = dict.fromkeys(
    ("sens", "sens_x0", "sens_t_events", "loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval", "hess")
)


class Found(NamedTuple):
    """What the loop has found for a member.

    Attributes
    ----------
    t, y : array, shapes (m,) and (n, m)
    rows : array, shape (m, (1 + W) n)
        States and sensitivities; in an adjoint at the times of the loss.
    cotangents : array, shape (n, m), or None
        Of the states in the rows, in the loss.
    """

    t: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    cotangents: np.ndarray | None


class Results:
    """Makes the results of a plan.

    Parameters
    ----------
    plan : Plan
    has_loss : bool
    """

    def __init__(self, plan: Plan, has_loss: bool) -> None:
        self._plan, self._has_loss = plan, has_loss
        self._kind = Solution if plan.mode == "solve" else Sensitivity
        self._common: dict[str, Any] = {
            "t": None, "y": None, "sol": None, "t_events": None, "y_events": None, "status": 0,
            "nfev": 0, "njev": 0, "nlu": 0, "nsteps": 0, "nrejected": 0,
            "message": "the end was reached", "success": True,
            "method": plan.method, "engine": "native", "mode": plan.mode, "name": "",
        }  # fmt: skip
        if plan.mode != "solve":
            self._common |= _NO_DERIVATIVES
            self._common["parameter_names"] = []

    def of(self, members: Members, those: Given, name: str, steps: dict[int, Steps]) -> list[Solution | None]:
        """A result for each member that was solved.

        Parameters
        ----------
        members : Members
        those : Given
        name : str
            Of the right-hand side.
        steps : dict
            By the numbers of the members, where all steps are wanted.
        """
        plan, times = self._plan, those.when.times
        common = self._common
        if common["name"] != name:
            common = self._common = common | {"name": name}
        results: list[Solution | None]
        if plan.mode == "solve":
            results = results_of(self._kind, common, members, times, False, (), None, None)
        else:
            names = those.p_layout.names("p") if "p" in plan.wrt else ()
            gradients: tuple[Any, ...] = ()
            estimate = None
            if plan.mode == "adjoint":
                gradients, estimate = self._gradients(members, those), partial(self._error_of_adjoint, members, times, steps)
            results = results_of(self._kind, common, members, times, self._has_loss, gradients, tuple(names), estimate)
        for k, result in enumerate(results) if steps or plan.mode == "forward" else ():
            if result is not None:
                found = self._found(members, times, steps, k)
                result["t"], result["y"] = found.t, found.y
                if isinstance(result, Sensitivity) and plan.mode == "forward":
                    self._differentiate(result, found, members, k, those)
        return results

    def _gradients(self, members: Members, those: Given) -> tuple[Any, ...]:
        """What `results_of` makes gradients of."""
        wanted = (("p", "grad", members.by_p, those.p_layout), ("x0", "grad_x0", members.by_x0, those.x_layout))
        return tuple([(name, rows, _maker(layout)) for what, name, rows, layout in wanted if what in self._plan.wrt])

    def _found(self, members: Members, times: np.ndarray, steps: dict[int, Steps], k: int) -> Found:
        """What the loop has written for a member."""
        n, mode = self._plan.problem.n, self._plan.mode
        cotangents = members.cotangents[k] if self._has_loss else None
        if k not in steps:
            return Found(times.copy(), members.y[k], members.out[k], cotangents)
        t, states = steps[k]
        if cotangents is not None and mode == "forward":
            at_end, cotangents = cotangents, np.zeros((t.size, n)).T  # in this order sums are those of the long way
            cotangents[:, -1] = at_end[:, 0]
        return Found(t, np.array(states[:, :n].T, order="C"), states if mode == "forward" else members.out[k], cotangents)

    def _error_of_adjoint(self, members: Members, times: np.ndarray, steps: dict[int, Steps], k: int) -> float:
        """`sens_error` of a discrete adjoint."""
        found = self._found(members, times, steps, k)
        start, directions = probes_of(self._at(members, k), self._plan.wrt)
        probes = Probes(start, directions, self._derivatives(found), self._plan.floor, self._errors(members, k))
        assert found.cotangents is not None
        return probes.error_of_gradient(found.cotangents, members.by_p[k], members.by_x0[k])

    def _differentiate(self, result: Sensitivity, found: Found, members: Members, k: int, those: Given) -> None:
        """The derivatives of the states, and by them of the loss."""
        wrt, n_p = self._plan.wrt, members.p.shape[1] * ("p" in self._plan.wrt)
        derivatives = self._derivatives(found)
        if "p" in wrt:
            result["sens"] = copy_of_columns(derivatives, 0, n_p)
        if "x0" in wrt:
            result["sens_x0"] = copy_of_columns(derivatives, n_p, derivatives.shape[2])
        if found.cotangents is None:
            result.estimate_later(partial(self._error_of_columns, members, k))
            return
        total = chain_rule(found.cotangents, derivatives)
        if "p" in wrt:
            total[:n_p] += members.by_p[k]
            result["grad"] = those.p_layout.gradient(total[:n_p])
        if "x0" in wrt:
            result["grad_x0"] = those.x_layout.gradient(total[n_p:])
        result.estimate_later(partial(self._error_by_chain_rule, found, members, k, total))

    def _error_of_columns(self, members: Members, k: int) -> float:
        """`sens_error` of the derivatives of the states."""
        return float(self._errors(members, k)[1:].max())

    def _error_by_chain_rule(self, found: Found, members: Members, k: int, total: np.ndarray) -> float:
        """`sens_error` of a gradient by derivatives of the states."""
        plan, problem, derivatives = self._plan, self._at(members, k), self._derivatives(found)
        columns = columns_for(problem, plan.wrt)
        floor = (plan.states_atol / columns.scale[:, None]).T / (plan.rtol[0] / plan.share)
        errors = self._errors(members, k)
        groups = []
        for part in (columns.p, columns.x0):
            scale = columns.scale[part]
            if scale.size:
                size = norm(scale * total[part])
                groups.append(Group(derivatives[:, :, part], floor[:, part], errors[1:][part], scale, size))
        assert found.cotangents is not None
        return error_of_gradient(found.cotangents, groups, float(errors[0]))

    def _errors(self, members: Members, k: int) -> np.ndarray:
        """The relative errors of the states and of each sensitivity."""
        return accumulated(self._plan.method, self._plan.rtol, int(members.counts[k, 0]), members.sums[k])

    def _at(self, members: Members, k: int) -> Problem:
        return self._plan.problem._replace(x0=members.x0[k], p=members.p[k])

    def _derivatives(self, found: Found) -> np.ndarray:
        """Of the states, shape (m, n, W)."""
        return columns_in(found.rows, self._plan.problem.n)


def _maker(layout: Layout) -> Any:
    """What makes the user's container of a vector; None where a copy is all there is to do."""
    return None if layout.is_plain else layout.gradient
