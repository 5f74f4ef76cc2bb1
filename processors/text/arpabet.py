"""The phones of American English in ARPAbet with stress."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from processors.text.tokens import PAUSES, SPOKEN_NOISE

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N",
    "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip

PHONES = tuple(sorted([*CONSONANTS, *(f"{vowel}{stress}" for vowel in VOWELS for stress in "012")]))

INVENTORY = (*PAUSES, SPOKEN_NOISE, *PHONES)


def without_stress(phone: str) -> str:
    """Return a phone without its stress digit, if it has one."""
    return phone.rstrip("012")


def is_vowel(phone: str) -> bool:
    """Return whether a phone, with or without its stress digit, is a vowel."""
    return without_stress(phone) in VOWELS


def near_phones(phone: str, known: Collection[str]) -> list[str]:
    """Return up to four known symbols similar to `phone`."""
    bare = phone.upper().rstrip("0123456789")
    same_letters = sorted(symbol for symbol in known if without_stress(symbol) == bare)
    return same_letters[:4] or difflib.get_close_matches(phone.upper(), sorted(known), n=4, cutoff=0.4)
