"""Files of an experiment's speakers: rows of the speaker table, and languages."""

from __future__ import annotations

import json
from pathlib import Path

from processors.features import DataError

SPEAKERS_FILE = "speakers.json"
LANGUAGES_FILE = "languages.json"


def open_languages(path: Path) -> dict[str, str]:
    """Read the language of each speaker; empty if there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        languages = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}); run stage 1 again") from None
    if not isinstance(languages, dict) or not all(isinstance(code, str) for code in languages.values()):
        raise DataError(f"{path}: must map each speaker to a language; run stage 1 again")
    return languages
