"""Self-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout


def attention_bias(is_padding: Tensor) -> Tensor:
    """Return the additive attention mask for padding.

    Args:
        is_padding: (B, T).

    Returns:
        (B, 1, 1, T) 0 on real positions, minus infinity on padding.
    """
    bias = torch.zeros(is_padding.shape, device=is_padding.device).masked_fill(is_padding, float("-inf"))
    return bias[:, None, None, :]


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product self-attention (arXiv:1706.03762, section 3.2).

    Args:
        hidden_size: D.
        n_heads: H.
        head_size: width of a head; 0 for D / H, which is then whole.
        output_bias: whether the output has a bias.
        dropout: probability, on the weights of attention.
    """

    def __init__(
        self, hidden_size: int, n_heads: int, head_size: int = 0, output_bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        inner_size = n_heads * head_size or hidden_size
        self.to_queries_keys_values = Conv1d(hidden_size, 3 * inner_size)
        self.to_output = Conv1d(inner_size, hidden_size, bias=output_bias)
        self.dropout = Dropout(dropout)
        for weight in self.to_queries_keys_values.weight.data.chunk(3):  # three matrices, each with its own fan-out
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.to_output.weight)
        nn.init.zeros_(self.to_queries_keys_values.bias)
        if output_bias:
            nn.init.zeros_(self.to_output.bias)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend from every position to every real one.

        Args:
            x: (B, T, D).
            bias: (B, 1, 1, T) from `attention_bias`.

        Returns:
            (B, T, D).
        """
        qkv = self.to_queries_keys_values(x).unflatten(2, (3, self.n_heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (B, T, 3, H, head) -> 3 x (B, H, T, head)
        attended = attend(queries, keys, values, bias, self.dropout if self.training and self.dropout.p else None)
        projected: Tensor = self.to_output(attended.transpose(1, 2).flatten(2))
        return projected


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    dropout: nn.Module | None = None,
    scale: float | None = None,
) -> Tensor:
    """Average values by how well their keys match the queries.

    Args:
        queries: (B, H, T, C).
        keys: (B, H, T, C).
        values: (B, H, T, head).
        bias: added to the scores, from `attention_bias`.
        dropout: of the weights; None for none.
        scale: factor on the scores; None for C ** -0.5.

    Returns:
        (B, H, T, head).
    """
    if dropout is None and (queries.device.type != "cpu" or queries.dtype == torch.float32):
        bias = bias.to(queries.dtype)
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
    # torch's fused attention for CPU computes half-precision gradients 2.5 times slower than these matrix products.
    # Without autocast nothing is cast: softmax accumulates in float32 for any input dtype.
    with torch.autocast(queries.device.type, enabled=False):
        scores = (queries * (scale or queries.shape[-1] ** -0.5)) @ keys.transpose(-1, -2)
        weights = torch.softmax(scores.add_(bias.to(scores.dtype)), dim=-1)
        attended: Tensor = (weights if dropout is None else dropout(weights)) @ values
        return attended
