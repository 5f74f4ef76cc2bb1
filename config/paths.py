"""Paths: the repository's root, the shipped voice and vocoder, and relative paths in settings."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED_VOICE = REPOSITORY / "ckpts" / "tts" / "kathleen"
VOCODERS = REPOSITORY / "ckpts" / "vocoder"
SHIPPED_VOCODER = VOCODERS / "lyre"


def rooted(path: str | Path) -> Path:
    """Return a path of the settings resolved: `~` is expanded, relative paths start at the repository."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else REPOSITORY / expanded
