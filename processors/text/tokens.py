"""Words and pauses, which front ends make of a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Pronunciation = tuple[str, ...]

SILENCE = "sil"
"""Opens every utterance; for aligners, every place where there may be silence."""

# `sp` is a pause heard where the text has no punctuation; `,` stands for every mark inside a sentence; the last pause
# of an utterance also holds the silence that ends it.
PAUSES = (SILENCE, "sp", ",", ".", "?", "!")

SPOKEN_NOISE = "spn"
"""Written by aligners for a noise, or for a word that they do not know."""

PAUSE_OF_MARK = {
    **dict.fromkeys(",;:()[]—–…،؛、，；：（）「」『』《》〈〉【】¿¡·", ","),
    **dict.fromkeys(".。．｡।॥።۔", "."),
    **dict.fromkeys("!！", "!"),
    **dict.fromkeys("?？؟", "?"),
}
"""The pause that each mark of punctuation becomes, in any script."""

WRITTEN_PAUSES = (",", ".", "!", "?")
"""The pauses of punctuation; of several in a row the one listed last wins."""

_STRENGTH = ("", SILENCE, "sp", *WRITTEN_PAUSES)


@dataclass(frozen=True)
class Word:
    """A word to say.

    Args:
        text: the word in lower case; phones given in the text keep their braces.
        pronunciations: every way to say it, best first, for an aligner to choose among.
    """

    text: str
    pronunciations: tuple[Pronunciation, ...]


@dataclass(frozen=True)
class Pause:
    """A mark of punctuation, as one of `PAUSES`."""

    symbol: str


Token = Word | Pause


def strongest_pause(pauses: Iterable[str]) -> str:
    """Return the strongest of some pauses, of which any may be empty; empty where there are none."""
    return max(pauses, key=_STRENGTH.index, default="")
