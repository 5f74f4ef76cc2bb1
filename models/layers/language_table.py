"""Languages of speakers, as rows of an embedding table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.spoken_languages import SpokenLanguages


class LanguageTable(nn.Module):
    """A learned vector per language.

    Args:
        languages: of the voice.
        size: of the vectors.
    """

    of_speakers: Tensor

    def __init__(self, languages: SpokenLanguages, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(languages.names), size)
        # Not saved: every bundle holds the speakers' languages.
        self.register_buffer("of_speakers", torch.tensor(languages.of_speakers), persistent=False)

    def forward(self, speaker_ids: Tensor, language_ids: Tensor | None = None) -> Tensor:
        """Return the (B, size) vectors of (B,) languages; of the speakers' own where there are none."""
        ids = self.of_speakers[speaker_ids] if language_ids is None else language_ids
        vectors: Tensor = self.embedding(ids)
        return vectors
