"""What a stepper gets and what it gives: the boundary behind which engines are exchanged.

Forward and adjoint sensitivities are systems like any other; they do not know which stepper runs them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from ..results.progress import Progress
from ..rhs.jacobian import Jacobian
from ..rhs.mass import Mass
from .pace import Pace
from .path import Path

__all__ = ["AbstractEngine", "Controls", "Crossing", "Failure", "Side", "System", "Trajectory"]


class Side(Protocol):
    """What a stepper asks of a side of a right-hand side with branches."""

    def holds(self, x: np.ndarray, t: float) -> bool:
        """Whether (t, x), the first numbers of a state, is on it."""

    def watch(self) -> Any:
        """Make a `_system.Recorded` that answers the same to the compiled loop."""


class System(NamedTuple):
    """An initial value problem x' = fun(t, x), or M x' = fun(t, x), x(t0) = x0.

    Attributes
    ----------
    fun : callable
        (t, x) -> new array of shape (n,).
    jacobian : callable
        (t, x) -> Jacobian, exact.
    t0, t1 : float
        t1 < t0 integrates backwards.
    x0 : array, shape (n,)
    fixed_pattern : bool
        Whether every Jacobian has the pattern of the first one.
    narrow_jacobian : callable or None
        Where `jacobian` has a wide band: an approximation with a narrow one, with which Newton's iteration converges too, if
        slower.
    compiled : callable or None
        Makes a `_system.System`, the same right-hand side for the compiled loop.
    linearised : callable or None
        Makes a `_linearised.Linearised` and a `_matrices.Matrix` for it, for the implicit methods of the compiled loop.
    states : System or None
        Where `compiled` has sensitivities: the system without them.
    side : Side or None
        The steppers stop before a step that ends on another side.
    mass : Mass or None
        M, for the states and for each sensitivity; x0 is consistent. None: the identity.
    saved : int
        How many numbers each evaluation of `compiled` saves for the way back.
    most_saved : float
        Bytes for these, beyond which it does not pay.
    matrix : callable or None
        Tells how many numbers a linearisation has that can be saved for the way back; None: none.
    path : int
        How many numbers of the state, from its start, are wanted at every step.
    slopes : callable or None
        Where M is singular: from nothing to x' at x0, shape (blocks, n), for the states and each sensitivity.
    iterated : callable or None
        What `linearised` is, for a method whose linear systems may be solved by iteration; None: the same.
    beside : callable or None
        From a matrix for `linearised`, what solves with its factors for others close by, or None: where the sensitivities only
        guard the steps, and need not be exact.
    together : callable or None
        Makes a `_linearised.Linearised` of the whole state, which does all that `compiled` does, or None where that does not
        pay: for a method that wants both at one point.
    is_dear : callable or None
        Tells whether matrices on the pattern of J cost so much to factor that iteration is the better choice; None: no.
    resets : (array of shape (k,), tuple of k _system.Resetting or None) or None
        Times inside the span, in the direction of integration, to step onto, and what resets the state there, if anything does;
        for an engine that `resets_inside`.
    pace : Pace or None
        Limits of the steps, beside `Controls.max_step`, of a system with t0 = 0 < t1.
    reach : float
        The longest step from t0, which grows by an eighth of the time since; 0: no limit. For the engine with ``compiled``.
    slides : callable or None
        From a time, a state and the length of the step from there: whether a switch recorded as a value holds the solution up.
        For an engine whose steps cost more than to ask; a solve that it stops fails.
    kinks : _system.Keys or None
        What changes where a kink is passed: the error of such a step has to be smaller, for the engine with ``compiled``.
    """

    fun: Callable[[float, np.ndarray], np.ndarray]
    jacobian: Callable[[float, np.ndarray], Jacobian]
    t0: float
    t1: float
    x0: np.ndarray
    fixed_pattern: bool = True
    narrow_jacobian: Callable[[float, np.ndarray], Jacobian] | None = None
    compiled: Callable[[], Any] | None = None
    linearised: Callable[[], tuple[Any, Any]] | None = None
    states: "System | None" = None
    side: Side | None = None
    mass: Mass | None = None
    slopes: Callable[[], np.ndarray] | None = None
    saved: int = 0
    most_saved: float = math.inf
    matrix: Callable[[], int] | None = None
    path: int = 0
    iterated: Callable[[], tuple[Any, Any]] | None = None
    beside: Callable[[Any], Any] | None = None
    together: Callable[[], Any] | None = None
    is_dear: Callable[[], bool] | None = None
    resets: tuple[np.ndarray, tuple[Any, ...]] | None = None
    pace: Pace | None = None
    reach: float = 0.0
    kinks: Any = None
    slides: Callable[[float, np.ndarray, float], bool] | None = None


class Controls(NamedTuple):
    """How to step.

    Attributes
    ----------
    method : str
    rtol : float
    atol : array, 0-d or shape (n,)
    first_step : float or None
        None: chosen by the method.
    max_step : float
    max_steps : int
        Accepted steps after which to give up.
    progress : Progress or None
        Is told how far the solve has come.
    stiff : bool
        Whether the problem is known to be stiff: where "auto" begins.
    finer : tuple of float
        What a multistep method to which "auto" comes makes of the tolerances of the states, and of the sensitivities.
    """

    method: str
    rtol: float
    atol: np.ndarray
    first_step: float | None = None
    max_step: float = np.inf
    max_steps: int = 100_000
    progress: Progress | None = None
    stiff: bool = False
    finer: tuple[float, float] = (1.0, 1.0)


class Failure(NamedTuple):
    """Where a solve stopped.

    Attributes
    ----------
    t, x : float, array
        The last accepted point.
    step : float
        The size of the last step.
    reason : str
    diagnosis : tuple of str, or None
        The likely cause and what to try, where the solution itself goes no further: other steps would not help. None: to be
        guessed.
    """

    t: float
    x: np.ndarray
    step: float
    reason: str
    diagnosis: tuple[str, str] | None = None


class Crossing(NamedTuple):
    """A step that was not taken because it ends on another side.

    Attributes
    ----------
    t0, t1 : float
        Its start, and the first time that was looked at on the other side.
    sol : callable
        The solution between them.
    at : callable
        The same of one time.
    locate : callable or None
        Gives two neighbouring times, the second the first on the other side; None: by `Side.holds`.
    """

    t0: float
    t1: float
    sol: Any
    at: Callable[[float], np.ndarray]
    locate: Callable[[], tuple[float, float]] | None = None


class Trajectory(NamedTuple):
    """What a stepper computed.

    Attributes
    ----------
    t, y : array, shapes (m,) and (n, m)
        At the times asked for; at every step where none were.
    sol : callable with attribute `ts`, or None
        The solution as a function of time, piecewise between the steps `ts`; accepts an array of times.
    nfev, njev, nlu, nsteps : int
    nrejected : int or None
        None where the stepper does not tell.
    message : str
    failure : Failure or None
        None: the end was reached.
    flips : int
        How often compiled code took another way through the branches of the right-hand side.
    crossing : Crossing or None
        Why the end was not reached, if nothing failed.
    methods : tuple of str
        Those that took the steps, one after the other; empty where it is the one that was asked for.
    steps : Steps or None
        For a discrete adjoint.
    errors : array, shape (blocks,)
        Estimated relative errors of the states and of each sensitivity, as `estimate.accumulated` gives them; one for all where
        the stepper does not tell them apart.
    path : Path or None
        The states at the steps, with `System.path` numbers.
    before : array, shape (k, n)
        The states before the resets of `System.resets`, as far as they happened.
    """

    t: np.ndarray
    y: np.ndarray
    sol: Any
    nfev: int
    njev: int
    nlu: int
    nsteps: int
    nrejected: int | None
    message: str
    failure: Failure | None
    flips: int = 0
    crossing: Crossing | None = None
    methods: tuple[str, ...] = ()
    steps: Any = None
    errors: np.ndarray = np.zeros(1)
    path: Path | None = None
    before: np.ndarray = np.zeros((0, 0))

    def name_method(self, asked: str) -> str:
        """What took the steps, in words."""
        return "+".join(dict.fromkeys(self.methods)) or asked


class AbstractEngine(ABC):
    """A stepper with its methods.

    Attributes
    ----------
    name : str
    """

    name: ClassVar[str]

    def resets_inside(self, method: str) -> bool:
        """Whether `System.resets` are taken, for results at given times and without the solution between them."""
        return False

    @abstractmethod
    def choose_method(self, method: str) -> str:
        """The method to run for what the user wrote; ArgumentValueError or NotImplementedError if there is none."""

    @abstractmethod
    def integrate(self, system: System, controls: Controls, times: np.ndarray | None, dense: bool) -> Trajectory:
        """Integrate from t0 to t1.

        Parameters
        ----------
        system : System
        controls : Controls
        times : array or None
            Where y is wanted: strictly sorted in the direction of integration, inside [t0, t1]. None: at every step.
        dense : bool
            Whether `sol` is wanted.

        Returns
        -------
        Trajectory
            Also after a failure, with what was computed until then. Exceptions of the user's function pass.
        """
