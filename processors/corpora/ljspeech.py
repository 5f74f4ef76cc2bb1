"""LJSpeech's layout: `metadata.csv` beside `wavs/`."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

from processors.audio.audio_file import AUDIO_SUFFIXES
from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, folders_in, recordings_in, some
from processors.utterance import numbered_lines, unsafe_name_reason

_OFFICIAL_SPLIT = Path(__file__).with_name("ljspeech_split.txt")


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read `metadata.csv` with lines `id|text` or `id|text|normalised text`, and look for `wavs/<id>.wav` or `.flac`.

    The normalised text, if there is one, was written by a person who listened to the recording ("1455" may be read in
    several ways), so that it takes precedence; the normaliser has little left to change in it.
    """
    metadata = folder / "metadata.csv"
    if not metadata.is_file():
        raise CorpusError(f"{metadata}: no such file{_elsewhere(folder)}")
    if not (folder / "wavs").is_dir():
        raise CorpusError(f"{folder / 'wavs'}: no such folder; the recordings of {dataset} belong there")
    recordings = recordings_in(folder / "wavs")
    unlisted = dict(recordings)
    builder = CorpusBuilder(dataset, language)
    for number, line in numbered_lines(metadata):
        where = f"{metadata}:{number}"
        columns = [column.strip() for column in line.split("|")]
        utterance_id = _without_suffix(columns[0])
        name = unicodedata.normalize("NFC", utterance_id)
        unlisted.pop(name, None)
        if not 2 <= len(columns) <= 3:
            _take_without_text(builder, where, columns, utterance_id, recordings.get(name))
        elif name not in recordings and not unsafe_name_reason(utterance_id):
            builder.leave_out(where, utterance_id, f"no recording wavs/{utterance_id}.wav (or .flac)")
        else:
            builder.add(where, utterance_id, text=columns[-1] or columns[1], audio_path=recordings.get(name, Path()))
    if unlisted:
        builder.note(f"{metadata}: {len(unlisted)} recordings in wavs/ are not listed: {some(unlisted)}")
    return builder.corpus(metadata)


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


def _without_suffix(name: str) -> str:
    """Return `clip` for `clip.wav`: some lists have file names."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in AUDIO_SUFFIXES else name


def _elsewhere(folder: Path) -> str:
    for inner in folders_in(folder):
        if (inner / "metadata.csv").is_file():
            return f"; did you mean {inner}?"
    return "; it should list the recordings, one `id|text` per line"
