"""What was recorded at one place, called at others: other sides of branches, other orders, indices, counts and states."""

import math

import numpy as np
import pytest

import odead

CASES = {}
DRAW = np.random.default_rng(7)
PLACES = DRAW.uniform(0.1, 0.95, (6, 6))


def case(f):
    CASES[f.__name__] = f
    return f


@case
def limiter(x):
    slope = np.zeros_like(x)
    for i in range(1, len(x) - 1):
        a, b = x[i] - x[i - 1], x[i + 1] - x[i]
        slope[i] = 0.0 if a * b <= 0 else (a if abs(a) < abs(b) else b)
    return (slope * x).sum()


@case
def newton(x):
    y = 1.0
    while True:
        step = (y**3 + y * x[0] - x[1]) / (3 * y * y + x[0])
        y -= step
        if abs(step) < 1e-13:
            return y


@case
def orders(x):
    by_size = sorted(range(len(x)), key=lambda k: x[k])
    largest = max(range(6), key=x.__getitem__)
    return sum(k * x[j] ** 2 for k, j in enumerate(by_size)) + x[largest] * x[np.argmin(x)] ** 3 + np.median(x) * x[0]


@case
def loop_with_every_exit(x):
    total, n = 0.0, 0
    for v in x:
        if v < 0.3:
            continue
        total += v * v
        n += 1
        if total > 1.2:
            break
    else:
        total *= 2
    return total / max(n, 1)


@case
def counting(x):
    counts, _ = np.histogram(x, bins=[0, 0.4, 0.6, 1.0])
    return counts @ [1.0, 2.0, 3.0] * x.sum() + (np.digitize(x, [0.4, 0.6]) * x).sum() + np.count_nonzero(x > 0.3) * x[1]


@case
def indices_that_are_found(x):
    i = np.where(x > 0.5)[0]
    chosen = [v for v in x if v > 0.6]
    return x[i].sum() * len(i) + np.flatnonzero(x < 0.4).size * x[0] + sum(chosen) * len(chosen)


@case
def choices_by_containers(x):
    word = "high" if x[0] > 0.5 else "low"
    return (
        {"high": x[1], "low": x[2] ** 2}[word]
        + {True: x[0] ** 2, False: x[1]}[bool(x[0] > x[1])]
        + (x[0], x[1])[int(x[2] < x[3])]
    )


@case
def integers_of_values(x):
    n = int(x[0] * 5) + 1
    table = np.linspace(0, 1, 11) ** 2
    return x[1] ** n + sum(x[2] ** k for k in range(n)) + table[round(x[0] * 10)] * x[1] + x[: int(x[3] * 6)].sum()


@case
def distinct_values(x):
    return len(np.unique(np.round(x, 1))) * x.sum() + np.percentile(x, 30) * x[1] + np.partition(x, 2)[2]


@case
def fluxes_between_nodes(x):
    total = 0.0
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 0)]:
        flux = x[i] - x[j]
        total += flux * flux if flux > 0 else -0.5 * flux * x[4]
    return total


@case
def state_machine(x):
    state, total = "a", 0.0
    for v in x:
        if state == "a":
            total += v
            state = "b" if v > 0.5 else "a"
        elif state == "b":
            total *= v
            state = "c" if v < 0.5 else "b"
        else:
            total -= v * v
            state = "a"
    return total


@case
def exceptions(x):
    try:
        if x[0] > 0.5:
            raise ValueError("large")
        return x[1] ** 2
    except ValueError:
        return x[2] * 3


@case
def parts_of_numbers(x):
    fraction, whole = math.modf(x[0] * 5)
    return (
        fraction * x[1] + whole * x[2] + np.modf(x * 3)[0] @ x + (x[3] * 10 % 3) * x[4] + np.interp(x[0], np.sort(x[1:]), x[1:])
    )


@case
def masked_results(x):
    y = np.zeros_like(x)
    np.divide(1.0, x, out=y, where=x > 0.5)
    np.log(x, out=y, where=x <= 0.3)
    y[(x > 0.3) & (x < 0.4)] = x[0] * x[1]
    return y.sum()


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(name):
    f = CASES[name]
    for x in PLACES:
        value, gradient = odead.value_and_gradient(f, x)
        differences = [(f(x + e) - f(x - e)) / 2e-6 for e in 1e-6 * np.eye(6)]
        np.testing.assert_allclose(value, f(x), rtol=1e-13)
        np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(odead.gradient(f, x, mode=odead.Forward), gradient, rtol=1e-12, atol=1e-14)
