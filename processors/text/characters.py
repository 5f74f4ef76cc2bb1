"""Unicode normalisation of texts."""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
_REPLACED = {
    **dict.fromkeys("‘’‚‛′ʹʼˈ`´＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›＂", '"'),
    **dict.fromkeys("‐‑﹣－", "-"),
    **dict.fromkeys("‒–", "–"),
    **dict.fromkeys("—―﹘", "—"),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("•·・|¦‖", ", "),
    **dict.fromkeys("。｡", ". "),
    **dict.fromkeys("、､，", ", "),
    **dict.fromkeys("¿¡", ""),
    **dict.fromkeys("™®©℠", ""),
    "−": "-", "⅋": "&", "×": " x ", "✕": " x ", "№": " No. ", "º": "°", "…": "...", "µ": "μ",
}  # fmt: skip
_CHARACTERS = str.maketrans(_REPLACED)
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
# Invisible, private, unassigned and half characters: controls, joiners, byte-order marks, lone surrogates.
_DROPPED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}
# But for joiners, which shape letters in Persian and Indian scripts.
_JOINERS = "\u200c\u200d"


def map_characters(text: str) -> str:
    """Unify quotes, dashes, spaces, digits, fractions and compatibility characters.

    Unicode's NFKC, except for fractions ("1½" as "1 1/2", not "11/2"), superscripts ("m²" as "m^2") and digits of other
    scripts. White space of any kind becomes one space; invisible characters are dropped.
    """
    if not text.isascii():
        text = _SUPERSCRIPT_RUN.sub(lambda run: "^" + "".join(_SUPERSCRIPTS[digit] for digit in run[0]), text)
        text = "".join(_visible(character) for character in text).translate(_CHARACTERS)
        text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
        text = "".join(_ascii_digit(character) for character in text)
    return " ".join(text.split())


def composed(text: str) -> str:
    """Return a text of any language in composed form (NFC), with single spaces and without invisible characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    seen = (
        " " if character.isspace() else character
        for character in text
        if character.isspace() or character in _JOINERS or unicodedata.category(character) not in _DROPPED_CATEGORIES
    )
    return " ".join("".join(seen).split())


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category in _DROPPED_CATEGORIES or "\ufe00" <= character <= "\ufe0f" or category == "Me":
        return ""
    if category == "No" and "⁄" in (fraction := unicodedata.normalize("NFKC", character)):
        return f" {fraction} "
    return character


def _ascii_digit(character: str) -> str:
    digit = unicodedata.digit(character, None)
    return character if digit is None else str(digit)
