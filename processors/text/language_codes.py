"""Language codes, such as `en` and `en-gb`."""

from __future__ import annotations

import re
from functools import lru_cache

ORDINAL_STOP = frozenset(["de", "da", "nb", "no", "fi", "is", "cs", "sk", "sl", "sr", "hu", "lv", "tr"])
"""Languages in which a number with a full stop before another word is an ordinal: am 3. Mai."""


@lru_cache(maxsize=256)
def primary_language(code: str) -> str:
    """Return the language without region: `en` of `en-gb` and of `EN_US`."""
    return re.split("[-_]", code.lower())[0]


def is_english(code: str) -> bool:
    """Return whether a code, such as `en` or `en-gb`, is English."""
    return primary_language(code) == "en"
