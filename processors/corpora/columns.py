"""Columns of tables of texts: names, texts and speakers, by header or by content."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from processors.audio.audio_file import AUDIO_SUFFIXES

_FILE_SUFFIXES = frozenset({*AUDIO_SUFFIXES, ".npy", ".pt", ".mel", ".lab", ".txt"})
# By the names that toolkits give them, ours first.
_HEADERS = {
    "text": ("text", "transcript", "sentence", "normalized_text", "normalised_text"),
    "name": ("name", "output", "id", "utterance", "file", "wav", "path", "audio_filepath", "audio", "audio_file"),
    "speaker": ("speaker", "speaker_name", "speaker_id", "spk"),
    "language": ("language", "lang"),
}
_MOST_SPEAKERS_SHARE = 0.5
_COMPARED = 200
_IPA = re.compile(r"[\u0250-\u02af\u02c8\u02cc\u02d0]")
_NUMBERED = re.compile(r"[^\W\d_]+[0-5]")  # a vowel with its stress, or a syllable with its tone
_LONGEST_PHONE, _FEWEST_PHONES = 2.0, 4


def column_named(kind: str, header: Sequence[str]) -> str | None:
    """Return the name of the column of a kind (`text`, `name`, `speaker`, `language`) in a header; None without one."""
    return next((name for name in _HEADERS[kind] if name in header), None)


def is_file_name(cell: str) -> bool:
    """Return whether a cell names a recording, a mel or another file, not a text."""
    return PurePosixPath(cell.strip()).suffix.lower() in _FILE_SUFFIXES and not re.search(r"\s\S+\s", cell.strip())


def is_speech(column: Sequence[str]) -> bool:
    """Return whether a column holds sentences: most have words apart, or end as sentences do, or are Chinese."""
    filled = [cell for cell in column if cell]
    spaced = sum(bool(re.search(r"\w\s+\w", cell)) for cell in filled)
    ended = sum(bool(re.search(r"[^\W\d_].*[.?!…。！？]$", cell)) for cell in filled)
    wide = sum(bool(re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", cell)) for cell in filled)
    return bool(filled) and not any(map(is_file_name, filled)) and 2 * max(spaced, ended, wide) >= len(filled)


def is_phones(column: Sequence[str]) -> bool:
    """Return whether most cells of a column are pronunciations: IPA, numbered syllables, or symbols between spaces."""
    filled = [cell for cell in column if cell][:_COMPARED]
    return 2 * sum(map(_is_pronunciation, filled)) > len(filled)


def _is_pronunciation(cell: str) -> bool:
    symbols = cell.strip("{}[]/ ").split()
    is_short = len("".join(symbols)) <= _LONGEST_PHONE * len(symbols)
    n_numbered = sum(bool(_NUMBERED.fullmatch(symbol)) for symbol in symbols)
    is_apart = len(symbols) >= _FEWEST_PHONES and is_short
    return bool(_IPA.search(cell)) or is_apart or 2 * n_numbered > len(symbols)


def repeats(column: Sequence[str]) -> bool:
    """Return whether a column holds few different values, as one of speakers does."""
    return len(set(column)) <= max(1, _MOST_SPEAKERS_SHARE * len(column))


def are_speakers(column: Sequence[str]) -> bool:
    """Return whether a column beside that of the texts is one of speakers: numbers have to repeat more than names."""
    is_of_names = not any(re.fullmatch(r"[\d.,]*", cell) for cell in column)
    return repeats(column) or (is_of_names and len(set(column)) < len(column))


def are_alike(column: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether most cells of two columns share words or letters, as a text and the same normalised do."""
    pairs = [(mine, theirs) for mine, theirs in zip(column, other, strict=True) if mine and theirs][:_COMPARED]
    return 2 * sum(_share_much(_words(mine), _words(theirs)) for mine, theirs in pairs) >= len(pairs)


def _words(cell: str) -> list[str]:
    return re.findall(r"\w+", cell.lower())


def _share_much(words: list[str], others: list[str]) -> bool:
    """Return whether words are a third the same or, where they are not apart, each two letters in a row."""
    if min(len(words), len(others)) > 1:
        return 3 * len(set(words) & set(others)) >= min(len(set(words)), len(set(others)))
    pairs, other_pairs = (set(itertools.pairwise("".join(each))) for each in (words, others))
    return words == others or 3 * len(pairs & other_pairs) >= max(len(pairs), len(other_pairs)) > 0
