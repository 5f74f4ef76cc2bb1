"""Weight-normed convolutions of vocoders."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.normed_convolution import WeightNormed

_INITIAL_STD = 0.01


class WeightNormedConvolution(WeightNormed):
    """A weight-normed convolution with "same" padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        weight = _initial_weight(out_channels, in_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, in_channels * kernel_size))
        self.dilation, self.padding = dilation, dilation * (kernel_size - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)


class WeightNormedUpsampling(WeightNormed):
    """A weight-normed transposed convolution that lengthens a sequence `rate` times."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, rate: int) -> None:
        weight = _initial_weight(in_channels, out_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, out_channels * kernel_size))
        self.kernel_size, self.rate, self.padding = kernel_size, rate, (kernel_size - rate) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.weight, self.bias, stride=self.rate, padding=self.padding)


def _initial_weight(*shape: int) -> Tensor:
    return torch.randn(shape) * _INITIAL_STD


def _initial_bias(channels: int, fan_in: int) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(channels).uniform_(-bound, bound)
