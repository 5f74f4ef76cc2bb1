"""Symbols, speakers, languages and statistics of a set of corpora: their files, and their place in `processed_dir`.

At its top they are those of the last set that stage 1 was run for; `.voices/<stamp of the names>` keeps those of each.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from processors.features import DataError
from utils.bundle_file import is_file, read_text
from utils.fingerprint import stamp

SPEAKERS_FILE = "speakers.json"
LANGUAGES_FILE = "languages.json"
_KEPT = ".voices"


def kept_voice_folder(processed_dir: Path, datasets: Collection[str]) -> Path:
    """Return the folder that keeps what stage 1 finds of these corpora, whatever others it is run for later."""
    return processed_dir / _KEPT / stamp(*sorted(datasets)).hex()


def voice_folder(processed_dir: Path, datasets: Collection[str]) -> Path:
    """Return the folder to read: the top, unless it is of other corpora and these were kept."""
    kept = kept_voice_folder(processed_dir, datasets)
    try:
        at_top = json.loads((processed_dir / "settings.json").read_text(encoding="utf-8"))["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        at_top = ()
    return kept if set(at_top) != set(datasets) and kept.is_dir() else processed_dir


def open_languages(path: Path) -> dict[str, str]:
    """Read the language of each speaker; empty if there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    if not is_file(path):
        return {}
    try:
        languages = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}); run stage 1 again") from None
    if not isinstance(languages, dict) or not all(isinstance(code, str) for code in languages.values()):
        raise DataError(f"{path}: must map each speaker to a language; run stage 1 again")
    return languages
