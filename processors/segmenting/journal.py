"""Readings of one recording, kept as they are made, so that a kill loses one of them at most."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from processors.segmenting.text_words import ReadWord
from utils.files import write_atomically

Span = tuple[int, int]
"""First sample, and the one after the last."""


class Journal:
    """Readings by recogniser and spans of samples.

    Args:
        path: of the file, one JSON object per line.
        source: stamp of the recording; readings of another are dropped.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source
        self._found: dict[tuple[str, tuple[Span, ...]], list[list[ReadWord]]] = {}
        self._file: IO[str] | None = None
        lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
        if not lines or lines[0] != json.dumps({"source": source}):
            return
        whole = lines[:-1]  # the last line is empty, or torn by a kill
        for line in whole[1:]:
            entry = json.loads(line)
            spans = tuple((start, stop) for start, stop in entry["spans"])
            self._found[entry["reader"], spans] = [[ReadWord(*word) for word in words] for words in entry["words"]]
        if lines[-1]:
            write_atomically(path, "\n".join([*whole, ""]))

    def find(self, reader: str, spans: Sequence[Span]) -> list[list[ReadWord]] | None:
        """Return the words of each span, read together by a recogniser; None if they were not."""
        return self._found.get((reader, tuple(spans)))

    def add(self, reader: str, spans: Sequence[Span], words: list[list[ReadWord]]) -> None:
        """Append a reading."""
        if self._file is None:
            if not self._found:
                write_atomically(self._path, json.dumps({"source": self._source}) + "\n")
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._found[reader, tuple(spans)] = words
        rows = [[[word.text, word.start_s, word.end_s] for word in each] for each in words]
        self._file.write(json.dumps({"reader": reader, "spans": spans, "words": rows}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
