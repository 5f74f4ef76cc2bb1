"""Embedding of pitch or energy by a convolution."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.conv1d import Conv1d


class ConvolvedValue(nn.Module):
    """The embedding of a value and its neighbours (arXiv:2006.06873, section 2.2)."""

    def __init__(self, hidden_size: int, kernel_size: int) -> None:
        super().__init__()
        self.convolution = Conv1d(1, hidden_size, kernel_size)

    def forward(self, values: Tensor) -> Tensor:
        """Return (B, T, D) of (B, T) values, 0 on padding."""
        embedded: Tensor = self.convolution(values.unsqueeze(2))
        return embedded
