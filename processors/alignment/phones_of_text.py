"""Alignments with the phones of a text in place of those of another aligner's dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np

from processors.alignment.intervals import Alignment, AlignmentError, Interval, without_gaps, words_without_gaps
from processors.text.ipa import phone_distance
from processors.text.tokens import Token, Word

# Cost of a phone that shares the time of its neighbour.
_SHARED = 4


def with_phones_of_text(tokens: Sequence[Token], alignment: Alignment) -> Alignment:
    """Return an alignment with the words and phones of the text, at the times of the aligned words and phones.

    Within a word the phones of both are matched in order, by dynamic programming over their distance on the IPA's
    chart; several of the text that match one aligned phone share its time equally. Words that differ, such as "1455",
    are matched together with their neighbours that differ.

    Args:
        tokens: words and pauses of the text.
        alignment: with phones of any alphabet.

    Raises:
        AlignmentError: words of one side have no counterpart.
    """
    written = [token for token in tokens if isinstance(token, Word)]
    aligned = [word for word in alignment.words if word.label]
    spoken = [phone for phone in alignment.phones if not phone.is_silence]
    phones: list[Interval] = []
    words: list[Interval] = []
    for ours, theirs in _counterparts(written, aligned):
        start_s, end_s = (theirs[0].start_s, theirs[-1].end_s) if theirs else (0.0, 0.0)
        within = [phone for phone in spoken if start_s <= (phone.start_s + phone.end_s) / 2 < end_s]
        if not ours or not within:
            names = " ".join([*(word.text for word in ours), *(word.label for word in theirs)])
            raise AlignmentError(f"the words of text and alignment differ at {names!r}; align it again")
        fitted = _fitted([phone for word in ours for phone in word.pronunciations[0]], within)
        phones += fitted
        for word in ours:
            own, fitted = fitted[: len(word.pronunciations[0])], fitted[len(word.pronunciations[0]) :]
            words.append(Interval(own[0].start_s, own[-1].end_s, word.text))
    end_s = alignment.end_s
    return Alignment(words_without_gaps(words, end_s), without_gaps(phones, end_s), alignment.score)


def _counterparts(
    written: Sequence[Word], aligned: Sequence[Interval]
) -> Iterator[tuple[Sequence[Word], Sequence[Interval]]]:
    """Yield words of the text with those of the alignment: one by one, but those that differ in number together."""
    keys = [_key(word.text) for word in written], [_key(word.label) for word in aligned]
    for _, i1, i2, j1, j2 in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if i2 - i1 != j2 - j1:
            yield written[i1:i2], aligned[j1:j2]
        else:
            yield from (([ours], [theirs]) for ours, theirs in zip(written[i1:i2], aligned[j1:j2], strict=True))


def _fitted(phones: Sequence[str], spoken: Sequence[Interval]) -> list[Interval]:
    """Return phones at the times of the spoken ones that they match best, in order."""
    path = _path([[phone_distance(phone, each.label) for each in spoken] for phone in phones])
    sharing = [[own for own, other in path if other == index] for index in range(len(spoken))]
    starts_s: dict[int, float] = {}
    ends_s: dict[int, float] = {}
    for own, other in path:
        share_s = (spoken[other].end_s - spoken[other].start_s) / len(sharing[other])
        start_s = spoken[other].start_s + sharing[other].index(own) * share_s
        starts_s.setdefault(own, start_s)
        ends_s[own] = spoken[other].end_s if own == sharing[other][-1] else start_s + share_s
    return [Interval(starts_s[own], ends_s[own], phone) for own, phone in enumerate(phones)]


def _path(distances: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Return the monotonic path through a matrix, from corner to corner, with the least sum of distances."""
    costs = np.asarray(distances, dtype=np.float64)
    total = np.full((costs.shape[0] + 1, costs.shape[1] + 1), np.inf)
    total[0, 0] = 0.0
    for i, j in np.ndindex(costs.shape):
        before = min(total[i, j], total[i, j + 1] + _SHARED, total[i + 1, j] + _SHARED)
        total[i + 1, j + 1] = costs[i, j] + before
    i, j = costs.shape[0] - 1, costs.shape[1] - 1
    path = [(i, j)]
    while (i, j) != (0, 0):
        steps = {
            (i - 1, j - 1): total[i, j],
            (i - 1, j): total[i, j + 1] + _SHARED,
            (i, j - 1): total[i + 1, j] + _SHARED,
        }
        i, j = min((step for step in steps if min(step) >= 0), key=steps.__getitem__)
        path.append((i, j))
    return path[::-1]


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
