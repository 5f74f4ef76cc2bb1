"""The jsonl layout: manifests of JSON lines, as NeMo and others write them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, some, utterance_id_for
from processors.utterance import SPLITS, ManifestError, Utterance, json_object, numbered_lines, write_manifest


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read a manifest with one object per line, or one manifest per split.

    Its fields are `audio_filepath` (absolute, or from the manifest's folder), `text`, and if known `duration` in
    seconds, `speaker`, `language` and `id`; others are ignored. The default of `id` is the recording's file name,
    prefixed by the speaker if there is one.

    Args:
        dataset: name of the corpus.
        folder: the manifest, or its folder; `train.jsonl` beside `valid.jsonl` or `test.jsonl` (or likewise `.json`)
            define the splits.
        language: of lines without one.
    """
    manifests = _manifests_in(folder)
    builder = CorpusBuilder(dataset, language)
    for split, manifest in manifests.items():
        for number, line in numbered_lines(manifest):
            where = f"{manifest}:{number}"
            try:
                fields = json_object(line, where)
                _add(builder, where, fields, manifest.parent, split)
            except ManifestError as error:
                builder.leave_out(where, "", str(error).removeprefix(f"{where}: "))
    return builder.corpus(folder if len(manifests) > 1 else manifest)


def write(folder: Path, utterances: Iterable[Utterance]) -> list[Path]:
    """Write one manifest per split, `<split>.jsonl`, for `read` and NeMo; return their paths.

    Without the results of stage 1 except durations in seconds. Manifests of splits without utterances are removed.
    """
    by_split: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for utterance in utterances:
        by_split[utterance.split].append(replace(utterance, phones=(), durations=(), frames=0))
    written = []
    for split, members in by_split.items():
        path = folder / f"{split}.jsonl"
        if members:
            write_manifest(path, members)
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written


def _manifests_in(folder: Path) -> dict[str, Path]:
    """Return the manifests by split; under the empty name a single one of all."""
    if folder.is_file():
        return {"": folder}
    if (folder / "manifest.jsonl").is_file():
        return {"": folder / "manifest.jsonl"}
    for suffix in (".jsonl", ".json"):
        splits = {split: path for split in SPLITS if (path := folder / f"{split}{suffix}").is_file()}
        if len(splits) > 1 and "train" in splits:
            return splits
    found = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".json") and path.is_file())
    if len(found) == 1:
        return {"": found[0]}
    if found:
        raise CorpusError(
            f"{folder}: holds several manifests ({some(path.name for path in found)}); name one of them in dataset_path"
        )
    raise CorpusError(f"{folder}: holds no manifest (manifest.jsonl)")


def _add(builder: CorpusBuilder, where: str, fields: dict[str, Any], folder: Path, split: str) -> None:
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
            split=split,
            no_text=no_text,
        )


def _text_field(fields: dict[str, Any], name: str, where: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if value is None:
        raise ManifestError(f"{where}: has no {name!r}; found {some(map(repr, fields), most=8) or 'nothing'}")
    # Speakers and ids are numbers in many manifests.
    if isinstance(value, int) and not isinstance(value, bool) and name in ("speaker", "id"):
        return str(value)
    if not isinstance(value, str):
        raise ManifestError(f"{where}: {name!r} should be a text, not {value!r}")
    return value
