"""torchdiffeq: backpropagation through dopri5, and its continuous adjoint."""

from collections.abc import Callable
from typing import Any

import torch
import torchdiffeq

from ..problem import Problem
from . import Variant

PACKAGES = ("torchdiffeq",)
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class LotkaVolterra(torch.nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(torch.tensor(problem.p))

    def forward(self, t: Any, x: Any) -> Any:
        a, b, c, d = self.p.unbind(-1)
        x, y = x.unbind(-1)
        return torch.stack([a * x - b * x * y, -c * y + d * x * y], -1)


class NeuralODE(torch.nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(torch.tensor(problem.p))
        self.hidden = problem.data["hidden"]

    def forward(self, t: Any, u: Any) -> Any:
        first, bias, second, offset = torch.split(self.p, [2 * self.hidden, self.hidden, 2 * self.hidden, 2])
        return second.view(2, -1) @ torch.tanh(first.view(2, -1).T @ (u * u * u) + bias) + offset


MODELS = {"lotka_volterra": LotkaVolterra, "ensemble": LotkaVolterra, "neural_ode": NeuralODE}


def variants(problem: Problem) -> list[Variant]:
    kinds = ["solve", "backpropagation", "adjoint"]
    return [Variant("dopri5", kind) for kind in kinds] if problem.name in MODELS else []


def build(problem: Problem, variant: Variant) -> Callable[[float, float], tuple[Any, Any]]:
    model, t_eval = MODELS[problem.name](problem), torch.tensor(problem.t_eval)
    x0 = torch.tensor(problem.x0).expand(*problem.p.shape[:-1], -1)
    target = torch.as_tensor(problem.loss.target)
    odeint = torchdiffeq.odeint_adjoint if variant.kind == "adjoint" else torchdiffeq.odeint

    def losses(rtol: float, atol: float) -> Any:
        """One per member: all members share their steps."""
        y = odeint(model, x0, t_eval, rtol=rtol, atol=atol, method="dopri5").movedim(0, -1)
        return problem.loss.weight * ((y - target) ** 2).sum((-2, -1))

    def solve(rtol: float, atol: float) -> tuple[Any, None]:
        with torch.no_grad():
            return losses(rtol, atol).numpy(), None

    def gradient(rtol: float, atol: float) -> tuple[Any, Any]:
        model.p.grad = None
        values = losses(rtol, atol)
        values.sum().backward()
        return values.detach().numpy(), model.p.grad.numpy()

    return solve if variant.kind == "solve" else gradient
