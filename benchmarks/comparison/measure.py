"""All variants of one problem, timed in turns."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .peers import Variant
from .problem import Problem
from .remote import FailedError, Remote

ROUNDS = 5  # of which one run each is interleaved


@dataclass
class Row:
    """One variant at one tolerance."""

    problem: str
    peer: str
    variant: str
    kind: str  # "solve" or "gradient"
    tolerance: float  # factor to the problem's rtol and atol
    seconds: float | None = None  # median of the warm runs
    spread: tuple[float, float] | None = None  # their quartiles
    runs: int = 0
    first_seconds: float | None = None  # building, compiling and first call; of the first tolerance of a variant
    memory: float | None = None  # MB that the process needed at its peak beyond its imports
    loss_error: float | None = None
    gradient_error: float | None = None
    failure: str = ""

    @property
    def key(self) -> tuple[str, str, str, float]:
        return self.problem, self.peer, self.variant, self.tolerance

    @property
    def error(self) -> float | None:
        return self.loss_error if self.kind == "solve" else self.gradient_error


@dataclass
class _Running:
    remote: Remote
    rows: dict[float, Row]
    times: dict[float, list[float]] = field(default_factory=dict)
    ended: bool = False


def measure(
    problem: Problem,
    chosen: Iterable[tuple[str, Variant]],
    tolerances: tuple[float, ...],
    seconds: float,
    limit: float,
    shared: bool,
    tick: Callable[[str], None],
) -> list[Row]:
    """The rows of all chosen (peer, variant).

    Parameters
    ----------
    tolerances : tuple of float
        Factors to the problem's tolerances; a forward solve is measured at the first only.
    seconds : float
        About how long each row is timed in all.
    limit : float
        Seconds that one first call may take.
    shared : bool
        Whether processor time is what counts, not the time of the wall.
    tick : callable
        Called with a label before each piece of work: once per variant, and once per round.
    """
    rows: list[Row] = []
    running: list[_Running] = []
    for peer, variant in chosen:
        tick(f"{problem.name}: {peer} {variant}")
        started = _start(problem, peer, variant, tolerances, limit, shared)
        rows += started.rows.values()
        running.append(started)
    try:
        for number in range(ROUNDS):
            tick(f"{problem.name}: round {number + 1} of {ROUNDS}")
            for one in running:
                _one_round(problem, one, seconds, limit, shared)
    finally:
        for one in running:
            one.remote.close()
    for one in running:
        for tolerance, times in one.times.items():
            _summarise(one.rows[tolerance], times)
    return rows


def _start(problem: Problem, peer: str, variant: Variant, factors: tuple[float, ...], limit: float, shared: bool) -> _Running:
    """The first calls and one warm run each, one process after the other, so that none is timed beside another."""
    solve = variant.kind == "solve"
    factors = factors[:1] if solve else factors
    kind = "solve" if solve else "gradient"
    rows = {factor: Row(problem.name, peer, str(variant), kind, factor) for factor in factors}
    started = _Running(Remote(problem.name, peer, variant), rows)
    for factor, row in list(rows.items()):
        if sum(map(sum, started.times.values())) > limit / 8:  # finer tolerances are not worth the wait
            del rows[factor]
            continue
        tolerances = {"rtol": problem.rtol * factor, "atol": problem.atol * factor, "shared": shared}
        try:
            answer = started.remote.ask(limit, **tolerances, seconds=0.0)
            started.times[factor] = started.remote.ask(limit, **tolerances, seconds=0.0)["times"]
        except FailedError as failed:
            for later in list(rows.values())[list(rows).index(factor) :]:
                later.failure = str(failed)
            started.ended = True
            break
        row.first_seconds = answer["first"] if factor == factors[0] else None
        row.loss_error, row.gradient_error, row.memory = answer["loss_error"], answer["gradient_error"], answer["memory"]
    return started


def _one_round(problem: Problem, one: _Running, seconds: float, limit: float, shared: bool) -> None:
    for factor, times in one.times.items() if not one.ended else ():
        row = one.rows[factor]
        if sum(times) >= seconds:
            continue
        try:
            answer = one.remote.ask(
                limit, rtol=problem.rtol * factor, atol=problem.atol * factor, seconds=seconds / ROUNDS, shared=shared
            )
        except FailedError as failed:  # the process has ended: the others have what they have
            row.failure = str(failed)
            one.ended = True
            return
        times += answer["times"]
        row.memory = answer["memory"]


def _summarise(row: Row, times: list[float]) -> None:
    if row.failure or not times:
        return
    row.runs, row.seconds = len(times), statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    row.spread = (low, high)
