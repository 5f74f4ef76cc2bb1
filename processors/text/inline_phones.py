"""Phones that people write into a text: ARPAbet as in {HH AH0 L OW1}, IPA as in [[həˈloʊ]]."""

from __future__ import annotations

import re
from typing import Literal

from processors.text.errors import TextError, shortened

IN_BRACKETS = re.compile(r"\[\[(.*?)\]\]")
"""Phones of IPA in a text."""

_IN_BRACES = re.compile(r"\{\s*[A-Z]{1,3}[0-2]?(?:\s+[A-Z]{1,3}[0-2]?)*\s*\}")
_UNCLOSED = re.compile(r"\[\[(?!.*\]\])|\{(?=[^}]*$)(?=.*\b[A-Z]{2}[0-2]\b)")


def refuse_other_phones(text: str, phone_extractor: Literal["lexicon", "espeak", "char"]) -> None:
    """Raise a `TextError` for phones in a text that a front end would read as words: of the other kind, or unclosed.

    Args:
        text: raw.
        phone_extractor: who is to speak it; `lexicon` takes those in braces, `espeak` those in double brackets.
    """
    if begins := _UNCLOSED.search(text):
        raise TextError(
            f"phones {shortened(text[begins.start() :])!r} do not end; write them as in [[həˈloʊ]] or {{HH AH0 L OW1}}"
        )
    # What espeak takes is not looked into, and what stands around it not put together.
    braces = _IN_BRACES.search(IN_BRACKETS.sub("[[]]", text) if phone_extractor == "espeak" else text)
    brackets = IN_BRACKETS.search(text)
    if phone_extractor == "char" and (phones := braces or brackets):
        raise TextError(f"phones {phones[0]!r} in a text are not for phone_extractor 'char', which knows letters only")
    if phone_extractor == "lexicon" and brackets:
        raise TextError(
            f"phones {brackets[0]!r} are IPA, which phone_extractor 'espeak' knows; "
            "'lexicon' takes ARPAbet in braces, as in {HH AH0 L OW1}"
        )
    if phone_extractor == "espeak" and braces:
        raise TextError(
            f"phones {braces[0]!r} are ARPAbet, which phone_extractor 'lexicon' knows; "
            "'espeak' takes IPA in double brackets, as in [[həˈloʊ]]"
        )
