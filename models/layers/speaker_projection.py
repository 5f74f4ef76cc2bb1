"""Embeddings of speakers: a learned table, or a projection of fixed speaker embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpeakerProjection(nn.Module):
    """Project fixed speaker embeddings to the hidden size; called like `nn.Embedding`.

    So similar speakers get similar vectors, unseen ones too.

    Args:
        speaker_embeddings: (n_speakers, E), of unit mean square.
        hidden_size: D.
    """

    speaker_embeddings: Tensor

    def __init__(self, speaker_embeddings: Tensor, hidden_size: int) -> None:
        super().__init__()
        # Not saved: every bundle holds them by the speakers' names.
        self.register_buffer("speaker_embeddings", speaker_embeddings.float(), persistent=False)
        self.projection = nn.Linear(speaker_embeddings.shape[1], hidden_size)
        nn.init.normal_(self.projection.weight, std=speaker_embeddings.shape[1] ** -0.5)

    def forward(self, speaker_ids: Tensor) -> Tensor:
        """Return the (B, D) vectors of (B,) speaker ids."""
        rows: Tensor = self.projection(torch.index_select(self.speaker_embeddings, 0, speaker_ids))
        return rows


def speaker_table(n_speakers: int, hidden_size: int, speaker_embeddings: Tensor | None) -> nn.Module:
    """Return a module from (B,) speaker ids to (B, D): an embedding table, or a projection of speaker embeddings."""
    if speaker_embeddings is None:
        return nn.Embedding(n_speakers, hidden_size)
    return SpeakerProjection(speaker_embeddings, hidden_size)
