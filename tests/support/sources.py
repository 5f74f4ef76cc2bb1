"""The Python files of the project."""

from __future__ import annotations

from pathlib import Path

from config.paths import REPOSITORY

FLOORS = ("bins", "models", "processors", "config", "utils")
"""The folders of the sources; each may import itself and those behind it."""


def sources(*folders: str) -> list[Path]:
    """Return the Python files of folders, and the files that are named themselves."""
    paths = (REPOSITORY / folder for folder in folders)
    return sorted(found for path in paths for found in (path.rglob("*.py") if path.is_dir() else [path]))
