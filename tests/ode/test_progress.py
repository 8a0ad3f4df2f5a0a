"""The progress bar of one solve."""

import sys

import numpy as np
import pytest

import odead
from ode.problems import LOTKA_P, LOTKA_X0, lotka_volterra
from odead.errors import ArgumentValueError


@pytest.mark.parametrize(
    "options",
    [{"method": "RK45"}, {"method": "auto"}, {"method": "Rodas5P"}, {"method": "BDF"}, {"engine": "scipy", "method": "LSODA"}],
    ids=lambda options: "-".join(options.values()),
)
def test_it_reaches_the_end(options, capsys):
    pytest.importorskip("tqdm")
    odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (1.0, 3.0), progress=True, **options)
    shown = capsys.readouterr().err
    assert "lotka_volterra: 100%" in shown
    assert "2/2" in shown


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_of_a_sensitivity(mode, capsys):
    pytest.importorskip("tqdm")
    odead.sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (3.0, 1.0), loss=lambda y: y[0, -1], mode=mode, progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_it_moves_while_compiled_code_runs(engine, capsys):
    pytest.importorskip("tqdm")

    def slow(dx, x, p, t):
        dx[:] = np.cos(200 * t) * p[0] - x

    n, end = (300, 200.0) if engine == "native" else (3, 50.0)
    odead.solve(slow, np.ones(n), [1.0], (0.0, end), method="RK45", engine=engine, rtol=1e-8, progress=True)
    shown = {line.split("%")[0] for line in capsys.readouterr().err.split("\r") if "%" in line}
    assert len(shown) > 2  # the start, the end, and something between


def test_a_failure_leaves_it_where_it_stopped(capsys):
    pytest.importorskip("tqdm")
    with pytest.raises(odead.IntegrationError):
        odead.solve(lambda x, p, t: x**2, [1.0], None, (0.0, 2.0), method="RK45", progress=True)
    assert "50%" in capsys.readouterr().err


def test_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ArgumentValueError, match="pip install"):
        odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0.0, 1.0), progress=True)
