"""A manifest of JSON lines, as NeMo and others write them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, some, utterance_id_for
from processors.utterance import ManifestError, json_object, numbered_lines


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read a manifest with one object per line.

    Its fields are `audio_filepath` (absolute, or from the manifest's folder), `text`, and if known `duration` in
    seconds, `speaker`, `language` and `id`; others are passed over. Without `id` it is the recording's file name,
    after the speaker's name where there is one.

    Args:
        dataset: name of the corpus.
        folder: the manifest, or the folder it lies in.
        language: of lines that name none.
    """
    manifest = _manifest_in(folder)
    builder = CorpusBuilder(dataset, language)
    for number, line in numbered_lines(manifest):
        where = f"{manifest}:{number}"
        try:
            fields = json_object(line, where)
            _add(builder, where, fields, manifest.parent)
        except ManifestError as error:
            builder.leave_out(where, "", str(error).removeprefix(f"{where}: "))
    return builder.corpus(manifest)


def _manifest_in(folder: Path) -> Path:
    if folder.is_file():
        return folder
    if (folder / "manifest.jsonl").is_file():
        return folder / "manifest.jsonl"
    found = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".json") and path.is_file())
    if len(found) == 1:
        return found[0]
    if found:
        raise CorpusError(
            f"{folder}: holds several manifests ({some(path.name for path in found)}); name one of them in dataset_path"
        )
    raise CorpusError(f"{folder}: holds no manifest (manifest.jsonl)")


def _add(builder: CorpusBuilder, where: str, fields: dict[str, Any], folder: Path) -> None:
    audio_path = folder / _text_field(fields, "audio_filepath", where)
    speaker = _text_field(fields, "speaker", where, default="")
    utterance_id = _text_field(fields, "id", where, default=utterance_id_for(speaker, audio_path.stem))
    duration_s = fields.get("duration") or 0.0
    if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)):
        raise ManifestError(f"{where}: 'duration' should be a number of seconds, not {duration_s!r}")
    if not math.isfinite(duration_s) or duration_s < 0:
        raise ManifestError(f"{where}: 'duration' is {duration_s} seconds")
    if fields.get("offset"):
        builder.leave_out(where, utterance_id, "has an 'offset'; cut the long recording into one file per line")
    elif not audio_path.is_file():
        builder.leave_out(where, utterance_id, f"no recording {audio_path}")
    else:
        language = _text_field(fields, "language", where, default="")
        try:
            text, no_text = _text_field(fields, "text", where), ""
        except ManifestError as error:
            text, no_text = "", str(error).removeprefix(f"{where}: ")
        builder.add(
            where,
            utterance_id,
            text=text,
            audio_path=audio_path,
            speaker=speaker,
            language=language,
            duration_s=float(duration_s),
            no_text=no_text,
        )


def _text_field(fields: dict[str, Any], name: str, where: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if value is None:
        raise ManifestError(f"{where}: has no {name!r}; found {some(map(repr, fields), most=8) or 'nothing'}")
    # Numbers stand for speakers and ids in many manifests.
    if isinstance(value, int) and not isinstance(value, bool) and name in ("speaker", "id"):
        return str(value)
    if not isinstance(value, str):
        raise ManifestError(f"{where}: {name!r} should be a text, not {value!r}")
    return value
