"""The trace itself: bindings, the returned value, exceptions, source lines, and what recording costs."""

import time
from functools import partial

import numpy as np
import pytest

from odead.tape import Role, verify
from odead.tracing.trace import trace


def test_the_same_array_twice_is_one_argument(replays):
    def f(x, y, z):
        y[:] = x * 2
        x[0] = z[0]

    x = np.array([1.0, 2.0])
    recorded = replays(f, x, x, np.ones(2))
    assert recorded.leaves == (0, 0, 1)
    assert len(recorded.program.arguments) == 2


def test_names_of_arguments():
    def f(x, p, *rest, k=1.0):
        return x + p["a"][0] + rest[0] + k

    program = trace(f, (1.0, {"a": [2.0, np.ones(2)]}, 3.0), {"k": 4.0}).program
    assert [program.buffers[b].name for b in program.arguments] == ["x", "p['a'][0]", "p['a'][1]", "rest[0]", "k"]


def test_static_arguments(replays):
    def f(x, n, mode, extra, g, flag):
        if mode == "twice" and extra is None and flag:
            return g(x) * n
        return x

    replays(f, np.ones(2), 3, "twice", None, np.sin, True)
    assert trace(f, (np.ones(2), 3, "twice", None, np.sin, True)).leaves == (0,)


def test_keyword_arguments(replays):
    replays(lambda x, *, scale, offset=1.0: x * scale + offset, np.ones(2), scale=np.array([2.0, 3.0]))


def test_returned_values(replays):
    def f(x, t):
        return {"a": [x, x[1:], x[0]], "b": (t, 2.0, np.float64(3), 4, "text", None, np.zeros(2), x.size)}

    recorded = replays(f, np.array([1.0, 2.0]), 0.5)
    assert [leaf.kind for leaf in recorded.result if leaf.index is not None] == [
        np.ndarray, np.ndarray, np.float64, float, float, np.float64, np.ndarray,
    ]  # fmt: skip
    assert recorded.returned([1, 2, 3, None, 5, 6, 7])["b"][0] is None
    assert trace(lambda x: None, (1.0,)).returned([]) is None
    assert trace(lambda x: None, (1.0,)).result is None


def test_a_returned_array_is_a_copy(replays):
    recorded = replays(lambda x: x, np.ones(2))
    assert recorded.program.op == ["copy"]
    assert recorded.program.buffers[recorded.program.out[0].buffer].role is Role.RESULT


def test_exceptions_and_warnings_pass_unchanged():
    class CustomError(Exception):
        pass

    error = CustomError("x")

    def raises(x):
        x[0] = 1.0
        if x[0] > 0:
            raise error

    x = np.zeros(2)
    with pytest.raises(CustomError) as caught:
        trace(raises, (x,))
    assert caught.value is error
    assert not x.any()

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(interrupted, (x,))
    with pytest.warns(RuntimeWarning, match="overflow"):
        trace(lambda x: np.exp(x), (np.array([1e4]),))


def test_exceptions_the_function_handles(replays):
    def f(x):
        try:
            return x[5]
        except IndexError:
            pass
        finally:
            x[0] = 2.0
        with np.errstate(divide="ignore"):
            return x / 0.0

    replays(f, np.ones(2))


def test_lines_are_the_users():
    def f(x):
        y = x[0] * 2
        return y + helper(x)

    def helper(x):
        return sum([v * v for v in x])

    program = trace(f, (np.ones(2),)).program
    first, inner = f.__code__.co_firstlineno, helper.__code__.co_firstlineno
    assert {line.line for line in program.lines} >= {first + 1, first + 2, inner + 1}
    assert {line.file for line in program.lines} == {__file__}


@pytest.mark.parametrize("f", [np.sin, np.add.reduce, np.sum, partial(np.dot, np.eye(2)), abs])
def test_functions_of_numpy_themselves(replays, f):
    replays(f, np.array([1.0, 2.0]))


def test_untouched_arguments_leave_no_instruction():
    assert len(trace(lambda dx, x, p, t: None, (np.ones(3), np.ones(3), None, 0.0)).program) == 0


def test_a_dead_program_still_verifies(replays):
    def f(x):
        y = np.zeros((2, 3))
        y[0] = x
        y.T[1] += x[0]
        np.exp(y)

    verify(replays(f, np.ones(3)).program)


def test_values_that_outlive_the_recording_do_not_change_it():
    kept = iter([])

    def f(x):
        nonlocal kept
        kept = (v * 2 for v in x)
        return x + 1

    program = trace(f, (np.ones(3),)).program
    before = len(program)
    list(kept)
    assert len(program) == before


def test_recording_is_linear_and_cheap():
    def loop(dx, x):
        for i in range(1, x.size - 1):
            dx[i] = x[i - 1] - 2 * x[i] + x[i + 1]

    def cost(n):
        x, dx = np.ones(n), np.ones(n)
        start = time.process_time()
        operations = len(trace(loop, (dx, x)).program)
        return (time.process_time() - start) / operations

    assert min(cost(3000) for _ in range(3)) < 10e-6  # measured: 2 us; the bound is for a busy machine


def test_long_straight_code_is_recorded_in_linear_time():
    def cost(lines):
        namespace = {}
        exec("def f(dx, x):\n" + "    dx[0] += x[1] * x[2]\n" * lines, namespace)
        start = time.process_time()
        assert len({*trace(namespace["f"], (np.ones(1), np.ones(3))).program.line}) == lines
        return (time.process_time() - start) / lines

    assert min(cost(8000) for _ in range(2)) < 6 * min(cost(500) for _ in range(4))
