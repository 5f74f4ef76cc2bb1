"""Symbols of the mixed front end: those of NVIDIA's FastPitch, in the order of its checkpoints."""

from __future__ import annotations

SPACE = "␣"
"""Stands for a space, since a symbol holds no white space."""
PHONE_MARK = "@"
"""Begins the symbols that are phones, which would else be letters."""

_PUNCTUATION = ("!", "'", "(", ")", ",", ".", ":", ";", "?", SPACE)
_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
_CONSONANTS = (*"BDFGKLMNPRSTVWYZ", "CH", "DH", "HH", "JH", "NG", "SH", "TH", "ZH")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MIXED_INVENTORY = (
    "-",
    *_PUNCTUATION,
    *_LETTERS,
    *_LETTERS.lower(),
    *(
        f"{PHONE_MARK}{phone}{stress}"
        for phone in sorted((*_VOWELS, *_CONSONANTS))
        for stress in (("", "0", "1", "2") if phone in _VOWELS else ("",))
    ),
)
"""All symbols but padding, which is number 0."""
