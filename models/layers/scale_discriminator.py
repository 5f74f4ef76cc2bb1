"""Multi-scale discriminator (MelGAN, arXiv:1910.06711, section 2.2; here as HiFi-GAN has it)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from models.layers.discriminator import DiscriminatorOutput, Discriminators, DiscriminatorStack, Layer, Norm
from models.layers.normed_convolution import SpectralNormed, WeightNormed

LAYERS = (
    Layer(128, 15, stride=1, groups=1),
    Layer(128, 41, stride=2, groups=4),
    Layer(256, 41, stride=2, groups=16),
    Layer(512, 41, stride=4, groups=16),
    Layer(1024, 41, stride=4, groups=16),
    Layer(1024, 41, stride=1, groups=16),
    Layer(1024, 5, stride=1, groups=1),
)
_NORMS = (SpectralNormed, WeightNormed, WeightNormed)


class ScaleDiscriminator(DiscriminatorStack):
    """Scores the waveform at one sampling rate."""

    def __init__(self, norm: Norm, layers: Sequence[Layer], channel_divisor: int, leaky_slope: float) -> None:
        super().__init__(layers, norm, channel_divisor=channel_divisor, leaky_slope=leaky_slope, is_plane=False)

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Score (B, T_wav) waveforms."""
        return self.score(waveform.unsqueeze(1))


class MultiScaleDiscriminator(Discriminators):
    """Three discriminators, of the waveform and of its averages over 2 and 4 samples.

    Args:
        layers: of each discriminator.
        channel_divisor: divides the layers' channels and groups.
        leaky_slope: of the leaky ReLUs.
    """

    def __init__(self, layers: Sequence[Layer] = LAYERS, *, channel_divisor: int = 1, leaky_slope: float = 0.1) -> None:
        super().__init__(ScaleDiscriminator(norm, layers, channel_divisor, leaky_slope) for norm in _NORMS)

    def forward(self, waveform: Tensor) -> list[DiscriminatorOutput]:
        """Score (B, T_wav) waveforms."""
        outputs = []
        for number, discriminator in enumerate(self.discriminators):
            if number:
                waveform = F.avg_pool1d(waveform.unsqueeze(1), 4, 2, padding=2).squeeze(1)
            outputs.append(discriminator(waveform))
        return outputs
