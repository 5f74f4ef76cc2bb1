"""Reference implementation of UnivNet's generator in torch's own layers, to compare speed with."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.weight_normed_convolution import without_weight_norm
from models.univnet.network import LVC_KERNEL_SIZE, Block, UnivNet


class PlainUnivNet(nn.Module):
    """The generator with weight norm folded; windows unfolded and summed as the equation stands.

    Args:
        generator: whose weights to take.
    """

    def __init__(self, generator: UnivNet) -> None:
        super().__init__()
        self.network = without_weight_norm(generator)
        for block in cast(list[Block], self.network.res_stack):
            block.forward = _PlainBlock(block)  # type: ignore[method-assign]

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) waveforms of (B, M, T_mel) log-mels."""
        waveform: Tensor = self.network(mel)
        return waveform


class _PlainBlock:
    def __init__(self, block: Block) -> None:
        self._block = block

    def __call__(self, x: Tensor, mel: Tensor) -> Tensor:
        predictor = self._block.kernel_predictor
        hidden = predictor.input_conv(mel)
        for residual in predictor.residual_convs:
            hidden = hidden + residual(hidden)
        x = self._block.convt_pre(x)
        n_layers, channels, n_frames = len(self._block.conv_blocks), x.shape[1], mel.shape[2]
        weights = predictor.kernel_conv(hidden).unflatten(1, (n_layers, channels, 2 * channels, LVC_KERNEL_SIZE))
        biases = predictor.bias_conv(hidden).unflatten(1, (n_layers, 2 * channels))
        for number, layer in enumerate(self._block.conv_blocks):
            windows = F.pad(layer(x), (1, 1)).unfold(2, LVC_KERNEL_SIZE, 1).unflatten(2, (n_frames, -1))
            y = torch.einsum("bitsk,biokt->bots", windows, weights[:, number])
            gate, value = (y + biases[:, number].unsqueeze(3)).flatten(2).chunk(2, dim=1)
            x = x + torch.sigmoid(gate) * torch.tanh(value)
        return x
