"""Self-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.conv1d import Conv1d


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
        hidden_size: D, a multiple of `n_heads`.
        n_heads: H.
    """

    def __init__(self, hidden_size: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_queries_keys_values = Conv1d(hidden_size, 3 * hidden_size)
        self.to_output = Conv1d(hidden_size, hidden_size)
        for weight in self.to_queries_keys_values.weight.data.chunk(3):  # three matrices, each with its own fan-out
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.to_output.weight)
        nn.init.zeros_(self.to_queries_keys_values.bias)
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
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (B, T, 3, H, D/H) -> 3 x (B, H, T, D/H)
        if qkv.device.type == "cpu" and qkv.dtype != torch.float32:
            attended = _matmul_attention(queries, keys, values, bias)
        else:
            attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(qkv.dtype))
        projected: Tensor = self.to_output(attended.transpose(1, 2).flatten(2))
        return projected


def _matmul_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    # torch's fused attention for CPU computes half-precision gradients 2.5 times slower than these matrix products.
    # Without autocast nothing is cast: softmax accumulates in float32 for any input dtype.
    with torch.autocast("cpu", enabled=False):
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        return torch.softmax(scores.add_(bias.to(scores.dtype)), dim=-1) @ values
