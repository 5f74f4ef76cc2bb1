"""Languages of a voice and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
