"""Sources of synthesized speech: its teachers and their licences, from the corpus to every bundle trained on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.bundle_file import is_file, read_text
from utils.errors import RecitalError
from utils.files import write_atomically

SOURCES_FILE = "sources.json"
"""Its name in the folder of a corpus, in that of its features, and in a bundle."""
PREDICTED_SOURCES_FILE = "predicted_sources.json"
"""Beside a corpus's features: the sources of the model that predicted its mels."""


class SourcesError(RecitalError):
    """A list of sources that is damaged."""


@dataclass(frozen=True)
class Source:
    """A source of speech.

    Attributes:
        name: the teacher that synthesized it, with its voice.
        licence: of the teacher.
    """

    name: str
    licence: str

    def __str__(self) -> str:
        return f"{self.name} ({self.licence})"


def read_sources(folder: Path, file: str = SOURCES_FILE) -> tuple[Source, ...]:
    """Read the sources that a folder names; none if it has no such file.

    Raises:
        SourcesError: the file is damaged.
    """
    path = folder / file
    if not is_file(path):
        return ()
    try:
        sources = json.loads(read_text(path))["sources"]
        return tuple(Source(str(each["name"]), str(each["licence"])) for each in sources)
    except (ValueError, KeyError, TypeError) as error:
        raise SourcesError(
            f'{path}: is damaged ({error!r}); expected {{"sources": [{{"name": ..., "licence": ...}}]}}'
        ) from None


def write_sources(folder: Path, sources: Sequence[Source], file: str = SOURCES_FILE) -> None:
    """Name a folder's sources; where there are none, remove what named others before."""
    path = folder / file
    if sources:
        write_atomically(path, sources_text(sources))
    else:
        path.unlink(missing_ok=True)


def sources_text(sources: Sequence[Source]) -> str:
    """Return the content of the file that names sources."""
    return json.dumps({"sources": [asdict(source) for source in sources]}, indent=1, ensure_ascii=False) + "\n"


def sources_of(folders: Iterable[Path], files: Sequence[str] = (SOURCES_FILE,)) -> tuple[Source, ...]:
    """Return the sources that folders name in these files, each once.

    Raises:
        SourcesError: a file is damaged.
    """
    named = (source for folder in folders for file in files for source in read_sources(folder, file))
    return tuple(dict.fromkeys(named))
