"""The example of a custom rule runs, from any folder, and says what it should."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import odead

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_rule"


def test_example_runs_from_any_folder(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "custom_rule", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-W", "error", str(tmp_path / "custom_rule" / "rule.py")]
    environment = {**os.environ, "PYTHONPATH": str(Path(odead.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be traced" in done.stdout
    assert "found nothing wrong" in done.stdout
    gain = re.search(r"(\d+) times faster", done.stdout)
    assert gain is not None
    assert int(gain[1]) > 3


@pytest.mark.parametrize("script", sorted(EXAMPLE.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 80


def test_the_model_knows_nothing_of_odead():
    assert "import odead" not in (EXAMPLE / "material.py").read_text(encoding="utf-8")
