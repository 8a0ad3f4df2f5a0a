"""What a function reads from outside its arguments: globals, closures, modules, classes, objects; and what it assigns there."""

import argparse
import collections
import dataclasses
import functools
import math
import sys
import threading
import types
from functools import partial
from math import exp
from typing import NamedTuple

import numpy as np
import pytest
from numpy import sin, zeros

from odead.errors import TracingError
from odead.execute import reference
from odead.tape import Role, verify
from odead.tracing.trace import trace

X = np.array([0.3, 1.2, 2.5])

rate = 0.5
table = np.array([1.0, 2.0, 3.0])
work = np.zeros(3)
settings = {"gain": 2.0, "offsets": [1.0, np.array([1.0, 2.0, 3.0])], "shift": {"by": 1.0}}
index = np.array([2, 0])
small_index = np.array([2, 0], np.int32)
calls = []
counter = 0
FIXED = (1.0, table)


def helper(x, scale=2.0, *, offset=table):
    return scale * x + offset * rate


def uses_globals(x):
    y = zeros(3)
    y[:] = sin(x) * exp(-rate) + np.exp(x) + math.pi
    return helper(y) + helper(y, offset=1.0) + table[::2].sum() + settings["gain"] + settings["offsets"][1] + FIXED[1]


def test_globals_helpers_and_imported_names(replays):
    recorded = replays(uses_globals, X.copy())
    captured = [b for b in recorded.program.buffers if b.role is Role.CAPTURED]
    assert sum(b.data is table for b in captured) == 1  # views and aliases share it
    assert not recorded.namespace.stale()


def set_global(name, value):
    globals()[name] = value


@pytest.mark.parametrize(("name", "value"), [
    ("rate", 0.75), ("rate", 1), ("table", np.ones(3)), ("helper", lambda x, **_: x), ("settings", {}), ("exp", math.log),
    ("FIXED", (2.0, table)),
])  # fmt: skip
def test_a_changed_name_is_stale(name, value):
    before = globals()[name]
    recorded = trace(uses_globals, (X.copy(),))
    assert not recorded.namespace.stale()
    try:
        set_global(name, value)
        assert recorded.namespace.stale()
    finally:
        set_global(name, before)
    assert not recorded.namespace.stale()


@pytest.mark.parametrize(("place", "key", "value"), [
    (settings, "gain", 3.0), (settings["offsets"], 0, 1.5), (settings["shift"], "by", 2),
])  # fmt: skip
def test_a_changed_entry_is_stale(place, key, value):
    recorded = trace(uses_globals, (X.copy(),))
    before = place[key]
    try:
        place[key] = value
        assert recorded.namespace.stale()
    finally:
        place[key] = before
    assert not recorded.namespace.stale()


def test_contents_of_arrays_are_read_at_each_run(replays):
    recorded = replays(uses_globals, X.copy())
    before = table.copy()
    try:
        table[:] = [5.0, 6.0, 7.0]
        result = np.zeros(3)
        assert not recorded.namespace.stale()
        assert reference.run(recorded.program, [X, result]) == -1
        np.testing.assert_allclose(result, uses_globals(X.copy()), rtol=1e-14)
    finally:
        table[:] = before


def test_an_index_array_from_outside_is_guarded_or_stale():
    recorded = trace(lambda x: x[index], (X.copy(),))
    small = trace(lambda x: x[small_index], (X.copy(),))
    index[0], small_index[0] = 1, 1
    try:
        assert reference.run(recorded.program, [X, np.zeros(2)]) >= 0
        assert small.namespace.stale()
    finally:
        index[0], small_index[0] = 2, 2
    assert reference.run(recorded.program, [X, np.zeros(2)]) == -1


def test_a_name_that_appears_and_shadows_a_builtin_is_stale():
    recorded = trace(lambda x: max(x[0], x[1]), (X.copy(),))
    set_global("max", min)
    try:
        assert recorded.namespace.stale()
    finally:
        del globals()["max"]
    assert not recorded.namespace.stale()


# ---------------------------------------------------------------------------------------------------- scratch


def uses_scratch(x):
    work[:] = 2 * x
    work[0] += 1
    return work.sum()


def partial_scratch(x):
    work[1:] = x[1:]
    return work * 2


def test_a_global_array_may_be_scratch(replays):
    recorded = replays(uses_scratch, X.copy())
    assert recorded.scratch == ("work",)
    assert not any(b.role is Role.CAPTURED for b in recorded.program.buffers)
    recorded = replays(partial_scratch, X.copy())
    work[0] = 4.0
    result = np.zeros(3)
    assert reference.run(recorded.program, [X, result]) == -1
    assert result[0] == 8.0
    work[:] = 0


def test_element_loop_over_scratch(replays):
    def f(x):
        for i in range(3):
            work[i] = x[i] * 2
        work[[0, 1]] = work[1:]
        return work[0] + work[2]

    replays(f, X.copy())
    work[:] = 0


def carries(x):
    work[:] += x
    return work.sum()


def test_a_global_array_that_carries_values_raises():
    line = carries.__code__.co_firstlineno + 1
    with pytest.raises(TracingError, match=rf"{__file__}:{line} in carries: work is read before"):
        trace(carries, (X.copy(),))
    assert not work.any()


# ---------------------------------------------------------------------------------------------------- closures


def test_closures(replays):
    gain, weights = 3.0, np.array([1.0, 0.5, 0.25])

    def inner(x):
        return weights * x

    def f(x):
        square = lambda v: v * gain  # noqa: E731
        return square(inner(x)) + sum(w * v for w, v in zip(weights, x, strict=True))

    recorded = replays(f, X.copy())
    assert not recorded.namespace.stale()
    gain = 4.0
    assert recorded.namespace.stale()


def test_recursion_and_defaults(replays):
    def power(x, n=4, unit=np.ones(3)):  # noqa: B008
        return unit if n == 0 else x * power(x, n - 1)

    replays(power, X.copy())
    replays(power, X.copy(), 2)
    replays(lambda x: factorial_like(x, 3), X.copy())


def factorial_like(x, n):
    return x if n == 0 else factorial_like(x * n, n - 1)


def test_generators_and_comprehensions(replays):
    def items(x):
        for v in x:
            yield v * rate

    def f(x):
        return np.array([v + 1 for v in items(x)]), {k: x[k] * rate for k in range(3)}, sum(v for v in items(x) if rate > 0)

    replays(f, X.copy())


def test_decorated_partial_cached(replays):
    def doubled(f):
        @functools.wraps(f)
        def wrapper(*args):
            return 2 * f(*args)

        return wrapper

    @doubled
    def f(x):
        return x * cached(2) * rate

    @functools.lru_cache
    def cached(n):
        return n * rate

    replays(f, X.copy())
    replays(partial(helper, scale=3.0, offset=table), X.copy())
    replays(lambda x: partial(helper, scale=x[0])(x), X.copy())


# ---------------------------------------------------------------------------------------------------- objects


class Base:
    decay = 0.25
    grid = np.array([1.0, 2.0, 3.0])

    def __init__(self):
        self.k = 2.0
        self.weights = np.array([1.0, 0.5, 0.25])
        self.buffer = np.zeros(3)
        self.options = {"n": 2}

    def __call__(self, x):
        self.buffer[:] = self.k * x
        return self.total(self.buffer) * self.decay + self.grid

    def total(self, x):
        return self.scale(x) * self.weights

    def scale(self, x):
        return x + zeros(3)

    @property
    def twice(self):
        return 2 * self.k

    @staticmethod
    def shifted(x):
        return x + rate

    @classmethod
    def named(cls, x):
        return x * cls.decay


class Model(Base):
    def scale(self, x):
        return super().scale(x) * self.twice + self.shifted(x) + self.named(x) * self.options["n"]


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k

    def times(self, x):
        return self.k * x


@dataclasses.dataclass(frozen=True)
class Parameters:
    k: float
    weights: np.ndarray
    n: int = 2

    def applied(self, x):
        y = zeros(3)
        y[:] = self.k * x * self.weights * self.n
        return y


class Pair(NamedTuple):
    a: float
    b: np.ndarray

    def product(self):
        return self.a * self.b


def test_methods_and_callable_objects(replays):
    model = Model()
    for f in (model, model.total, Model.shifted, partial(Model.total, model), lambda x: model(x), Slotted(3.0).times):
        replays(f, X.copy())


def test_attributes_are_watched(replays):
    model = Model()
    recorded = replays(model, X.copy())
    assert recorded.scratch == ("buffer",)
    model.k = 3.0
    assert recorded.namespace.stale()
    model.k = 2.0
    assert not recorded.namespace.stale()
    Base.decay = 0.5
    assert recorded.namespace.stale()
    Base.decay = 0.25
    model.weights = model.weights.copy()
    assert recorded.namespace.stale()


@pytest.mark.parametrize("make", [
    lambda: types.SimpleNamespace(k=2.0, w=np.ones(3)), lambda: argparse.Namespace(k=2.0, w=np.ones(3)),
])  # fmt: skip
def test_bags_of_parameters(replays, make):
    bag = make()
    recorded = replays(lambda x: bag.k * x + bag.w, X.copy())
    bag.k = 3.0
    assert recorded.namespace.stale()
    bag.k = 2.0
    assert not recorded.namespace.stale()
    assert len(trace(lambda x, bag: bag.k * x + bag.w, (X, make())).program) == 3


@pytest.mark.parametrize("kind", [collections.OrderedDict, lambda **k: collections.defaultdict(float, **k)])
def test_other_containers(replays, kind):
    settings = kind(k=2.0, w=table)
    recent = collections.deque([1.0, 2.0], maxlen=2)
    recorded = replays(lambda x: settings["k"] * x + settings["w"] * recent[0], X.copy())
    settings["k"] = 3.0
    assert recorded.namespace.stale()
    settings["k"] = 2.0
    assert not recorded.namespace.stale()
    recent.append(3.0)
    assert recorded.namespace.stale()


def test_classes_used_inside(replays):
    def f(x):
        p = Parameters(x[0], x)
        pair = Pair(x[1], x)
        assert isinstance(p, Parameters)
        assert isinstance(pair, Pair)
        return p.applied(x), pair.product(), Slotted(x[2]).times(x), Model().total(x)

    replays(f, X.copy())


def test_containers_as_arguments_and_results(replays):
    def f(p, pair, options, values):
        a, b = values
        p.weights[0] = 5.0
        pair.b[:] *= pair.a
        options["x"][1:] = options["k"]
        rest = [a * b, p.applied(pair.b), options["n"], "text"]
        return {"p": dataclasses.replace(p, k=p.k * 2), "pair": Pair(a, pair.b), "rest": rest}

    replays(f, Parameters(2.0, X.copy()), Pair(1.5, X.copy()), {"k": 2.0, "x": X.copy(), "n": 3}, [1.0, 2.0])


CONSTANTS = """
import numpy as np
k = 2.0
w = np.ones(3)
def scaled(x):
    y = np.zeros(3)
    y[:] = k * x * w
    return y
"""


def test_modules_of_the_user(replays):
    module = types.ModuleType("user_constants")
    exec(CONSTANTS, vars(module))
    sys.modules["user_constants"] = module
    try:

        def f(x):
            import user_constants

            return user_constants.scaled(x) * user_constants.k

        recorded = replays(f, X.copy())
        module.k = 3.0
        assert recorded.namespace.stale()
    finally:
        del sys.modules["user_constants"]


def test_imports_inside(replays):
    def f(x):
        import math as m

        import numpy as numerics
        import numpy.linalg as la
        from numpy import ones

        y = numerics.zeros(3)
        y[:] = m.exp(x[0]) * ones(3) + la.norm(x)
        return y

    replays(f, X.copy())


# ---------------------------------------------------------------------------------------------------- side effects


def counts(x):
    global counter
    counter += 1
    calls.append(x[0])
    print("value", f"{x[0]:.1f}", x)
    return x * counter


def test_side_effects_happen_once(capsys):
    counter_before = counter
    recorded = trace(counts, (X.copy(),))
    assert counter == counter_before + 1
    assert calls == [0.3]
    assert type(calls[0]) is np.float64
    assert capsys.readouterr().out == "value 0.3 [0.3 1.2 2.5]\n"
    assert not recorded.namespace.stale()
    reference.run(recorded.program, [X, np.zeros(3)])
    assert len(calls) == 1


def test_outer_variables_are_assigned():
    seen = 0

    def f(x):
        nonlocal seen
        seen += 1
        raise KeyError("after the assignment")

    with pytest.raises(KeyError):
        trace(f, (X,))
    assert seen == 1


class Counting:
    def __init__(self):
        self.n = 0

    def __call__(self, x):
        self.n += 1
        return x * 2


def test_attributes_are_assigned():
    f = Counting()
    recorded = trace(f, (X,))
    assert f.n == 1
    assert not recorded.namespace.stale()


def test_the_true_namespace_is_untouched():
    before = dict(globals())
    code = uses_globals.__code__
    trace(uses_globals, (X.copy(),))
    assert dict(globals()) == before
    assert uses_globals.__code__ is code
    assert uses_globals.__globals__ is globals()
    assert isinstance(uses_globals(X.copy()), np.ndarray)


def test_two_threads_trace_at_once():
    def loop(x):
        for i in range(1, 40):
            for j in range(20):
                x[i] = x[i - 1] * rate + math.exp(-x[i]) * j
        return x.sum()

    expected = str(trace(loop, (np.ones(40),)).program)
    found = []
    threads = [threading.Thread(target=lambda: found.append(trace(loop, (np.ones(40),)).program)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for program in found:
        verify(program)
        assert str(program) == expected


def test_a_captured_array_that_is_also_an_argument():
    assert trace(lambda x: x * table, (table,)).aliases == ("table",)
    with pytest.raises(TracingError, match="table and the argument x share memory"):
        trace(lambda x: x.__setitem__(0, table[1]), (table,))


def test_the_body_of_a_class_made_inside_reads_globals(replays):
    def f(x):
        class Rate:
            scale = FIXED[0]

            @functools.cached_property
            def value(self):
                return x * self.scale * len(Pair._fields)

        return Rate().value

    replays(f, X.copy())
