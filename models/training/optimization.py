"""Optimizers shared by tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from models.training.lamb import Lamb
from models.training.settings import AcousticTrainSettings, AdamTrainSettings
from utils.parameter_groups import learning_groups
from utils.task import Optimization


def adam(
    modules: Mapping[str, nn.Module],
    train: AdamTrainSettings,
    share: Callable[[int], float],
    eps: float = 1e-8,
) -> dict[str, Optimization]:
    """Return Adam over a task's module `network`, under the same name.

    Args:
        modules: of the task.
        train: its settings.
        share: maps optimizer steps done to the share of the learning rate.
        eps: Adam's epsilon.
    """
    return adam_over("network", modules, train, train.learning_rate, train.adam_betas, share, eps, train.ema_decay)


def acoustic_optimizer(
    modules: Mapping[str, nn.Module], train: AcousticTrainSettings, share: Callable[[int], float]
) -> dict[str, Optimization]:
    """Return the optimizer of an acoustic model's settings over the module `network`: Adam, AdamW or LAMB.

    Args:
        modules: of the task.
        train: its settings.
        share: maps optimizer steps done to the share of the learning rate.
    """
    if train.optimizer == "adam":
        return adam(modules, train, share, train.adam_eps)
    groups = learning_groups(modules, ("network",), train.lr_groups, train.learning_rate)
    rate, betas, eps, decay = train.learning_rate, train.adam_betas, train.adam_eps, train.weight_decay
    optimizer: torch.optim.Optimizer
    if train.optimizer == "lamb":
        optimizer = Lamb(groups, rate, betas, eps, decay)
    else:
        optimizer = torch.optim.AdamW(groups, rate, betas, eps, decay, fused=True)
    schedule = LambdaLR(optimizer, share)
    return {"network": Optimization(optimizer, ("network",), schedule, ema_decay=train.ema_decay)}


def adam_over(
    name: str,
    modules: Mapping[str, nn.Module],
    train: AdamTrainSettings,
    learning_rate: float,
    betas: tuple[float, float],
    share: Callable[[int], float],
    eps: float = 1e-8,
    ema_decay: float = 0.0,
) -> dict[str, Optimization]:
    """Return Adam over one of a task's modules, under the same name; arguments as those of `adam`."""
    optimizer = torch.optim.Adam(
        learning_groups(modules, (name,), train.lr_groups, learning_rate),
        lr=learning_rate,
        betas=betas,
        eps=eps,
        fused=True,  # three times as fast as a loop over parameters, on the CPU too
    )
    return {name: Optimization(optimizer, (name,), LambdaLR(optimizer, share), ema_decay=ema_decay)}
