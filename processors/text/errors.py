"""The error of a text that cannot be spoken."""

from __future__ import annotations

from utils.errors import RecitalError


class TextError(RecitalError):
    """A text, lexicon or text setting that a user can mend; its children name the narrower cases."""


class UnknownLanguageError(TextError):
    """A language that the front end does not speak."""


def shortened(text: str) -> str:
    """Give what of a text a message can show."""
    return text if len(text) <= 40 else text[:37] + "..."
