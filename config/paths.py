"""Where relative paths in settings start, and where what comes with the project lies."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED_VOICE = REPOSITORY / "ckpts" / "tts" / "kathleen"


def rooted(path: str | Path) -> Path:
    """Give the place that a path in the settings means: `~` is expanded, relative paths start at the repository."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else REPOSITORY / expanded
