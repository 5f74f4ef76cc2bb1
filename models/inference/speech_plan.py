"""Plans of speech: texts with front end, speaker and prosody resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.contracts import UNCHANGED, Prosody
from processors.text.phone_sequence import PhoneSequence


@dataclass(frozen=True)
class PlannedChunk:
    """A sentence, or a part of a long one, as one row of a batch.

    Attributes:
        sequence: T_text phones with their words; it ends in a pause.
        phoneme_ids: (T_text,) in the voice's symbol table.
    """

    sequence: PhoneSequence
    phoneme_ids: tuple[int, ...]


@dataclass(frozen=True)
class SpeechPlan:
    """A text ready for synthesis by the voice that planned it.

    Attributes:
        text: the input.
        chunks: at least one.
        speaker_id: row of the speaker table.
        prosody: a number per control.
    """

    text: str
    chunks: tuple[PlannedChunk, ...]
    speaker_id: int = 0
    prosody: Prosody = UNCHANGED

    @property
    def sequence(self) -> PhoneSequence:
        """The phones of the whole text."""
        return PhoneSequence.joined(chunk.sequence for chunk in self.chunks)

    def by_chunk(self) -> Iterator[SpeechPlan]:
        """Yield a plan for each chunk."""
        return (replace(self, chunks=(chunk,)) for chunk in self.chunks)
