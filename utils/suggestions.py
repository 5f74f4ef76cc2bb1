"""Names that people mistype."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Give the end of a message about an unknown name: the known one that was most likely meant, or nothing.

    Args:
        name: as it was typed; capitals do not matter.
        known: what it could have been.
        cutoff: how alike the two must be, from 0 to 1, as `difflib` counts.
    """
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
