"""Side effects happen when a function is recorded, and changes from outside are noticed: both at once, on every branch."""

import numpy as np
import pytest

import odead

HIGH, LOW = np.array([2.0]), np.array([0.5])
calls = 0
scale = None
offset = 1.0


def prints(x):
    print("recorded")
    return x[0] ** 3 if x[0] > 1 else 2 * x[0]


def counts(x):
    global calls
    calls += 1
    if x[0] > 1:
        return x[0] ** 3
    return 2 * x[0]


LOG = []


def appends(x):
    LOG.append("call")
    return x[0] ** 3 if x[0] > 1 else 2 * x[0]


class Model:
    def __init__(self):
        self.evaluations = 0

    def __call__(self, x):
        self.evaluations += 1
        return x[0] ** 3 if x[0] > 1 else 2 * x[0]


def count_outside():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x[0] ** 3 if x[0] > 1 else 2 * x[0]

    return f


model, counting = Model(), count_outside()
RECORDINGS = {
    "print": (prints, None),
    "global": (counts, lambda: calls),
    "list": (appends, lambda: len(LOG)),
    "attribute": (model, lambda: model.evaluations),
    "outer variable": (counting, lambda: counting.__closure__[0].cell_contents),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_both_branches_are_recorded_once(name, capsys):
    f, count = RECORDINGS[name]
    for _ in range(3):
        assert odead.gradient(f, HIGH) == 12.0
        assert odead.gradient(f, LOW) == 2.0
    assert (capsys.readouterr().out.count("recorded") if count is None else count()) == 2


def made_on_demand(x):
    global scale
    if scale is None:
        scale = 2.0
    return x[0] ** 2 * scale if x[0] > 1 else x[0] * scale + offset * x[0]


def test_a_change_from_outside_is_noticed_on_every_branch():
    global scale, offset
    assert odead.gradient(made_on_demand, HIGH) == 8.0
    assert odead.gradient(made_on_demand, LOW) == 3.0
    scale = 5.0
    assert odead.gradient(made_on_demand, LOW) == 6.0
    assert odead.gradient(made_on_demand, HIGH) == 20.0
    offset = 2.0
    assert odead.gradient(made_on_demand, LOW) == 7.0
    scale = None
    assert odead.gradient(made_on_demand, HIGH) == 8.0
    assert scale == 2.0
