"""An `if` per element is one program for all outcomes; what cannot be converted is still right."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import odead
from odead.derivatives.kernel import Kernel
from odead.tape import verify
from odead.tracing.trace import trace
from odead.transform.passes import optimise

N = 12
LIMIT = 0.5


def upwind(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        if u[i] > 0:
            du[i] = -c * u[i] * (u[i] - u[i - 1])
        else:
            du[i] = -c * u[i] * (u[i + 1] - u[i])


def upwind_where(du: Any, u: Any, c: Any) -> None:
    v = u[1:-1]
    du[1:-1] = np.where(v > 0, -c * v * (v - u[:-2]), -c * v * (u[2:] - v))


def minmod(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        a = u[i] - u[i - 1]
        b = u[i + 1] - u[i]
        if a * b <= 0:
            s = 0.0
        elif abs(a) < abs(b):
            s = a
        else:
            s = b
        du[i] = c * s


def without_else(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        du[i] = c * u[i]
        if u[i] < 0:
            du[i] = 0.0


def nested(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u)):
        if u[i] > 0:
            flux = u[i] ** 2
            if u[i - 1] > 0:
                flux = flux * c
            else:
                du[i] += flux
                flux = flux - u[i - 1]
            du[i] += flux
        elif u[i] > -0.5:
            du[i - 1] += u[i]
            du[i] = du[i - 1] * 2


def expressions(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u)):
        s = u[i] if abs(u[i]) < abs(u[i - 1]) else u[i - 1]
        du[i] = (c if 0 < s < 1 else 2.0) * s


def several_tests(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if i > 0 and u[i] > u[i - 1] and not (u[i] > 1 or u[i - 1] < -1):
            du[i] = u[i] * c
        elif -LIMIT < u[i] <= LIMIT or i == 3:
            du[i] = u[i] ** 3


def limiter(a: Any, b: Any) -> Any:
    if abs(a) < abs(b):
        s = a
    else:
        s = b
    return s


def with_helper(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        du[i] = c * limiter(u[i] - u[i - 1], u[i + 1] - u[i])


def push(du: Any, i: int, x: Any) -> None:
    du[i] += x


def helper_that_writes(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if u[i] > 0:
            push(du, i, u[i] * c)
        else:
            push(du, i, u[i])


def with_inner_function(du: Any, u: Any, c: Any) -> None:
    def side(x: Any, scale: float = 2.0) -> Any:
        if x > 0:
            x = x * c
        else:
            x = x * scale
        return x

    for i in range(len(u)):
        du[i] = side(u[i])


def safe(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if u[i] > 0:
            du[i] = c * math.exp(u[i]) / (u[i] + 1e-9)
        else:
            du[i] = u[i]


def scratch(du: Any, u: Any, c: Any) -> None:
    flux = np.zeros(len(u) + 1)
    kind = np.ones(len(u))
    for i in range(1, len(u)):
        if u[i] + u[i - 1] > 0:
            flux[i] = u[i - 1] * c
            kind[i] = 2.0
        else:
            flux[i] = u[i]
    for i in range(len(u)):
        du[i] = (flux[i] - flux[i + 1]) * kind[i]


def rows(du: Any, u: Any, c: Any) -> None:
    grid, out = u.reshape(4, 3), du.reshape(4, 3)
    for i in range(4):
        if grid[i, 0] > 0:
            out[i] = grid[i] * c
        else:
            out[i, :] = grid[i][::-1]


def indices(du: Any, u: Any, c: Any) -> None:
    for i in range(1, len(u) - 1):
        if u[i] > 0:
            side = -1.0
            du[i] = c * (u[i] - u[i - 1])
        else:
            side = 1.0
            du[i] = c * (u[i + 1] - u[i])
        du[i] *= side


def masked_sum(du: Any, u: Any, c: Any) -> None:
    total = 0.0
    for i in range(len(u)):
        if u[i] > 0:
            total += u[i]
    du[:] = total * c


CONVERTED: list[Callable[..., None]] = [
    upwind, minmod, without_else, nested, expressions, several_tests, with_helper, helper_that_writes,
    with_inner_function, safe, scratch, rows, indices, masked_sum,
]  # fmt: skip


def state(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    return rng.standard_normal(N), rng.standard_normal(N), float(rng.uniform(0.5, 2))


def holds(f: Callable[..., None], times: int = 30) -> Kernel:
    """Compare the recorded program with the function at many states; gives the kernel."""
    rng = np.random.default_rng(3)
    kernel = Kernel(f, state(rng))
    for _ in range(times):
        du, u, c = state(rng)
        expected = du.copy()
        with np.errstate(all="ignore"):
            f(expected, u.copy(), c)
        kernel(du, u, c)
        np.testing.assert_allclose(du, expected, rtol=1e-13, atol=1e-15)
    return kernel


@pytest.mark.parametrize("f", CONVERTED)
def test_one_program_serves_all_outcomes(f: Callable[..., None]) -> None:
    kernel = holds(f)
    assert len(kernel._variants) == 1
    assert kernel.trace.guards == ()
    verify(kernel.trace.program)


@pytest.mark.parametrize("f", CONVERTED)
def test_derivatives_are_those_of_the_branches_taken(f: Callable[..., None]) -> None:
    rng = np.random.default_rng(5)
    _, u, c = state(rng)
    weights = rng.standard_normal(N)

    def value(u: Any, c: Any) -> Any:
        out = np.zeros(N)
        f(out, u, c)
        return weights @ out

    d_u, d_c = odead.gradient(value, u, c, wrt=(0, 1))
    h = 1e-6
    for k in range(N):
        step = np.zeros(N)
        step[k] = h
        assert d_u[k] == pytest.approx((value(u + step, c) - value(u - step, c)) / (2 * h), rel=1e-5, abs=1e-7)
    assert d_c == pytest.approx((value(u, c + h) - value(u, c - h)) / (2 * h), rel=1e-5, abs=1e-7)


def test_the_loop_becomes_the_program_of_np_where() -> None:
    du, u, c = state(np.random.default_rng(1))
    loop, sliced = (optimise(trace(f, (du, u, c)).program) for f in (upwind, upwind_where))
    assert sorted(loop.op) == sorted(sliced.op)


def test_lines_are_those_of_the_source() -> None:
    program = trace(upwind, state(np.random.default_rng(1))).program
    lines = {program.lines[line] for line in program.line if line >= 0}
    first = upwind.__code__.co_firstlineno
    assert {line.line - first for line in lines} == {2, 3, 5}
    assert {line.function for line in lines} == {"upwind"}


# ---------------------------------------------------------------------------------------------------- the other side


def root(u: Any) -> Any:
    out = np.zeros(len(u))
    for i in range(len(u)):
        if u[i] > 0:
            out[i] = np.sqrt(u[i])
        else:
            out[i] = np.log(-u[i]) * 0.0 + u[i]
    return out


def test_nan_of_the_side_not_taken_stays_there() -> None:
    u = np.array([1.0, -2.0, 4.0, -1.0, 9.0, 16.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(odead.compile(root, u).primal(u), [1, -2, 2, -1, 3, 4])
        jacobian = odead.jacobian(root, u)
    assert np.array_equal(np.diag(jacobian), [0.5, 1, 0.25, 1, 1 / 6, 1 / 8])
    assert np.isfinite(jacobian).all()


def test_warnings_of_the_side_taken_are_heard() -> None:
    def f(u: Any) -> Any:
        out = np.zeros(len(u))
        for i in range(len(u)):
            if u[i] < 5:
                out[i] = np.log(u[i])
            else:
                out[i] = u[i]
        return out

    u = np.array([1.0, 2.0, 3.0, 4.0, 6.0, -1.0])
    with pytest.warns(RuntimeWarning, match="invalid value"):
        trace(f, (u,))


def test_a_side_may_be_outside_of_its_domain_where_it_is_not_taken() -> None:
    def f(du: Any, u: Any, c: Any) -> None:
        for i in range(len(u)):
            if u[i] > 0:
                du[i] = c * math.log(u[i]) + math.sqrt(u[i])
            else:
                du[i] = u[i]

    kernel = holds(f, times=5)
    assert len(kernel.trace.guards) == 0
    u = np.linspace(-1.0, 1.0, N)
    shadow = np.zeros(N)
    odead.autodiff(f, odead.Duplicated(np.zeros(N), np.ones(N)), odead.Duplicated(u, shadow), odead.Const(2.0))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(shadow, np.where(u > 0, 2.0 / u + 0.5 / np.sqrt(u), 1.0), rtol=1e-14)


def test_a_side_that_raises_on_its_own_account_stays_guarded() -> None:
    def f(du: Any, u: Any, c: Any) -> None:
        for i in range(len(u)):
            if u[i] > 0:
                du[i] = c * u[i]
            else:
                du[i] = checked(u[i])

    def checked(x: Any) -> Any:
        if x > 0:
            raise ValueError("positive")
        return x

    assert len(holds(f, times=5).trace.guards) > 0


def test_the_exception_of_the_plain_call_passes() -> None:
    def f(du: Any, u: Any) -> None:
        for i in range(len(u)):
            if u[i] > 0:
                du[i] = u[i]
            else:
                du[i + 4] = u[i]

    with pytest.raises(IndexError):
        trace(f, (np.zeros(6), np.array([1.0, 2.0, 3.0, 4.0, 5.0, -1.0])))


# ---------------------------------------------------------------------------------------------------- not converted


def returns(u: Any, i: int) -> Any:
    for k in range(3):
        if u[i] > k:
            return u[i] * k
    return u[i]


def with_early_return(du: Any, u: Any, c: Any) -> None:
    for i in range(3):
        try:
            if u[i] > 1:
                du[i] = returns(u, i) * c
                return
        finally:
            du[i] += 1


def with_break(du: Any, u: Any, c: Any) -> None:
    for i in range(len(u)):
        if u[i] > 0.5:
            break
        du[i] = u[i] * c


def with_while(du: Any, u: Any, c: Any) -> None:
    for i in range(3):
        x = u[i]
        while x > 0.1:
            x = x * 0.5
        du[i] = x


def with_list(du: Any, u: Any, c: Any) -> None:
    kept = []
    for i in range(5):
        if u[i] > 0:
            kept.append(u[i] * c)  # noqa: PERF401
    for k, x in enumerate(kept):
        du[k] = x


def with_items(du: Any, u: Any, c: Any) -> None:
    flux = [0.0] * 6
    for i in range(5):
        if u[i] > 0:
            flux[i] = u[i] * c
        else:
            flux[i + 1] = u[i]
    for i in range(6):
        du[i] = flux[i]


def with_views(du: Any, u: Any, c: Any) -> None:
    for i in range(5):
        if u[i] > 0:
            target = du[:6]
        else:
            target = du[6:]
        target[i] = u[i] * c


def with_name_of_one_side(du: Any, u: Any, c: Any) -> None:
    for i in range(5):
        if u[i] > 0:
            s = u[i] * c
        if u[i] > 0:
            du[i] = s


def with_overlap(du: Any, u: Any, c: Any) -> None:
    for i in range(5):
        if u[i] > 0:
            du[i : i + 3] = u[i]
            du[i + 1] = c
        else:
            du[i : i + 2] = c


@pytest.mark.parametrize(
    "f", [with_early_return, with_break, with_while, with_list, with_items, with_views, with_name_of_one_side, with_overlap]
)
@pytest.mark.filterwarnings("ignore::odead.OdeadWarning")
def test_what_cannot_be_converted_is_right(f: Callable[..., None]) -> None:
    kernel = holds(f)
    assert len(kernel._variants) > 1


def test_functions_without_source_stay_guarded() -> None:
    names: dict[str, Any] = {}
    exec("def f(du, u, c):\n  for i in range(6):\n    du[i] = u[i] if u[i] > 0 else c", names)
    assert len(holds(names["f"], times=5).trace.guards) == 6


def test_a_parameter_tested_in_the_loop_is_a_guard() -> None:
    def f(du: Any, u: Any, c: Any) -> None:
        for i in range(len(u)):
            if c > 1:
                du[i] = u[i]
            else:
                du[i] = 2 * u[i]

    assert len(holds(f)._variants) == 2


class Cells:
    """Methods and attributes work in rewritten code as in any other."""

    def __init__(self) -> None:
        self.__threshold = 0.25

    def __call__(self, du: Any, u: Any, c: Any) -> None:
        for i in range(len(u)):
            if u[i] > self.__threshold:
                du[i] = self.rate(u[i]) * c
            else:
                du[i] = -u[i]

    @staticmethod
    def rate(x: Any) -> Any:
        return x if x < 1 else 1.0


def test_methods() -> None:
    assert len(holds(Cells())._variants) == 1


def test_past_the_bound_a_call_is_slow_and_right_and_says_so_once() -> None:
    def halved(du: Any, u: Any, c: Any) -> None:
        for i in range(N):
            x = u[i]
            while x > 0.1:
                with np.errstate(over="ignore"):
                    x = x * 0.5
            du[i] = x * c

    with pytest.warns(odead.OdeadWarning, match=r"test_branches\.py:\d+ in halved") as record:
        holds(halved, times=80)
    assert len(record) == 1


@odead.primitive
def rate(x: float) -> float:
    assert x > 0
    return float(np.log(x))


@odead.rule(rate)
def _(x: float) -> Any:
    return rate(x), lambda ybar: ybar / x


def test_a_primitive_is_not_called_with_values_of_the_other_side() -> None:
    def rates(u: Any) -> Any:
        out = np.zeros(6)
        for i in range(6):
            if u[i] > 0:
                out[i] = rate(u[i])
            else:
                out[i] = u[i]
        return out

    compiled = odead.compile(rates, np.arange(-2.0, 4.0))
    for u in (np.arange(-2.0, 4.0), np.arange(-4.0, 2.0)):
        np.testing.assert_allclose(compiled.primal(u), np.where(u > 0, np.log(np.maximum(u, 0.1)), u))
