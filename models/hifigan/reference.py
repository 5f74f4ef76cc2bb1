"""Reference implementation of HiFi-GAN's generator in torch's own layers, to compare speed with."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hifigan.network import LAST_SLOPE, LEAKY_SLOPE, Generator
from models.layers.weight_normed_convolution import WeightNormedConvolution

Layer = TypeVar("Layer", nn.Conv1d, nn.ConvTranspose1d)


class PlainGenerator(nn.Module):
    """The generator with weight norm folded, eager and time last.

    Args:
        generator: whose weights to take.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.first, self.last = _plain(generator.conv_pre), _plain(generator.conv_post)
        self.upsamplings, self.stages = nn.ModuleList(), nn.ModuleList()
        for upsampling, blocks in generator.stages():
            n_in, n_out, kernel_size = upsampling.weight.shape
            plain = nn.ConvTranspose1d(n_in, n_out, kernel_size, upsampling.rate, upsampling.padding)
            self.upsamplings.append(_with_weights(plain, upsampling.weight, upsampling.bias))
            self.stages.append(
                nn.ModuleList(
                    nn.ModuleList(nn.ModuleList(_plain(layer) for layer in layers) for layers in block.layers())
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


def _plain(convolution: WeightNormedConvolution) -> nn.Conv1d:
    n_out, n_in, kernel_size = convolution.weight.shape
    plain = nn.Conv1d(n_in, n_out, kernel_size, padding=convolution.padding, dilation=convolution.dilation)
    return _with_weights(plain, convolution.weight, convolution.bias)


def _with_weights(layer: Layer, weight: Tensor, bias: Tensor) -> Layer:
    assert layer.bias is not None
    layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
    return layer
