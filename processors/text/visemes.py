"""Visemes: the shapes of the mouth for phones, as the fifteen of Oculus."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from processors.text.arpabet import PHONES
from processors.text.errors import TextError
from processors.text.ipa import bare_phone, ipa_of_arpabet
from processors.text.mixed_symbols import PHONE_MARK, SPACE
from processors.text.tokens import SPOKEN_NOISE
from processors.text.word_tables import WordTables

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
SILENT = VISEMES[0]
Spelling = Literal["phones", "letters"]
"""Kind of the symbols of words: phones of ARPAbet or IPA, or letters."""

_TABLES = WordTables(__file__)
_OF_PHONE, _OF_LETTERS = (
    {phone: viseme for viseme, phones in _TABLES.mapping(name).items() for phone in phones.split()}
    for name in ("phones", "letters")
)
_WITHOUT_SOUND = ("'", "-", SPACE)


class VisemeError(TextError):
    """A symbol without a viseme."""


def visemes_of_word(symbols: Sequence[str], spelling: Spelling) -> list[tuple[str, ...]]:
    """Return the visemes of each symbol of a word, which share its time: two of diphthongs.

    What has none of its own, such as an apostrophe or a figure for a tone, goes on with the viseme before it.

    Args:
        symbols: phones, letters, or both, where those that are phones begin with a mark, as in the mixed front end.
        spelling: what those without a mark are.

    Raises:
        VisemeError: a symbol has none, such as a letter of another script than the Latin one.
    """
    if spelling == "phones":
        return [visemes_of_phone(symbol) for symbol in symbols]
    found: list[tuple[str, ...]] = []
    for at, symbol in enumerate(symbols):
        if len(symbol) > 1 and symbol.startswith(PHONE_MARK):
            found.append(visemes_of_phone(symbol.removeprefix(PHONE_MARK)))
            continue
        letter = _plain(symbol)
        before, after = (_plain("".join(symbols[max(place, 0) : place + 1])) for place in (at - 1, at + 1))
        pairs = [pair for pair in (before + letter, letter + after) if pair != letter and pair in _OF_LETTERS]
        found.append(_visemes_of_letter(pairs[0] if pairs else letter))
    return found


@lru_cache(maxsize=4096)
def visemes_of_phone(phone: str) -> tuple[str, ...]:
    """Return the visemes of a phone of ARPAbet or IPA, with or without stress, length and tone.

    Raises:
        VisemeError: the table has none of its letters.
    """
    if phone == SPOKEN_NOISE:
        return (SILENT,)
    is_arpabet = phone in PHONES or f"{phone}1" in PHONES
    letters = bare_phone(ipa_of_arpabet(phone) if is_arpabet else phone)
    parts = [letters] if letters in _OF_PHONE else letters
    found: list[str] = []
    for part in parts:
        if part not in _OF_PHONE:
            raise VisemeError(f"the phone {phone!r} has no viseme")
        if found[-1:] != [_OF_PHONE[part]]:
            found.append(_OF_PHONE[part])
    if not found:
        raise VisemeError(f"the phone {phone!r} has no viseme")
    return tuple(found)


def _visemes_of_letter(letters: str) -> tuple[str, ...]:
    """Return the viseme of a letter or a pair of letters; none for what goes on with that before it.

    Raises:
        VisemeError: it is a letter that the table lacks.
    """
    if letters in _OF_LETTERS:
        return (_OF_LETTERS[letters],)
    if any(each.isalpha() for each in letters):
        raise VisemeError(f"the letter {letters!r} has no viseme; of voices that read letters, Latin ones have")
    return () if letters.isdigit() or letters in _WITHOUT_SOUND else (SILENT,)


def _plain(symbol: str) -> str:
    """Return letters in lower case without accents."""
    decomposed = unicodedata.normalize("NFD", symbol.lower())
    return "".join(each for each in decomposed if not unicodedata.combining(each))
