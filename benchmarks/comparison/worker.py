"""A process that times one variant of one peer, as it is told, line by line.

    python -m comparison.worker PROBLEM PEER METHOD KIND

On a line of JSON {"rtol", "atol", "seconds", "shared"} it runs the variant for about that long and answers by a line of JSON:
times of the runs, errors of loss and gradient, peak memory; the first answer has the time of the first call, building included.
Processes can be killed, and some peers panic, abort or run for hours.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import problems
from .peers import Variant
from .problem import Problem


class Timer:
    """One variant: built at its first run."""

    def __init__(self, problem: Problem, peer: str, variant: Variant) -> None:
        self.problem = problem
        self.variant = variant
        self.module = importlib.import_module(f".peers.{peer}_", __package__)
        self.run: Any = None
        self.seen: set[tuple[float, float]] = set()
        self.memory = peak_memory()  # imports are not counted

    def measure(self, rtol: float, atol: float, seconds: float, shared: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"times": []}
        clock = time.process_time if shared else time.perf_counter  # shared: the processor's time, whoever else runs
        if (rtol, atol) not in self.seen:
            self.seen.add((rtol, atol))
            start = clock()
            if self.run is None:
                self.run = self.module.build(self.problem, self.variant)
            loss, gradient = self.run(rtol, atol)
            answer["first"] = clock() - start
            answer["loss_error"] = self.problem.loss_error(np.asarray(loss))
            answer["gradient_error"] = None if gradient is None else self.problem.gradient_error(gradient)
        else:
            end = time.perf_counter() + seconds
            while not answer["times"] or time.perf_counter() < end:
                start = clock()
                self.run(rtol, atol)
                answer["times"].append(clock() - start)
        answer["memory"] = peak_memory() - self.memory
        return answer


def peak_memory() -> float:
    """The most that this process has held, in MB; of the program itself, which `getrusage` inherits from its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def main() -> None:
    problem, peer, method, kind = sys.argv[1:]
    # What peers print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    timer = Timer(problems.load(problem), peer, Variant(method, kind))
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        try:
            answer = timer.measure(**json.loads(line))
        except BaseException as error:  # a Rust panic arrives as a BaseException
            answer = {"failure": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
