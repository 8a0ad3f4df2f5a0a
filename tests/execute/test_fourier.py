"""Fourier transforms run in the compiled sweep, without Python."""

import sys
import threading

import numpy as np
import pytest

import odead
from odead.execute.compiled import Executable
from odead.execute.reference import run
from odead.tape import Program, Role, verify
from odead.views import View


def transform_of(shape: tuple[int, ...], turn: tuple[int, ...], direction: bool, dtype: str) -> Program:
    """From pairs of floats in one array to another of the same shape, whose axes but the last lie in another order."""
    program = Program("transform")
    x = program.bound(dtype, shape, Role.ARGUMENT, "x")
    y = program.bound(dtype, shape, Role.ARGUMENT, "y")
    ins, out = (View(v.buffer, 0, tuple(shape[k] for k in turn), tuple(v.strides[k] for k in turn)) for v in (x, y))
    program.emit("fft", out, (ins,), direction)
    verify(program)
    return program


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize(
    ("shape", "turn"),
    [((1, 2), (0, 1)), ((7, 2), (0, 1)), ((5, 6, 2), (0, 1, 2)), ((5, 6, 2), (1, 0, 2)), ((3, 4, 9, 2), (0, 1, 2, 3)),
     ((3, 4, 9, 2), (2, 0, 1, 3)), ((3, 16, 5, 2), (2, 0, 1, 3)), ((1, 8, 2), (0, 1, 2))],
)  # fmt: skip
def test_every_layout_has_a_kernel(shape, turn, direction, dtype):
    program = transform_of(shape, turn, direction, dtype)
    executable = Executable(program)
    arrays = [np.random.default_rng(k).standard_normal(shape).astype(dtype) for k in range(2)]
    expected = [x.copy() for x in arrays]
    assert executable.run(arrays) == -1
    run(program, expected)
    np.testing.assert_array_equal(arrays[0], expected[0])
    np.testing.assert_allclose(arrays[1], expected[1], rtol=0, atol=(1e-13 if dtype == "float64" else 1e-5) * shape[-2] * 9)


def spectral(dx, x, k):
    dx[:] = np.fft.irfft(-k * np.fft.rfft(x), len(x))


def test_a_solve_with_transforms_calls_no_python():
    n = 32
    x = np.sin(2 * np.pi * np.arange(n) / n)
    compiled = odead.compile(spectral, np.zeros(n), x, np.arange(n // 2 + 1.0) ** 2)
    dx, k = np.zeros(n), np.arange(n // 2 + 1.0) ** 2
    compiled.primal(dx, x, k)
    called: list[str] = []
    sys.setprofile(lambda frame, event, arg: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        compiled.primal(dx, x, k)
    finally:
        sys.setprofile(None)
    assert "value" not in called
    np.testing.assert_allclose(dx, -x, atol=1e-13)


def test_two_threads_transform_at_once():
    n = 4096
    k = np.arange(n // 2 + 1.0)
    rng = np.random.default_rng(0)
    compiled = odead.compile(spectral, np.zeros(n), np.zeros(n), k)
    inputs = rng.standard_normal((2, n))
    found = np.zeros((2, 20, n))

    def work(number):
        for repeat in range(20):
            compiled.primal(found[number, repeat], inputs[number], k)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        expected = np.fft.irfft(-k * np.fft.rfft(inputs[number]), n)
        np.testing.assert_allclose(found[number], np.broadcast_to(expected, (20, n)), atol=1e-9)
