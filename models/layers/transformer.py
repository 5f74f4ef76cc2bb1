"""Feed-forward Transformer of FastSpeech."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from models.layers.attention import SelfAttention, attention_bias
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between them, in place of the Transformer's two linear layers.

    Args:
        hidden_size: D.
        filter_size: channels between the convolutions.
        kernel_sizes: of the two convolutions.
    """

    def __init__(self, hidden_size: int, filter_size: int, kernel_sizes: tuple[int, int]) -> None:
        super().__init__()
        self.widen = Conv1d(hidden_size, filter_size, kernel_sizes[0], relu=True)
        self.narrow = Conv1d(filter_size, hidden_size, kernel_sizes[1])
        self._narrow_needs_mask = kernel_sizes[1] > 1

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), undefined on padding, of a (B, T, D) input; `is_padding` is (B, T, 1)."""
        wide = self.widen(x, is_padding)
        narrowed: Tensor = self.narrow(wide, is_padding if self._narrow_needs_mask else None)
        return narrowed


class TransformerBlock(CheckpointedBlock):
    """A block of the feed-forward Transformer: attention, then convolutions, each with a residual connection.

    FastSpeech (arXiv:1905.09263, section 3.1).

    Args:
        hidden_size: D.
        n_heads: attention heads.
        filter_size: channels between the two convolutions.
        kernel_sizes: of the two convolutions.
        dropout: probability, on the outputs of attention and convolutions.
        norm_first: pre-norm; else post-norm, as in the paper.
        attention: the layer to attend with; None for `SelfAttention` of `n_heads`.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        n_heads: int,
        filter_size: int,
        kernel_sizes: tuple[int, int],
        dropout: float,
        norm_first: bool,
        attention: SelfAttention | None = None,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = attention or SelfAttention(hidden_size, n_heads)
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.feed_forward = FeedForward(hidden_size, filter_size, kernel_sizes)
        self.feed_forward_norm = nn.LayerNorm(hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), undefined on padding, of a (B, T, D) input.

        Args:
            x: (B, T, D).
            bias: (B, 1, 1, T) from `attention_bias`.
            is_padding: (B, T, 1).
        """
        if self.norm_first:
            x = x + self.dropout(self.attention(self.attention_norm(x), bias))
            x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x), is_padding))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, bias)))
            x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x, is_padding)))
        return x


class FeedForwardTransformer(nn.Module):
    """A stack of blocks, as encoder over phones or decoder over frames.

    Args:
        n_layers: blocks.
        hidden_size: D; this and the rest are those of `TransformerBlock`.
        make_attention: returns the layer of a block to attend with; None for `SelfAttention` of `n_heads`.
    """

    def __init__(
        self,
        n_layers: int,
        hidden_size: int,
        *,
        n_heads: int,
        filter_size: int,
        kernel_sizes: tuple[int, int],
        dropout: float,
        norm_first: bool,
        make_attention: Callable[[], SelfAttention] | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(
                hidden_size,
                n_heads=n_heads,
                filter_size=filter_size,
                kernel_sizes=kernel_sizes,
                dropout=dropout,
                norm_first=norm_first,
                attention=make_attention() if make_attention else None,
            )
            for _ in range(n_layers)
        )
        # Pre-norm leaves the last sum unnormalised.
        self.norm = nn.LayerNorm(hidden_size) if norm_first else nn.Identity()

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        """Return (B, T, D), 0 on padding, of a (B, T, D) input; `is_padding` is (B, T)."""
        bias, is_padding = attention_bias(is_padding), is_padding.unsqueeze(2)
        for block in self.blocks:
            x = block(x, bias, is_padding)
        x = self.norm(x)
        return x.masked_fill(is_padding, 0.0)
