"""Phones within texts: ARPAbet as in {HH AH0 L OW1}, IPA as in [[həˈloʊ]]."""

from __future__ import annotations

import re
from typing import Literal

from processors.text.arpabet import PHONES
from processors.text.errors import TextError, shortened
from processors.text.ipa import STRESSES, phones_from_ipa
from processors.text.symbols import UnknownPhoneError, describe_unknown_phone
from processors.text.tokens import Word

# At least one phone has a stress digit, or all are capitals.
IN_BRACES = r"\{\s*(?:[A-Z]{1,3}\d?(?:\s+[A-Z]{1,3}\d?)*|(?=[a-z\s]*\d)[a-z]{1,3}\d?(?:\s+[a-z]{1,3}\d?)*)\s*\}"
"""Pattern of ARPAbet phones in a text."""

IN_BRACKETS = re.compile(r"\[\[(.*?)\]\]")
"""Pattern of IPA phones in a text."""

# Narrower than `IN_BRACES`, so that other front ends accept braces around words.
_CLEARLY_ARPABET = re.compile(r"\{\s*[A-Z]{1,3}[0-2]?(?:\s+[A-Z]{1,3}[0-2]?)*\s*\}")
_UNCLOSED = re.compile(r"\[\[(?!.*\]\])|\{(?=[^}]*$)(?=.*\b[A-Z]{2}[0-2]\b)")


def refuse_other_phones(text: str, phone_extractor: Literal["lexicon", "espeak", "char"]) -> None:
    """Raise a `TextError` for inline phones that a front end does not support, or that are not closed.

    Args:
        text: raw.
        phone_extractor: the front end's name; `lexicon` supports braces, `espeak` double brackets.
    """
    if "[[" not in text and "{" not in text:
        return
    if begins := _UNCLOSED.search(text):
        raise TextError(
            f"phones {shortened(text[begins.start() :])!r} are not closed; write them as in [[həˈloʊ]] or "
            "{HH AH0 L OW1}"
        )
    # Double brackets are emptied, not removed: texts around them must not be joined.
    braces = _CLEARLY_ARPABET.search(IN_BRACKETS.sub("[[]]", text) if phone_extractor == "espeak" else text)
    brackets = IN_BRACKETS.search(text)
    if phone_extractor == "char" and (phones := braces or brackets):
        raise TextError(f"phones {phones[0]!r}: phone_extractor 'char' reads letters only")
    if phone_extractor == "lexicon" and brackets:
        raise TextError(
            f"phones {brackets[0]!r} are IPA, which phone_extractor 'espeak' reads; "
            "'lexicon' takes ARPAbet in braces, as in {HH AH0 L OW1}"
        )
    if phone_extractor == "espeak" and braces:
        raise TextError(
            f"phones {braces[0]!r} are ARPAbet, which phone_extractor 'lexicon' reads; "
            "'espeak' takes IPA in double brackets, as in [[həˈloʊ]]"
        )


def word_in_braces(written: str) -> Word:
    """Parse ARPAbet phones in braces as one word.

    Raises:
        UnknownPhoneError: one of them is not a phone of ARPAbet.
    """
    phones = tuple(written.strip("{} ").upper().split())
    for phone in phones:
        if phone not in PHONES:
            raise UnknownPhoneError(f"text {written!r}: {describe_unknown_phone(phone, PHONES, 'ARPAbet')}")
    return Word(written, (phones,))


def words_in_brackets(written: str) -> list[Word]:
    """Parse the content of double brackets: words of IPA, separated by spaces.

    Raises:
        TextError: there is no IPA in it.
    """
    words = [Word(f"[[{word}]]", (tuple(phones),)) for word in written.split() if (phones := phones_from_ipa(word))]
    strange = [phone for word in words for phone in word.pronunciations[0] if not phone.strip(STRESSES)[:1].isalpha()]
    if strange or not words:
        raise TextError(f"'[[{written}]]': {f'{strange[0]!r} is no phone' if strange else 'no phones'} of IPA in it")
    return words
