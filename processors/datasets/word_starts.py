"""Places in an utterance where a word can be cut out of running speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processors.alignment.intervals import Alignment
from processors.text.tokens import PAUSES

_QUIET = 0.1
"""Energy before a word that can be cut off there, over that of the utterance's loud frames: 20 dB below them."""


def word_starts(phones: Sequence[str], alignment: Alignment) -> list[int]:
    """Return the index of each word's first phone.

    Only the order of the alignment's phones is used, so that its times may be those of an untrimmed recording.

    Args:
        phones: of the utterance, pauses included.
        alignment: of the same utterance; that of other phones has no starts.
    """
    spoken = [index for index, phone in enumerate(phones) if phone not in PAUSES]
    middles = [(phone.start_s + phone.end_s) / 2 for phone in alignment.phones if not phone.is_silence]
    if len(spoken) != len(middles):
        return []
    word_of_phone = np.searchsorted([word.start_s for word in alignment.words], middles, side="right")
    is_first = np.diff(word_of_phone, prepend=-1) != 0
    return [index for index, first in zip(spoken, is_first, strict=True) if first]


def quiet_starts(starts: Sequence[int], durations: Sequence[int], mel: np.ndarray) -> list[int]:
    """Return those of the phones that begin at a quiet moment, such as the closure of a stop.

    Args:
        starts: indices of phones.
        durations: frames of all phones.
        mel: (T_mel, M) log-mel.
    """
    energy = np.exp(mel).sum(axis=1)
    quiet = _QUIET * np.percentile(energy, 95)
    frames = np.cumsum(durations) - durations
    return [start for start in starts if energy[max(frames[start] - 1, 0) : frames[start] + 1].min() < quiet]
