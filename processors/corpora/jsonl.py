"""The jsonl layout: manifests of JSON lines, as NeMo and others write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, some, utterance_id_for
from processors.utterance import SPLITS, ManifestError, Utterance, json_object, numbered_lines, write_manifest

_FOLDERS_ABOVE = 5
_SPLIT_NAMES = {
    "train": ("train", "train_manifest", "manifest_train"),
    "valid": ("valid", "val", "dev", "validation", "val_manifest", "dev_manifest", "manifest_val", "manifest_dev"),
    "test": ("test", "test_manifest", "manifest_test"),
}


def read(dataset: str, folder: Path, *, language: str) -> Corpus:
    """Read a manifest with one object per line, or one manifest per split.

    Its fields are `audio_filepath`, `text`, and if known `duration` in seconds, `speaker`, `language` and `id`; others
    are ignored. A path is absolute, or from the manifest's folder, from one above it, or from the working directory,
    whichever is the first to have the recording. The default of `id` is the recording's file name, prefixed by the
    speaker if there is one, and by the folder's name where two recordings would have one id.

    Args:
        dataset: name of the corpus.
        folder: the manifest, or its folder; `train.jsonl` beside `valid.jsonl` or `test.jsonl` define the splits, as do
            `.json` and the names `train_manifest`, `manifest_train`, `dev`, `val` and `validation` of others.
        language: of lines without one.
    """
    manifests = _manifests_in(folder)
    builder = CorpusBuilder(dataset, language)
    lines: list[tuple[str, _Line | ManifestError]] = []
    for split, manifest in manifests.items():
        bases = list(dict.fromkeys((manifest.parent, *manifest.resolve().parents[1:_FOLDERS_ABOVE], Path.cwd())))
        for number, line in numbered_lines(manifest):
            where = f"{manifest}:{number}"
            try:
                lines.append((where, _parsed(json_object(line, where), where, bases, split)))
            except ManifestError as error:
                lines.append((where, error))
    paths: dict[str, set[Path]] = {}
    for _, parsed in lines:
        if isinstance(parsed, _Line):
            paths.setdefault(parsed.utterance_id, set()).add(parsed.audio_path)
    for where, parsed in lines:
        try:
            if isinstance(parsed, ManifestError):
                raise parsed
            is_ambiguous = len(paths[parsed.utterance_id]) > 1 and "id" not in parsed.fields
            _add(builder, parsed, f"{parsed.audio_path.parent.name}_" if is_ambiguous else "")
        except ManifestError as error:
            builder.leave_out(where, "", str(error).removeprefix(f"{where}: "))
    return builder.corpus(folder if len(manifests) > 1 else manifest)


@dataclass(frozen=True)
class _Line:
    """A line of a manifest, with its recording's path and an id that others may have too."""

    where: str
    fields: dict[str, Any]
    split: str
    audio_path: Path
    speaker: str
    utterance_id: str


def _parsed(fields: dict[str, Any], where: str, bases: Sequence[Path], split: str) -> _Line:
    name = _text_field(fields, "audio_filepath", where)
    audio_path = next((path for base in bases if (path := base / name).is_file()), bases[0] / name)
    speaker = _text_field(fields, "speaker", where, default="")
    utterance_id = _text_field(fields, "id", where, default=utterance_id_for(speaker, audio_path.stem))
    return _Line(where, fields, split, audio_path, speaker, utterance_id)


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
        named = {
            split: [path for name in names for path in sorted(folder.glob(f"{name}{suffix}"))]
            for split, names in _SPLIT_NAMES.items()
        }
        if named["train"] and (named["valid"] or named["test"]):
            if several := next((paths for paths in named.values() if len(paths) > 1), None):
                raise CorpusError(
                    f"{folder}: holds {some(path.name for path in several)} for one split; keep one of them"
                )
            return {split: paths[0] for split, paths in named.items() if paths}
    alone = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".json") and path.is_file())
    if len(alone) == 1:
        return {"": alone[0]}
    if alone:
        raise CorpusError(
            f"{folder}: holds several manifests ({some(path.name for path in alone)}); name one of them in dataset_path"
        )
    raise CorpusError(f"{folder}: holds no manifest (manifest.jsonl)")


def _add(builder: CorpusBuilder, line: _Line, prefix: str) -> None:
    """Add a line's recording, its file name prefixed in the id, or the reason why it is unusable."""
    where, fields, audio_path = line.where, line.fields, line.audio_path
    utterance_id = utterance_id_for(line.speaker, f"{prefix}{audio_path.stem}") if prefix else line.utterance_id
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
            speaker=line.speaker,
            language=language,
            duration_s=float(duration_s),
            split=line.split,
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
