"""PyTorch functions as primitives: any function of tensors, `torch.autograd.Function` included."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..rules.primitive import Primitive
from ..rules.registry import register_vjp
from .border import floats_of, needs, own

__all__ = ["from_torch"]


def from_torch(function: Callable[..., Any]) -> Primitive:
    """A primitive whose value and derivative PyTorch computes, in float64.

    Parameters
    ----------
    function : callable
        Takes a tensor for each array and number, for instance ``MyFunction.apply``; returns one tensor.
    """
    torch = needs("torch", "torch")

    def tensors(args: tuple[Any, ...], active: list[int]) -> list[Any]:
        made = [torch.tensor(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        for k in active:
            made[k] = torch.tensor(args[k], dtype=torch.float64, requires_grad=True)
        return made

    def plain(*args: Any) -> Any:
        with torch.no_grad():
            return own(function(*tensors(args, floats_of(args))).numpy())

    def value_and_pullback(*args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        active = floats_of(args)
        with torch.enable_grad():
            inputs = tensors(args, active)
            value = function(*inputs)

        def pullback(bar: Any) -> tuple[Any, ...]:
            items: list[Any] = [None] * len(args)
            grads = torch.autograd.grad(
                value,
                [inputs[k] for k in active],
                torch.as_tensor(bar, dtype=value.dtype),
                retain_graph=True,
                allow_unused=True,
            )
            for k, grad in zip(active, grads, strict=True):
                items[k] = None if grad is None else own(grad.numpy())
            return tuple(items)

        return own(value.detach().numpy()), pullback

    plain.__name__ = getattr(function, "__name__", "torch_function")
    return register_vjp(Primitive(plain), value_and_pullback)
