"""HiFi-GAN's generator (arXiv:2010.05646, section 2.2 and appendix A.1).

Parameters are named as in the published checkpoints, so that these load without renaming.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bundle import Bundle
from models.hifigan.fast_generator import FastGenerator
from models.hifigan.settings import HiFiGANModelSettings, HiFiGANSettings
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.chunked_vocoder import ChunkedVocoder
from models.layers.weight_normed_convolution import WeightNormedConvolution, WeightNormedUpsampling

LEAKY_SLOPE = 0.1
LAST_SLOPE = 0.01  # of the activation before the last convolution, as in the published code
_leaky_relu = partial(F.leaky_relu, negative_slope=LEAKY_SLOPE)


class PairedResidualBlock(CheckpointedBlock):
    """Residual block "1": for each dilation a dilated convolution and a plain one."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            WeightNormedConvolution(channels, channels, kernel_size, dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(WeightNormedConvolution(channels, channels, kernel_size) for _ in dilations)

    def layers(self) -> Iterator[tuple[WeightNormedConvolution, ...]]:
        """Yield the convolutions of each residual sum."""
        for pair in zip(self.convs1, self.convs2, strict=True):
            yield cast("tuple[WeightNormedConvolution, ...]", pair)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = plain(_leaky_relu(dilated(_leaky_relu(x)))) + x
        return x


class SingleResidualBlock(CheckpointedBlock):
    """Residual block "2": one dilated convolution for each dilation."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            WeightNormedConvolution(channels, channels, kernel_size, dilation) for dilation in dilations
        )

    def layers(self) -> Iterator[tuple[WeightNormedConvolution, ...]]:
        """Yield the convolution of each residual sum."""
        for dilated in self.convs:
            yield (cast(WeightNormedConvolution, dilated),)

    def forward(self, x: Tensor) -> Tensor:
        for dilated in self.convs:
            x = dilated(_leaky_relu(x)) + x
        return x


ResidualBlock = PairedResidualBlock | SingleResidualBlock
_RESIDUAL_BLOCKS: dict[str, type[ResidualBlock]] = {
    "1": PairedResidualBlock,
    "2": SingleResidualBlock,
}


class Generator(nn.Module):
    """Generates a waveform from a mel: each stage upsamples, then averages residual blocks of several kernel sizes.

    Args:
        model: its settings.
        n_mel: mel bins.
    """

    def __init__(self, model: HiFiGANModelSettings, n_mel: int) -> None:
        super().__init__()
        self.hop_size = math.prod(model.upsample_rates)
        self._n_blocks = len(model.resblock_kernel_sizes)
        channels = model.upsample_initial_channel
        self.conv_pre = WeightNormedConvolution(n_mel, channels, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        block = _RESIDUAL_BLOCKS[model.resblock]
        for rate, kernel_size in zip(model.upsample_rates, model.upsample_kernel_sizes, strict=True):
            self.ups.append(WeightNormedUpsampling(channels, channels // 2, kernel_size, rate, more_at_end=True))
            channels //= 2
            for size, dilations in zip(model.resblock_kernel_sizes, model.resblock_dilation_sizes, strict=True):
                self.resblocks.append(block(channels, size, dilations))
        self.conv_post = WeightNormedConvolution(channels, 1, 7)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Generator:
        """Return the generator of a bundle, with its weights."""
        assert isinstance(bundle.settings, HiFiGANSettings)
        generator = cls(bundle.settings.model, bundle.settings.preprocess.n_mel)
        bundle.load_into(generator)
        return generator

    def forward(self, mel: Tensor) -> Tensor:
        """Generate the waveform of each log-mel.

        Args:
            mel: (B, M, T_mel).

        Returns:
            (B, T_mel * hop_size) in [-1, 1].
        """
        x = self.conv_pre(mel)
        for upsampling, blocks in self.stages():
            x = upsampling(_leaky_relu(x))  # (B, C, T) -> (B, C / 2, T * rate)
            x = torch.stack([block(x) for block in blocks]).mean(dim=0)
        x = self.conv_post(F.leaky_relu(x, LAST_SLOPE))
        return torch.tanh(x.float()).squeeze(1)

    def stages(self) -> list[tuple[WeightNormedUpsampling, list[ResidualBlock]]]:
        """Return each stage's upsampling and residual blocks, whose mean is the stage's output."""
        blocks = [cast(ResidualBlock, block) for block in self.resblocks]
        return [
            (cast(WeightNormedUpsampling, upsampling), blocks[stage * self._n_blocks : (stage + 1) * self._n_blocks])
            for stage, upsampling in enumerate(self.ups)
        ]

    @property
    def receptive_frames(self) -> int:
        """Frames before and after its own that a sample depends on."""
        reach = self.conv_post.padding  # in time steps, from the waveform back to the mel
        for upsampling, blocks in reversed(self.stages()):
            reach += max(sum(layer.padding for layers in block.layers() for layer in layers) for block in blocks)
            reach = -(-(reach + upsampling.kernel_size - 1 - upsampling.padding) // upsampling.rate)
        return reach + self.conv_pre.padding

    def for_inference(self, dtype: torch.dtype = torch.float32) -> ChunkedVocoder:
        """Return a vocoder with the current weights, in `dtype` (`models.contracts.VocoderNetwork`)."""
        generate = FastGenerator(
            self.conv_pre,
            [(upsampling, [list(block.layers()) for block in blocks]) for upsampling, blocks in self.stages()],
            self.conv_post,
            leaky_slope=LEAKY_SLOPE,
            last_slope=LAST_SLOPE,
            dtype=dtype,
        )
        return ChunkedVocoder(generate, hop_size=self.hop_size, receptive_frames=self.receptive_frames)
