"""The one check of these suites: what was recorded, replayed by the oracle at other values, does what the function does."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from odead.containers import flatten
from odead.derivatives.inputs import copy_in_layout
from odead.execute import reference
from odead.tape import verify
from odead.tracing.trace import Trace, trace


def is_bound(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, float, np.floating))


def perturbed(tree: Any, rng: np.random.Generator) -> Any:
    """Other values, near enough to take the same branches."""
    leaves, structure = flatten(tree)
    seen: dict[int, Any] = {}
    for leaf in leaves:
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            other = copy_in_layout(leaf)  # what is a view depends on the strides
            other *= rng.uniform(0.95, 1.05, leaf.shape).astype(leaf.dtype)
            seen.setdefault(id(leaf), other)
        elif isinstance(leaf, np.ndarray):
            seen.setdefault(id(leaf), copy_in_layout(leaf))
    return structure.unflatten([
        seen[id(leaf)] if isinstance(leaf, np.ndarray)
        else type(leaf)(leaf * rng.uniform(0.95, 1.05)) if isinstance(leaf, (float, np.floating)) else leaf
        for leaf in leaves
    ])  # fmt: skip


def copied(tree: Any) -> Any:
    """Everything in it once more, the arrays with the strides they have."""
    arrays = [leaf for leaf in flatten(tree)[0] if isinstance(leaf, np.ndarray)]
    return copy.deepcopy(tree, {id(array): copy_in_layout(array) for array in arrays})


def replay(recorded: Trace, tree: Any) -> Any:
    """The returned value of the recorded program at these arguments, which it updates."""
    verify(recorded.program)
    leaves = [leaf for leaf in flatten(tree)[0] if is_bound(leaf)]
    bound: dict[int, Any] = {}
    for position, leaf in zip(recorded.leaves, leaves, strict=True):
        bound.setdefault(position, leaf)
    buffers = [recorded.program.buffers[b] for b in recorded.program.results]
    results = [np.zeros(b.shape or (), b.dtype) for b in buffers]
    missed = reference.run(recorded.program, [bound[k] for k in range(len(bound))] + results)
    assert missed == -1, f"guard {missed} is missed"
    return recorded.returned(results)


def same(found: Any, expected: Any) -> None:
    found_leaves, found_structure = flatten(found)
    leaves, structure = flatten(expected)
    assert found_structure == structure
    for a, b in zip(found_leaves, leaves, strict=True):
        if isinstance(b, (np.ndarray, np.generic, float)):
            assert type(a) is type(b)
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=1e-6 if np.asarray(b).dtype == np.float32 else 1e-12, atol=1e-14)
        else:
            assert a == b


@pytest.fixture
def replays() -> Callable[..., Trace]:
    """Record a function, then compare program and function at other values; gives the trace."""

    def check(f: Callable[..., Any], *args: Any, at: tuple[Any, ...] | None = None, **kwargs: Any) -> Trace:
        before = copy.deepcopy(args)
        recorded = trace(f, args, kwargs)
        same(args, before)
        rng = np.random.default_rng(1)
        points = [(args, kwargs), *(perturbed((args, kwargs), rng) for _ in range(2))]
        if at is not None:
            points = [points[0], (at, kwargs)]
        for values, options in points:
            expected_args, expected_options = copied((values, options))
            found_args, found_options = copied((values, options))
            with np.errstate(all="ignore"):
                expected = f(*expected_args, **expected_options)
            found = replay(recorded, (found_args, found_options))
            same(found, expected)
            same(found_args, expected_args)
        return recorded

    return check
