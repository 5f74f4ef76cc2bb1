"""Phone sequences of texts, with the word of each phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.text.tokens import SILENCE, Pause, Token, Word


@dataclass(frozen=True)
class PhoneSequence:
    """The phones of a text, after a leading silence.

    Attributes:
        phones: (T_text,) symbols, pauses included.
        word_indices: (T_text,) index of the word that each phone belongs to, -1 for pauses.
        words: the words' texts.
    """

    phones: tuple[str, ...]
    word_indices: tuple[int, ...]
    words: tuple[str, ...]

    @property
    def places(self) -> list[tuple[int, int]]:
        """The word of each symbol, -1 for pauses, and its place within the word."""
        places: list[tuple[int, int]] = []
        before, index = -1, 0
        for word in self.word_indices:
            index = index + 1 if word == before else 0
            places.append((word, index) if word >= 0 else (-1, 0))
            before = word
        return places

    @classmethod
    def from_tokens(cls, tokens: Iterable[Token], start: Sequence[str] = (SILENCE,)) -> PhoneSequence:
        """Return the sequence that an acoustic model reads: `start`, words' first pronunciations, and pauses."""
        phones, word_indices = [*start], [-1] * len(start)
        words: list[str] = []
        for token in tokens:
            if isinstance(token, Word):
                phones += token.pronunciations[0]
                word_indices += [len(words)] * len(token.pronunciations[0])
                words.append(token.text)
            else:
                phones.append(token.symbol)
                word_indices.append(-1)
        return cls(tuple(phones), tuple(word_indices), tuple(words))

    @classmethod
    def with_silences(cls, tokens: Iterable[Token]) -> PhoneSequence:
        """Return the sequence for an aligner: silences before, after and between all words."""
        words = (token for token in tokens if isinstance(token, Word))
        return cls.from_tokens(each for word in words for each in (word, Pause(SILENCE)))

    @classmethod
    def joined(cls, sequences: Iterable[PhoneSequence]) -> PhoneSequence:
        """Concatenate sequences."""
        phones: list[str] = []
        word_indices: list[int] = []
        words: list[str] = []
        for each in sequences:
            phones += each.phones
            word_indices += [index + len(words) if index >= 0 else index for index in each.word_indices]
            words += each.words
        return cls(tuple(phones), tuple(word_indices), tuple(words))
