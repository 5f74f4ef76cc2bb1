"""Pronunciations of a request or a voice's user, in place of those of any front end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from processors.text.arpabet import PHONES
from processors.text.errors import TextError, shortened
from processors.text.ipa import STRESSES, ipa_of_arpabet, phones_from_ipa, symbols_of_phone
from processors.text.symbols import describe_unknown_phone
from processors.text.tokens import Pronunciation, Token, Word

_LINE = re.compile(r"(\S+)\s+(\S.*?)\s*")


@dataclass(frozen=True)
class _Entry:
    """A pronunciation: phones of IPA, or other words."""

    where: str
    phones: Pronunciation = ()
    words: str = ""


class OwnLexicon:
    """Pronunciations by word: ARPAbet as in `T AH0`, IPA as in `/tə/`, or other words as in `"tomayto"`.

    Args:
        written: pronunciations by word, in any case.
        where: for messages.

    Raises:
        TextError: one of them is none of these.
    """

    def __init__(self, written: Mapping[str, str], where: str = "lexicon") -> None:
        if not isinstance(written, Mapping):
            raise TextError(f"{where}: found {type(written).__name__}; expected pronunciations by word")
        self._entries = {_key(word): _entry(word, value, f"{where}: {word}") for word, value in written.items()}

    @classmethod
    def from_file(cls, path: Path | str) -> OwnLexicon:
        """Read a file: on each line a word and its pronunciation; lines that begin with `#` or `;;;` are comments.

        Raises:
            TextError: the file cannot be read, or a line cannot; the line is named.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"{path}: cannot be read as UTF-8 text: {error}") from None
        lexicon = cls({})
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith(("#", ";;;")):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise TextError(f"{path}:{number}: {shortened(line)!r}: expected a word and its pronunciation")
            lexicon._entries.setdefault(_key(match[1]), _entry(match[1], match[2], f"{path}:{number}"))
        if not lexicon._entries:
            raise TextError(f"{path}: holds no words; write one a line, such as `tomato /təˈmɑtoʊ/`")
        return lexicon

    @classmethod
    def of(cls, given: LexiconLike) -> OwnLexicon:
        """Return a lexicon from a file or from pronunciations by word; an empty one for None."""
        if isinstance(given, OwnLexicon):
            return given
        return cls.from_file(given) if isinstance(given, str | Path) else cls({} if given is None else given)

    def over(self, other: OwnLexicon) -> OwnLexicon:
        """Return this lexicon with the words that only another one has."""
        joined = OwnLexicon({})
        joined._entries = {**other._entries, **self._entries}
        return joined

    def applied(
        self, tokens: Sequence[Token], known: Sequence[str], tokens_of: Callable[[str], Sequence[Token]]
    ) -> list[Token]:
        """Return tokens with the pronunciations of this lexicon.

        Args:
            tokens: words and pauses of a text.
            known: symbols of the voice, of IPA or ARPAbet; none if it reads letters.
            tokens_of: the front end, for other words.

        Raises:
            TextError: the voice lacks a phone; names the nearest that it has.
        """
        found: list[Token] = []
        for token in tokens:
            entry = self._entries.get(_key(token.text)) if isinstance(token, Word) else None
            if entry is None or not isinstance(token, Word):
                found.append(token)
                continue
            symbols = _of_words(tokens_of(entry.words)) if entry.words else _of_phones(entry, known)
            # Words of some voices hold the spaces and signs around them.
            old = token.pronunciations[0]
            spoken = [index for index, symbol in enumerate(old) if _is_spoken(symbol)] or [0, len(old) - 1]
            around = old[: spoken[0]], old[spoken[-1] + 1 :]
            found.append(replace(token, pronunciations=((*around[0], *symbols, *around[1]),)))
        return found

    def __len__(self) -> int:
        """Count the words."""
        return len(self._entries)


LexiconLike = OwnLexicon | Mapping[str, str] | Path | str | None
"""A lexicon, its file, or pronunciations by word."""


def _key(word: str) -> str:
    return word.replace("’", "'").casefold()


def _entry(word: object, written: object, where: str) -> _Entry:
    if not isinstance(word, str) or not isinstance(written, str) or word.split() != [word]:
        raise TextError(f"{where}: expected one word with its pronunciation")
    value = written.strip()
    if len(value) > 2 and value[0] == value[-1] == '"':
        return _Entry(where, words=value[1:-1])
    if len(value) > 2 and value[0] == value[-1] == "/":
        phones = tuple(phones_from_ipa(value[1:-1]))
        strange = [phone for phone in phones if not phone.strip(STRESSES)[:1].isalpha()]
        if strange or not phones:
            raise TextError(f"{where}: {value!r} holds {repr(strange[0]) if strange else 'no phones'}, no phone of IPA")
        return _Entry(where, phones)
    listed = value.split()
    for phone in listed:
        if phone not in PHONES:
            unknown = describe_unknown_phone(phone, PHONES, "ARPAbet")
            raise TextError(f'{where}: {unknown}; IPA is written as /təˈmɑtoʊ/, other words as "tomayto"')
    if not listed:
        raise TextError(f"{where}: has no pronunciation")
    return _Entry(where, tuple(map(ipa_of_arpabet, listed)))


def _of_words(tokens: Sequence[Token]) -> Pronunciation:
    return tuple(symbol for token in tokens if isinstance(token, Word) for symbol in token.pronunciations[0])


def _of_phones(entry: _Entry, known: Sequence[str]) -> Pronunciation:
    if not known:
        raise TextError(f"{entry.where}: this voice reads letters, and takes other words in place of phones")
    symbols: list[str] = []
    for phone in entry.phones:
        near, is_same = symbols_of_phone(phone, known)
        if not is_same:
            nearest = f"; the nearest it has: {' '.join(near)}" if near else ""
            raise TextError(f"{entry.where}: the voice lacks the phone {phone!r}{nearest}")
        symbols += near
    return tuple(symbols)


def _is_spoken(symbol: str) -> bool:
    return symbol[0] in ("@", *STRESSES) or symbol[0].isalpha()
