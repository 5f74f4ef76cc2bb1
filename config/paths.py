"""Where relative paths in settings start."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def rooted(path: str | Path) -> Path:
    """Give the place that a path in the settings means: `~` is expanded, relative paths start at the repository."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else REPOSITORY / expanded
