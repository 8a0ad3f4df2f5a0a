"""An ensemble over MPI, where there are mpi4py and an MPI to run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("mpi_members.py")

# Three ranks on fewer cores, in a container where everyone is root: Open MPI refuses both unless it is told otherwise.
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def test_an_ensemble_over_three_ranks():
    pytest.importorskip("mpi4py.futures")
    launcher = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if launcher is None:
        pytest.skip("there is no mpiexec")
    environment = os.environ | ALLOWED | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(SCRIPT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all members agree" in done.stdout
