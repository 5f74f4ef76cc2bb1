"""Multi-period discriminator (HiFi-GAN, arXiv:2010.05646, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from models.layers.discriminator import DiscriminatorOutput, Discriminators, DiscriminatorStack, Layer
from models.layers.normed_convolution import WeightNormed

CHANNELS = (32, 128, 512, 1024, 1024)
PERIODS = (2, 3, 5, 7, 11)


class PeriodDiscriminator(DiscriminatorStack):
    """Scores every `period`-th sample as a sequence of its own."""

    def __init__(self, period: int, channels: Sequence[int], channel_divisor: int, leaky_slope: float) -> None:
        layers = [Layer(width, kernel_size=5, stride=3) for width in channels[:-1]]
        layers.append(Layer(channels[-1], kernel_size=5))
        # The published discriminators convolve planes of width `period` with kernels of width 1.
        super().__init__(layers, WeightNormed, channel_divisor=channel_divisor, leaky_slope=leaky_slope, is_plane=True)
        self.period = period

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Score (B, T_wav) waveforms."""
        missing = -waveform.shape[1] % self.period
        padded = F.pad(waveform, (0, missing), mode="reflect") if missing else waveform
        columns = padded.unflatten(1, (-1, self.period)).transpose(1, 2)  # (B, T_wav) -> (B, period, T_wav / period)
        return self.score(columns.reshape(-1, 1, columns.shape[2]))


class MultiPeriodDiscriminator(Discriminators):
    """One discriminator for each period.

    Args:
        periods: in samples.
        channels: of each discriminator's layers.
        channel_divisor: divides `channels`.
        leaky_slope: of the leaky ReLUs.
    """

    def __init__(
        self,
        periods: Sequence[int],
        channels: Sequence[int] = CHANNELS,
        *,
        channel_divisor: int = 1,
        leaky_slope: float = 0.1,
    ) -> None:
        super().__init__(PeriodDiscriminator(period, channels, channel_divisor, leaky_slope) for period in periods)
