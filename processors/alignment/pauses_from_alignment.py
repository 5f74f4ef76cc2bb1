"""The phones that a recording says, with the text's punctuation on its silences."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from processors.alignment.intervals import Alignment, AlignmentError, Interval
from processors.text.tokens import SILENCE, SPOKEN_NOISE, Pause, Token, Word, strongest_pause

SHORTEST_UNWRITTEN_PAUSE_S = 0.05
"""A silence that no punctuation explains becomes `sp` from this length on.

Aligners' shortest silence, 30 ms in three-state models, is also their most frequent one: it is a
path through the model rather than something heard. What is silent for so short a time is most
often the closure of a stop, or the catch before a vowel, and so belongs to the phone it opens.
"""


@dataclass(frozen=True)
class AlignedPhones:
    """The phone sequence of one recording and its times, each phone beginning where the one before ends.

    Attributes:
        phones: (T_text,) `sil`, the phones with pauses between words, and a final pause.
        starts_s: (T_text,) where each begins, from 0.
        ends_s: (T_text,) where each ends, up to the end of the recording.
    """

    phones: tuple[str, ...]
    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]


def phones_with_pauses(tokens: Sequence[Token], alignment: Alignment) -> AlignedPhones:
    """Write down what a recording says in the phone sequence that a model reads.

    The phones are those of the alignment. The pauses are the text's: each keeps its place between
    the same words, with the silence heard there, or none. A silence without punctuation becomes
    `sp`; `sil` holds the silence that leads in, and the last pause the one that ends.

    The words of alignment and text are matched in order, for they need not be the same: one side
    may say "1455", "<unk>" or "it 's". Pauses among words that do not match go to the silence
    nearest to their place.

    Args:
        tokens: words and pauses of the text.
        alignment: of the recording, from 0 to its end without gaps.

    Raises:
        AlignmentError: the alignment holds no phone that is spoken.
    """
    spoken_words = [word for word in alignment.words if word.label]
    spoken = [phone for phone in alignment.phones if not phone.is_silence]
    if not spoken:
        raise AlignmentError("the alignment holds silence only; align it again, or leave it out")
    word_starts = [word.start_s for word in spoken_words]
    owners = [max(bisect_right(word_starts, (phone.start_s + phone.end_s) / 2) - 1, 0) for phone in spoken]
    pause_before = _pauses_by_heard_word(tokens, spoken_words, _words_after_silence(spoken, owners))

    phones, starts_s = [SILENCE, _symbol(spoken[0])], [0.0, spoken[0].start_s]
    for before, phone, owner_before, owner in zip(spoken, spoken[1:], owners, owners[1:], strict=False):
        start_s = phone.start_s
        pause = strongest_pause(pause_before[word] for word in range(owner_before + 1, owner + 1))
        if not pause and phone.start_s - before.end_s >= SHORTEST_UNWRITTEN_PAUSE_S - 1e-6:
            pause = "sp"
        if pause:
            phones.append(pause)
            starts_s.append(before.end_s)
        else:
            start_s = before.end_s
        phones.append(_symbol(phone))
        starts_s.append(start_s)
    phones.append(strongest_pause(pause_before[owners[-1] + 1 :]) or ".")
    starts_s.append(spoken[-1].end_s)
    return AlignedPhones(tuple(phones), tuple(starts_s), (*starts_s[1:], alignment.end_s))


def _pauses_by_heard_word(
    tokens: Sequence[Token], heard: Sequence[Interval], after_silence: Sequence[int]
) -> list[str]:
    """The pause before each heard word, and last the one behind all of them; empty where there is none."""
    written = [token for token in tokens if isinstance(token, Word)]
    places = _places_among_heard([_key(word.text) for word in written], [_key(word.label) for word in heard])
    pauses = [""] * (len(heard) + 1)
    words_so_far = 0
    for token in tokens:
        if not isinstance(token, Pause):
            words_so_far += 1
            continue
        first, last, wished = places[words_so_far]
        choices = [word for word in after_silence if first <= word <= last]
        place = min(choices, key=lambda word: abs(word - wished)) if choices else wished
        pauses[place] = strongest_pause((pauses[place], token.symbol))
    return pauses


def _places_among_heard(written: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int, int]]:
    """For the place before each written word and the one behind all: which places among the heard words it may be.

    Returns:
        One more than there are written words: the first and the last possible place, and the likeliest.
    """
    places = [(0, 0, 0)] * (len(written) + 1)
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, written, heard, autojunk=False).get_opcodes():
        for i in range(i1, i2):
            if kind == "equal" or i == i1:
                places[i] = (j1 + i - i1,) * 3
            else:
                places[i] = (min(j1 + 1, j2), max(j2 - 1, j1), j1 + round((i - i1) * (j2 - j1) / (i2 - i1)))
    places[-1] = (len(heard),) * 3
    return places


def _words_after_silence(spoken: Sequence[Interval], owners: Sequence[int]) -> list[int]:
    """The heard words that begin after a silence."""
    return [
        owner
        for before, phone, owner_before, owner in zip(spoken, spoken[1:], owners, owners[1:], strict=False)
        if owner > owner_before and phone.start_s > before.end_s
    ]


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _symbol(phone: Interval) -> str:
    return SPOKEN_NOISE if phone.label.casefold() == SPOKEN_NOISE else phone.label
