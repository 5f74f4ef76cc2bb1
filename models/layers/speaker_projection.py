"""Speakers by what their voices are like."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HeardSpeakers(nn.Module):
    """Give each speaker the projection of its voice, where a table would give it a vector of its own.

    So speakers alike are treated alike, and one that training has not heard is not without a place. Called like a
    table of vectors.

    Args:
        voices: (n_speakers, E) with components in the order of 1.
        hidden_size: D.
    """

    voices: Tensor

    def __init__(self, voices: Tensor, hidden_size: int) -> None:
        super().__init__()
        # Not among the weights: every bundle holds them by the speakers' names.
        self.register_buffer("voices", voices.float(), persistent=False)
        self.projection = nn.Linear(voices.shape[1], hidden_size)
        nn.init.normal_(self.projection.weight, std=voices.shape[1] ** -0.5)

    def forward(self, speaker_ids: Tensor) -> Tensor:
        """Args: speaker_ids: (B,). Returns: (B, D)."""
        rows: Tensor = self.projection(torch.index_select(self.voices, 0, speaker_ids))
        return rows
