"""Dropout that is cheap on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Set random values to zero in training and scale up the rest, so that the expected value stays.

    torch draws one random number per value, which on a CPU takes six times as long as the rest and was a tenth of a
    training step. Here one 64-bit draw decides over eight values, so the probability is rounded to a multiple of 1/256.
    On other devices this is torch's dropout.

    Args:
        p: probability of a value to be zeroed, from 0 to below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._dropped_levels = min(round(p * _LEVELS), _LEVELS - 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        is_kept = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= self._dropped_levels
        return x * is_kept * (_LEVELS / (_LEVELS - self._dropped_levels))

    def extra_repr(self) -> str:
        return f"p={self.p}"
