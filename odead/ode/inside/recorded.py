"""What `solve` and `sensitivity` return inside a differentiated function: fields that are recorded when they are asked for."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..results.solution import Sensitivity, Solution

__all__ = ["COUNTS", "ENDED", "REACHED", "RecordedSensitivity", "RecordedSolution"]

REACHED: Final = "the end was reached"
ENDED: Final = "an event ended the solve"

COUNTS: Final = ("nfev", "njev", "nlu", "nsteps", "nrejected")

Makers = Mapping[str, Callable[[], Any]]


class RecordedSolution(Solution):
    """A `Solution` of a recording. Counts of the work are those of each run, and have no derivative; each is one more solve."""

    def derive_later(self, makers: Makers) -> None:
        """Have fields computed when they are first asked for."""
        self.__dict__["makers"] = makers

    def __missing__(self, name: str) -> Any:
        return _made(self, name)

    def __repr__(self) -> str:
        return f"Solution of {self.name}, being recorded: y {self.y.shape}"

    __str__ = __repr__


class RecordedSensitivity(Sensitivity):
    """A `Sensitivity` of a recording: derivatives are recorded when they are first asked for.

    Counts of the work and `sens_error` are not known in a recording, where it is open how it will be differentiated.
    """

    def derive_later(self, makers: Makers) -> None:
        """Have fields computed when they are first asked for."""
        self.__dict__["makers"] = makers

    def __missing__(self, name: str) -> Any:
        if name in (*COUNTS, "sens_error"):
            raise NotImplementedError(
                f"{name} of odead.sensitivity is not known inside a function that is being differentiated, because its "
                f"derivatives are computed by other solves; call odead.sensitivity outside of it, or take {name} of odead.solve"
                if name in COUNTS
                else f"{name} of odead.sensitivity is not known inside a function that is being differentiated; call "
                f"odead.sensitivity outside of it"
            )
        return _made(self, name)

    def __repr__(self) -> str:
        return f"Sensitivity of {self.name}, being recorded: {len(self.parameter_names)} parameters"

    __str__ = __repr__


def _made(result: Solution, name: str) -> Any:
    makers: Makers = result.__dict__.get("makers", {})
    if name not in makers:
        raise KeyError(name)
    result[name] = makers[name]()
    return result[name]
