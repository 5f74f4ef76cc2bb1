"""Normalisation over an utterance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-5


class UtteranceNorm(nn.Module):
    """Normalise each utterance by the mean and variance of its real frames.

    Group norm with one group (arXiv:1803.08494), or instance norm, with statistics that padding does not change.

    Args:
        channels: C.
        per_channel: whether each channel has its own mean and variance, as in instance norm.
    """

    def __init__(self, channels: int, per_channel: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.axes = (1,) if per_channel else (1, 2)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, C), undefined on padding, of a (B, T, C) input; `is_padding` is (B, T, 1)."""
        # float32: half precision does not hold a sum over thousands of values.
        with torch.autocast(x.device.type, enabled=False):
            count = (~is_padding).sum(dim=1, keepdim=True).clamp_min(1)
            if 2 in self.axes:
                count = count * x.shape[2]
            x = x.float().masked_fill(is_padding, 0.0)
            centred = x - x.sum(dim=self.axes, keepdim=True) / count
            squares = centred.square().masked_fill(is_padding, 0.0).sum(dim=self.axes, keepdim=True)
            return torch.addcmul(self.bias, centred * torch.rsqrt(squares / count + _EPSILON), self.weight)
