"""Phones in the International Phonetic Alphabet, one symbol each with its marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from processors.text.word_tables import WordTables

STRESSES = "ˈˌ"
LONG = "ːˑ"
_TIES = "͜͡"
_SYLLABIC = "\u0329"

_TABLES = WordTables(__file__)
_VOWELS = {letter: tuple(map(int, place.split())) for letter, place in _TABLES.mapping("vowels").items()}
_NEAR_MANNERS = {
    frozenset(pair.split(", ")): int(distance) for pair, distance in _TABLES.mapping("near manners").items()
}
_CONSONANTS = {
    letter: (place, manner, voiced)
    for manner, row in _TABLES.mapping("consonants").items()
    for place, pair in enumerate(row.split())
    for voiced, letter in enumerate(pair)
    if letter != "."
}
LETTERS = (*_VOWELS, *_CONSONANTS)
"""Of the IPA's charts, without marks."""

_DIFFERENT_MANNER = 4
_OF_ARPABET = _TABLES.mapping("arpabet")
_UNSTRESSED = {"AH0": "ə", "ER0": "ɚ"}
_UNRELATED = 24
"""Distance of a vowel from a consonant, more than that of any two vowels or consonants."""

_JOINED = _TABLES.words("affricates") | _TABLES.words("diphthongs")

_WRITTEN_OTHERWISE = str.maketrans({"g": "ɡ", ":": "ː", "'": "ˈ", "ʼ": "ˈ", "ε": "ɛ", "ʦ": "ts", "ʧ": "tʃ", "ʤ": "dʒ",
                                    "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ"})  # fmt: skip
_DROPPED = re.compile(r"[\s\u200b-\u200f()|‖‿\[\]/-]")


def is_vowel(phone: str) -> bool:
    """Return whether a phone, with any marks, is syllabic."""
    return any(letter in _VOWELS for letter in phone) or _SYLLABIC in unicodedata.normalize("NFD", phone)


def phones_from_pieces(pieces: Iterable[str]) -> list[str]:
    """Return the phones of one word from espeak-ng's pieces, each a phone or a vowel with its consonant.

    Length, nasality, tone and other marks stay with the letter before them, tie bars are dropped (`t͡ʃ` is `tʃ`), and
    stress is moved to the vowel of its syllable: `ˈt`, `ɛ` are `t`, `ˈɛ`.
    """
    return _stressed([cluster for piece in pieces for cluster in _clusters_of_piece(piece)])


def phones_from_ipa(written: str) -> list[str]:
    """Return the phones of one word in IPA, such as `həˈloʊ`; see `phones_from_pieces`.

    Common affricates and diphthongs are one phone; `_` or `.` between letters separates them.
    """
    phones: list[str] = []
    for part in re.split("[_.]", written):
        for cluster in _clusters(part):
            pair = phones[-1] + cluster if phones and cluster else ""
            if bare_phone(pair) in _JOINED and cluster[0] not in STRESSES:
                phones[-1] = pair
            else:
                phones.append(cluster)
        phones.append("")  # letters on both sides of a separator are not joined
    return _stressed([phone for phone in phones if phone])


def nearest_phones(phone: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return known phones that can replace another phone.

    In this order: the same phone with other stress, length or marks; its letters one by one (`aɪ` as `a`, `ɪ`); for a
    single letter the nearest known one on the IPA's charts, a vowel for a vowel and a consonant for a consonant.

    Args:
        phone: of IPA.
        known: symbols; others than phones are ignored.

    Returns:
        One or more known symbols; none if there are no vowels, or no consonants, among them.
    """
    if phone in known:
        return (phone,)
    if same := [symbol for symbol in known if bare_phone(symbol) == bare_phone(phone) != ""]:
        return (min(same, key=lambda symbol: (_mark_distance(phone, symbol), symbol)),)
    clusters = _clusters(phone)
    if len(clusters) > 1:
        return tuple(each for cluster in clusters for each in nearest_phones(cluster, known))
    near = [
        (_letter_distance(bare_phone(phone), bare_phone(symbol)), _mark_distance(phone, symbol), symbol)
        for symbol in known
    ]
    near = [found for found in near if found[0] is not None]
    return (min(near)[2],) if near else ()


def symbols_of_phone(phone: str, known: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the symbols of a voice nearest to a phone of IPA, and whether they are that phone, but for marks.

    Args:
        phone: of IPA, with stress.
        known: symbols of the voice, of ARPAbet with stress or of IPA.
    """
    by_ipa: dict[str, str] = {}
    # Where letters are symbols, too, phones begin with a mark.
    for symbol in [each for each in known if each[0] == "@"] or known:
        bare = symbol.removeprefix("@")
        if letters := _OF_ARPABET.get(bare.rstrip("012")):
            by_ipa[{"1": "ˈ", "2": "ˌ"}.get(bare[-1], "") + letters] = symbol
            if bare in _UNSTRESSED:
                by_ipa[_UNSTRESSED[bare]] = symbol
    if not by_ipa:
        by_ipa = {symbol: symbol for symbol in known}
    near = nearest_phones(phone, tuple(by_ipa))
    return tuple(by_ipa[each] for each in near), len(near) == 1 and bare_phone(near[0]) == bare_phone(phone)


def ipa_of_arpabet(phone: str) -> str:
    """Return a phone of ARPAbet, with or without stress, in IPA."""
    stress = {"1": "ˈ", "2": "ˌ"}.get(phone[-1], "")
    return _UNSTRESSED.get(phone) or stress + _OF_ARPABET[phone.rstrip("012")]


@lru_cache(maxsize=4096)
def is_voiced(phone: str) -> bool:
    """Return whether a phone of IPA or ARPAbet, or a letter, may be voiced; pauses and punctuation are not."""
    bare = phone.removeprefix("@").rstrip("012")
    letters = bare_phone(_OF_ARPABET.get(bare, bare.lower()))
    return any(_CONSONANTS[each][2] if each in _CONSONANTS else each.isalpha() for each in letters)


@lru_cache(maxsize=65536)
def phone_distance(phone: str, other: str) -> int:
    """Return the distance of two phones, of IPA or ARPAbet: 0 for the same letters, else of the nearest."""
    letters, others = (bare_phone(_OF_ARPABET.get(each.rstrip("012"), each)) for each in (phone, other))
    if letters == others:
        return 0
    near = (_letter_distance(letter, each) for letter in letters for each in others)
    return 1 + min((distance for distance in near if distance is not None), default=_UNRELATED)


@lru_cache(maxsize=4096)
def _clusters_of_piece(piece: str) -> tuple[str, ...]:
    """Merge adjacent vowels of a piece to one phone, and likewise consonants."""
    joined: list[str] = []
    for cluster in _clusters(piece):
        if joined and cluster[0] not in STRESSES and is_vowel(joined[-1]) == is_vowel(cluster):
            joined[-1] += cluster
        else:
            joined.append(cluster)
    return tuple(joined)


def _clusters(written: str) -> list[str]:
    """Split IPA before every letter; marks stay with the letter before them, stress with the letter after it."""
    plain = unicodedata.normalize("NFC", _DROPPED.sub("", written).translate(_WRITTEN_OTHERWISE))
    clusters: list[str] = []
    stress, tied = "", False
    for character in plain:
        if character in STRESSES:
            stress = character
        elif character in _TIES:
            tied = True
        elif _is_mark(character):
            if clusters:
                clusters[-1] += character
        elif tied and clusters:
            clusters[-1] += character
            tied = False
        else:
            clusters.append(stress + character)
            stress = ""
    return clusters


def _is_mark(character: str) -> bool:
    return character not in _VOWELS and unicodedata.category(character) in {"Mn", "Lm", "Sk", "Nd", "No", "Po", "Sm"}


def _stressed(phones: Sequence[str]) -> list[str]:
    """Move each stress mark from the consonants before a vowel to the vowel."""
    moved: list[str] = []
    pending, pending_from = "", 0
    for phone in phones:
        bare = phone.lstrip(STRESSES)
        if phone != bare:
            pending, pending_from = phone[0], len(moved)
        if pending and is_vowel(bare):
            bare, pending = pending + bare, ""
        moved.append(bare)
    if pending:  # no vowel follows
        moved[pending_from] = pending + moved[pending_from]
    return moved


def bare_phone(phone: str) -> str:
    """Return the letters of a phone without marks."""
    return "".join(
        letter for letter in phone if letter not in STRESSES and letter not in _TIES and not _is_mark(letter)
    )


def _mark_distance(phone: str, other: str) -> int:
    """Return the distance of two phones with the same letters: stress counts least, then length, then other marks."""
    marks, other_marks = ({letter for letter in each if letter not in bare_phone(each)} for each in (phone, other))
    return sum(1 if mark in STRESSES else 2 if mark in LONG else 4 for mark in marks ^ other_marks)


def _letter_distance(letter: str, other: str) -> int | None:
    if letter in _VOWELS and other in _VOWELS:
        (height, back, rounded), (other_height, other_back, other_rounded) = _VOWELS[letter], _VOWELS[other]
        return 2 * abs(height - other_height) + abs(back - other_back) + 2 * abs(rounded - other_rounded)
    if letter in _CONSONANTS and other in _CONSONANTS:
        (place, manner, voiced), (other_place, other_manner, other_voiced) = _CONSONANTS[letter], _CONSONANTS[other]
        apart = _NEAR_MANNERS.get(frozenset((manner, other_manner)), _DIFFERENT_MANNER) if manner != other_manner else 0
        return 2 * apart + abs(place - other_place) + 2 * abs(voiced - other_voiced)
    return None
