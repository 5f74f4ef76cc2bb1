"""Structural similarity of mels."""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.masks import padding_mask

_WINDOW, _DEVIATION = 11, 1.5  # of the Gaussian window, as published
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2


def structural_similarity(predicted: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean SSIM over real frames of each pair of mels, both scaled to [0, 1].

    Z. Wang and others, "Image Quality Assessment", IEEE Transactions on Image Processing 13(4), 2004, section III-B.
    Beyond the edges of a mel lie zeros, wherever its row ends.

    Args:
        predicted: (B, M, T_mel).
        target: (B, M, T_mel).
        lengths: (B,) real frames.

    Returns:
        (B,), from -1 to 1.
    """
    is_padding = padding_mask(lengths, target.shape[2]).unsqueeze(1)
    # float32: variances are small differences of squares.
    with torch.autocast(target.device.type, enabled=False):
        x, y = (_scaled(mel.float(), is_padding) for mel in (predicted, target))
        products = torch.stack([x, y, x * x, y * y, x * y])
        mean_x, mean_y, xx, yy, xy = _blur(x.shape[1], x) @ products @ _blur(x.shape[2], x)
        luminance = (2.0 * mean_x * mean_y + _LUMINANCE) / (mean_x**2 + mean_y**2 + _LUMINANCE)
        deviations = (xx - mean_x**2) + (yy - mean_y**2)
        contrast = (2.0 * (xy - mean_x * mean_y) + _CONTRAST) / (deviations + _CONTRAST)
        similarity: Tensor = (luminance * contrast).masked_fill(is_padding, 0.0).sum(dim=(1, 2))
        return similarity / (lengths * target.shape[1])


def _scaled(mel: Tensor, is_padding: Tensor) -> Tensor:
    """Return (B, M, T_mel) mels from 0 to 1 over their real frames, and 0 on padding."""
    low = mel.masked_fill(is_padding, float("inf")).amin(dim=(1, 2), keepdim=True)
    high = mel.masked_fill(is_padding, float("-inf")).amax(dim=(1, 2), keepdim=True)
    return ((mel - low) / (high - low).clamp_min(1e-5)).masked_fill(is_padding, 0.0)


def _blur(length: int, like: Tensor) -> Tensor:
    """Return the (length, length) matrix that convolves with the window along an axis: much faster than one channel."""
    places = torch.arange(length, device=like.device)
    distance = (places.unsqueeze(0) - places.unsqueeze(1)).to(like.dtype)
    taps = torch.arange(_WINDOW, device=like.device) - _WINDOW // 2
    total = torch.exp(-(taps**2) / (2 * _DEVIATION**2)).sum()
    window = torch.exp(-(distance**2) / (2 * _DEVIATION**2)) / total
    return window.masked_fill(distance.abs() > _WINDOW // 2, 0.0)
