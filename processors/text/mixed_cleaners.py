"""Cleaning of English texts as NVIDIA's FastPitch does, whose checkpoints were trained on such texts."""

from __future__ import annotations

import re
import unicodedata

from processors.text.number_words import cardinal, ordinal, plural
from processors.text.roman_numerals import roman_value

_PIECE = re.compile(r"\{[^}]+\}|[^\s{}]+")
_CURRENCY = re.compile(
    r"([$£€])(\d+(?:,\d{3})*)(?:\.(\d\d))?(?![.\d]*\d)(?:\s+(hundred|thousand|million|billion|trillion)\b)?"
)
_UNITS_OF_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "pence"), "€": ("euro", "cent")}
_ABBREVIATIONS = {
    "mrs": "misess", "mr": "mister", "dr": "doctor", "st": "saint", "co": "company", "jr": "junior", "maj": "major",
    "gen": "general", "drs": "doctors", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort", "sen": "senator",
    "etc": "et cetera",
}  # fmt: skip
_ABBREVIATION = re.compile(rf"\b({'|'.join(_ABBREVIATIONS)})\.", re.IGNORECASE)
_UNITS = {
    "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz",
}  # fmt: skip
_UNIT = re.compile(rf"(?<=\d)({'|'.join(_UNITS)})\b")
_TIME = re.compile(r"\b(\d{1,2})(?::(\d\d))?\s*([ap])\.?m\b\.?", re.IGNORECASE)
_SIZE = re.compile(r"(?<=\d)x(?=\d)")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_DECADE = re.compile(r"\b(\d{2,4})s\b")
_NUMBER = re.compile(r"\d+")
# Those of I, V, X and the like alone are letters.
_ROMAN = re.compile(r"\b[MDCLXVI]*(?:IX|IV|V?I{2,3})\b")
_ACRONYM = re.compile(r"\b[A-Z]{2,}(?![a-z])\.?")


def clean(text: str, *, for_phones: bool) -> str:
    """Return a text in lower case with numbers, abbreviations and signs in words; phones in braces are kept.

    Args:
        text: raw.
        for_phones: as for FastPitch 1.1, whose words may become phones: Roman numerals are read, and words of capitals
            are spelled.
    """
    text = _CURRENCY.sub(_money, text)
    pieces = _PIECE.findall(text)
    return " ".join(piece if piece[0] == "{" else _cleaned(piece, for_phones) for piece in pieces)


def _cleaned(piece: str, for_phones: bool) -> str:
    piece = unicodedata.normalize("NFD", piece.replace("’", "'")).encode("ascii", "ignore").decode()
    piece = piece.replace("&", " and ").replace("%", " percent")
    if "@" in piece:
        piece = re.sub(r"\.(?=\w)", " dot ", piece.replace("@", " at "))
    piece = _ABBREVIATION.sub(lambda match: _ABBREVIATIONS[match[1].lower()], piece)
    if for_phones:
        piece = _TIME.sub(_time, piece)
        piece = _UNIT.sub(lambda match: f" {_UNITS[match[1]]}", piece)
        piece = _ROMAN.sub(lambda match: cardinal(roman_value(match[0])) if roman_value(match[0]) else match[0], piece)
        piece = _ACRONYM.sub(_spelled, piece)
    piece = _SIZE.sub(" by ", piece)
    piece = re.sub(r"(?<=\d),(?=\d)", "", piece)
    piece = re.sub(r"(?<=\d)\.(?=\d)", " point ", piece)
    piece = _ORDINAL.sub(lambda match: ordinal(int(match[1])), piece)
    piece = _DECADE.sub(lambda match: plural(_number(int(match[1]))), piece)
    piece = re.sub(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", " ", piece)
    piece = _NUMBER.sub(lambda match: _number(int(match[0])), piece)
    return " ".join(piece.lower().split())


def _money(match: re.Match[str]) -> str:
    unit, smaller = _UNITS_OF_MONEY[match[1]]
    whole, rest = int(match[2].replace(",", "")), int(match[3] or 0)
    if match[4]:
        return f"{_with_and(whole)} {match[4]} {unit}s"
    amounts = [
        f"{_with_and(amount)} {name}{'' if amount == 1 or name == 'pence' else 's'}"
        for amount, name in ((whole, unit), (rest, smaller))
        if amount or (name == unit and not rest)
    ]
    return ", ".join(amounts)


def _time(match: re.Match[str]) -> str:
    minutes = f" {_number(int(match[2]))}" if match[2] and match[2] != "00" else ""
    return f"{_number(int(match[1]))}{minutes} {match[3].lower()}.m."


def _spelled(match: re.Match[str]) -> str:
    return "".join(f"{letter}." for letter in match[0].rstrip(".").lower())


def _number(number: int) -> str:
    """Return a number in words without hyphens; from 1001 to 2999 as a year."""
    if 1000 < number < 3000 and not 2000 <= number < 2010:
        century, rest = divmod(number, 100)
        words = f"{cardinal(century)} hundred"
        if rest:
            words = f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
    else:
        words = cardinal(number) if 2000 <= number < 2010 else _with_and(number)
    return words.replace("-", " ")


def _with_and(number: int) -> str:
    """Return a number in words with "and" before tens and ones: "one hundred and one"."""
    if number < 100 or number >= 10**30:
        return cardinal(number) if number < 100 else " ".join(cardinal(int(digit)) for digit in str(number))
    before, rest = divmod(number, 1000)
    words = [f"{_with_and_below_thousands(before)}"] if before else []
    hundreds, ones = divmod(rest, 100)
    if hundreds:
        words.append(f"{cardinal(hundreds)} hundred")
    if ones:
        words.append(f"and {cardinal(ones)}")
    return " ".join(words)


def _with_and_below_thousands(thousands: int) -> str:
    """Return a number of thousands in words, each of its groups with "and"."""
    words = cardinal(thousands * 1000)
    return re.sub(r" hundred (?!thousand|million|billion|trillion|quadrillion|quintillion)", " hundred and ", words)
