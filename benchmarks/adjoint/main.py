"""The command line of `../adjoint_ratio.py`."""

import argparse
import warnings

from comparison import report
from comparison.machine import caption, machine

from . import growth, memory, ratio

TABLES = {"ratio": ratio, "growth": growth, "memory": memory}


def main(description: str | None, arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE", help=" ".join(TABLES))
    parser.add_argument("--seconds", type=float, default=0.5, help="how long the calls of one row are timed")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # what the methods say of problems that do not suit them
    for name in options.only:
        table = TABLES[name]
        rows = list(table.rows(options.quick, 0.05 if options.quick else options.seconds))
        print(f"{table.NOTE}\n\n{report.table(table.HEAD, rows)}\n", flush=True)
    print(caption(machine() | {"clock": "processor time"}))
