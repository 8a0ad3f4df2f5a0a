"""The command line of `../engine.py`."""

import argparse
import json
from pathlib import Path
from typing import Any

from comparison.machine import caption, machine

from . import branches, instructions, overheads, programs, recording, stencil, threads
from .table import Rows, Table, markdown
from .timing import Timer

TABLES: dict[str, Table] = {
    module.__name__.rpartition(".")[2]: module.TABLE
    for module in (stencil, overheads, programs, instructions, branches, threads, recording)
}


def main(description: str | None, arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test of less than a minute")
    parser.add_argument("--shared", action="store_true", help="on a machine in use: time by the processor, not by the wall")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long the calls of one row are timed")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE", help=" ".join(TABLES))
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--read", type=Path, help="show the figures of this file instead of measuring anything")
    options = parser.parse_args(arguments)
    if options.read:
        stored = json.loads(options.read.read_text())
        print(caption(stored["about"]) + "\n")
        for name, rows in stored["rows"].items():
            _show(name, rows)
        return
    timer = Timer(0.02 if options.quick else options.seconds, options.shared)
    about: dict[str, Any] = machine() | {"clock": "processor time" if options.shared else "wall time"}
    stored = {"about": about, "rows": {}}
    for name in options.only:
        stored["rows"][name] = rows = TABLES[name].measure(timer, options.quick)
        _show(name, rows)
        if options.json:
            options.json.write_text(json.dumps(stored, indent=0) + "\n")
    print(caption(about))


def _show(name: str, rows: Rows) -> None:
    print(markdown(TABLES[name], rows), flush=True)
