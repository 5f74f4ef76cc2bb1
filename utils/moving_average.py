"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """An exponential moving average of a network's parameters; its buffers, as far as they are saved, are the latest.

    The decay of step n is at most (1 + n) / (10 + n), so that the average soon forgets the untrained network.

    Args:
        network: to average; its present weights are the first average.
        decay: weight of the average against the network's own weights at each step.

    Attributes:
        network: the average, without gradients.
        n_updates: number of steps averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.n_updates = 0
        self._decay = decay
        # Frozen parameters keep their value to the bit.
        self._learning = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        # Others are derived, and may grow, as a table of positions does: each network has its own.
        saved = network.state_dict().keys()
        self._buffers = [name for name, _ in network.named_buffers() if name in saved]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the network's weights after a step."""
        share = 1.0 - min(self._decay, (1 + self.n_updates) / (10 + self.n_updates))
        averages, latest_ones = dict(self.network.named_parameters()), dict(network.named_parameters())
        if self._learning:
            torch._foreach_lerp_(
                [averages[name] for name in self._learning], [latest_ones[name] for name in self._learning], share
            )
        own, latest = dict(self.network.named_buffers()), dict(network.named_buffers())
        for name in self._buffers:
            own[name].copy_(latest[name])
        self.n_updates += 1
