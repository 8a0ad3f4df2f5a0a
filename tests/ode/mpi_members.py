"""Run by `test_mpi`, on several ranks: an ensemble whose members are solved by the others, against the same in this process."""

from concurrent.futures import Executor

import numpy as np
from mpi4py.futures import MPIPoolExecutor

import odead
from ode.problems import LOTKA_P, LOTKA_X0, explodes, lotka_volterra, sum_of_squares
from odead.errors import IntegrationError

PS = LOTKA_P * np.linspace(0.8, 1.2, 7)[:, None]
OPTIONS = {"t_eval": np.linspace(0, 5, 6), "rtol": 1e-8, "method": "Tsit5", "loss": sum_of_squares}


def check(pool: Executor) -> None:
    members = odead.ensemble(lotka_volterra, [LOTKA_X0], PS, (0.0, 5.0), executor=pool, **OPTIONS)
    for member, p in zip(members, PS, strict=True):
        alone = odead.sensitivity(lotka_volterra, LOTKA_X0, p, (0.0, 5.0), **OPTIONS)
        np.testing.assert_array_equal(member.y, alone.y)
        np.testing.assert_array_equal(member.grad, alone.grad)
    well, failed = odead.ensemble(explodes, [np.array([1.0])], [[0.1], [1.0]], (0.0, 5.0), executor=pool, method="Tsit5")
    assert well.success
    assert isinstance(failed, IntegrationError)
    assert abs(failed.result.t[-1] - 1.0) < 1e-3
    ranks = set(pool.map(rank, range(50)))
    assert ranks <= {1, 2}
    assert pool.submit(abs, -1).result() == 1  # still open


def rank(_: int) -> int:
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.Get_rank())


if __name__ == "__main__":
    with MPIPoolExecutor() as pool:
        check(pool)
    print("all members agree")
