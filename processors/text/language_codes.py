"""Codes of languages, such as `en` and `en-gb`."""

from __future__ import annotations

import re


def primary_language(code: str) -> str:
    """Return the language without what narrows it: `en` of `en-gb` and of `EN_US`."""
    return re.split("[-_]", code.lower())[0]


def is_english(code: str) -> bool:
    """Whether a code such as `en` or `en-gb` stands for English."""
    return primary_language(code) == "en"
