"""Predictors of DelightfulTTS: separable convolutions over phones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.conformer import LEAKY_SLOPE
from models.layers.conv1d import Conv1d
from models.layers.depthwise import DepthwiseConv1d
from models.layers.variance_predictor import VariancePredictor


class SeparableConv1d(nn.Module):
    """A pointwise convolution, then a depthwise one.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: odd.
        relu: whether a leaky ReLU follows.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, relu: bool = False) -> None:
        super().__init__()
        self.pointwise = Conv1d(in_channels, out_channels)
        self.depthwise = DepthwiseConv1d(out_channels, kernel_size)
        self.relu = relu

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, out_channels), undefined on padding; `is_padding` is (B, T, 1)."""
        y = self.depthwise(self.pointwise(x).masked_fill(is_padding, 0.0))
        return F.leaky_relu(y, LEAKY_SLOPE) if self.relu else y


class SeparablePredictor(VariancePredictor):
    """A variance predictor with separable convolutions and leaky ReLUs."""

    make_convolution = SeparableConv1d
