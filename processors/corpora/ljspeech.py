"""LJSpeech's layout: `metadata.csv` beside `wavs/`."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from processors.audio.audio_file import AUDIO_SUFFIXES
from processors.corpora.columns import (
    are_alike,
    are_speakers,
    column_named,
    is_file_name,
    is_phones,
    is_speech,
    repeats,
)
from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, folders_in, recordings_in, some
from processors.utterance import numbered_lines, unsafe_name_reason

_OFFICIAL_SPLIT = Path(__file__).with_name("ljspeech_split.txt")
_FOLDER = "wavs"


class _Columns(NamedTuple):
    """Places of columns in a line, and their number.

    Attributes:
        name: of the recording.
        texts: of which the last that is not empty counts.
        speaker: None without one.
        language: likewise.
        width: number of all columns; 0 for the usual two or three.
    """

    name: int = 0
    texts: tuple[int, ...] = (1, 2)
    speaker: int | None = None
    language: int | None = None
    width: int = 0

    def describe(self) -> str:
        kinds = {self.name: "id", self.speaker: "speaker", self.language: "language"} | dict.fromkeys(
            self.texts, "text"
        )
        return "|".join(kinds.get(place, "(not read)") for place in range(self.width))


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read `metadata.csv` with lines `id|text` or `id|text|normalised text`, and look for `wavs/<id>.wav` or `.flac`.

    The normalised text, if there is one, was written by a person who listened to the recording ("1455" may be read in
    several ways), so that it takes precedence; the normaliser has little left to change in it. Columns in another
    order, of speakers, or that are no text are recognised by a header or by their content, and noted.
    """
    metadata = folder / "metadata.csv"
    if not metadata.is_file():
        raise CorpusError(f"{metadata}: no such file{_elsewhere(folder)}")
    if not (folder / _FOLDER).is_dir():
        raise CorpusError(f"{folder / _FOLDER}: no such folder; the recordings of {dataset} belong there")
    recordings = recordings_in(folder / _FOLDER)
    unlisted = dict(recordings)
    builder = CorpusBuilder(dataset, language)
    lines = [
        (f"{metadata}:{number}", [column.strip() for column in line.split("|")])
        for number, line in numbered_lines(metadata)
    ]
    usual = _Columns()
    columns, has_header = _columns([cells for _, cells in lines], recordings)
    if columns != usual:
        builder.note(f"{metadata}: read as {columns.describe()}, by its {'header' if has_header else 'content'}")
    for where, cells in lines[has_header:]:
        places = columns if len(cells) == columns.width else usual
        utterance_id = _recording_name(cells[min(places.name, len(cells) - 1)])
        name = unicodedata.normalize("NFC", utterance_id)
        unlisted.pop(name, None)
        if places is usual and not 2 <= len(cells) <= 3:
            _take_without_text(builder, where, cells, utterance_id, recordings.get(name))
        elif name not in recordings and not unsafe_name_reason(utterance_id):
            builder.leave_out(where, utterance_id, f"no recording wavs/{utterance_id}.wav (or .flac)")
        else:
            texts = [cells[place] for place in places.texts if place < len(cells) and cells[place]]
            speaker, spoken = ("" if place is None else cells[place] for place in (places.speaker, places.language))
            builder.add(
                where,
                utterance_id,
                text=texts[-1] if texts else "",
                audio_path=recordings.get(name, Path()),
                speaker=speaker,
                language=spoken,
            )
    if unlisted:
        builder.note(f"{metadata}: {len(unlisted)} recordings in wavs/ are not listed: {some(unlisted)}")
    return builder.corpus(metadata)


def _columns(lines: Sequence[Sequence[str]], recordings: Container[str]) -> tuple[_Columns, bool]:
    """Return the columns of most lines, and whether the first line is a header."""
    if not lines:
        return _Columns(), False
    header = [cell.lower() for cell in lines[0]]
    kinds = {kind: column_named(kind, header) for kind in ("name", "text", "speaker", "language")}
    if kinds["name"] and kinds["text"] and _recording_name(lines[0][header.index(kinds["name"])]) not in recordings:
        name, text, speaker, language = (None if found is None else header.index(found) for found in kinds.values())
        assert name is not None and text is not None, "both are in the header"
        return _Columns(name, (text,), speaker, language, len(header)), True
    width, _ = Counter(map(len, lines)).most_common(1)[0]
    found = _by_content([line for line in lines if len(line) == width], recordings) if width > 1 else _Columns()
    is_usual = found.name == 0 and found.texts == tuple(range(1, width)) and width <= 3
    return (_Columns() if is_usual else found), False


def _by_content(lines: Sequence[Sequence[str]], recordings: Container[str]) -> _Columns:
    """Return the columns of lines of one width: the name is that of recordings, and what is like a text is one."""
    columns = list(zip(*lines, strict=True))
    n_recordings = [sum(_recording_name(cell) in recordings for cell in column) for column in columns]
    name = n_recordings.index(max(n_recordings))
    others = [place for place in range(len(columns)) if place != name]
    texts_or_speakers = (place for place in others if not is_phones(columns[place]))
    free = [place for place in texts_or_speakers if 2 * sum(map(is_file_name, columns[place])) <= len(lines)]
    spoken = [place for place in free if is_speech(columns[place])]
    varied = [place for place in free if not repeats(columns[place])]
    if not free or (not spoken and len(columns) > 3):
        return _Columns()
    first = (spoken or varied or free)[0]
    texts = [
        place
        for place in free
        if place in (spoken or varied) or are_alike(columns[first], columns[place])  # an empty one is like any
    ]
    speaker = next((place for place in free if place not in texts and are_speakers(columns[place])), None)
    return _Columns(name, tuple(texts), speaker, None, len(columns))


def read_with_official_split(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read LJSpeech itself, with the usual split into 12,500, 100 and 500 recordings for comparing models."""
    corpus = read(dataset, folder, language=language)
    split_of = official_split()
    utterances = (replace(utterance, split=split_of.get(utterance.id, "train")) for utterance in corpus.utterances)
    return replace(corpus, utterances=tuple(utterances))


def official_split() -> dict[str, str]:
    """Return the split of each id in LJSpeech's usual validation and test sets."""
    split_of: dict[str, str] = {}
    split = ""
    for _, line in numbered_lines(_OFFICIAL_SPLIT):
        if line in ("valid", "test"):
            split = line
        elif not line.startswith("#"):
            split_of.update((f"LJ{number}", split) for number in line.split())
    return split_of


def _take_without_text(
    builder: CorpusBuilder, where: str, columns: list[str], utterance_id: str, audio_path: Path | None
) -> None:
    """Add a line whose text cannot be parsed; its recording, if it exists, is usable without text."""
    if len(columns) == 1:
        reason, known_id = f"expected id|text, found no | in {columns[0][:60]!r}", ""
    else:
        reason, known_id = f"expected id|text or id|text|text, found {len(columns)} columns", utterance_id
    if audio_path is None:
        builder.leave_out(where, known_id, reason)
    else:
        builder.add(where, utterance_id, text="", audio_path=audio_path, no_text=reason)


def _recording_name(cell: str) -> str:
    """Return `clip` for `clip.wav` or `wavs/clip.wav`: some lists have file names or paths."""
    path = PurePosixPath(cell)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return path.stem
    return path.name if path.parent.name == _FOLDER else cell


def _elsewhere(folder: Path) -> str:
    for inner in folders_in(folder):
        if (inner / "metadata.csv").is_file():
            return f"; did you mean {inner}?"
    return "; it should list the recordings, one `id|text` per line"
