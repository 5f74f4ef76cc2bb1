"""A GAN vocoder of three convolutions, for tests alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bundle import Bundle
from models.layers.chunked_vocoder import ChunkedVocoder
from models.layers.weight_normed_convolution import WeightNormedConvolution, WeightNormedUpsampling
from tests.support.conv_vocoder.settings import ConvVocoderSettings


class ConvVocoder(nn.Module):
    """A convolution over frames, one that makes samples of frames, and one over samples."""

    def __init__(self, channels: int, *, n_mel: int, hop_size: int) -> None:
        super().__init__()
        self.hop_size = hop_size
        self.first = WeightNormedConvolution(n_mel, channels, 3)
        self.upsampling = WeightNormedUpsampling(channels, channels, 2 * hop_size, hop_size)
        self.last = WeightNormedConvolution(channels, 1, 7)

    @classmethod
    def from_settings(cls, settings: ConvVocoderSettings) -> ConvVocoder:
        """Make a generator with random weights."""
        preprocess = settings.preprocess
        return cls(settings.model.channels, n_mel=preprocess.n_mel, hop_size=preprocess.hop_size)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> ConvVocoder:
        """Make the generator of a bundle, with its weights."""
        assert isinstance(bundle.settings, ConvVocoderSettings)
        network = cls.from_settings(bundle.settings)
        bundle.load_into(network)
        return network

    def forward(self, mel: Tensor) -> Tensor:
        """Args: mel: (B, M, T_mel). Returns: (B, T_mel * hop_size)."""
        x = F.leaky_relu(self.first(mel), 0.2)
        x = F.leaky_relu(self.upsampling(x), 0.2)  # (B, C, T_mel) -> (B, C, T_mel * hop_size)
        return torch.tanh(self.last(x).float()).squeeze(1)

    @property
    def receptive_frames(self) -> int:
        return self.first.padding + 2  # one more for each convolution over samples

    def for_inference(self, dtype: torch.dtype = torch.float32) -> ChunkedVocoder:
        return ChunkedVocoder.of_network(self, dtype, hop_size=self.hop_size, receptive_frames=self.receptive_frames)
