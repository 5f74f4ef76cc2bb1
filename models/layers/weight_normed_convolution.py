"""Weight-normed convolutions of vocoders."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.normed_convolution import WeightNormed

_INITIAL_STD = 0.01  # HiFi-GAN's `init_weights`


class WeightNormedConvolution(WeightNormed):
    """A weight-normed convolution from (B, in_channels, T) to (B, out_channels, T): "same" padding, odd kernel."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        weight = _initial_weight(out_channels, in_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, in_channels * kernel_size))
        self.dilation, self.padding = dilation, dilation * (kernel_size - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)


class WeightNormedUpsampling(WeightNormed):
    """A weight-normed transposed convolution from (B, in_channels, T) to (B, out_channels, T * rate).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: at least `rate`, both even or both odd.
        rate: upsampling factor, the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, rate: int) -> None:
        weight = _initial_weight(in_channels, out_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, out_channels * kernel_size))
        self.kernel_size, self.rate, self.padding = kernel_size, rate, (kernel_size - rate) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.weight, self.bias, stride=self.rate, padding=self.padding)


def _initial_weight(*shape: int) -> Tensor:
    return torch.randn(shape) * _INITIAL_STD


def _initial_bias(channels: int, fan_in: int) -> Tensor:
    # As `torch.nn.Conv1d`.
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(channels).uniform_(-bound, bound)
