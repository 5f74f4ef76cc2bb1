"""ConvNeXt blocks over time (arXiv:2201.03545, section 2.6), in one dimension as in Vocos (arXiv:2306.00814)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.conv1d import Conv1d
from models.layers.depthwise import DepthwiseConv1d
from models.layers.dropout import Dropout

_FIRST_SCALE = 0.2  # of what a block adds to its input


class ConvNeXtBlock(CheckpointedBlock):
    """Depthwise convolution over time, layer norm, and a two-layer perceptron, added to the input.

    Normalises over channels: no frame depends on others than those under its kernel. The perceptron computes in the
    data type of its weights, everything else in that of the input.

    Args:
        hidden_size: channels D.
        inner_size: channels within the perceptron.
        kernel_size: frames under the depthwise convolution; odd.
        dropout: probability, on what is added to the input.
    """

    def __init__(self, hidden_size: int, inner_size: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv1d(hidden_size, kernel_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.expand = nn.Linear(hidden_size, inner_size)
        self.contract = nn.Linear(inner_size, hidden_size)
        self.scale = nn.Parameter(torch.full((hidden_size,), _FIRST_SCALE))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, is_padding: Tensor | None = None) -> Tensor:
        """Transform (B, T, D) frames; `is_padding`, (B, T, 1), is where they count as 0 and the output is undefined."""
        if is_padding is not None:
            x = x.masked_fill(is_padding, 0.0)
        y = self.norm(self.depthwise(x)).to(self.expand.weight.dtype)
        y = self.dropout(self.contract(F.gelu(self.expand(y)))).to(x.dtype)
        return torch.addcmul(x, self.scale, y)


class ConvNeXtStack(nn.Module):
    """A convolution, ConvNeXt blocks and a last layer norm.

    Args:
        in_channels: of the input.
        hidden_size: channels D of the blocks.
        inner_size: channels within their perceptrons.
        n_blocks: how many.
        kernel_size: frames under each convolution; odd.
    """

    def __init__(
        self, in_channels: int, hidden_size: int, inner_size: int, n_blocks: int, *, kernel_size: int = 7
    ) -> None:
        super().__init__()
        self.input = Conv1d(in_channels, hidden_size, kernel_size)
        self.input_norm = nn.LayerNorm(hidden_size)
        self.blocks = nn.ModuleList(ConvNeXtBlock(hidden_size, inner_size, kernel_size) for _ in range(n_blocks))
        self.output_norm = nn.LayerNorm(hidden_size)
        self.reach_frames = (kernel_size // 2) * (n_blocks + 1)
        """How many frames before and after its own an output depends on."""

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, T, in_channels) to (B, T, D)."""
        x = self.input_norm(self.input(x))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.output_norm(x)
        return normed


class ConvNeXtEncoder(nn.Module):
    """ConvNeXt blocks and a last layer norm, as encoder over phones or decoder over frames of several utterances.

    Args:
        n_layers: blocks.
        hidden_size: channels D; this and the rest are those of `ConvNeXtBlock`.
    """

    def __init__(self, n_layers: int, hidden_size: int, *, inner_size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(hidden_size, inner_size, kernel_size, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), 0 on padding, of a (B, T, D) input; `is_padding` is (B, T)."""
        is_padding = is_padding.unsqueeze(2)
        for block in self.blocks:
            x = block(x, is_padding)
        normed: Tensor = self.norm(x)
        return normed.masked_fill(is_padding, 0.0)
