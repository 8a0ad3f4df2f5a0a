"""How long a first call takes, per recorded instruction: recording, passes, the derived program, lowering.

    python benchmarks/tracing.py [--quick]

The clock is that of the processor, so that other work on the machine counts little.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from odead.execute.compiled import Executable
from odead.tape import Program
from odead.tracing.collection import uncollected
from odead.tracing.trace import trace
from odead.transform.passes import CLEANING, PLACING, optimise
from odead.transform.passes.compact import compact
from odead.transform.reverse import reverse

STATES = 40
LENGTHS = (500, 5_000, 50_000, 100_000)


def straight(length: int) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """A right-hand side of so many different scalar operations, as a reaction mechanism that is written out."""
    rng = np.random.default_rng(0)
    rows = ["def rhs(dx, x, p):"]
    for k in range(length // 5):
        i, j, to = rng.integers(0, STATES, 3)
        rows.append(f"    r{k} = p[{rng.integers(0, 10)}] * x[{i}] * x[{j}]")
        rows.append(f"    w{k} = r{k} - x[{to}] + r{rng.integers(0, k + 1)}")
        rows.append(f"    dx[{rng.integers(0, STATES)}] += w{k}")
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(rows), f"<{length} operations>", "exec"), namespace)
    return namespace["rhs"], (np.zeros(STATES), np.linspace(0.5, 1.5, STATES), np.ones(10))


def vectors(dx, x, p):
    for k in range(100):
        x = x + p[k % 10] * np.sin(x[::-1])
    dx[:] = x


def loop(dx, x, p):
    for i in range(1, x.size - 1):
        dx[i] = p[0] * (x[i - 1] - 2 * x[i] + x[i + 1])


def cases(quick: bool) -> dict[str, tuple[Callable[..., None], tuple[Any, ...]]]:
    found = {f"{length} scalar operations": straight(length) for length in LENGTHS[: 2 if quick else None]}
    n = 1_000 if quick else 20_000
    found["200 operations on vectors"] = vectors, (np.zeros(100), np.linspace(0, 1, 100), np.ones(10))
    found[f"a loop over {n} elements"] = loop, (np.zeros(n), np.linspace(0, 1, n), np.ones(1))
    return found


def stages(function: Callable[..., None], args: tuple[Any, ...]) -> tuple[int, dict[str, float]]:
    """How many instructions are recorded, and the seconds of each stage of a first gradient."""
    times: dict[str, float] = {}

    def timed(name: str, stage: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = stage()
        times[name] = time.process_time() - start
        return result

    with uncollected():
        recorded = timed("recording", lambda: trace(function, args)).program
        primal = timed("passes", lambda: optimise(recorded))
        derived = timed("reverse", lambda: reverse(primal, range(len(args))))
        improved = timed("passes on the derived program", lambda: optimise(derived))
        timed("lowering", lambda: Executable(improved))
        times["all"] = sum(times.values())
        _passes(derived, timed)
    return len(recorded), times


def _passes(program: Program, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Each pass once, on what the one before leaves of the derived program."""
    for improve in (*CLEANING, *PLACING, compact):
        before = program
        program = timed(f"  {improve.__name__}", lambda improve=improve, before=before: improve(before))


def per_instruction(quick: bool) -> dict[str, dict[str, float]]:
    """By program: seconds of each stage per recorded instruction."""
    stages(*straight(100))  # what happens once in a process
    report = {}
    for name, (function, args) in cases(quick).items():
        count, times = stages(function, args)
        report[f"first gradient of {name}, per recorded instruction ({count})"] = {
            stage: seconds / count for stage, seconds in times.items()
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short programs only")
    for title, rows in per_instruction(parser.parse_args().quick).items():
        print(f"\n{title}")
        for name, seconds in rows.items():
            print(f"  {name:<42}{seconds * 1e6:>9.3f} us")


if __name__ == "__main__":
    main()
