"""Plans of speech: texts with front end, speaker and prosody resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from models.contracts import UNCHANGED, Prosody
from models.inference.symbol_prosody import SymbolProsody
from processors.text.phone_sequence import PhoneSequence
from processors.text.written_words import WrittenText


@dataclass(frozen=True)
class PlannedChunk:
    """Sentences, or a part of a long one, as one row of a batch.

    Attributes:
        sequence: T_text phones with their words; it ends in a pause.
        phoneme_ids: (T_text,) in the voice's symbol table.
        min_durations: (T_text,) frames that its phones last at least.
        prosody: asked for, of its symbols.
        last_pause: frames that its last pause lasts at least, by quiet frames after what the model speaks.
        ends_paragraph: whether another paragraph follows.
        speaker_id, language_id: in place of those of the whole text; None for those.
    """

    sequence: PhoneSequence
    phoneme_ids: tuple[int, ...]
    min_durations: tuple[int, ...]
    prosody: SymbolProsody
    last_pause: int = 0
    ends_paragraph: bool = False
    speaker_id: int | None = None
    language_id: int | None = None


@dataclass(frozen=True)
class SpeechPlan:
    """A text ready for synthesis by the voice that planned it.

    Attributes:
        text: the input.
        chunks: at least one.
        speaker_id: row of the speaker table.
        prosody: asked for, of the whole text.
        language_id: row of the language table.
        marks: names of marks in it, each with the index of the word after it; after the last word, their number.
        source: the whole text as written, and where each word is.
        first_word: index of the first word in the whole text.
    """

    text: str
    chunks: tuple[PlannedChunk, ...]
    source: WrittenText = field(compare=False)
    speaker_id: int = 0
    prosody: Prosody = UNCHANGED
    language_id: int = 0
    marks: tuple[tuple[str, int], ...] = ()
    first_word: int = 0

    @property
    def sequence(self) -> PhoneSequence:
        """The phones of the whole text."""
        return PhoneSequence.joined(chunk.sequence for chunk in self.chunks)

    def by_chunk(self) -> Iterator[SpeechPlan]:
        """Yield a plan for each chunk."""
        first = 0
        for chunk in self.chunks:
            end = first + len(chunk.sequence.words)
            is_last = chunk is self.chunks[-1]
            marks = [(name, at - first) for name, at in self.marks if first <= at < end + is_last]
            yield replace(self, chunks=(chunk,), marks=tuple(marks), first_word=self.first_word + first)
            first = end

    def speaker_of(self, chunk: PlannedChunk) -> int:
        """Return the row of a chunk's speaker."""
        return self.speaker_id if chunk.speaker_id is None else chunk.speaker_id

    def language_of(self, chunk: PlannedChunk) -> int:
        """Return the row of a chunk's language."""
        return self.language_id if chunk.language_id is None else chunk.language_id
