"""From phones to frames."""

from __future__ import annotations

import torch
from torch import Tensor


def expand(hidden: Tensor, durations: Tensor, longest: int | None = None) -> Tensor:
    """Repeat each phoneme's vector for as many frames as it lasts.

    The length regulator of FastSpeech (arXiv:1905.09263, section 3.2), for all phonemes at once.

    Args:
        hidden: (B, T_text, D) encoder output.
        durations: (B, T_text) whole frames per phoneme; 0 on padding.
        longest: T_mel where the caller knows it, as in training; else the longest row's total is looked up, which
            on a GPU waits for it.

    Returns:
        (B, T_mel, D), T_mel being the longest row's total or `longest`; 0 behind a row's end.

    Raises:
        ValueError: a row's durations add up to no frames; looked at only where `longest` is not given.
    """
    index, is_padding = frame_index(durations, longest)
    rows, phonemes, width = hidden.shape
    starts = torch.arange(rows, device=hidden.device).unsqueeze(1) * phonemes
    # One gather over all rows: its gradient is a plain indexed sum, nine times faster on CPU than that of `gather`.
    frames = hidden.reshape(rows * phonemes, width).index_select(0, (starts + index).flatten())
    return frames.view(rows, -1, width).masked_fill(is_padding.unsqueeze(2), 0.0)


def frame_index(durations: Tensor, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """Say which phoneme each frame belongs to.

    Args:
        durations: (B, T_text) whole frames per phoneme; 0 on padding.
        longest: T_mel where the caller knows it.

    Returns:
        (B, T_mel) index of the frame's phoneme, and (B, T_mel) is_padding, where the index means nothing.

    Raises:
        ValueError: a row's durations add up to no frames; looked at only where `longest` is not given.
    """
    ends = durations.cumsum(dim=1)
    if longest is None:
        shortest, longest = (int(length) for length in ends[:, -1].aminmax())
        if shortest < 1:
            raise ValueError("the durations of an utterance add up to no frames; it has no phones that last")
    frames = torch.arange(longest, device=durations.device).expand(len(durations), -1).contiguous()
    # right=True: a phoneme of 0 frames ends where it begins and is passed over.
    index = torch.searchsorted(ends, frames, right=True).clamp(max=durations.shape[1] - 1)
    return index, frames >= ends[:, -1:]
