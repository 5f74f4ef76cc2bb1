"""Which places of a padded batch are real."""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, longest: int | None = None) -> Tensor:
    """Mark what lies behind the end of each row.

    Args:
        lengths: (B,) real places per row.
        longest: places per row with padding, T; the greatest of `lengths` if left out, which on a GPU waits for it.

    Returns:
        (B, T) is_padding.
    """
    places = int(lengths.max()) if longest is None else longest
    return torch.arange(places, device=lengths.device) >= lengths.unsqueeze(1)


def masked_mean(values: Tensor, is_padding: Tensor) -> Tensor:
    """Average over real places only, in float32.

    Args:
        values: (B, T) or (B, T, C).
        is_padding: (B, T); not all of it True.

    Returns:
        () mean over the real places and, where there are any, their channels.
    """
    values = values.float()
    if values.dim() == 3:
        values = values.mean(dim=2)
    # Not a product with the mask: what stands on padding may be anything, infinity included.
    return values.masked_fill(is_padding, 0.0).sum() / (~is_padding).sum()
