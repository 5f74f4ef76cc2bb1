"""Codes of languages, such as `en` and `en-gb`."""

from __future__ import annotations

import re


def primary_language(code: str) -> str:
    """Give the language without what narrows it: `en` of `en-gb` and of `EN_US`."""
    return re.split("[-_]", code.lower())[0]
