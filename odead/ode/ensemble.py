"""`ensemble`: many initial values and parameters of one problem, in threads or by any executor."""

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from inspect import Parameter, signature
from threading import Event, Lock
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np

from .._system import heed
from ..errors import ArgumentTypeError, ArgumentValueError
from .prepared.group import Group
from .prepared.lanes import MOST_AT_ONCE
from .results.progress import open_bar
from .results.solution import Sensitivity, Solution
from .sensitivity import sensitivity
from .solve import solve

__all__ = ["ensemble"]

Member = Solution | Sensitivity | Exception

BUSY: Final = 0.01  # seconds for which a thread takes members: after Ctrl-C it still solves these
GROWTH: Final = 16  # of their number; the first ones tell how long one takes
FEWEST: Final = 64  # to take: with 16 lanes run dry so often that 2000 small solves in two threads take 7 % longer

# An option of these asks for derivatives.
_OF_SENSITIVITY: Final = frozenset({"loss", "running", "wrt", "mode", "sens_rtol", "sens_atol", "checkpoints", "order"})


def ensemble(
    rhs: Callable[..., Any],
    x0s: Any,
    ps: Any,
    tspan: Any,
    *,
    executor: Executor | None = None,
    threads: int | None = None,
    progress: bool = False,
    **same: Any,
) -> list[Member]:
    """Solve one problem for many initial values and parameters, at the same time.

    Parameters
    ----------
    rhs, tspan
        As in `sensitivity`.
    x0s, ps : sequence
        One item per member: a list, a tuple, or an array whose rows are the members. A single item serves all members:
        ``[x0]``. A callable x0s is the ``x0(p)`` of all members, ``ps=None`` is no parameters.
    executor : concurrent.futures.Executor, optional
        Runs the members: a process pool, Dask's ``client.get_executor()``, ``mpi4py.futures.MPIPoolExecutor()``, ... It stays
        open. What it sends to other processes must pickle: rhs is best a function of a module. None: threads.
    threads : int, optional
        How many; None: one per processor. The compiled loop runs beside others; engine="scipy" and right-hand sides that stay
        in Python take turns.
    progress : bool
        Show a progress bar by tqdm.
    **same
        Further arguments of every member: those of `sensitivity` if there is one among them that asks for derivatives
        (loss, running, wrt, mode, ...), else those of `solve`.

    Returns
    -------
    list of Sensitivity or Solution
        In the order of the members. The place of a member that failed has its exception instead. By explicit methods, where the
        right-hand side has no branches and no linear algebra, sixteen members are solved side by side: results are those of
        members alone but for the last bits, in which functions and sums of several numbers at once may round in another way.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        The members do not fit together, or the problem does not pickle though a process pool is to run it.
    """
    run = sensitivity if _OF_SENSITIVITY & same.keys() else solve
    _check_options(run, same)
    members = _members(x0s, ps)
    workers = _workers(executor, threads, members.total)
    bar = open_bar(total=members.total, unit="solve") if progress else None
    done: Callable[[int], Any] = _nothing if bar is None else bar.update
    try:
        if executor is None:
            return _in_threads(Group(run, rhs, tspan, same), members, workers, done)
        return _by_executor(executor, (run, rhs, tspan, same), members, done)
    finally:
        if bar is not None:
            bar.close()


def _check_options(run: Callable[..., Member], same: dict[str, Any]) -> None:
    """Raise where an option does not exist: each member would fail by it."""
    known = [name for name, each in signature(run).parameters.items() if each.kind is Parameter.KEYWORD_ONLY]
    for name in same:
        if name not in known:
            raise ArgumentTypeError(
                f"ensemble has no option {name!r}; with these it has those of {run.__name__}: {', '.join(known)}"
            )


def _solve_member(run: Callable[..., Member], rhs: Any, tspan: Any, same: dict[str, Any], x0: Any, p: Any) -> Member:
    return run(rhs, x0, p, tspan, **same)


def _nothing(_: int) -> None:
    pass


# ------------------------------------------------------------------------------------------------ members


class Members(NamedTuple):
    """x0 and p of all, each one for each member or one for all.

    Attributes
    ----------
    total : int
    x0s, ps : sequence or array
    """

    total: int
    x0s: Sequence[Any] | np.ndarray
    ps: Sequence[Any] | np.ndarray

    def part(self, numbers: range) -> tuple[list[Any], list[Any]]:
        """x0 and p of some of them."""
        some = slice(numbers.start, numbers.stop)
        x0s, ps = (list(items[some] if len(items) == self.total else items) for items in (self.x0s, self.ps))
        return x0s * (len(numbers) // len(x0s)), ps * (len(numbers) // len(ps))


def _members(x0s: Any, ps: Any) -> Members:
    starts = [x0s] if callable(x0s) else _items(x0s, "x0s")
    parameters = [None] if ps is None else _items(ps, "ps")
    count = max(len(starts), len(parameters)) if len(starts) and len(parameters) else 0
    for items, name, other in ((starts, "x0s", "ps"), (parameters, "ps", "x0s")):
        if len(items) not in (1, count):
            raise ArgumentValueError(
                f"{name} has {len(items)} items and {other} {count}; give one for each member, or a single one for all"
            )
    return Members(count, starts, parameters)


def _items(values: Any, name: str) -> Sequence[Any] | np.ndarray:
    if isinstance(values, np.ndarray):
        if values.ndim < 2:
            raise ArgumentValueError(
                f"{name} has shape {values.shape}; its rows must be the members, shape (members, ...): for one that serves all "
                f"write [{name[:-1]}], for numbers a list of them"
            )
        return values
    if not isinstance(values, Sequence) or isinstance(values, str) or hasattr(values, "_fields"):
        raise ArgumentTypeError(
            f"{name} must be a list, a tuple or an array with an item for each member, not a {type(values).__name__}; "
            f"for one that serves all write [{name[:-1]}]"
        )
    return list(values)


# ---------------------------------------------------------------------------------------------- execution


def _workers(executor: Executor | None, threads: int | None, members: int) -> int:
    """How many threads, the caller's among them."""
    if executor is not None:
        if threads is not None:
            raise ArgumentValueError("threads= is for the case without executor=; the executor has its own number of workers")
        if not isinstance(executor, Executor):
            raise ArgumentTypeError(
                f"executor is a {type(executor).__name__}, which is no concurrent.futures.Executor; of a Dask client, pass "
                f"client.get_executor()"
            )
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ArgumentValueError(f"threads must be a positive integer, not {threads!r}")
    return max(1, min(threads or os.cpu_count() or 1, members))


class _Waiting:
    """The members that no thread has taken yet.

    Parameters
    ----------
    count, workers : int
    """

    def __init__(self, count: int, workers: int) -> None:
        self._next, self._count, self._workers, self._lock = 0, count, workers, Lock()

    def take(self, most: int) -> range:
        """The numbers of the next ones; none when nothing is left.

        Towards the end a thread takes its share of what is left and not more (guided self-scheduling, Polychronopoulos and
        Kuck 1987): of 2000 members none waits for the other's last 256.
        """
        with self._lock:
            share = -(-(self._count - self._next) // self._workers)
            taken = range(self._next, min(self._count, self._next + min(most, max(share, FEWEST))))
            self._next = taken.stop
        return taken

    def clear(self) -> None:
        with self._lock:
            self._next = self._count


def _in_threads(group: Group, members: Members, workers: int, done: Callable[[int], Any]) -> list[Member]:
    """Each thread takes the next members when it has finished some: a future for each would cost half of a small solve."""
    results: list[Any] = [None] * members.total
    waiting, stop = _Waiting(members.total, workers), Event()

    def work() -> None:
        size = 1
        while numbers := waiting.take(size):
            began = perf_counter()
            results[numbers.start : numbers.stop] = group.solve(*members.part(numbers))
            done(len(numbers))
            fitting = len(numbers) * BUSY / max(perf_counter() - began, 1e-9)
            size = max(1, min(int(fitting), GROWTH * size, MOST_AT_ONCE))

    def work_beside() -> None:
        heed(stop.is_set)
        work()

    with ThreadPoolExecutor(max(workers - 1, 1), thread_name_prefix="odead") as pool:
        others = [pool.submit(work_beside) for _ in range(workers - 1)]
        try:
            work()
            for other in others:
                other.result()
        finally:  # after Ctrl-C, what has not begun never will, and what runs stops
            waiting.clear()
            stop.set()
    return results


def _by_executor(
    executor: Executor,
    problem: tuple[Callable[..., Member], Any, Any, dict[str, Any]],
    members: Members,
    done: Callable[[int], Any],
) -> list[Member]:
    """By the user's executor, which stays open."""
    if isinstance(executor, ProcessPoolExecutor):
        _check_pickles(problem)
    run, rhs, tspan, same = problem
    each = zip(*members.part(range(members.total)), strict=True)
    futures: list[Future[Member]] = [executor.submit(_solve_member, run, rhs, tspan, same, x0, p) for x0, p in each]
    try:
        for _ in as_completed(futures):
            done(1)
    except BaseException:  # Ctrl-C: what has not begun never will
        for future in futures:
            future.cancel()
        raise
    return [_outcome(future) for future in futures]


def _outcome(future: "Future[Member]") -> Member:
    """The result, or the exception of the member or of what should have run it."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    raise error


def _check_pickles(problem: tuple[Any, ...]) -> None:
    try:
        pickle.dumps(problem)
    except Exception as error:
        raise ArgumentTypeError(
            f"a process pool needs a problem that pickles, and this one does not: {error}. Define rhs, and the functions among "
            f"the options, at the top level of a module, or leave executor= out: threads do not pickle"
        ) from error
