"""HiFi-GAN's two sets of discriminators (arXiv:2010.05646, section 2.3).

Each discriminator gives its judgement and its feature maps. Parameters are named as in the published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hifigan.network import LEAKY_SLOPE
from models.layers.convolve import convolve
from models.layers.normed_convolution import SpectralNormed, WeightNormed


class Judgement(NamedTuple):
    """What one discriminator makes of a batch of waveforms.

    Attributes:
        score: (B, ...) near 1 where it takes the waveform for real, near 0 for made.
        features: the activations of each layer, first dimension B; the last is the score itself.
    """

    score: Tensor
    features: list[Tensor]


class _Layer(NamedTuple):
    channels: int
    kernel_size: int
    stride: int
    groups: int


_PERIOD_LAYERS = (
    _Layer(32, 5, 3, 1),
    _Layer(128, 5, 3, 1),
    _Layer(512, 5, 3, 1),
    _Layer(1024, 5, 3, 1),
    _Layer(1024, 5, 1, 1),
)
_SCALE_LAYERS = (
    _Layer(128, 15, 1, 1),
    _Layer(128, 41, 2, 4),
    _Layer(256, 41, 2, 16),
    _Layer(512, 41, 4, 16),
    _Layer(1024, 41, 4, 16),
    _Layer(1024, 41, 1, 16),
    _Layer(1024, 5, 1, 1),
)


def _fresh(out_channels: int, in_channels: int, kernel: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Begin as torch's own convolutions do."""
    fan_in = in_channels * math.prod(kernel)
    bound = 1 / math.sqrt(fan_in)
    return (
        torch.empty(out_channels, in_channels, *kernel).uniform_(-bound, bound),
        torch.empty(out_channels).uniform_(-bound, bound),
    )


def _convolution(
    norm: type[WeightNormed] | type[SpectralNormed], in_channels: int, layer: _Layer, plane: bool
) -> nn.Module:
    # The published multi-period discriminators convolve planes of width `period` with kernels of width 1.
    kernel = (layer.kernel_size, 1) if plane else (layer.kernel_size,)
    return norm(*_fresh(layer.channels, in_channels // layer.groups, kernel))


class _ConvolutionStack(nn.Module):
    """Strided convolutions with a leaky ReLU after each, and a last one that gives the score."""

    def __init__(
        self,
        layers: Sequence[_Layer],
        norm: type[WeightNormed] | type[SpectralNormed],
        *,
        channel_divisor: int,
        plane: bool,
    ) -> None:
        super().__init__()
        self._layers = [layer._replace(channels=layer.channels // channel_divisor) for layer in layers]
        self.convs = nn.ModuleList()
        channels = 1
        for number, layer in enumerate(self._layers):
            groups = max(layer.groups // channel_divisor, 1) if number else 1
            self._layers[number] = layer = layer._replace(groups=groups)
            self.convs.append(_convolution(norm, channels, layer, plane))
            channels = layer.channels
        self._last = _Layer(1, 3, 1, 1)
        self.conv_post = _convolution(norm, channels, self._last, plane)

    def _judge(self, x: Tensor) -> Judgement:
        """Judge (N, 1, T); N is a multiple of B."""
        features = []
        for convolution, layer in zip(self.convs, self._layers, strict=True):
            x = self._convolve(x, convolution, layer, LEAKY_SLOPE)
            features.append(x)
        score = self._convolve(x, self.conv_post, self._last)
        return Judgement(score, [*features, score])

    def _convolve(self, x: Tensor, convolution: nn.Module, layer: _Layer, leaky_slope: float | None = None) -> Tensor:
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


class PeriodDiscriminator(_ConvolutionStack):
    """Hears every `period`-th sample as a sequence of its own."""

    def __init__(self, period: int, channel_divisor: int = 1) -> None:
        super().__init__(_PERIOD_LAYERS, WeightNormed, channel_divisor=channel_divisor, plane=True)
        self.period = period

    def forward(self, waveform: Tensor) -> Judgement:
        """Judge (B, T_wav) waveforms."""
        missing = -waveform.shape[1] % self.period
        padded = F.pad(waveform, (0, missing), mode="reflect") if missing else waveform
        columns = padded.unflatten(1, (-1, self.period)).transpose(1, 2)  # (B, T_wav) -> (B, period, T_wav / period)
        return self._judge(columns.reshape(-1, 1, columns.shape[2]))


class ScaleDiscriminator(_ConvolutionStack):
    """Hears the waveform at one sampling rate."""

    def __init__(self, norm: type[WeightNormed] | type[SpectralNormed], channel_divisor: int = 1) -> None:
        super().__init__(_SCALE_LAYERS, norm, channel_divisor=channel_divisor, plane=False)

    def forward(self, waveform: Tensor) -> Judgement:
        """Judge (B, T_wav) waveforms."""
        return self._judge(waveform.unsqueeze(1))


class MultiPeriodDiscriminator(nn.Module):
    """One discriminator for each period; (B, T_wav) in, a list of judgements out."""

    def __init__(self, periods: Sequence[int], channel_divisor: int = 1) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(PeriodDiscriminator(period, channel_divisor) for period in periods)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        return [discriminator(waveform) for discriminator in self.discriminators]


class MultiScaleDiscriminator(nn.Module):
    """Three discriminators, of the waveform and of its averages over 2 and 4 samples.

    After MelGAN (arXiv:1910.06711, section 2.2).
    """

    def __init__(self, channel_divisor: int = 1) -> None:
        super().__init__()
        norms = (SpectralNormed, WeightNormed, WeightNormed)
        self.discriminators = nn.ModuleList(ScaleDiscriminator(norm, channel_divisor) for norm in norms)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        judgements = []
        for number, discriminator in enumerate(self.discriminators):
            if number:
                waveform = F.avg_pool1d(waveform.unsqueeze(1), 4, 2, padding=2).squeeze(1)
            judgements.append(discriminator(waveform))
        return judgements
