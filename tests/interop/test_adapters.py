"""Rules of other frameworks, each held against the law."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from odead import check_rule, gradient
from odead.interop.autograd import from_autograd
from odead.interop.jax import from_jax
from odead.interop.torch import from_torch

X = np.array([0.3, 0.4])


def test_autograd():
    anp = pytest.importorskip("autograd.numpy", reason="needs the extra odead[autograd]")
    check_rule(from_autograd(lambda x, p: anp.sin(x) * p), X, 1.2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jax():
    jax = pytest.importorskip("jax", reason="needs the extra odead[jax]")
    check_rule(from_jax(lambda x, p: jax.numpy.sin(x) * p), X, 1.2)

    @jax.custom_vjp
    def wave(x):
        return jax.numpy.sin(x)

    wave.defvjp(lambda x: (jax.numpy.sin(x), x), lambda x, bar: (bar * jax.numpy.cos(x),))
    check_rule(from_jax(wave), X)


def test_torch():
    torch = pytest.importorskip("torch", reason="needs the extra odead[torch]")
    check_rule(from_torch(lambda x, p: torch.sin(x) * p), X, 1.2)

    class Wave(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(ctx, bar):
            return bar * torch.cos(ctx.saved_tensors[0])

    wave = from_torch(Wave.apply)
    check_rule(wave, X)
    assert_allclose(gradient(lambda x: wave(2.0 * x).sum(), X), 2.0 * np.cos(2.0 * X))


@pytest.mark.parametrize(("make", "module"), [(from_autograd, "autograd"), (from_jax, "jax"), (from_torch, "torch")])
def test_one_sentence_when_it_is_missing(make, module, monkeypatch):
    for name in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{module} is not installed: pip install 'odead\[{module}\]'"):
        make(lambda x: x)
