"""Predictor of durations, pitch or energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout


class VariancePredictor(nn.Module):
    """Predict one value per position from the hidden sequence.

    FastSpeech 2 (arXiv:2006.04558, section 2.3): two convolutions, each followed by ReLU, normalisation and dropout,
    then a projection.

    Args:
        hidden_size: D.
        filter_size: width of the convolutions.
        kernel_size: of the convolutions, odd.
        dropout: probability, after each.
        initial_value: of the predictions, set as the projection's bias.
        size: values per position, for `vectors`.
    """

    make_convolution: ClassVar[Callable[..., nn.Module]] = Conv1d

    def __init__(
        self,
        hidden_size: int,
        *,
        filter_size: int,
        kernel_size: int,
        dropout: float,
        initial_value: float = 0.0,
        size: int = 1,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            self.make_convolution(width, filter_size, kernel_size, relu=True) for width in (hidden_size, filter_size)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(filter_size) for _ in self.convolutions)
        self.dropout = Dropout(dropout)
        self.to_value = Conv1d(filter_size, size)
        nn.init.constant_(self.to_value.bias, initial_value)

    def forward(self, hidden: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T) values, 0 on padding, of a (B, T, D) hidden sequence; `is_padding` is (B, T)."""
        return self.vectors(hidden, is_padding).squeeze(2).float().masked_fill(is_padding, 0.0)

    def vectors(self, hidden: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, size) values, undefined on padding, of a (B, T, D) hidden sequence; `is_padding` is (B, T)."""
        x = hidden
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(norm(convolution(x, is_padding.unsqueeze(2))))
        values: Tensor = self.to_value(x)
        return values
