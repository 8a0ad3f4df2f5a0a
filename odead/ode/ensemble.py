"""`ensemble`: many initial values and parameters of one problem, in threads or by any executor."""

import os
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from threading import Event
from time import perf_counter
from typing import Any, Final

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
    members = _members(x0s, ps)
    run = sensitivity if _OF_SENSITIVITY & same.keys() else solve
    workers = _workers(executor, threads, len(members))
    bar = open_bar(total=len(members), unit="solve") if progress else None
    done: Callable[[int], Any] = _nothing if bar is None else bar.update
    try:
        if executor is None:
            return _in_threads(Group(run, rhs, tspan, same), members, workers, done)
        return _by_executor(executor, (run, rhs, tspan, same), members, done)
    finally:
        if bar is not None:
            bar.close()


def _solve_member(run: Callable[..., Member], rhs: Any, tspan: Any, same: dict[str, Any], x0: Any, p: Any) -> Member:
    return run(rhs, x0, p, tspan, **same)


def _nothing(_: int) -> None:
    pass


# ------------------------------------------------------------------------------------------------ members


def _members(x0s: Any, ps: Any) -> list[tuple[Any, Any]]:
    starts = [x0s] if callable(x0s) else _items(x0s, "x0s")
    parameters = [None] if ps is None else _items(ps, "ps")
    count = max(len(starts), len(parameters)) if starts and parameters else 0
    for items, name, other in ((starts, "x0s", "ps"), (parameters, "ps", "x0s")):
        if len(items) not in (1, count):
            raise ArgumentValueError(
                f"{name} has {len(items)} items and {other} {count}; give one for each member, or a single one for all"
            )
    spread = (items * count if len(items) == 1 else items for items in (starts, parameters))
    return list(zip(*spread, strict=True))


def _items(values: Any, name: str) -> list[Any]:
    if isinstance(values, np.ndarray):
        if values.ndim < 2:
            raise ArgumentValueError(
                f"{name} has shape {values.shape}; its rows must be the members, shape (members, ...): for one that serves all "
                f"write [{name[:-1]}], for numbers a list of them"
            )
        return list(values)
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


def _in_threads(group: Group, members: Sequence[tuple[Any, Any]], workers: int, done: Callable[[int], Any]) -> list[Member]:
    """Each thread takes the next members when it has finished some: a future for each would cost half of a small solve."""
    results: list[Any] = [None] * len(members)
    waiting, stop = deque(range(len(members))), Event()

    def work() -> None:
        size = 1
        while waiting:
            numbers = _some(waiting, size)
            began = perf_counter()
            for k, result in zip(numbers, group.solve([members[k] for k in numbers]), strict=True):
                results[k] = result
            done(len(numbers))
            fitting = len(numbers) * BUSY / max(perf_counter() - began, 1e-9)
            size = max(1, min(int(fitting), 2 * size, MOST_AT_ONCE))

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


def _some(waiting: "deque[int]", size: int) -> list[int]:
    """Take up to so many numbers, of which other threads take some at the same time."""
    taken: list[int] = []
    while len(taken) < size:
        try:
            taken.append(waiting.popleft())
        except IndexError:
            break
    return taken


def _by_executor(
    executor: Executor,
    problem: tuple[Callable[..., Member], Any, Any, dict[str, Any]],
    members: Sequence[tuple[Any, Any]],
    done: Callable[[int], Any],
) -> list[Member]:
    """By the user's executor, which stays open."""
    if isinstance(executor, ProcessPoolExecutor):
        _check_pickles(problem)
    run, rhs, tspan, same = problem
    futures: list[Future[Member]] = [executor.submit(_solve_member, run, rhs, tspan, same, x0, p) for x0, p in members]
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
