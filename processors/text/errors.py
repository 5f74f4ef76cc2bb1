"""Errors of texts and front ends."""

from __future__ import annotations

from utils.errors import RecitalError


class TextError(RecitalError):
    """An unusable text, lexicon or text setting; subclasses name narrower cases."""


class UnknownLanguageError(TextError):
    """A language that the front end does not support."""


def shortened(text: str) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= 40 else text[:37] + "..."
