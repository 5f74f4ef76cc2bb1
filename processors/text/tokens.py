"""Tokens of texts: words with pronunciations, and pauses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Pronunciation = tuple[str, ...]

SILENCE = "sil"
"""Begins every utterance; for aligners, any place where there may be silence."""

# `sp` is a pause in the recording without punctuation in the text; `,` stands for every mark within a sentence; the
# last pause of an utterance includes the silence at its end.
PAUSES = (SILENCE, "sp", ",", ".", "?", "!")

SPOKEN_NOISE = "spn"
"""Written by aligners for noise and unknown words."""

PAUSE_OF_MARK = {
    **dict.fromkeys(",;:()[]—–…،؛、，；：（）「」『』《》〈〉【】¿¡·", ","),
    **dict.fromkeys(".。．｡।॥።۔", "."),
    **dict.fromkeys("!！", "!"),
    **dict.fromkeys("?？؟", "?"),
}
"""Pauses by punctuation mark, of any script."""

WRITTEN_PAUSES = (",", ".", "!", "?")
"""Pauses for punctuation, the weakest first."""

_STRENGTH = ("", SILENCE, "sp", *WRITTEN_PAUSES)


@dataclass(frozen=True)
class Word:
    """A word with its pronunciations.

    Args:
        text: the word in lower case; inline phones keep their braces.
        pronunciations: best first; aligners choose among them.
    """

    text: str
    pronunciations: tuple[Pronunciation, ...]


@dataclass(frozen=True)
class Pause:
    """A punctuation mark, as one of `PAUSES`."""

    symbol: str


Token = Word | Pause


def strongest_pause(pauses: Iterable[str]) -> str:
    """Return the strongest of pauses, any of which may be empty; empty if there are none."""
    return max(pauses, key=_STRENGTH.index, default="")
