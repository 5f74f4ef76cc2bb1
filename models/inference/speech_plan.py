"""Plans of speech: what of a text is settled before any of it is synthesized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.contracts import UNCHANGED, Prosody
from processors.text.phone_sequence import PhoneSequence


@dataclass(frozen=True)
class PlannedChunk:
    """A sentence, or a part of a long one, that an acoustic model reads at once.

    Attributes:
        sequence: T_text phones with their words; it ends in a pause.
        phoneme_ids: (T_text,) their numbers in the voice's symbol table.
    """

    sequence: PhoneSequence
    phoneme_ids: tuple[int, ...]


@dataclass(frozen=True)
class SpeechPlan:
    """A text ready to be synthesized by the voice that made the plan.

    Attributes:
        text: as it was given.
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
        """Yield a plan of each chunk alone."""
        return (replace(self, chunks=(chunk,)) for chunk in self.chunks)
