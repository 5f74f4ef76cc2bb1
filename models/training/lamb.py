"""LAMB: Adam whose step is scaled to each tensor's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lamb(Optimizer):
    """Layer-wise adaptive moments for large batches (arXiv:1904.00962, algorithm 2).

    A tensor's step is Adam's with decoupled weight decay, times the trust ratio: the tensor's norm over that of the
    step; 1 where either is 0.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        betas: decay of the gradients' mean and of their square.
        eps: added to the root of the mean square.
        weight_decay: share of the weights added to the step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None, "gradients are computed by the trainer"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1.0 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        n_steps = float(state["step"])
        root = (square / (1.0 - second**n_steps)).sqrt_().add_(group["eps"])
        update = (mean / (1.0 - first**n_steps)).div_(root).add_(parameter, alpha=group["weight_decay"])
        norm, update_norm = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(update)
        trust = torch.where((norm > 0) & (update_norm > 0), norm / update_norm, 1.0)
        parameter.sub_(update.mul_(trust), alpha=group["lr"])
