"""Splitting of long texts into chunks for synthesis."""

from __future__ import annotations

from collections.abc import Sequence

from processors.text.tokens import Pause, Token, Word

SENTENCE_ENDS = frozenset(".?!")
"""Pauses at the ends of sentences."""


def split_into_chunks(tokens: Sequence[Token], most_phones: int = 300, together_phones: int = 0) -> list[list[Token]]:
    """Split a text at its sentence ends, and a very long sentence at a comma, else between two words.

    On tokens rather than characters, so that the dot of an abbreviation is no sentence end.

    Args:
        tokens: words and pauses of the whole text.
        most_phones: longer sentences are split further.
        together_phones: sentences that have no more phones together share a chunk.

    Returns:
        The tokens in their order, in lists that each hold at least one word.
    """
    parts = [part for sentence in _sentences(tokens) for part in _at_most(sentence, most_phones)]
    chunks: list[list[Token]] = []
    room = 0
    for part in parts:
        size = sum(_sizes(part))
        if size <= room:
            chunks[-1] += part
        else:
            chunks.append(part)
            room = together_phones
        room -= size
    return chunks


def _sentences(tokens: Sequence[Token]) -> list[list[Token]]:
    sentences: list[list[Token]] = []
    sentence: list[Token] = []
    for token in tokens:
        sentence.append(token)
        if isinstance(token, Pause) and token.symbol in SENTENCE_ENDS:
            sentences.append(sentence)
            sentence = []
    sentences.append(sentence)
    return [sentence for sentence in sentences if any(isinstance(token, Word) for token in sentence)]


def _at_most(sentence: list[Token], most_phones: int) -> list[list[Token]]:
    sizes = _sizes(sentence)
    if sum(sizes) <= most_phones:
        return [sentence]
    middle = sum(sizes) / 2
    before = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    # Near the middle; a comma may lie up to a third of the sentence away from it.
    indices = range(len(sentence) - 1)
    commas = [
        index
        for index in indices
        if isinstance(sentence[index], Pause) and abs(before[index] - middle) <= sum(sizes) / 3
    ]
    words = [index for index in indices if isinstance(sentence[index], Word) and isinstance(sentence[index + 1], Word)]
    candidates = commas or words
    if not candidates:
        return [sentence]
    cut = min(candidates, key=lambda index: abs(before[index] - middle)) + 1
    head, tail = sentence[:cut], sentence[cut:]
    if isinstance(head[-1], Word):
        head = [*head, Pause(",")]  # every chunk ends in a pause, so that the waveforms can be joined
    return [*_at_most(head, most_phones), *_at_most(tail, most_phones)]


def _sizes(tokens: Sequence[Token]) -> list[int]:
    return [len(token.pronunciations[0]) if isinstance(token, Word) else 0 for token in tokens]
