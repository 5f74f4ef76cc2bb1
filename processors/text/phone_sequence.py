"""What an aligner looks for in a recording: the words' phones, and the places where silence may be heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, Interval, without_gaps, words_without_gaps
from processors.text.phone_extractor import Token, Word

SILENCE = "sil"
"""The symbol of every place where silence may be heard, whatever punctuation stands there."""


@dataclass(frozen=True)
class Script:
    """The phones of a text in order, with a silence before, behind and between all words.

    Attributes:
        phones: (T_text,) symbols; no two silences are neighbours.
        owners: (T_text,) which word each phone belongs to, -1 for silences.
        words: the words' texts.
    """

    phones: tuple[str, ...]
    owners: tuple[int, ...]
    words: tuple[str, ...]


def script_of(tokens: Sequence[Token]) -> Script:
    """Give what a reader of the text says; of each word the first, and so likeliest, pronunciation."""
    phones, owners = [SILENCE], [-1]
    words: list[str] = []
    for token in tokens:
        if isinstance(token, Word):
            phones += [*token.pronunciations[0], SILENCE]
            owners += [len(words)] * len(token.pronunciations[0]) + [-1]
            words.append(token.text)
    return Script(tuple(phones), tuple(owners), tuple(words))


def alignment_of_durations(
    script: Script,
    durations: npt.NDArray[np.integer],
    *,
    frame_s: float,
    duration_s: float,
    score: float | None = None,
) -> Alignment:
    """Give the words and phones in seconds.

    Args:
        script: T_text phones and silences.
        durations: (T_text,) frames of each; 0 for a silence that is not heard.
        frame_s: seconds from one frame to the next.
        duration_s: of the recording.
        score: of the alignment.
    """
    ends_s = np.clip(np.cumsum(durations) * frame_s, 0.0, duration_s)
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    phones: list[Interval] = []
    spans: dict[int, tuple[float, float]] = {}
    for label, owner, start, end in zip(script.phones, script.owners, starts_s.tolist(), ends_s.tolist(), strict=True):
        if owner < 0 or end <= start:
            continue
        phones.append(Interval(start, end, label))
        spans[owner] = (spans.get(owner, (start,))[0], end)
    words = (Interval(start, end, script.words[word]) for word, (start, end) in spans.items())
    return Alignment(words_without_gaps(words, duration_s), without_gaps(phones, duration_s), score)
