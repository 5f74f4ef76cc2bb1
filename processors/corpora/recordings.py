"""The recordings layout: a folder of sound files without transcripts, for vocoders."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, folders_in, recordings_in
from processors.utterance import unsafe_name_reason

# Everything but letters and digits of any script, `.`, `_` and `-`.
_ODD = re.compile(r"[^\w.-]+")
# Of an id's bytes, with room for a mark.
_MAX_BYTES = 150
_MARK_DIGITS = 8


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read every sound file of a folder and of the folders within it.

    The id is the path within the folder, without suffix, converted to a file name: `a/b c.wav` is `a_b_c`. The speaker
    is the first folder of that path, or the dataset if there is none. Of a recording in several formats the WAV is
    read.
    """
    paths = list(_sound_files(folder, set()))
    if not paths:
        raise CorpusError(f"{folder}: no sound file of {dataset} in it or its sub-folders")
    builder = CorpusBuilder(dataset, language)
    names = {path: path.relative_to(folder).with_suffix("").as_posix() for path in paths}
    # Ids must differ on file systems that ignore case.
    times = Counter(_safe(name).casefold() for name in names.values())
    for path, name in names.items():
        utterance_id = _safe(name)
        if times[utterance_id.casefold()] > 1 or unsafe_name_reason(utterance_id):
            utterance_id = _marked(utterance_id, name)
        first, slash, _ = name.partition("/")
        speaker = _safe(first) if slash else dataset
        if unsafe_name_reason(speaker):
            speaker = _marked(speaker, first)
        builder.add(str(path), utterance_id, text="", audio_path=path, speaker=speaker, language=language)
    return builder.corpus(folder)


def _sound_files(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield sound files folder by folder; links back to a parent folder are ignored."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield from recordings_in(folder).values()
    for inner in folders_in(folder):
        yield from _sound_files(inner, seen)


def _safe(name: str) -> str:
    return _ODD.sub("_", unicodedata.normalize("NFC", name)).strip("._")


def _marked(safe: str, name: str) -> str:
    """Make an id that is too long, empty or taken unique by a hash, independent of other recordings."""
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK_DIGITS]
    beginning = safe.encode("utf-8", "replace")[:_MAX_BYTES].decode("utf-8", "ignore")
    return f"{beginning}-{mark}" if beginning else mark
