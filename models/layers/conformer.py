"""Conformer of DelightfulTTS: attention and convolutions in one block, conditioned on a vector."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.attention import attention_bias
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.conv1d import Conv1d
from models.layers.depthwise import DepthwiseConv1d
from models.layers.dropout import Dropout
from models.layers.relative_attention import RelativeSelfAttention
from models.layers.utterance_norm import UtteranceNorm

LEAKY_SLOPE = 0.3  # of all leaky ReLUs in the public code


class Conditioning(nn.Module):
    """Gate frames by their neighbours and a condition, as WaveNet's layers do.

    Args:
        hidden_size: D.
        condition_size: C of the condition.
        kernel_size: of the depthwise convolution, odd.
    """

    def __init__(self, hidden_size: int, condition_size: int, kernel_size: int) -> None:
        super().__init__()
        self.widen = Conv1d(hidden_size, 2 * hidden_size)
        self.depthwise = DepthwiseConv1d(2 * hidden_size, kernel_size)
        self.to_shift = Conv1d(condition_size, hidden_size)

    def forward(self, x: Tensor, is_padding: Tensor, condition: Tensor) -> Tensor:
        """Return (B, T, D) of a (B, T, D) input and a (B, 1, C) or (B, T, C) condition; `is_padding` is (B, T, 1)."""
        signal, gate = self.depthwise(self.widen(x).masked_fill(is_padding, 0.0)).chunk(2, dim=2)
        gated = (signal + F.softsign(self.to_shift(condition))) * torch.sigmoid(gate)
        summed: Tensor = (x + gated) * math.sqrt(0.5)
        return summed


class ConvolutionModule(nn.Module):
    """Gated pointwise convolution, depthwise convolution, norm, pointwise convolution.

    Args:
        hidden_size: D.
        kernel_size: of the depthwise convolution, odd.
        dropout: probability, on the output.
    """

    def __init__(self, hidden_size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.widen = Conv1d(hidden_size, 4 * hidden_size)
        self.depthwise = DepthwiseConv1d(2 * hidden_size, kernel_size)
        self.utterance_norm = UtteranceNorm(2 * hidden_size)
        self.narrow = Conv1d(2 * hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), undefined on padding, of a (B, T, D) input; `is_padding` is (B, T, 1)."""
        signal, gate = self.widen(self.norm(x)).chunk(2, dim=2)
        gated = (signal * F.leaky_relu(gate, LEAKY_SLOPE)).masked_fill(is_padding, 0.0)
        normed = self.utterance_norm(self.depthwise(gated), is_padding)
        narrowed: Tensor = self.dropout(self.narrow(F.leaky_relu(normed, LEAKY_SLOPE)))
        return narrowed


class ConformerFeedForward(nn.Module):
    """Layer norm, a convolution over neighbours, and a linear layer.

    Args:
        hidden_size: D.
        filter_size: channels between the two.
        kernel_size: of the convolution, odd.
        dropout: probability, after each.
    """

    def __init__(self, hidden_size: int, filter_size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.widen = Conv1d(hidden_size, filter_size, kernel_size)
        self.narrow = Conv1d(filter_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), undefined on padding, of a (B, T, D) input; `is_padding` is (B, T, 1)."""
        wide = self.dropout(F.leaky_relu(self.widen(self.norm(x), is_padding), LEAKY_SLOPE))
        narrowed: Tensor = self.dropout(self.narrow(wide))
        return narrowed


class ConformerBlock(CheckpointedBlock):
    """A block of DelightfulTTS (arXiv:2110.12612, section 2.3), as its public implementations have it.

    Conditioning, half a feed-forward layer, convolutions, relative self-attention, and convolutions again, each added
    to its input.

    Args:
        hidden_size: D, even.
        n_heads: attention heads, a divisor of D.
        filter_size: channels within the feed-forward layer.
        feed_forward_kernel_size: of its convolution, odd.
        kernel_size: of the depthwise convolutions, odd.
        dropout: probability, on the output of each part.
        condition_size: channels of the condition; 0 for a block without any.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        n_heads: int,
        filter_size: int,
        feed_forward_kernel_size: int = 3,
        kernel_size: int,
        dropout: float,
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        self.conditioning = Conditioning(hidden_size, condition_size, kernel_size) if condition_size else None
        self.feed_forward = ConformerFeedForward(hidden_size, filter_size, feed_forward_kernel_size, dropout)
        self.convolutions = ConvolutionModule(hidden_size, kernel_size, dropout)
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.attention = RelativeSelfAttention(hidden_size, n_heads)
        self.last_convolutions = ConvolutionModule(hidden_size, kernel_size, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, is_padding: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (B, T, D), undefined on padding, of a (B, T, D) input.

        Args:
            x: (B, T, D).
            bias: (B, 1, 1, T) from `attention_bias`.
            is_padding: (B, T, 1).
            condition: (B, 1, C) or (B, T, C), where the block has one.
        """
        if self.conditioning is not None:
            assert condition is not None, "a block made for a condition needs one"
            x = self.conditioning(x, is_padding, condition)
        x = x + 0.5 * self.feed_forward(x, is_padding)
        x = x + self.convolutions(x, is_padding)
        x = x + self.dropout(self.attention(self.attention_norm(x), bias))
        x = x + self.last_convolutions(x, is_padding)
        return x


class Conformer(nn.Module):
    """A stack of blocks, as encoder over phones or decoder over frames.

    Args:
        n_layers: blocks.
        make_block: returns a new one.
    """

    def __init__(self, n_layers: int, make_block: Callable[[], ConformerBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(make_block() for _ in range(n_layers))

    def forward(self, x: Tensor, is_padding: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (B, T, D), 0 on padding, of a (B, T, D) input and the blocks' condition; `is_padding` is (B, T)."""
        bias, is_padding = attention_bias(is_padding), is_padding.unsqueeze(2)
        for block in self.blocks:
            x = block(x, bias, is_padding, condition)
        return x.masked_fill(is_padding, 0.0)
