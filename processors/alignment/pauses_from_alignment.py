"""Phone sequences of recordings: aligned phones, with the text's pauses matched to silences."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, AlignmentError, Interval
from processors.text.tokens import SILENCE, SPOKEN_NOISE, Pause, Token, Word, strongest_pause

MIN_UNWRITTEN_PAUSE_S = 0.05
"""A silence without punctuation becomes `sp` from this length on.

Aligners' shortest silence, 30 ms in three-state models, is also their most frequent one: an artefact
of the model's topology. A silence so short is most often the closure of a stop, or the glottal onset
of a vowel, and so belongs to the phone it opens.
"""


@dataclass(frozen=True)
class AlignedPhones:
    """The phone sequence of one recording with its times, without gaps.

    Attributes:
        phones: (T_text,) `sil`, the phones with pauses between words, and a final pause.
        starts_s: (T_text,) starts, from 0.
        ends_s: (T_text,) ends, up to the end of the recording.
    """

    phones: tuple[str, ...]
    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]


def phones_with_pauses(tokens: Sequence[Token], alignment: Alignment) -> AlignedPhones:
    """Return a recording's phones and pauses as the sequence that a model reads.

    The phones are those of the alignment. The pauses are the text's: each stays between the same
    words, with the silence found there, or none. A silence without punctuation becomes `sp`; `sil` is
    the silence at the start, and the last pause the one at the end.

    The words of alignment and text are matched in order, since they may differ: one side may have
    "1455", "<unk>" or "it 's". Pauses among unmatched words go to the nearest silence.

    Args:
        tokens: words and pauses of the text.
        alignment: of the recording, from 0 to its end without gaps.

    Raises:
        AlignmentError: the alignment holds silence only.
    """
    spoken_words = [word for word in alignment.words if word.label]
    spoken = [phone for phone in alignment.phones if not phone.is_silence]
    if not spoken:
        raise AlignmentError("the alignment holds silence only; align it again, or leave it out")
    word_starts = [word.start_s for word in spoken_words]
    word_indices = [max(bisect_right(word_starts, (phone.start_s + phone.end_s) / 2) - 1, 0) for phone in spoken]
    pause_before = _pauses_by_aligned_word(tokens, spoken_words, _words_after_silence(spoken, word_indices))

    phones, starts_s = [SILENCE, _symbol(spoken[0])], [0.0, spoken[0].start_s]
    for before, phone, word_before, word in zip(spoken, spoken[1:], word_indices, word_indices[1:], strict=False):
        start_s = phone.start_s
        pause = strongest_pause(pause_before[index] for index in range(word_before + 1, word + 1))
        if not pause and phone.start_s - before.end_s >= MIN_UNWRITTEN_PAUSE_S - 1e-6:
            pause = "sp"
        if pause:
            phones.append(pause)
            starts_s.append(before.end_s)
        else:
            start_s = before.end_s
        phones.append(_symbol(phone))
        starts_s.append(start_s)
    phones.append(strongest_pause(pause_before[word_indices[-1] + 1 :]) or ".")
    starts_s.append(spoken[-1].end_s)
    return AlignedPhones(tuple(phones), tuple(starts_s), (*starts_s[1:], alignment.end_s))


def _pauses_by_aligned_word(
    tokens: Sequence[Token], aligned: Sequence[Interval], after_silence: Sequence[int]
) -> list[str]:
    """Return the pause before each aligned word, and the one after the last; empty for none."""
    written = [token for token in tokens if isinstance(token, Word)]
    places = _places_among_aligned([_key(word.text) for word in written], [_key(word.label) for word in aligned])
    pauses = [""] * (len(aligned) + 1)
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


def without_silences(
    phones: Sequence[str], durations: npt.NDArray[np.integer]
) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Leave out silences, for front ends without symbols for them: their frames go to the symbol before, or the first.

    Args:
        phones: (T_text,) symbols, pauses included.
        durations: (T_text,) frames of each.
    """
    kept: list[str] = []
    frames: list[int] = []
    before_first = 0
    for phone, duration in zip(phones, durations.tolist(), strict=True):
        if phone not in (SILENCE, "sp"):
            kept.append(phone)
            frames.append(duration + (0 if frames else before_first))
        elif frames:
            frames[-1] += duration
        else:
            before_first += duration
    return tuple(kept), np.array(frames, dtype=np.int32)


def _places_among_aligned(written: Sequence[str], aligned: Sequence[str]) -> list[tuple[int, int, int]]:
    """Map the place before each written word, and the one after the last, to places among the aligned words.

    Returns:
        One more than there are written words: the first and the last possible place, and the likeliest.
    """
    places = [(0, 0, 0)] * (len(written) + 1)
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, written, aligned, autojunk=False).get_opcodes():
        for i in range(i1, i2):
            if kind == "equal" or i == i1:
                places[i] = (j1 + i - i1,) * 3
            else:
                places[i] = (min(j1 + 1, j2), max(j2 - 1, j1), j1 + round((i - i1) * (j2 - j1) / (i2 - i1)))
    places[-1] = (len(aligned),) * 3
    return places


def _words_after_silence(spoken: Sequence[Interval], word_indices: Sequence[int]) -> list[int]:
    """Return the aligned words that begin after a silence."""
    return [
        word
        for before, phone, word_before, word in zip(spoken, spoken[1:], word_indices, word_indices[1:], strict=False)
        if word > word_before and phone.start_s > before.end_s
    ]


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _symbol(phone: Interval) -> str:
    return SPOKEN_NOISE if phone.label.casefold() == SPOKEN_NOISE else phone.label
