"""Noise for a decoder: what the text does not determine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SEED = 0
_N_FRAMES = 2**14  # of the table
SPREAD = 7919
"""A prime: texts that differ by little get places far apart."""


class DecoderNoise(nn.Module):
    """Add Gaussian noise, projected, to each frame of a decoder's input.

    A least-error model predicts the mean of all mels that a text could have, which is smooth; noise is what a model
    trained against a discriminator can make one of them from (as StyleGAN, arXiv:1812.04948, section 3.2). It comes
    from a fixed table, by the absolute frame and a place per utterance: the same text always gets the same noise, alone
    or in a batch. The projection begins at 0, where a model without noise left off.

    Args:
        size: values per frame.
        hidden_size: D.
    """

    table: Tensor

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        noise = torch.randn(_N_FRAMES, size, generator=torch.Generator().manual_seed(_SEED))
        self.register_buffer("table", noise, persistent=False)
        self.projection = nn.Linear(size, hidden_size, bias=False)
        nn.init.zeros_(self.projection.weight)

    def forward(self, frames: Tensor, is_padding: Tensor, places: Tensor) -> Tensor:
        """Add noise.

        Args:
            frames: (B, T_mel, D).
            is_padding: (B, T_mel).
            places: (B,) whole numbers, which row of the table each utterance begins with.

        Returns:
            (B, T_mel, D), unchanged on padding.
        """
        rows = (places.unsqueeze(1) + torch.arange(frames.shape[1], device=places.device)) % _N_FRAMES
        noise: Tensor = self.projection(self.table[rows]).masked_fill(is_padding.unsqueeze(2), 0.0)
        return frames + noise

    @staticmethod
    def places(phoneme_ids: Tensor) -> Tensor:
        """Return a place for each text, (B,) of (B, T_text); padding, which is 0, makes no difference."""
        return (phoneme_ids * torch.arange(1, phoneme_ids.shape[1] + 1, device=phoneme_ids.device)).sum(1) * SPREAD
