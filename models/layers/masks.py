"""Padding masks, and means over real positions."""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, longest: int | None = None) -> Tensor:
    """Return True after the end of each row.

    Args:
        lengths: (B,) real positions per row.
        longest: T, with padding; the maximum of `lengths` if left out, which on a GPU synchronizes.

    Returns:
        (B, T) is_padding.
    """
    n_positions = int(lengths.max()) if longest is None else longest
    return torch.arange(n_positions, device=lengths.device) >= lengths.unsqueeze(1)


def masked_mean(values: Tensor, is_padding: Tensor) -> Tensor:
    """Average over real positions only, in float32.

    Args:
        values: (B, T) or (B, T, C).
        is_padding: (B, T); not all of it True.

    Returns:
        () mean over the real positions and, if there are any, their channels.
    """
    values = values.float()
    if values.dim() == 3:
        values = values.mean(dim=2)
    # Not a product with the mask: padding may hold anything, infinity included.
    return values.masked_fill(is_padding, 0.0).sum() / (~is_padding).sum()
