"""Texts of recordings: from a manifest, a corpus's metadata, or a list."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from processors.utterance import ManifestError, numbered_lines, read_manifest


class Text(NamedTuple):
    """The words of a recording, and their language as a code."""

    text: str
    language: str


def read_texts(path: Path, language: str) -> dict[str, Text]:
    """Read the texts of recordings by their ids.

    Args:
        path: a manifest of stage 1 (`.jsonl`); else lines `id|text`, or `id|text|normalised text` as in LJSpeech.
        language: of texts without one of their own, which only manifests have.

    Raises:
        ManifestError: the file cannot be read, or a line is no text; with the line.
    """
    if path.suffix == ".jsonl":
        return {utterance.id: Text(utterance.text, utterance.language) for utterance in read_manifest(path)}
    texts = {}
    for number, line in numbered_lines(path):
        name, *columns = [column.strip() for column in line.split("|")]
        if not 1 <= len(columns) <= 2 or not any(columns):
            raise ManifestError(f"{path}:{number}: expected `id|text`, found {line[:60]!r}")
        texts[name] = Text(columns[-1] or columns[0], language)
    return texts
