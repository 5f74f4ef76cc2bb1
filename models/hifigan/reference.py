"""Reference implementation of HiFi-GAN's generator in torch's own layers, to compare speed with."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hifigan.network import LAST_SLOPE, LEAKY_SLOPE, Generator


class PlainGenerator(nn.Module):
    """The generator with weight norm folded, eager and time last.

    Args:
        generator: whose weights to take.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.first, self.last = generator.conv_pre.plain(), generator.conv_post.plain()
        self.upsamplings, self.stages = nn.ModuleList(), nn.ModuleList()
        for upsampling, blocks in generator.stages():
            self.upsamplings.append(upsampling.plain())
            self.stages.append(
                nn.ModuleList(
                    nn.ModuleList(nn.ModuleList(layer.plain() for layer in layers) for layers in block.layers())
                    for block in blocks
                )
            )

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) waveforms of (B, M, T_mel) log-mels."""
        x = self.first(mel)
        for upsampling, blocks in zip(self.upsamplings, self.stages, strict=True):
            x = upsampling(F.leaky_relu(x, LEAKY_SLOPE))
            outputs = [_residual_block(cast(nn.ModuleList, block), x) for block in cast(nn.ModuleList, blocks)]
            x = torch.stack(outputs).sum(dim=0) / len(outputs)
        return torch.tanh(self.last(F.leaky_relu(x, LAST_SLOPE))).squeeze(1)


def _residual_block(block: nn.ModuleList, x: Tensor) -> Tensor:
    for layers in block:
        y = x
        for layer in cast(nn.ModuleList, layers):
            y = layer(F.leaky_relu(y, LEAKY_SLOPE))
        x = y + x
    return x
