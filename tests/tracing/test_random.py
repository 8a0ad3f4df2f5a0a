"""Random sequences of statements on arrays that alias one another, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odead.containers import flatten
from odead.execute import reference
from odead.tape import verify
from odead.tracing.trace import trace

SCALARS = (
    "x[0]", "x[-1]", "y[2]", "a[1, 2]", "a[-1, 0]", "s", "0.5", "2", "w[3]", "t", "a.sum()", "x[2:].mean()", "np.sin(y[1])",
    "u[1]",
)  # fmt: skip
VECTORS = (
    "x", "y", "w", "x[::-1]", "a[0]", "a.T[:, 1]", "a[:, 1]", "a.ravel()[2:]", "u", "v", "y[1:]", "np.roll(x, 1)",
    "x[[0, 2, 1, 3]]", "a[[0, 1, 2, 0], [0, 1, 2, 3]]", "a.T.reshape(-1)", "w[::2]", "np.where(y > s, x, s)", "a @ x",
    "np.concatenate([u, v])", "x[y > 0.3]", "np.zeros(4)", "a.T.ravel()[::3]", "c[0]", "a.sum(0)",
)  # fmt: skip
TARGETS = (
    "x[:]", "y[:]", "w[:]", "x[::-1]", "a[0]", "a.T[:, 1]", "x[1:]", "x[:-1]", "y[::2]", "a[1:, 1:]", "u[:]", "v[:]",
    "x[[0, 2]]", "x[[1, 1, 0]]", "a[x[:3] > 0]", "x[x > 0.3]", "a[...]", "w[1:3]", "c[0]", "a.T[1:3]", "a[[2, 0], [1, 1]]",
    "x[2]", "a[1, 1]", "w[0]", "y[-1:]",
)  # fmt: skip

scalar = st.sampled_from(SCALARS)
vector = st.sampled_from(VECTORS)
value = st.one_of(
    scalar,
    vector,
    st.builds("({} {} {})".format, vector, st.sampled_from("+-*"), vector),
    st.builds("({} {} {})".format, vector, st.sampled_from("+-*"), scalar),
    st.builds("np.{}({})".format, st.sampled_from(["tanh", "abs", "negative", "square"]), vector),
)
statement = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(TARGETS), value),
    st.builds("{} {}= {}".format, st.sampled_from(TARGETS), st.sampled_from("+-*"), value),
    st.builds("{} = {}".format, st.sampled_from(["u", "v", "w", "c[0:1]"]), value.map("np.array({}, ndmin=1)".format)),
    st.builds("{} = {}".format, st.sampled_from("uvw"), st.sampled_from(["x", "y[1:]", "a[1]", "a.T[2]", "x[::2]", "w[::-1]"])),
    st.builds("s = {} {} {}".format, scalar, st.sampled_from("+-*"), scalar),
    st.builds("if {} > {}: {} = {}".format, scalar, scalar, st.sampled_from(TARGETS), value),
    st.builds("np.multiply({}, {}, out={})".format, vector, scalar, st.sampled_from(["x", "w", "a[0]", "a.T[1]", "x[:3]"])),
    st.builds("np.add.at(x, [0, 3, 0], {})".format, scalar),
)


def guarded(line: str) -> str:
    """A statement whose shapes may not fit: then both must raise."""
    return f"    try:\n        {line}\n    except (ValueError, IndexError):\n        n += 1\n"


@pytest.mark.parametrize("order", ["C", "F"])
@given(st.lists(statement, min_size=1, max_size=8))
def test_statements(order, statements):
    body = "".join(map(guarded, statements))
    source = f"def f(x, y, a, t):\n    n, s, w, u, v, c = 0, t, np.zeros(4), x, a[2], a.T\n{body}    return w, s, u, v, n\n"
    scope = {"np": np}
    exec(source, scope)
    f = scope["f"]
    rng = np.random.default_rng(len(source))
    inputs = [rng.uniform(-1, 1, 4), rng.uniform(-1, 1, 4), np.array(rng.uniform(-1, 1, (3, 4)), order=order), 0.4]
    with np.errstate(all="ignore"):
        recorded = trace(f, tuple(inputs))
    verify(recorded.program)
    for scale in (1.0, 1 + 1e-9):  # so near that the branches are the same
        values = [x * scale for x in inputs]
        found = [x.copy(order="K") if isinstance(x, np.ndarray) else x for x in values]
        expected = [x.copy(order="K") if isinstance(x, np.ndarray) else x for x in values]
        with np.errstate(all="ignore"):
            returned = f(*expected)
        buffers = [recorded.program.buffers[b] for b in recorded.program.results]
        results = [np.zeros(buffer.shape, buffer.dtype) for buffer in buffers]
        assert reference.run(recorded.program, [*found, *results]) == -1, source
        for p, q in zip([*found, *flatten(recorded.returned(results))[0]], [*expected, *flatten(returned)[0]], strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-10, err_msg=source)
