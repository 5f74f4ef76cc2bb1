"""Embeddings of speakers: a learned table, a projection of fixed speaker embeddings, or none."""

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


class NoSpeakers(nn.Module):
    """Return zeros for every speaker; called like `nn.Embedding`."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size

    def forward(self, speaker_ids: Tensor) -> Tensor:
        """Return (B, D) zeros for (B,) speaker ids."""
        return torch.zeros(len(speaker_ids), self.hidden_size, device=speaker_ids.device)


def speaker_table(
    n_speakers: int, hidden_size: int, speaker_embeddings: Tensor | None, conditioning: str = "table"
) -> nn.Module:
    """Return a module from (B,) speaker ids to (B, D).

    An embedding table, a projection of speaker embeddings if there are any, or, with `conditioning` "none", zeros.
    """
    if conditioning == "none":
        return NoSpeakers(hidden_size)
    if speaker_embeddings is None:
        return nn.Embedding(n_speakers, hidden_size)
    return SpeakerProjection(speaker_embeddings, hidden_size)
