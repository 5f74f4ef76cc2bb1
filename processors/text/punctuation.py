"""Splitting of texts in any language at spaces and punctuation, which becomes pauses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from processors.text.tokens import PAUSE_OF_MARK, Pause, Token, Word, strongest_pause

_QUOTES = re.compile('["«»„“”‹›″]')
_APOSTROPHES = str.maketrans(dict.fromkeys("‘’‚‛`´＇", "'"))
_ELLIPSIS = re.compile(r"\.{2,}")
_DASH = re.compile(r"(?<!\S)-+(?!\S)|--+|―|—")
# Commas, colons and full stops within numbers and abbreviations are no pauses: 3,5; 12:30; z.B.
_BREAKING = re.compile(rf"(?<!\d)[,:]|[,:](?!\d)|[{re.escape(''.join(set(PAUSE_OF_MARK) - set(',:.')))}]")
_FINAL_STOPS = re.compile(r"(.*?)\.+('?)$")


def split_at_punctuation(text: str, language: str) -> list[str | Pause]:
    """Split a text into words as written, and pauses.

    A full stop stays on its word: whether it is that of an abbreviation depends on the language.

    Args:
        text: as returned by `composed`.
        language: in Greek `;` is a question mark.
    """
    text = _QUOTES.sub(" ", _ELLIPSIS.sub("…", text.translate(_APOSTROPHES)))
    if language.lower().startswith("el"):
        text = text.replace(";", "?")
    text = _BREAKING.sub(r" \g<0> ", _DASH.sub(" — ", text))
    pieces: list[str | Pause] = []
    for piece in text.split():
        if piece.strip("."):
            pieces.append(piece if piece not in PAUSE_OF_MARK else Pause(PAUSE_OF_MARK[piece]))
        else:
            pieces.append(Pause("."))
    return pieces


def without_final_stop(written: str) -> tuple[str, bool]:
    """Strip a full stop off the end of a word; return the word, and whether there was one."""
    match = _FINAL_STOPS.match(written)
    return (match[1] + match[2], True) if match else (written, False)


def with_single_pauses(tokens: Iterable[Token]) -> list[Token]:
    """Keep the strongest of consecutive pauses, none before the first word, and one after the last."""
    kept: list[Token] = []
    for token in tokens:
        if isinstance(token, Word):
            kept.append(token)
        elif kept and isinstance(before := kept[-1], Pause):
            kept[-1] = Pause(strongest_pause((before.symbol, token.symbol)))
        elif kept:
            kept.append(token)
    if kept and isinstance(kept[-1], Word):
        kept.append(Pause("."))
    return kept
