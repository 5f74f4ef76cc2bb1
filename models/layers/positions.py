"""Positional encoding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """Add sines and cosines of the position.

    arXiv:1706.03762, section 3.5, with the sines in the first half of the channels and the cosines in the second. The
    table grows with the longest row.

    Args:
        hidden_size: D, even.
    """

    table: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.register_buffer("table", self._rows(1024), persistent=False)

    def forward(self, x: Tensor, first: int | Tensor = 0) -> Tensor:
        """Return the sum of (B, T, D) inputs and the positional encoding of T positions from `first` on."""
        if isinstance(first, Tensor):  # in an exported graph
            return x + self._rows(x.shape[1], first)
        return x + self.rows(first + x.shape[1])[first:]

    def rows(self, length: int) -> Tensor:
        """Return the (T, D) positional encoding of the first positions."""
        if torch.compiler.is_exporting():  # a table, or a choice of one, would fix the length
            return self._rows(length)
        table = self.table  # a local reference: another thread may replace it by one that is too short for these rows
        if length > len(table):
            table = self.table = self._rows(2 * length).to(table)
        return table[:length]

    def _rows(self, length: int, first: int | Tensor = 0) -> Tensor:
        channels = torch.arange(self.hidden_size // 2, dtype=torch.float64)
        frequencies = torch.exp(-math.log(10000.0) * channels / (self.hidden_size // 2))
        angles = (first + torch.arange(length, dtype=torch.float64)).unsqueeze(1) * frequencies
        # Not all runtimes of ONNX have the cosine of float64.
        cosines = (angles + math.pi / 2).sin() if torch.compiler.is_exporting() else angles.cos()
        return torch.cat([angles.sin(), cosines], dim=1).float()
