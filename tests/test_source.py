"""The house itself: layers, sizes, examples, the code in the README. Holds for a checkout and for an installed wheel."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import odead
from odead._codegen import render_header
from odead._core import OPCODES
from odead.ops import TABLE

ROOT = Path(__file__).parents[1]
PACKAGE = Path(odead.__file__).parent
HEAT = ROOT / "examples" / "heat_eq"

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [
    path
    for folder in (PACKAGE, ROOT / "tests", ROOT / "examples")
    for path in sorted(folder.rglob("*"))
    if path.suffix in (".py", ".pyx", ".pxd")
]
SCRIPTS = sorted(HEAT.glob("*.py"))


def run_python(*arguments, cwd):
    """Run this interpreter, with this odead, in a process of its own and return what it printed."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------------------ structure


def test_layers():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def imported(path):
    """Full names of what a module of odead imports."""
    package = ("odead", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_one_module_imports_the_core():
    importers = [
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(f"{name}.".startswith("odead._core.") for name in imported(path))
    ]
    assert importers == ["execute/compiled.py"]


def test_the_core_was_built_from_the_table():
    header = PACKAGE / "_kernels.h"  # not in a wheel
    assert not header.exists() or header.read_text(encoding="utf-8") in (render_header(TABLE, checked=b) for b in (False, True))
    built = {opcode.partition(".")[0] for opcode in OPCODES}
    assert {*TABLE, "cast_float64"} - {"cast"} <= built


def test_importing_odead_does_not_import_matplotlib(tmp_path):
    assert run_python("-c", "import odead, sys; print('matplotlib' in sys.modules)", cwd=tmp_path) == "False\n"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


# ------------------------------------------------------------------------------------- examples and the README


@pytest.mark.parametrize("script", sorted((ROOT / "examples").rglob("*.py")), ids=lambda path: path.name)
def test_example_is_short(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 80


def test_right_hand_side_knows_nothing_of_odead():
    assert "import odead" not in (HEAT / "rhs.py").read_text(encoding="utf-8")


SAYS = {
    "autodiff.py": r"check_derivatives found nothing wrong",
    "sensitivity.py": r"adjoint +935\.3\d+ +-93\.5\d+",
    "calibrate.py": r"a = (14\.99|15\.00)\d\d ± 0\.00\d\d .*\nb = (9\.9|10\.0)\d+ ± 0\.0\d\d\d ",
}


@pytest.mark.parametrize("script", SAYS)
def test_example_runs_from_any_folder(script, tmp_path):
    shutil.copytree(HEAT, tmp_path / "heat_eq", ignore=shutil.ignore_patterns("*.png", "__pycache__"))
    output = run_python(tmp_path / "heat_eq" / script, cwd=tmp_path)
    assert re.search(SAYS[script], output), output
    written = {path.name for path in tmp_path.rglob("*.png")}
    assert written == set(re.findall(r"Wrote .*?(\w+\.png)", output))


def test_every_example_is_run():
    assert {script.name for script in SCRIPTS} == {*SAYS, "rhs.py"}


def test_readme_code_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    example = tmp_path / "readme.py"
    example.write_text("\n".join(blocks), encoding="utf-8")
    assert run_python(example, cwd=tmp_path) == "[ 0.5 -1. ] [ 1. -1.  0.  0.]\n"
