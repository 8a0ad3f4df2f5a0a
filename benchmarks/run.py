"""odead beside its peers: gradients of ODE solutions, timed in one run.

    python benchmarks/run.py [--quick] [--problems heat_101 ...] [--peers diffrax ...] [--json FILE] [--pictures FOLDER]
    python benchmarks/run.py --read FILE ... [--pictures FOLDER]  tables and pictures of an earlier run

The peers come from requirements.txt; one that is not installed is left out. `--quick` is a smoke test of odead alone.
See docs/benchmarks.md for how to read the results.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from comparison import problems, report
from comparison.machine import caption, machine
from comparison.measure import ROUNDS, Row, measure
from comparison.peers import NAMES, Variant
from comparison.progress import Bar

TOLERANCES = (1.0, 0.3, 0.1, 0.01)
QUICK = ("lotka_volterra", "heat_101", "robertson", "pkpd", "neural_ode")


def available(names: list[str]) -> dict[str, Any]:
    """The modules of the peers that are installed, and a line for each that is not."""
    found = {}
    for name in names:
        package = {"diffsol": "pydiffsol"}.get(name, name)
        if find_spec(package) is None:
            print(f"{name}: {package} is not installed, skipped (see benchmarks/requirements.txt)")
        else:
            found[name] = import_module(f"comparison.peers.{name}_")
    return found


def chosen(modules: dict[str, Any], name: str) -> list[tuple[str, Variant]]:
    problem = problems.load(name)
    return [(peer, variant) for peer, module in modules.items() for variant in module.variants(problem)]


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    modules = available(["odead"] if options.quick else options.peers)
    about, rows = machine() | {"clock": "processor time" if options.shared else "wall time"}, []
    work = {name: chosen(modules, name) for name in options.problems}
    bar = Bar(sum(len(variants) + ROUNDS for variants in work.values() if variants))
    tolerances = TOLERANCES[:1] if options.quick else TOLERANCES
    for name, variants in work.items():
        if not variants:
            continue
        problem = problems.load(name)
        seconds = 0.1 if options.quick else options.seconds
        rows += measure(problem, variants, tolerances, seconds, options.limit, options.shared, bar.tick)
        bar.clear()
        print(report.details(rows, problem), flush=True)
        if options.json:  # after each problem: a run of an hour may be cut off
            write(options.json, about, rows)
    return about, rows


def write(path: Path, about: dict[str, Any], rows: list[Row]) -> None:
    path.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=0) + "\n")


def read(paths: list[Path]) -> tuple[dict[str, Any], list[Row]]:
    """The rows of one or several files, which hold different problems; about the first."""
    stored = [json.loads(path.read_text()) for path in paths]
    return stored[0]["about"], [Row(**row) for one in stored for row in one["rows"]]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="odead alone, few problems, one tolerance: a minute or two")
    parser.add_argument("--problems", nargs="+", choices=list(problems.BUILDERS), metavar="NAME")
    parser.add_argument("--peers", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME")
    parser.add_argument("--json", type=Path, help="keep the rows in this file")
    parser.add_argument("--pictures", type=Path, help="work-precision diagrams as PNG and SVG into this folder")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each row is timed")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that a first call may take, compilation included")
    parser.add_argument("--shared", action="store_true", help="on a machine in use: time by the processor, not by the wall")
    parser.add_argument("--read", type=Path, nargs="+", help="show the rows of these files instead of running anything")
    options = parser.parse_args(arguments)
    options.problems = options.problems or list(QUICK if options.quick else problems.BUILDERS)
    return options


def main() -> None:
    options = parse()
    if options.read:
        about, rows = read(options.read)
        if options.json:
            write(options.json, about, rows)
        for name in problems.BUILDERS:
            print(report.details(rows, problems.load(name)))
    else:
        about, rows = run(options)
    print(caption(about) + "\n")
    print(report.summary(rows, problems.BUILDERS))
    if options.pictures:
        from comparison.diagrams import draw

        paths = [options.pictures / f"work_precision.{suffix}" for suffix in ("png", "svg")]
        draw(rows, problems.BUILDERS, caption(about), *paths)
    if options.quick and any(row.failure or (row.error or 0.0) > 0.1 for row in rows):
        sys.exit("a variant failed, or its derivative is wrong")


if __name__ == "__main__":
    main()
