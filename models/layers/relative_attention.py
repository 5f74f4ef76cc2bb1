"""Self-attention with relative positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.attention import attend
from models.layers.conv1d import Conv1d
from models.layers.positions import SinusoidalPositions


class RelativeSelfAttention(nn.Module):
    """Multi-head self-attention that scores how far positions lie apart, not where they are.

    Transformer-XL (arXiv:1901.02860, section 3.3, appendix A): query i scores key j by

        ((q_i + u) . k_j + (q_i + v) . W r(i - j)) / sqrt(D), r(d) the sines and cosines of the distance d

    Departures: distances reach both ways, and count from the position itself and not from the end of the batch, so
    that padding changes nothing. The second product is computed without a table of distances: by the angle sum of sine
    and cosine, z . r(i - j) is a product of z, rotated by i, and the absolute position j; so both products are one,
    of longer queries and keys.

    Args:
        hidden_size: D, even.
        n_heads: H, a divisor of D.
    """

    def __init__(self, hidden_size: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads, self.scale = n_heads, hidden_size**-0.5
        self.to_queries = Conv1d(hidden_size, hidden_size)
        self.to_keys_values = Conv1d(hidden_size, 2 * hidden_size, bias=False)
        self.to_output = Conv1d(hidden_size, hidden_size)
        self.distance_weight = nn.Parameter(torch.empty(n_heads, hidden_size // n_heads, hidden_size))
        self.content_bias = nn.Parameter(torch.empty(n_heads, 1, hidden_size // n_heads))
        self.distance_bias = nn.Parameter(torch.empty(n_heads, 1, hidden_size // n_heads))
        self.positions = SinusoidalPositions(hidden_size)
        for weight in (
            self.to_queries.weight.data,
            *self.to_keys_values.weight.data.chunk(2),
            self.to_output.weight.data,
            self.distance_weight.data.view(hidden_size, hidden_size),
            self.content_bias.data.view(n_heads, -1),
            self.distance_bias.data.view(n_heads, -1),
        ):
            nn.init.xavier_uniform_(weight)
        for layer in (self.to_queries, self.to_output):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend from every position to every real one.

        Args:
            x: (B, T, D).
            bias: (B, 1, 1, T) from `attention_bias`.

        Returns:
            (B, T, D).
        """
        queries = self.to_queries(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, head)
        keys, values = self.to_keys_values(x).unflatten(2, (2, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        positions = self.positions.rows(x.shape[1]).to(queries.dtype)  # (T, D), sines before cosines
        sine, cosine = positions.chunk(2, dim=1)
        of_sine, of_cosine = ((queries + self.distance_bias) @ self.distance_weight).chunk(2, dim=3)
        # sin(i - j) = sin i cos j - cos i sin j, cos(i - j) = cos i cos j + sin i sin j: what meets sin j, then cos j.
        rotated = (of_cosine * sine - of_sine * cosine, of_sine * sine + of_cosine * cosine)
        queries = torch.cat([queries + self.content_bias, *rotated], dim=3)
        keys = torch.cat([keys, positions.expand(*keys.shape[:2], -1, -1)], dim=3)
        attended = attend(queries, keys, values, bias, scale=self.scale)
        projected: Tensor = self.to_output(attended.transpose(1, 2).flatten(2))
        return projected
