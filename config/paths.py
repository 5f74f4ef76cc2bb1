"""Paths: the repository's root, the shipped voice, base and vocoder, and relative paths in settings."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED_VOICE = REPOSITORY / "ckpts" / "tts" / "kathleen"
SHIPPED_BASE = REPOSITORY / "ckpts" / "tts" / "english_base"
VOCODERS = REPOSITORY / "ckpts" / "vocoder"
SHIPPED_VOCODER = VOCODERS / "lyre"


def resolve_path(path: str | Path) -> Path:
    """Return a path of the settings as an absolute path: `~` expanded, relative to the repository's root."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else REPOSITORY / expanded
