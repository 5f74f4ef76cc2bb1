"""Suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the end of a message about an unknown name: the nearest known one, or nothing.

    Args:
        name: as typed, in any case.
        known: valid names.
        cutoff: least similarity of the two, from 0 to 1, as `difflib` measures it.
    """
    nearest = _nearest(name, known, cutoff)
    return f"; did you mean {nearest}?" if nearest else ""


def near_path(path: Path) -> str:
    """Return the end of a message about a path that does not exist: the nearest one that does, or nothing."""
    folder = next((each for each in path.parents if each.is_dir()), None)
    if folder is None:
        return ""
    mistyped, *rest = path.relative_to(folder).parts or (path.name,)
    try:
        nearest = _nearest(mistyped, [each.name for each in folder.iterdir()])
    except OSError:  # no permission
        return ""
    whole = folder / nearest / Path(*rest)
    return f"; did you mean {whole if whole.exists() else folder / nearest}?" if nearest else ""


def _nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else ""
