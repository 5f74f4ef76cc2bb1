"""Stacks of convolutions that discriminate real waveforms from generated ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.convolve import convolve
from models.layers.normed_convolution import SpectralNormed, WeightNormed

Norm = type[WeightNormed] | type[SpectralNormed]


class DiscriminatorOutput(NamedTuple):
    """The output of one discriminator for a batch of waveforms.

    Attributes:
        score: (B, ...) near 1 where it takes the waveform for real, near 0 for fake.
        features: the activations of each layer, first dimension B; the last is the score itself.
    """

    score: Tensor
    features: list[Tensor]


class Layer(NamedTuple):
    """The geometry of one convolution."""

    channels: int
    kernel_size: int
    stride: int = 1
    groups: int = 1


_LAST = Layer(channels=1, kernel_size=3)


class DiscriminatorStack(nn.Module):
    """Strided convolutions with a leaky ReLU after each, and a last one that gives the score.

    Parameters are named as in HiFi-GAN's published checkpoints.

    Args:
        layers: of the stack, without the last.
        norm: of the convolutions' weights.
        channel_divisor: the layers' channels and groups are divided by it.
        leaky_slope: of the leaky ReLUs.
        is_plane: whether weights have a last dimension of 1, as kernels over planes.
    """

    def __init__(
        self, layers: Sequence[Layer], norm: Norm, *, channel_divisor: int, leaky_slope: float, is_plane: bool
    ) -> None:
        super().__init__()
        self._leaky_slope = leaky_slope
        self._layers = []
        self.convs = nn.ModuleList()
        channels = 1
        for number, layer in enumerate(layers):
            groups = max(layer.groups // channel_divisor, 1) if number else 1
            layer = layer._replace(channels=layer.channels // channel_divisor, groups=groups)
            self._layers.append(layer)
            self.convs.append(_convolution(norm, channels, layer, is_plane))
            channels = layer.channels
        self.conv_post = _convolution(norm, channels, _LAST, is_plane)

    def score(self, x: Tensor) -> DiscriminatorOutput:
        """Score (N, 1, T); N is a multiple of B."""
        features = []
        for convolution, layer in zip(self.convs, self._layers, strict=True):
            x = _convolve(x, convolution, layer, self._leaky_slope)
            features.append(x)
        score = _convolve(x, self.conv_post, _LAST)
        return DiscriminatorOutput(score, [*features, score])


def score_planes(
    x: Tensor, convolutions: Iterable[nn.Module], last: nn.Module, leaky_slope: float
) -> DiscriminatorOutput:
    """Score (B, C, height, width) by convolutions with a leaky ReLU after each, and a last one without."""
    x, features = x.contiguous(memory_format=torch.channels_last), []  # faster on CPUs
    for convolution in convolutions:
        x = F.leaky_relu(convolution(x), leaky_slope)
        features.append(x)
    score = last(x)
    return DiscriminatorOutput(score, [*features, score])


class Discriminators(nn.Module):
    """Several discriminators, each of which scores the waveform in a form of its own."""

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, waveform: Tensor) -> list[DiscriminatorOutput]:
        """Score (B, T_wav) waveforms."""
        return [discriminator(waveform) for discriminator in self.discriminators]


def _convolution(norm: Norm, in_channels: int, layer: Layer, is_plane: bool) -> nn.Module:
    kernel = (layer.kernel_size, 1) if is_plane else (layer.kernel_size,)
    in_channels //= layer.groups
    bound = 1 / math.sqrt(in_channels * layer.kernel_size)  # as torch's own convolutions begin
    return norm(
        torch.empty(layer.channels, in_channels, *kernel).uniform_(-bound, bound),
        torch.empty(layer.channels).uniform_(-bound, bound),
    )


def _convolve(x: Tensor, convolution: nn.Module, layer: Layer, leaky_slope: float | None = None) -> Tensor:
    assert isinstance(convolution, WeightNormed | SpectralNormed)
    weight = convolution.weight.flatten(2)  # without the width of 1
    return convolve(
        x,
        weight,
        convolution.bias,
        stride=layer.stride,
        padding=layer.kernel_size // 2,
        groups=layer.groups,
        leaky_slope=leaky_slope,
    )
