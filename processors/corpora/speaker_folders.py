"""The speaker_folders layout: one folder per speaker, each recording with its transcript beside it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from processors.corpora.corpus import (
    Corpus,
    CorpusBuilder,
    CorpusError,
    folders_in,
    recordings_in,
    some,
    utterance_id_for,
)
from processors.utterance import ManifestError, read_text_file

_TRANSCRIPT_SUFFIXES = (".lab", ".txt")


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read `<speaker>/<name>.wav` or `.flac` with the text in `<speaker>/<name>.lab` or `.txt`.

    The id is `<speaker>_<name>`, or the name itself where it begins with the speaker's.
    """
    builder = CorpusBuilder(dataset, language)
    outside = recordings_in(folder)
    for speaker_folder in folders_in(folder):
        _read_speaker(builder, speaker_folder)
    if outside:
        builder.note(f"{folder}: {len(outside)} recordings are not in a speaker's folder: {some(outside)}")
    if outside and not any(recordings_in(inner) for inner in folders_in(folder)):
        raise CorpusError(
            f"{folder}: the recordings are not in a speaker's folder; move them to {folder}/<speaker>/, or set "
            f'dataset_path to {folder.parent} and dataset_subset to ["{folder.name}"]'
        )
    return builder.corpus(folder)


def _read_speaker(builder: CorpusBuilder, folder: Path) -> None:
    recordings, transcripts = recordings_in(folder), _transcripts_in(folder)
    for name, path in recordings.items():
        utterance_id = utterance_id_for(folder.name, name)
        text, no_text = "", f"no transcript {name}.lab (or .txt) beside it"
        if name in transcripts:
            try:
                text, no_text = read_text_file(transcripts[name]), ""
            except ManifestError as error:
                no_text = str(error)
        builder.add(str(path), utterance_id, text=text, audio_path=path, speaker=folder.name, no_text=no_text)
    for name in sorted(transcripts.keys() - recordings.keys()):
        path = transcripts[name]
        # A folder may hold a readme.txt; a .lab is always a transcript.
        if path.suffix.lower() == ".lab":
            builder.leave_out(
                str(path), utterance_id_for(folder.name, name), f"no recording {name}.wav (or .flac) beside it"
            )
    nested = [inner.name for inner in folders_in(folder) if recordings_in(inner)]
    if nested:
        builder.note(f"{folder}: recordings in sub-folders are not read: {some(nested)}")


def _transcripts_in(folder: Path) -> dict[str, Path]:
    """Return the transcripts of a folder by name; of several with one name, `.lab` files first."""
    found: dict[str, Path] = {}
    for suffix in _TRANSCRIPT_SUFFIXES:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() == suffix and not path.name.startswith("."):
                found.setdefault(unicodedata.normalize("NFC", path.stem), path)
    return found
