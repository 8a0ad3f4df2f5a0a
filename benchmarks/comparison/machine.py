"""Where and when something was measured, and with which versions."""

import datetime
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scipy", "jax", "diffrax", "pydiffsol", "casadi", "torch", "torchdiffeq", "autograd", "enzyme_ad")


def machine() -> dict[str, Any]:
    """Where and when, for the head of the results."""
    cpu = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        names = [line.split(":")[1].strip() for line in described.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        if find_spec(package) is not None:
            yield package, version(package)


def caption(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    load = f", load {about['load']}" if about["load"] is not None else ""
    machine = f"{about['cpu']}, {about['cores']} cores{load}"
    return f"{about['date']}, {about['clock']}, {machine}, Python {about['python']}, {versions}"
