"""Languages of speakers, as rows of an embedding table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SpokenLanguages:
    """The languages of a voice.

    Attributes:
        names: their codes, in the order of the table's rows.
        of_speakers: the row of each speaker's language, in the order of the speakers' rows.
    """

    names: tuple[str, ...]
    of_speakers: tuple[int, ...]

    @classmethod
    def of(cls, speakers: Mapping[str, int], languages: Mapping[str, str], default: str) -> SpokenLanguages:
        """Return the languages of speakers, of whom `languages` names those with another than `default`."""
        spoken = [languages.get(name, default) for name in sorted(speakers, key=lambda name: speakers[name])]
        names = tuple(sorted(set(spoken)))
        return cls(names, tuple(names.index(language) for language in spoken))

    def row(self, language: str, speaker_id: int) -> int:
        """Return the row of a language; that of the speaker's own where no speaker speaks it."""
        return self.names.index(language) if language in self.names else self.of_speakers[speaker_id]


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
